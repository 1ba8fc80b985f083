//! Signing in and out, refreshing, choosing a company.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use domain::ids::CompanyId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{NO_STORE, address_key, bounded_code, bounded_password, contact_of, device_of};
use crate::auth::account::myself;
use crate::auth::db::sessions as rows;
use crate::auth::keyring::ACCESS_MS;
use crate::auth::rules;
use crate::auth::session::{self, Opened, SecondFactor, SignIn};
use crate::auth::{HUB, Transport};
use crate::clock;
use crate::http::auth::{COOKIE, SignedIn, cookie_of, csrf_token};
use crate::http::extract::{Body, Named};
use crate::http::{Api, ClientAddress, Problem};

/// How long a browser keeps the cookie; the session may end before.
const COOKIE_AGE_S: i64 = 365 * 24 * 3600;

/// How the session is to be carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransportAsked {
    /// Access and refresh tokens in the answer: programs and apps.
    #[default]
    Token,
    /// An HttpOnly cookie: browsers. Changes then take `X-CSRF-Token`.
    Cookie,
}

impl From<TransportAsked> for Transport {
    fn from(asked: TransportAsked) -> Self {
        match asked {
            TransportAsked::Token => Self::Token,
            TransportAsked::Cookie => Self::Cookie,
        }
    }
}

/// Who wants in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"identifier": "clerk@example.com", "password": "correct horse battery",
    "totp": "081804"}))]
pub struct SignInAsked {
    /// E-mail address, or phone number with its country code.
    #[schema(max_length = 400)]
    identifier: String,
    /// The password.
    #[schema(max_length = 512)]
    password: String,
    /// Six digits of the authenticator, where one is in force.
    #[schema(max_length = 40)]
    totp: Option<String>,
    /// Instead of `totp`, one of the recovery codes.
    #[schema(max_length = 40)]
    recovery_code: Option<String>,
    /// The company to work for; the only one, when there is one only.
    company: Option<Uuid>,
    /// How the session is to be carried.
    #[serde(default)]
    transport: TransportAsked,
}

/// A company that the person may work for.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkplaceView {
    /// Its number.
    company: Uuid,
    /// Its name.
    name: String,
    /// The person's roles there.
    roles: Vec<String>,
}

/// A session, with whatever its bearer needs next.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"session": "01975a3e-7d3c-7b6a-9b1d-5c1f0a7d2e11",
    "person": "01975a3e-0000-7b6a-9b1d-5c1f0a7d2e11",
    "company": "6f7d9f1e-3b0c-4f57-9d0c-0d3a4a0c1b2e", "roles": ["customer", "clerk"],
    "second_factor": "not_needed",
    "companies": [{"company": "6f7d9f1e-3b0c-4f57-9d0c-0d3a4a0c1b2e", "name": "Kafue Coaches",
        "roles": ["clerk"]}],
    "access_token": "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6Ii4uLiJ9.e30.c2ln",
    "token_type": "Bearer", "expires_in_s": 600, "refresh_token": "mwr_c2VjcmV0"}))]
pub struct SessionView {
    /// The session's number.
    session: Uuid,
    /// The person's number.
    person: Uuid,
    /// The company worked for; none for customers and before one was chosen.
    company: Option<Uuid>,
    /// The roles that count in this session.
    roles: Vec<String>,
    /// `not_needed`, `proved`, or `enrol`: a role waits until a second factor is set up.
    second_factor: &'static str,
    /// Where the person may work: POST /auth/switch chooses.
    companies: Vec<WorkplaceView>,
    /// For `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<String>,
    /// `Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    /// How long the access token lives, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_s: Option<i64>,
    /// Gives the next access token once, at POST /auth/refresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// Of a cookie session: goes into `X-CSRF-Token` of every change.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
}

impl SessionView {
    pub(super) fn of(opened: Opened, csrf: Option<String>) -> Self {
        let has_token = opened.access.is_some();
        Self {
            session: opened.session,
            person: opened.person,
            company: opened.company.map(|c| c.0),
            roles: rules::words(&opened.roles),
            second_factor: match opened.second_factor {
                SecondFactor::NotNeeded => "not_needed",
                SecondFactor::Proved => "proved",
                SecondFactor::Enrol => "enrol",
            },
            companies: opened
                .workplaces
                .into_iter()
                .map(|w| WorkplaceView {
                    company: w.company.0,
                    name: w.name,
                    roles: rules::words(&w.roles),
                })
                .collect(),
            access_token: opened.access,
            token_type: has_token.then_some("Bearer"),
            expires_in_s: has_token.then_some(ACCESS_MS / 1000),
            refresh_token: opened.refresh,
            csrf_token: csrf,
        }
    }
}

