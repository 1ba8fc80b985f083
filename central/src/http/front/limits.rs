//! How often one may ask.
//!
//! Two buckets per kind of route: one for the caller, by what it proves itself with, and a larger
//! one for the address, which many may share. They are in the cache, so that all processes of the
//! hub count together; while the cache is away each process counts for itself.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use super::super::problem::Problem;
use crate::cache::{Bucket, MemoryCache, Store, Taken};
use crate::config::LimitsConfig;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const MINUTE: Duration = Duration::from_mins(1);

/// A kind of route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Login,
    Booking,
    Search,
    Default,
}

impl Class {
    fn of(method: &Method, path: &str) -> Option<Self> {
        let first = path.trim_start_matches('/').split('/').next();
        let looks = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        match first.unwrap_or_default() {
            // Whoever watches the hub is never refused.
            "livez" | "readyz" => None,
            "auth" if !looks => Some(Self::Login),
            "trips" | "search" | "places" | "stops" if looks => Some(Self::Search),
            "quotes" => Some(Self::Search),
            "bookings" | "holds" | "payments" | "refunds" | "waiting-list" if !looks => {
                Some(Self::Booking)
            }
            // A booking is found by a short reference: guessing has to be slow.
            "bookings" => Some(Self::Booking),
            _ => Some(Self::Default),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Booking => "booking",
            Self::Search => "search",
            Self::Default => "default",
        }
    }
}

/// What of a request its limits depend on.
#[derive(Debug)]
pub struct Asked {
    class: Option<Class>,
    proof: Option<String>,
}

impl Asked {
    /// Reads it off a request.
    pub fn of(request: &Request) -> Self {
        Self {
            class: Class::of(request.method(), request.uri().path()),
            proof: proof(request.headers()),
        }
    }
}

/// The configured limits.
#[derive(Debug)]
pub struct Limits {
    config: LimitsConfig,
}

/// Where a caller stands, for its answer.
#[derive(Debug)]
pub struct Standing {
    class: Class,
    burst: u32,
    taken: Taken,
}

impl Standing {
    /// Tells it (draft-ietf-httpapi-ratelimit-headers).
    pub fn write(&self, headers: &mut HeaderMap) {
        let name = self.class.name();
        let policy = format!("\"{name}\";q={};w={}", self.burst, MINUTE.as_secs());
        let full_s = seconds(self.taken.full_in);
        let stands = format!("\"{name}\";r={};t={full_s}", self.taken.left);
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, stands)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }

    fn refusal(&self) -> Response {
        let wait_s = seconds(self.taken.wait).max(1);
        let detail = format!("too many requests: ask again in {wait_s} s");
        let status = StatusCode::TOO_MANY_REQUESTS;
        let problem = Problem::new(status, "too-many-requests", "Too many requests", detail)
            .with("retry_after_s", wait_s);
        let mut response = problem.into_response();
        self.write(response.headers_mut());
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        response
    }
}

/// Rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Limits {
    /// As configured.
    pub fn new(config: &LimitsConfig) -> Self {
        Self {
            config: config.clone(),
        }
    }

    fn per_min(&self, class: Class) -> u32 {
        let config = &self.config;
        match class {
            Class::Login => config.login_per_min,
            Class::Booking => config.booking_per_min,
            Class::Search => config.search_per_min,
            Class::Default => config.default_per_min,
        }
    }

    /// Where the caller stands after this request, or the refusal.
    pub async fn check(
        &self,
        cache: &dyn Store,
        local: &MemoryCache,
        address: Option<IpAddr>,
        asked: Asked,
    ) -> Result<Option<Standing>, Response> {
        let Some(class) = asked.class else {
            return Ok(None);
        };
        let name = class.name();
        let per_min = self.per_min(class).max(1);
        let mut tightest: Option<Standing> = None;
        let of_address = address.map(|address| {
            let burst = per_min.saturating_mul(self.config.address_times.max(1));
            (format!("limit:{name}:a:{}", neighbourhood(address)), burst)
        });
        let of_caller = asked
            .proof
            .map(|proof| (format!("limit:{name}:c:{proof}"), per_min));
        for (key, burst) in of_address.into_iter().chain(of_caller) {
            let bucket = Bucket {
                burst,
                fill: MINUTE,
            };
            let taken = match cache.take(&key, bucket).await {
                Ok(taken) => taken,
                Err(_) => match local.take(&key, bucket).await {
                    Ok(taken) => taken,
                    Err(_) => continue,
                },
            };
            let standing = Standing {
                class,
                burst,
                taken,
            };
            if !taken.allowed {
                return Err(standing.refusal());
            }
            if tightest.as_ref().is_none_or(|t| taken.left < t.taken.left) {
                tightest = Some(standing);
            }
        }
        Ok(tightest)
    }
}

