//! What every request passes before its handler, and every answer after it: a number, the address
//! it came from, rate limits, and headers that tell browsers what not to do.

mod headers;
mod limits;
mod told;

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr as _;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tracing::Instrument as _;
use uuid::Uuid;

use super::Api;
use super::network::Network;
use crate::cache::MemoryCache;
use crate::config::HttpConfig;
use crate::telemetry;
pub use headers::{PAGE_POLICY, VIEWER_POLICY};
use limits::{Asked, Limits};
use told::Told;

/// Names a request in answers and in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 64;
const FORWARDED_FOR: &str = "x-forwarded-for";

/// How requests are received.
#[derive(Debug)]
pub struct Front {
    https: bool,
    proxies: Vec<Network>,
    limits: Option<Limits>,
    /// Counts while the cache is away.
    local: MemoryCache,
}

impl Front {
    /// As configured.
    pub fn new(config: &HttpConfig) -> Self {
        Self {
            https: config.https,
            proxies: config.trusted_proxies.clone(),
            limits: config.limits.on.then(|| Limits::new(&config.limits)),
            local: MemoryCache::new(),
        }
    }

    /// Without limits and proxies.
    pub fn open() -> Self {
        Self {
            https: false,
            proxies: vec![],
            limits: None,
            local: MemoryCache::new(),
        }
    }

    /// Whose request it is: the peer, or whom the trusted proxies before it name. Each proxy adds
    /// the address it was called from at the end, so the last one that is no proxy counts.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusted = |address: IpAddr| self.proxies.iter().any(|p| p.holds(address));
        let mut client = peer;
        let said = headers.get_all(FORWARDED_FOR).iter().rev();
        let said = said.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        for hop in said {
            if !trusted(client) {
                break;
            }
            let Ok(address) = IpAddr::from_str(hop.trim()) else {
                break;
            };
            client = address;
        }
        client.to_canonical()
    }
}

/// The address that a request came from; none in tests without a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let known = parts.extensions.get::<Self>().copied();
        Ok(known.unwrap_or(Self(None)))
    }
}

fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let given = headers.get(REQUEST_ID).filter(|id| {
        let bytes = id.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(plain)
    });
    let made = || {
        let random = getrandom::u64().unwrap_or_default();
        let more = getrandom::u64().unwrap_or_default();
        let id = Uuid::from_u64_pair(random, more);
        HeaderValue::from_str(&id.simple().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unnumbered"))
    };
    given.cloned().unwrap_or_else(made)
}

/// The middleware around every route.
pub async fn pass(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let front = &api.front;
    let id = request_id(request.headers());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = peer.map(|ConnectInfo(peer)| front.client(peer.ip(), request.headers()));
    request.extensions_mut().insert(ClientAddress(address));
    let told = Told::begin(&api, &request);
    let span = tracing::info_span!(
        "request",
        id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = request.uri().path(),
        otel.name = told.name(),
        otel.kind = "server",
        http.response.status_code = tracing::field::Empty,
    );
    telemetry::continue_trace(&span, request.headers());
    let limited = match &front.limits {
        Some(limits) => {
            let asked = Asked::of(&request);
            limits
                .check(api.cache.as_ref(), &front.local, address, asked)
                .await
        }
        None => Ok(None),
    };
    let mut response = match limited {
        Err(refusal) => refusal,
        Ok(standing) => {
            let mut response = next.run(request).instrument(span.clone()).await;
            if let Some(standing) = standing {
                standing.write(response.headers_mut());
            }
            response
        }
    };
    headers::protect(response.headers_mut(), front.https);
    response.headers_mut().insert(REQUEST_ID, id);
    told.end(&api, &span, response.status());
    response.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(proxies: &[&str]) -> Front {
        Front {
            proxies: proxies.iter().map(|p| p.parse().unwrap()).collect(),
            ..Front::open()
        }
    }

    #[track_caller]
    fn check(front: &Front, peer: &str, lines: &[&'static str], client: &str) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let peer: IpAddr = peer.parse().unwrap();
        let expected: IpAddr = client.parse().unwrap();
        assert_eq!(front.client(peer, &headers), expected, "{lines:?}");
    }

    #[test]
    fn only_a_trusted_proxy_says_whom_it_speaks_for() {
        let none = front(&[]);
        check(&none, "198.51.100.7", &["203.0.113.9"], "198.51.100.7");
        let two = front(&["10.0.0.0/8", "192.0.2.1"]);
        check(&two, "198.51.100.7", &["203.0.113.9"], "198.51.100.7");
        check(&two, "10.0.0.1", &[], "10.0.0.1");
        check(&two, "10.0.0.1", &["203.0.113.9"], "203.0.113.9");
        // What a client wrote itself stands before what the proxy added.
        check(&two, "10.0.0.1", &["1.2.3.4, 203.0.113.9"], "203.0.113.9");
        check(
            &two,
            "10.0.0.1",
            &["1.2.3.4", "203.0.113.9, 192.0.2.1"],
            "203.0.113.9",
        );
        check(&two, "10.0.0.1", &["nonsense"], "10.0.0.1");
        check(&two, "::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9");
    }

    #[test]
    fn a_request_keeps_its_id_when_it_is_plain_and_gets_one_otherwise() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("shop-42_a.b"));
        assert_eq!(request_id(&headers), "shop-42_a.b");
        for wrong in ["", "a b", "a\"b", &"x".repeat(65)] {
            headers.insert(REQUEST_ID, HeaderValue::from_str(wrong).unwrap());
            let made = request_id(&headers);
            assert_ne!(made, wrong);
            assert_eq!(made.len(), 32);
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
