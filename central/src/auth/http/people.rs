//! The people of a company.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{bounded, contact_of};
use crate::access::{Caller, Permission, Role};
use crate::auth::db::staff as rows;
use crate::auth::error::AuthError;
use crate::auth::person::member_blind;
use crate::auth::rules;
use crate::auth::staff::{self, Changes, Member};
use crate::clock;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Asked, Body, Named, cursor, parsed};
use crate::http::{Api, Problem};
use crate::views::Page;

const NAME_BYTES_MAX: usize = 600;
const ROLES_MAX: usize = 10;

/// Which people.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PeopleAsked {
    /// With this role: `driver`, `agent`, `clerk` or `company_admin`.
    role: Option<String>,
    /// Disabled ones only, or the others only.
    disabled: Option<bool>,
    /// Known by exactly this e-mail address or phone number.
    contact: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many rows, up to 500.
    limit: Option<usize>,
}

/// Somebody who works for the company.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"person": "01975a3e-0000-7b6a-9b1d-5c1f0a7d2e11", "name": "Mutale Banda",
    "contact": "mutale@example.com", "roles": ["clerk"], "disabled_at": null, "joined": true,
    "second_factor": false, "created_at": "2034-05-02T06:00:00Z", "version": 1}))]
pub struct PersonView {
    /// The person's number.
    person: Uuid,
    /// As the company knows them.
    name: String,
    /// As the company reached them first.
    contact: String,
    /// What they are to the company.
    roles: Vec<String>,
    /// Since when they may do nothing, RFC 3339.
    disabled_at: Option<String>,
    /// Whether they have chosen a password.
    joined: bool,
    /// Whether they have a second factor: `company_admin` counts only with one.
    second_factor: bool,
    /// RFC 3339.
    created_at: String,
    /// As in the ETag.
    version: i32,
}

impl From<Member> for PersonView {
    fn from(member: Member) -> Self {
        Self {
            person: member.person,
            name: member.name,
            contact: member.contact,
            roles: rules::words(&member.roles),
            disabled_at: member.disabled_at.map(|at| at.to_string()),
            joined: member.joined,
            second_factor: member.second_factor,
            created_at: member.created_at.to_string(),
            version: member.version,
        }
    }
}

fn tagged(status: StatusCode, member: Member) -> Tagged<PersonView> {
    Tagged {
        status,
        version: member.version,
        row: member.into(),
    }
}

fn roles_of(words: &[String]) -> Result<Vec<Role>, Problem> {
    if words.len() > ROLES_MAX {
        return Err(Problem::unprocessable(
            "`roles` has more entries than there are roles",
        ));
    }
    let parsed: Result<Vec<Role>, _> = words.iter().map(|w| w.parse::<Role>()).collect();
    Ok(parsed.map_err(AuthError::from)?)
}

/// The company's people.
#[utoipa::path(get, path = "/people", tag = "people", params(PeopleAsked),
    security(("bearer" = ["people:read"])),
    responses((status = 200, body = Page<PersonView>), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = "default", body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(asked): Asked<PeopleAsked>,
) -> Result<Json<Page<PersonView>>, Problem> {
    let company = caller.may(Permission::PeopleRead)?.company;
    let cursor = cursor(asked.after.as_deref(), asked.limit)?;
    let role: Option<Role> = parsed(asked.role.as_deref())?;
    let contact = asked.contact.as_deref().map(contact_of).transpose()?;
    let blind = contact.map(|c| member_blind(&api.vault, company, &c));
    let filter = rows::MemberFilter {
        role: role.map(|r| r.as_str().to_owned()),
        disabled: asked.disabled,
        contact_blind: blind.transpose().map_err(AuthError::from)?,
    };
    let mut tx = api.db.tenant(company).await?;
    let found = rows::list(
        &mut tx,
        &filter,
        cursor.part(0, Uuid::nil()),
        cursor.fetch(),
    )
    .await?;
    let members: Result<Vec<PersonView>, AuthError> = found
        .into_iter()
        .map(|row| staff::open(&api.vault, company, row).map(PersonView::from))
        .collect();
    Ok(Json(Page::cut(members?, cursor.limit, |p| {
        p.person.to_string()
    })))
}

/// Somebody to work for the company.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Mutale Banda", "identifier": "mutale@example.com",
    "roles": ["clerk"]}))]
