//! One's own account.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::sessions::{SessionView, TransportAsked, began};
use super::{
    CodeSentView, address_key, bounded, bounded_code, bounded_password, contact_of, device_of,
};
use crate::auth::db::people as rows;
use crate::auth::{HUB, account};
use crate::clock;
use crate::http::auth::SignedIn;
use crate::http::extract::{Asked, Body, Named, cursor};
use crate::http::{Api, ClientAddress, Problem};
use crate::views::Page;

/// The longest name that is looked at, in bytes.
const NAME_BYTES_MAX: usize = 600;

/// An account to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Mutale Banda", "identifier": "+260970000001",
    "password": "correct horse battery"}))]
pub struct RegistrationAsked {
    /// 1 to 120 characters.
    #[schema(max_length = 120)]
    name: String,
    /// E-mail address, or phone number with its country code.
    #[schema(max_length = 400)]
    identifier: String,
    /// 10 to 128 characters.
    #[schema(min_length = 10, max_length = 128)]
    password: String,
}

/// Make an account. A code is sent; the account exists once it was shown.
#[utoipa::path(post, path = "/auth/registrations", tag = "auth", security(()),
    request_body = RegistrationAsked,
    responses((status = 202, body = CodeSentView), (status = 422, body = Problem),
        (status = 429, body = Problem), (status = "default", body = Problem)))]
pub async fn register(
    State(api): State<Api>,
    address: ClientAddress,
    body: Body<RegistrationAsked>,
) -> Result<(StatusCode, Json<CodeSentView>), Problem> {
    let asked = body.value;
    let contact = contact_of(&asked.identifier)?;
    let name = bounded("name", &asked.name, NAME_BYTES_MAX)?;
    let about = (name, &contact, bounded_password(&asked.password)?);
    let address = address_key(&api, address)?;
    let sent = account::register(&api, about, address.as_deref(), clock::now()).await?;
    Ok((StatusCode::ACCEPTED, Json(CodeSentView::of(sent))))
}

/// A code as it was typed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "1234 5678", "transport": "cookie"}))]
pub struct RegistrationCode {
    /// Eight digits.
    #[schema(max_length = 40)]
    code: String,
    /// How the session is to be carried.
    #[serde(default)]
    transport: TransportAsked,
}

/// Show the code of a registration: the account is made, and its owner signed in.
#[utoipa::path(post, path = "/auth/registrations/{request}/confirm", tag = "auth", security(()),
    params(("request" = Uuid, Path, description = "As answered by the registration")),
    request_body = RegistrationCode,
    responses((status = 201, body = SessionView),
        (status = 409, description = "contact-taken", body = Problem),
        (status = 422, description = "wrong-code", body = Problem),
        (status = "default", body = Problem)))]
pub async fn confirm_registration(
    State(api): State<Api>,
    Named(request): Named<Uuid>,
    headers: HeaderMap,
    body: Body<RegistrationCode>,
) -> Result<Response, Problem> {
    let code = bounded_code(&body.value.code)?;
    let device = device_of(&headers);
    let how = (body.value.transport.into(), device.as_str());
    let opened = account::confirm_registration(&api, (request, code), how, clock::now()).await?;
    began(&api, opened)
}

/// Whose password was forgotten.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"identifier": "mutale@example.com"}))]
pub struct ResetAsked {
    /// E-mail address, or phone number with its country code.
    #[schema(max_length = 400)]
    identifier: String,
}

/// Ask for a code to choose a new password with. The answer is the same without an account.
#[utoipa::path(post, path = "/auth/password-resets", tag = "auth", security(()),
    request_body = ResetAsked,
    responses((status = 202, body = CodeSentView), (status = 422, body = Problem),
        (status = 429, body = Problem), (status = "default", body = Problem)))]
pub async fn ask_reset(
    State(api): State<Api>,
    address: ClientAddress,
    body: Body<ResetAsked>,
) -> Result<(StatusCode, Json<CodeSentView>), Problem> {
    let contact = contact_of(&body.value.identifier)?;
    let address = address_key(&api, address)?;
    let sent = account::ask_reset(&api, &contact, address.as_deref(), clock::now()).await?;
    Ok((StatusCode::ACCEPTED, Json(CodeSentView::of(sent))))
}

/// A code, and the password chosen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "1234 5678", "password": "correct horse battery"}))]
pub struct ResetCode {
    /// Eight digits.
    #[schema(max_length = 40)]
    code: String,
    /// 10 to 128 characters.
    #[schema(min_length = 10, max_length = 128)]
    password: String,
}

/// Choose a password with the code of a reset or an invitation. Every session ends.
#[utoipa::path(post, path = "/auth/password-resets/{request}/confirm", tag = "auth", security(()),
    params(("request" = Uuid, Path, description = "As answered by the reset, or in the invitation")),
    request_body = ResetCode,
    responses((status = 204), (status = 422, description = "wrong-code", body = Problem),
        (status = "default", body = Problem)))]
pub async fn confirm_reset(
    State(api): State<Api>,
    Named(request): Named<Uuid>,
    body: Body<ResetCode>,
) -> Result<StatusCode, Problem> {
    let code = bounded_code(&body.value.code)?;
    let password = bounded_password(&body.value.password)?;
    account::reset(&api, (request, code), password, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The present password, and the next.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"present": "correct horse battery", "password": "zebra lamp nine"}))]
