//! Who asks: read off a request before its handler runs.
//!
//! `Authorization: Bearer` carries an access token or a company's API key; a browser's session is
//! a cookie, and changes by cookie take the session's CSRF token beside it. The header wins.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use data_encoding::BASE64URL_NOPAD;
use utoipa::Modify;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};

use super::Api;
use super::problem::Problem;
use crate::access::{Caller, Identity, Permission, Permissions};
use crate::auth::{self, Standing};
use crate::clock;
use crate::company::{self, TOKEN_PREFIX};
use crate::vault::Vault;

/// The cookie of a browser's session. The prefix ties it to this host, this path and HTTPS.
pub const COOKIE: &str = "__Host-mwimule";
/// The header that a change by cookie takes.
pub const CSRF_HEADER: &str = "x-csrf-token";
/// More cookies than this are not looked through, in bytes.
const COOKIES_BYTES_MAX: usize = 8 * 1024;

/// A person who signed in, and the session that they did it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn(pub Standing);

/// Nobody in particular without credentials; with wrong ones an error, so that nobody is misled.
impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match bearer(parts)? {
            Some(token) if token.starts_with(TOKEN_PREFIX) => key_holder(api, token).await,
            Some(token) => Ok(caller_of(&token_holder(api, token).await?)),
            None => match cookie_holder(parts, api).await? {
                Some(standing) => Ok(caller_of(&standing)),
                None => Ok(Self::ANONYMOUS),
            },
        }
    }
}

impl FromRequestParts<Api> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let standing = match bearer(parts)? {
            Some(token) if token.starts_with(TOKEN_PREFIX) => None,
            Some(token) => Some(token_holder(api, token).await?),
            None => cookie_holder(parts, api).await?,
        };
        standing.map(Self).ok_or_else(Problem::unauthorized)
    }
}

fn caller_of(standing: &Standing) -> Caller {
    Caller {
        identity: Identity::Person(standing.person),
        company: standing.company,
        permissions: auth::permissions_of(&standing.roles),
    }
}

fn bearer(parts: &Parts) -> Result<Option<&str>, Problem> {
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = headers.next() else {
        return Ok(None);
    };
    let token = first
        .to_str()
        .ok()
        .filter(|_| headers.next().is_none())
        .and_then(|h| h.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(Problem::unauthorized)?;
    Ok(Some(token))
}

async fn token_holder(api: &Api, token: &str) -> Result<Standing, Problem> {
    let now = clock::now();
    let claims = api.auth.claims(&api.db, &api.vault, token, now).await?;
    let claims = claims.map_err(|e| Problem::bad_token(e.to_string()))?;
    let standing = api.auth.by_token(&api.db, &claims, now).await?;
    standing.ok_or_else(|| {
        Problem::bad_token("the session has ended or its rights have changed: refresh the token")
    })
}

async fn cookie_holder(parts: &Parts, api: &Api) -> Result<Option<Standing>, Problem> {
    let Some(secret) = cookie_of(&parts.headers) else {
        return Ok(None);
    };
    let standing = api.auth.by_cookie(&api.db, secret, clock::now()).await?;
    let standing = standing.ok_or_else(|| Problem::bad_token("the session has ended: sign in"))?;
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method);
    if !safe && !has_csrf_token(parts, &api.vault, secret)? {
        return Err(Problem::csrf());
    }
    Ok(Some(standing))
}

/// The secret in the cookie of a browser's session.
pub fn cookie_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|c| c.to_str().ok())
        .filter(|c| c.len() <= COOKIES_BYTES_MAX)
        .flat_map(|c| c.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value))
}

/// What a change by this cookie has to carry: nobody finds it out without the cookie and the hub.
pub fn csrf_token(vault: &Vault, secret: &str) -> Result<String, Problem> {
    let bound = vault.blind(auth::HUB, "csrf", secret);
    let bound = bound.map_err(|_| Problem::unavailable())?;
    Ok(BASE64URL_NOPAD.encode(&bound))
}

fn has_csrf_token(parts: &Parts, vault: &Vault, secret: &str) -> Result<bool, Problem> {
    let wanted = csrf_token(vault, secret)?;
    let shown = parts.headers.get(CSRF_HEADER).and_then(|h| h.to_str().ok());
    // Compared through a keyed hash, so that time tells nothing.
    let hashed = |text: &str| vault.blind(auth::HUB, "csrf-compare", text);
    Ok(shown.is_some_and(|shown| hashed(shown).is_ok_and(|s| hashed(&wanted) == Ok(s))))
}

/// Who holds a company's API key. A key without scopes may do what a company's admin may.
async fn key_holder(api: &Api, token: &str) -> Result<Caller, Problem> {
    let known = company::caller_of_token(&api.db, token, clock::now()).await?;
    let (company, id, scopes) = known.ok_or_else(Problem::unauthorized)?;
    let all: Permissions = Permission::ALL
        .into_iter()
        .filter(|p| *p != Permission::Hub)
        .collect();
    let permissions = scopes.map_or(all, |scopes| {
        let named = scopes.iter().filter_map(|s| s.parse::<Permission>().ok());
        named.collect::<Permissions>().and(all)
    });
    Ok(Caller {
        identity: Identity::Key(id),
        company: Some(company),
        permissions,
    })
}

impl Problem {
    /// A token that does not count, or no longer.
    pub fn bad_token(detail: impl Into<String>) -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self::new(status, "unauthorized", "Unauthorized", detail)
    }

    /// A change by cookie without the session's CSRF token.
    pub fn csrf() -> Self {
        let detail = "a change by cookie takes the session's token in `X-CSRF-Token`; \
                      GET /auth/session tells it";
        Self::new(StatusCode::FORBIDDEN, "csrf", "Forbidden", detail)
    }
}

/// Tells the OpenAPI document how to authenticate.
pub struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(COOKIE)));
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", bearer);
        components.add_security_scheme("cookie", cookie);
    }
}