/// What one household or office has: of IPv6 its first 64 bits.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

/// A short name of what the caller proves itself with; not yet judged, and never kept as it is.
fn proof(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(header::AUTHORIZATION);
    let proof = header.or_else(|| headers.get(header::COOKIE))?;
    let hash = Sha256::digest(proof.as_bytes());
    let short = u128::from_be_bytes(*hash.first_chunk::<16>()?);
    Some(format!("{short:032x}"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: &str, path: &str, token: Option<&str>) -> Request {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Body::empty()).unwrap()
    }

    fn limits() -> Limits {
        Limits::new(&LimitsConfig {
            login_per_min: 2,
            default_per_min: 3,
            address_times: 2,
            ..LimitsConfig::default()
        })
    }

    #[tokio::test]
    async fn a_caller_and_an_address_have_buckets_of_their_own() {
        let (limits, cache) = (limits(), MemoryCache::new());
        let local = MemoryCache::new();
        let address: IpAddr = "203.0.113.9".parse().unwrap();
        let ask = async |address: IpAddr, token: Option<&'static str>| {
            let request = request("GET", "/nodes", token);
            limits
                .check(&cache, &local, Some(address), Asked::of(&request))
                .await
        };
        for left in [2, 1, 0] {
            let standing = ask(address, Some("one")).await.unwrap().unwrap();
            assert_eq!(standing.taken.left, left);
        }
        let refused = ask(address, Some("one")).await.unwrap_err();
        assert_eq!(refused.status(), 429);
        let wait: u64 = refused.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=20).contains(&wait), "{wait}");
        assert_eq!(
            refused.headers()["ratelimit-policy"],
            "\"default\";q=3;w=60"
        );
        // Another caller at the same address has its own, until the address's is empty.
        assert!(ask(address, Some("two")).await.is_ok());
        assert!(ask(address, None).await.is_ok());
        assert!(ask(address, Some("three")).await.is_err());
        let elsewhere: IpAddr = "203.0.113.10".parse().unwrap();
        assert!(ask(elsewhere, Some("two")).await.is_ok());
    }

    #[tokio::test]
    async fn addresses_of_one_ipv6_network_share_a_bucket_and_health_has_none() {
        let (limits, cache) = (limits(), MemoryCache::new());
        let local = MemoryCache::new();
        for n in 0..10_u128 {
            let address = IpAddr::V6((0x2001_0db8_u128 << 96 | n).into());
            let login = request("POST", "/auth/login", None);
            let allowed = limits
                .check(&cache, &local, Some(address), Asked::of(&login))
                .await;
            assert_eq!(allowed.is_ok(), n < 4, "{n}");
            let health = request("GET", "/livez", None);
            let free = limits
                .check(&cache, &local, Some(address), Asked::of(&health))
                .await;
            assert!(free.unwrap().is_none());
        }
    }

    #[derive(Debug)]
    struct Gone;

    macro_rules! away {
        ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
            impl Store for Gone {
                $(fn $name<'a>(&'a self, $($argument: $kind),*) -> crate::cache::Reply<'a, $answer> {
                    $(let _ = $argument;)*
                    Box::pin(async { Err(crate::cache::Away) })
                })*
            }
        };
    }

    away! {
        get(key: &'a str) -> Option<Vec<u8>>;
        put(key: &'a str, value: &'a [u8], ttl: Duration) -> ();
        put_new(key: &'a str, value: &'a [u8], ttl: Duration) -> bool;
        add(key: &'a str, by: i64, ttl: Duration) -> i64;
        take(key: &'a str, bucket: Bucket) -> Taken;
        forget(key: &'a str) -> ();
    }

    #[tokio::test]
    async fn while_the_cache_is_away_the_process_counts_for_itself() {
        let (limits, local) = (limits(), MemoryCache::new());
        let address: IpAddr = "203.0.113.9".parse().unwrap();
        let mut refused = 0;
        for _ in 0..10 {
            let login = request("POST", "/auth/login", None);
            let allowed = limits
                .check(&Gone, &local, Some(address), Asked::of(&login))
                .await;
            refused += usize::from(allowed.is_err());
        }
        assert_eq!(refused, 6);
    }
}