pub struct InvitationAsked {
    /// 1 to 120 characters.
    #[schema(max_length = 120)]
    name: String,
    /// E-mail address, or phone number with its country code.
    #[schema(max_length = 400)]
    identifier: String,
    /// Of `driver`, `agent`, `clerk`, `company_admin`: no more than one may do oneself.
    #[schema(max_items = 10)]
    roles: Vec<String>,
}

/// Name somebody as one of the company's people. They are sent a code to choose a password with;
/// whoever has an account keeps it.
#[utoipa::path(post, path = "/people", tag = "people", security(("bearer" = ["people:write"])),
    request_body = InvitationAsked,
    responses((status = 201, body = PersonView), (status = 401, body = Problem),
        (status = 403, description = "forbidden, or beyond-yours", body = Problem),
        (status = 409, description = "already-member", body = Problem),
        (status = 422, body = Problem), (status = "default", body = Problem)))]
pub async fn invite(
    State(api): State<Api>,
    caller: Caller,
    body: Body<InvitationAsked>,
) -> Result<Tagged<PersonView>, Problem> {
    let by = caller.may(Permission::PeopleWrite)?;
    let asked = body.value;
    let contact = contact_of(&asked.identifier)?;
    let name = bounded("name", &asked.name, NAME_BYTES_MAX)?;
    let about = (name, &contact, &roles_of(&asked.roles)?[..]);
    let member = staff::invite(&api, (&caller, by), about, clock::now()).await?;
    Ok(tagged(StatusCode::CREATED, member))
}

/// One of the company's people.
#[utoipa::path(get, path = "/people/{person}", tag = "people",
    security(("bearer" = ["people:read"])),
    params(("person" = Uuid, Path, description = "The person's number")),
    responses((status = 200, body = PersonView), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(person): Named<Uuid>,
) -> Result<Tagged<PersonView>, Problem> {
    let company = caller.may(Permission::PeopleRead)?.company;
    let member = staff::show(&api, company, person).await?;
    Ok(tagged(StatusCode::OK, member))
}

/// What is to be different; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"roles": ["clerk", "agent"]}))]
pub struct PersonChanges {
    /// 1 to 120 characters.
    #[schema(max_length = 120)]
    name: Option<String>,
    /// All of their roles; none takes every right but keeps them in the list.
    #[schema(max_items = 10)]
    roles: Option<Vec<String>>,
    /// Whether they may do nothing.
    disabled: Option<bool>,
}

/// Give and take roles, disable and enable, rename. It counts within seconds, wherever they are
/// signed in.
#[utoipa::path(patch, path = "/people/{person}", tag = "people",
    security(("bearer" = ["people:write"])),
    params(("person" = Uuid, Path, description = "The person's number"),
        ("If-Match" = String, Header, description = "The ETag that was read")),
    request_body = PersonChanges,
    responses((status = 200, body = PersonView), (status = 401, body = Problem),
        (status = 403, description = "forbidden, or beyond-yours", body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "last-admin", body = Problem),
        (status = 412, body = Problem), (status = 422, body = Problem),
        (status = 428, body = Problem), (status = "default", body = Problem)))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    Named(person): Named<Uuid>,
    if_match: IfMatch,
    body: Body<PersonChanges>,
) -> Result<Tagged<PersonView>, Problem> {
    let by = caller.may(Permission::PeopleWrite)?;
    let asked = body.value;
    if let Some(name) = &asked.name {
        bounded("name", name, NAME_BYTES_MAX)?;
    }
    let changes = Changes {
        name: asked.name,
        roles: asked.roles.as_deref().map(roles_of).transpose()?,
        disabled: asked.disabled,
    };
    let check = |version: i32| if_match.check(version);
    let now = clock::now();
    let member = staff::change(&api, (&caller, by), (person, &changes), check, now).await?;
    Ok(tagged(StatusCode::OK, member))
}

/// Send another invitation to somebody who has not chosen a password yet.
#[utoipa::path(post, path = "/people/{person}/invitations", tag = "people",
    security(("bearer" = ["people:write"])),
    params(("person" = Uuid, Path, description = "The person's number")),
    responses((status = 202), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 422, body = Problem),
        (status = 429, body = Problem), (status = "default", body = Problem)))]
pub async fn invite_again(
    State(api): State<Api>,
    caller: Caller,
    Named(person): Named<Uuid>,
) -> Result<StatusCode, Problem> {
    let by = caller.may(Permission::PeopleWrite)?;
    staff::invite_again(&api, by, person, clock::now()).await?;
    Ok(StatusCode::ACCEPTED)
}