pub struct PasswordAsked {
    /// As it is.
    #[schema(max_length = 512)]
    present: String,
    /// As it is to be: 10 to 128 characters.
    #[schema(min_length = 10, max_length = 128)]
    password: String,
}

/// Change one's password. Every other session ends, and every access token: refresh it.
#[utoipa::path(put, path = "/auth/password", tag = "auth", security(("bearer" = [])),
    request_body = PasswordAsked,
    responses((status = 204), (status = 401, body = Problem), (status = 422, body = Problem),
        (status = 429, body = Problem), (status = "default", body = Problem)))]
pub async fn change_password(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
    body: Body<PasswordAsked>,
) -> Result<StatusCode, Problem> {
    let present = bounded_password(&body.value.present)?;
    let chosen = bounded_password(&body.value.password)?;
    account::change_password(&api, &standing, (present, chosen), clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Mutale Banda"}))]
pub struct RenameAsked {
    /// 1 to 120 characters.
    #[schema(max_length = 120)]
    name: String,
}

/// Change one's own name. Companies keep the one that they know.
#[utoipa::path(patch, path = "/auth/me", tag = "auth", security(("bearer" = [])),
    request_body = RenameAsked,
    responses((status = 204), (status = 401, body = Problem), (status = 422, body = Problem),
        (status = "default", body = Problem)))]
pub async fn rename(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
    body: Body<RenameAsked>,
) -> Result<StatusCode, Problem> {
    let name = bounded("name", &body.value.name, NAME_BYTES_MAX)?;
    account::rename(&api, &standing, name, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A contact to sign in with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"identifier": "+260970000001", "password": "correct horse battery"}))]
pub struct ContactAsked {
    /// E-mail address, or phone number with its country code.
    #[schema(max_length = 400)]
    identifier: String,
    /// The present password.
    #[schema(max_length = 512)]
    password: String,
}

/// Add an e-mail address or phone number, or change it. A code is sent there.
#[utoipa::path(post, path = "/auth/contacts", tag = "auth", security(("bearer" = [])),
    request_body = ContactAsked,
    responses((status = 202, body = CodeSentView), (status = 401, body = Problem),
        (status = 422, body = Problem), (status = 429, body = Problem),
        (status = "default", body = Problem)))]
pub async fn add_contact(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
    address: ClientAddress,
    body: Body<ContactAsked>,
) -> Result<(StatusCode, Json<CodeSentView>), Problem> {
    let contact = contact_of(&body.value.identifier)?;
    let about = (&contact, bounded_password(&body.value.password)?);
    let address = address_key(&api, address)?;
    let now = clock::now();
    let sent = account::add_contact(&api, &standing, about, address.as_deref(), now).await?;
    Ok((StatusCode::ACCEPTED, Json(CodeSentView::of(sent))))
}

/// A code as it was typed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "1234 5678"}))]
pub struct ContactCode {
    /// Eight digits.
    #[schema(max_length = 40)]
    code: String,
}

/// Show the code of a contact: it counts from now on, in the place of the one of its kind.
#[utoipa::path(post, path = "/auth/contacts/{request}/confirm", tag = "auth",
    security(("bearer" = [])),
    params(("request" = Uuid, Path, description = "As answered when it was added")),
    request_body = ContactCode,
    responses((status = 204), (status = 401, body = Problem),
        (status = 409, description = "contact-taken", body = Problem),
        (status = 422, description = "wrong-code", body = Problem),
        (status = "default", body = Problem)))]
pub async fn confirm_contact(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
    Named(request): Named<Uuid>,
    body: Body<ContactCode>,
) -> Result<StatusCode, Problem> {
    let code = bounded_code(&body.value.code)?;
    account::confirm_contact(&api, &standing, (request, code), clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which page of one's own log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogAsked {
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// What happened to one's account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"entry": 7, "at": "2034-05-02T06:00:00Z", "by": "person",
    "action": "session.begin", "detail": {"transport": "cookie"}}))]
pub struct LogView {
    /// Its number.
    entry: i64,
    /// RFC 3339.
    at: String,
    /// `person`, `key`, `anonymous` or `system`.
    by: String,
    /// Like `session.begin`, `password.reset`, `account.locked`.
    action: String,
    /// More about it.
    #[schema(value_type = Option<Object>)]
    detail: Option<serde_json::Value>,
}

/// What happened to one's account, the latest first: sign-ins, locks, changes.
#[utoipa::path(get, path = "/auth/log", tag = "auth", params(LogAsked),
    security(("bearer" = [])),
    responses((status = 200, body = Page<LogView>), (status = 401, body = Problem),
        (status = "default", body = Problem)))]
pub async fn log(
    State(api): State<Api>,
    SignedIn(standing): SignedIn,
    Asked(asked): Asked<LogAsked>,
) -> Result<Json<Page<LogView>>, Problem> {
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let mut tx = api.db.tenant(HUB).await?;
    let before = cursor.part(0, i64::MAX);
    let found = rows::log_of(&mut tx, standing.person, before, cursor.fetch()).await?;
    let views = found.into_iter().map(|row| LogView {
        entry: row.entry,
        at: row.at.to_string(),
        by: row.actor_kind,
        action: row.action,
        detail: row.detail,
    });
    let page = Page::cut(views.collect(), cursor.limit, |v: &LogView| {
        v.entry.to_string()
    });
    Ok(Json(page))
}