/// A session that begins, its cookie beside it if it has one.
pub(super) fn began(api: &Api, opened: Opened) -> Result<Response, Problem> {
    let cookie = opened.cookie.clone();
    let csrf = cookie
        .as_deref()
        .map(|secret| csrf_token(&api.vault, secret));
    let view = Json(SessionView::of(opened, csrf.transpose()?));
    let cookie = cookie.map(|secret| set_cookie(&secret, COOKIE_AGE_S));
    let cookie = cookie.transpose()?.map(|c| [(header::SET_COOKIE, c)]);
    let mut response = (StatusCode::CREATED, AppendHeaders([NO_STORE]), view).into_response();
    response.headers_mut().extend(cookie.into_iter().flatten());
    Ok(response)
}

fn set_cookie(secret: &str, age_s: i64) -> Result<HeaderValue, Problem> {
    let text =
        format!("{COOKIE}={secret}; Path=/; Max-Age={age_s}; Secure; HttpOnly; SameSite=Strict");
    HeaderValue::from_str(&text).map_err(|_| Problem::unavailable())
}

/// Sign in.
///
/// Ten wrong passwords lock an account for a quarter of an hour, whether it exists or not.
#[utoipa::path(post, path = "/auth/sessions", tag = "auth", security(()),
    request_body = SignInAsked,
    responses(
        (status = 201, body = SessionView),
        (status = 401, description = "wrong-credentials, or second-factor-needed", body = Problem),
        (status = 403, description = "not-your-company", body = Problem),
        (status = 429, description = "too-many-tries; Retry-After says how long", body = Problem),
        (status = "default", body = Problem)))]
pub async fn sign_in(
    State(api): State<Api>,
    address: ClientAddress,
    headers: HeaderMap,
    body: Body<SignInAsked>,
) -> Result<Response, Problem> {
    let asked = body.value;
    for code in [&asked.totp, &asked.recovery_code].into_iter().flatten() {
        bounded_code(code)?;
    }
    let device = device_of(&headers);
    let wish = SignIn {
        contact: contact_of(&asked.identifier)?,
        password: bounded_password(&asked.password)?,
        totp: asked.totp.as_deref(),
        recovery_code: asked.recovery_code.as_deref(),
        company: asked.company.map(CompanyId),
        transport: asked.transport.into(),
        device: &device,
        address: address_key(&api, address)?,
    };
    let opened = session::sign_in(&api, &wish, clock::now()).await?;
    began(&api, opened)
}

/// One of the person's sessions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"session": "01975a3e-7d3c-7b6a-9b1d-5c1f0a7d2e11", "current": true,
    "transport": "cookie", "device": "Mozilla/5.0", "company": null, "second_factor": false,
    "began_at": "2034-05-02T06:00:00Z", "seen_at": "2034-05-02T06:05:00Z",
    "ends_at": "2034-05-02T18:05:00Z"}))]
pub struct OwnSessionView {
    /// Its number.
    session: Uuid,
    /// Whether it is the one that asks.
    current: bool,
    /// `token` or `cookie`.
    transport: String,
    /// The beginning of its User-Agent.
    device: String,
    /// The company worked for.
    company: Option<Uuid>,
    /// Whether a second factor was proved.
    second_factor: bool,
    /// RFC 3339.
    began_at: String,
    /// To a few minutes, RFC 3339.
    seen_at: String,
    /// Unless it is used before, RFC 3339.
    ends_at: String,
}

/// The person's sessions.
#[derive(Debug, Serialize, ToSchema)]
pub struct OwnSessions {
    /// The latest first, a hundred at most.
    items: Vec<OwnSessionView>,
}

/// One's own sessions, on every device.
#[utoipa::path(get, path = "/auth/sessions", tag = "auth", security(("bearer" = [])),
    responses((status = 200, body = OwnSessions), (status = 401, body = Problem),
        (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
) -> Result<Json<OwnSessions>, Problem> {
    let mut tx = api.db.tenant(HUB).await?;
    let found = rows::of_person(&mut tx, standing.person, clock::now()).await?;
    let items = found.into_iter().map(|row| OwnSessionView {
        current: row.session == standing.session,
        session: row.session,
        transport: row.transport,
        device: row.device,
        company: row.company,
        second_factor: row.second_factor,
        began_at: row.began_at.to_string(),
        seen_at: row.seen_at.to_string(),
        ends_at: row.ends_at.to_string(),
    });
    Ok(Json(OwnSessions {
        items: items.collect(),
    }))
}

/// End one of one's own sessions, on another device perhaps.
#[utoipa::path(delete, path = "/auth/sessions/{session}", tag = "auth",
    security(("bearer" = [])), params(("session" = Uuid, Path, description = "Its number")),
    responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn end(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
    Named(session): Named<Uuid>,
) -> Result<StatusCode, Problem> {
    session::end(&api, standing.person, session, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The person who asks, and the session that they do it in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"name": "Mutale Banda", "email": "mutale@example.com", "phone": null,
    "second_factor_in_force": false, "session": {
    "session": "01975a3e-7d3c-7b6a-9b1d-5c1f0a7d2e11",
    "person": "01975a3e-0000-7b6a-9b1d-5c1f0a7d2e11", "company": null, "roles": ["customer"],
    "second_factor": "not_needed", "companies": [], "csrf_token": "q1w2e3"}}))]
pub struct MyselfView {
    /// One's own name.
    name: String,
    /// To sign in with.
    email: Option<String>,
    /// To sign in with.
    phone: Option<String>,
    /// Whether signing in takes an authenticator's code.
    second_factor_in_force: bool,
    /// The session that asks.
    session: SessionView,
}

/// Who one is, and the CSRF token of a browser's session.
#[utoipa::path(get, path = "/auth/session", tag = "auth", security(("bearer" = [])),
    responses((status = 200, body = MyselfView), (status = 401, body = Problem),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (opened, known) = session::show(&api, &standing, clock::now()).await?;
    let about = myself(&api.vault, &known)?;
    let by_cookie = standing.transport == Transport::Cookie;
    let secret = cookie_of(&headers).filter(|_| by_cookie);
    let csrf = secret.map(|s| csrf_token(&api.vault, s)).transpose()?;
    let view = MyselfView {
        name: about.name,
        email: about.email,
        phone: about.phone,
        second_factor_in_force: about.second_factor,
        session: SessionView::of(opened, csrf),
    };
    Ok((AppendHeaders([NO_STORE]), Json(view)).into_response())
}

/// Sign out: the session that asks ends.
#[utoipa::path(delete, path = "/auth/session", tag = "auth", security(("bearer" = [])),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = "default", body = Problem)))]
pub async fn sign_out(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
) -> Result<Response, Problem> {
    session::end(&api, standing.person, standing.session, clock::now()).await?;
    let gone = AppendHeaders([(header::SET_COOKIE, set_cookie("", 0)?)]);
    match standing.transport {
        Transport::Cookie => Ok((StatusCode::NO_CONTENT, gone).into_response()),
        Transport::Token => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// A refresh token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "mwr_c2VjcmV0"}))]
pub struct RefreshAsked {
    /// The latest one that was given.
    #[schema(max_length = 200)]
    refresh_token: String,
}

/// The next access token, and the next refresh token.
///
/// A refresh token counts once. For thirty seconds it gives the same successor again, because the
/// answer may have been lost; after that, or once the successor was used, its use ends the whole
/// session: somebody else has it.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", security(()),
    request_body = RefreshAsked,
    responses((status = 200, body = SessionView),
        (status = 401, description = "refresh-refused", body = Problem),
        (status = "default", body = Problem)))]
pub async fn refresh(
    State(api): State<Api>,
    body: Body<RefreshAsked>,
) -> Result<Response, Problem> {
    let shown = super::bounded("refresh_token", &body.value.refresh_token, 200)?;
    let opened = session::refresh(&api, shown, clock::now()).await?;
    let view = Json(SessionView::of(opened, None));
    Ok((AppendHeaders([NO_STORE]), view).into_response())
}

/// A company to work for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"company": "6f7d9f1e-3b0c-4f57-9d0c-0d3a4a0c1b2e"}))]
pub struct SwitchAsked {
    /// Its number; null to work for none.
    company: Option<Uuid>,
}

/// Work for another company from now on. A super admin may choose any.
#[utoipa::path(post, path = "/auth/switch", tag = "auth", security(("bearer" = [])),
    request_body = SwitchAsked,
    responses((status = 200, body = SessionView), (status = 401, body = Problem),
        (status = 403, description = "not-your-company", body = Problem),
        (status = "default", body = Problem)))]
pub async fn switch(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
    body: Body<SwitchAsked>,
) -> Result<Response, Problem> {
    let company = body.value.company.map(CompanyId);
    let opened = session::switch(&api, &standing, company, clock::now()).await?;
    let view = Json(SessionView::of(opened, None));
    Ok((AppendHeaders([NO_STORE]), view).into_response())
}
