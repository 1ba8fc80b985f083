//! The people of a company: who they are to it, and who may change that.

use domain::ids::CompanyId;
use domain::time::Instant;
use serde_json::{Value, json};
use uuid::Uuid;

use super::codes::{self, INVITATION_MS, Purpose, Wanted};
use super::contact::Contact;
use super::db::people as people_rows;
use super::db::staff::{self as rows, MemberRow};
use super::error::AuthError;
use super::person::{self, NewPerson, member_place};
use super::rules;
use super::throttle::{CODES, charge};
use crate::access::{Caller, Permission, Permissions, Role, Staff};
use crate::audit::{self, Actor, Change};
use crate::http::Api;
use crate::outbox::{self, Happened};
use crate::tenant::TenantTx;
use crate::vault::Vault;

/// The most people of one company.
const MEMBERS_MAX: i64 = 20_000;

/// A member as their company sees them.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) person: Uuid,
    pub(crate) name: String,
    pub(crate) contact: String,
    pub(crate) roles: Vec<Role>,
    pub(crate) disabled_at: Option<Instant>,
    /// Whether they have chosen a password.
    pub(crate) joined: bool,
    pub(crate) second_factor: bool,
    pub(crate) created_at: Instant,
    pub(crate) version: i32,
}

/// What is to be different about a member.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes {
    pub(crate) name: Option<String>,
    pub(crate) roles: Option<Vec<Role>>,
    pub(crate) disabled: Option<bool>,
}

/// Opens a member's fields.
pub(crate) fn open(vault: &Vault, company: CompanyId, row: MemberRow) -> Result<Member, AuthError> {
    let text = |column: &str, sealed: &[u8]| -> Result<String, AuthError> {
        let bytes = vault.open(member_place(company, &row.person, column), sealed)?;
        String::from_utf8(bytes).map_err(|_| AuthError::Broken("a member's name"))
    };
    Ok(Member {
        name: text("name", &row.name_sealed)?,
        contact: text("contact", &row.contact_sealed)?,
        person: row.person,
        roles: rules::roles_of(&row.roles),
        disabled_at: row.disabled_at,
        joined: row.joined,
        second_factor: row.second_factor,
        created_at: row.created_at,
        version: row.version,
    })
}

/// Roles as a company may give them.
pub(crate) fn checked_roles(roles: &[Role], own: Permissions) -> Result<Vec<Role>, AuthError> {
    let mut roles = roles.to_vec();
    roles.sort_unstable();
    roles.dedup();
    for role in &roles {
        let given_here = match role {
            Role::Driver | Role::Agent | Role::Clerk | Role::CompanyAdmin => true,
            Role::Customer | Role::SuperAdmin => false,
        };
        if !given_here {
            let word = role.as_str();
            let what = format!(
                "{word} is no role of a company: choose driver, agent, clerk or company_admin"
            );
            return Err(AuthError::Input(what));
        }
        within(own, role.permissions())?;
    }
    Ok(roles)
}

fn within(own: Permissions, wanted: Permissions) -> Result<(), AuthError> {
    match rules::beyond(own, wanted) {
        None => Ok(()),
        Some(permission) => Err(AuthError::BeyondYours(permission.as_str().to_owned())),
    }
}

fn shown(roles: &[Role], disabled: bool) -> Value {
    json!({ "roles": rules::words(roles), "disabled": disabled })
}

/// Names somebody as one of the company's people, and sends them a code to choose a password
/// with. Whoever has an account keeps it.
pub(crate) async fn invite(
    api: &Api,
    (caller, staff): (&Caller, Staff),
    (name, contact, roles): (&str, &Contact, &[Role]),
    now: Instant,
) -> Result<Member, AuthError> {
    let roles = checked_roles(roles, caller.permissions)?;
    if roles.is_empty() {
        return Err(AuthError::Input("give at least one role".to_owned()));
    }
    let name = person::checked_name(name)?;
    let blind = person::blind(&api.vault, contact)?;
    let mut tx = api.db.tenant(staff.company).await?;
    if rows::count(&mut tx).await? >= MEMBERS_MAX {
        return Err(AuthError::Full(
            "the company has as many people as it may have",
        ));
    }
    let known = people_rows::credentials(&api.db, contact.kind(), &blind).await?;
    let (person, has_password) = if let Some(known) = known {
        (known.person, known.password_hash.is_some())
    } else {
        let new = NewPerson {
            name,
            contacts: std::slice::from_ref(contact),
            verified: false,
            password_hash: None,
            super_admin: false,
        };
        (person::insert(&mut tx, &api.vault, &new, now).await?, false)
    };
    person::join(&mut tx, &api.vault, (person, &roles), (name, contact), now).await?;
    people_rows::bump_authority(&mut tx, person).await?;
    if !has_password {
        send_invitation(api, &mut tx, contact, person, now).await?;
    }
    let after = shown(&roles, false);
    tell(
        &mut tx,
        staff,
        ("person.invite", person),
        (None, after),
        now,
    )
    .await?;
    let row = rows::lock(&mut tx, person).await?;
    let row = row.ok_or(AuthError::Broken("a member just made"))?;
    tx.commit().await?;
    api.auth.forget_standings();
    open(&api.vault, staff.company, row)
}

async fn send_invitation(
    api: &Api,
    tx: &mut TenantTx,
    contact: &Contact,
    person: Uuid,
    now: Instant,
) -> Result<(), AuthError> {
    charge(api, CODES, &person::blind(&api.vault, contact)?, now).await?;
    let wanted = Wanted {
        purpose: Purpose::Invite,
        contact,
        person: Some(person),
        about: None,
        silent: false,
        lives_ms: INVITATION_MS,
    };
    codes::make(tx, &api.vault, &wanted, now).await?;
    Ok(())
}

/// Sends another invitation to somebody who has not chosen a password.
pub(crate) async fn invite_again(
    api: &Api,
    staff: Staff,
    person: Uuid,
    now: Instant,
) -> Result<(), AuthError> {
    let mut tx = api.db.tenant(staff.company).await?;
    let row = rows::lock(&mut tx, person).await?.ok_or(NOBODY)?;
    let member = open(&api.vault, staff.company, row)?;
    if member.joined {
        let what = "this person has an account: they reset their password themselves";
        return Err(AuthError::Input(what.to_owned()));
    }
    let contact = Contact::parse(&member.contact);
    let contact = contact.map_err(|_| AuthError::Broken("a member's contact"))?;
    send_invitation(api, &mut tx, &contact, person, now).await?;
    let subject = format!("person:{person}");
    let change = Change {
        action: "person.invite_again",
        subject: &subject,
        before: None,
        after: None,
    };
    audit::note(&mut tx, staff.identity, change, now).await?;
    tx.commit().await?;
    Ok(())
}

const NOBODY: AuthError = AuthError::NotFound("your company has no such person");

/// One member.
pub(crate) async fn show(api: &Api, company: CompanyId, person: Uuid) -> Result<Member, AuthError> {
    let mut tx = api.db.tenant(company).await?;
    let row = rows::lock(&mut tx, person).await?.ok_or(NOBODY)?;
    open(&api.vault, company, row)
}

/// Changes a member whose version `check` accepts. Nobody gives or takes what they have not
/// themselves, and somebody is always left to answer for the company.
pub(crate) async fn change<E: From<AuthError>>(
    api: &Api,
    (caller, staff): (&Caller, Staff),
    (person, changes): (Uuid, &Changes),
    check: impl Fn(i32) -> Result<(), E>,
    now: Instant,
) -> Result<Member, E> {
    let refuse = |error: crate::db::DbError| E::from(AuthError::Db(error));
    let mut tx = api.db.tenant(staff.company).await.map_err(refuse)?;
    rows::lock_admins(&mut tx).await.map_err(refuse)?;
    let row = rows::lock(&mut tx, person).await.map_err(refuse)?;
    let row = row.ok_or_else(|| E::from(NOBODY))?;
    check(row.version)?;
    let member = apply(api, &mut tx, (caller, staff), row, changes, now).await?;
    tx.commit().await.map_err(refuse)?;
    api.auth.forget_standings();
    Ok(member)
}

async fn apply(
    api: &Api,
    tx: &mut TenantTx,
    (caller, staff): (&Caller, Staff),
    row: MemberRow,
    changes: &Changes,
    now: Instant,
) -> Result<Member, AuthError> {
    let was = open(&api.vault, staff.company, row)?;
    let mut is = was.clone();
    if let Some(name) = &changes.name {
        person::checked_name(name)?.clone_into(&mut is.name);
    }
    if let Some(roles) = &changes.roles {
        is.roles = checked_roles(roles, caller.permissions)?;
    }
    if let Some(disabled) = changes.disabled {
        let since = was.disabled_at.unwrap_or(now);
        is.disabled_at = disabled.then_some(since);
    }
    let rights_change = is.roles != was.roles || is.disabled_at != was.disabled_at;
    if rights_change {
        within(caller.permissions, rules::permissions_of(&was.roles))?;
    }
    let answers = |m: &Member| m.disabled_at.is_none() && m.roles.contains(&Role::CompanyAdmin);
    let by_hub = caller.permissions.has(Permission::Hub);
    if answers(&was) && !answers(&is) && !by_hub && rows::other_admins(tx, was.person).await? == 0 {
        return Err(AuthError::LastAdmin);
    }
    let company = staff.company;
    let name_sealed = api.vault.seal(
        member_place(company, &was.person, "name"),
        is.name.as_bytes(),
    )?;
    is.version = rows::update(tx, &is, &name_sealed).await?;
    if rights_change {
        people_rows::bump_authority(tx, was.person).await?;
    }
    let before = shown(&was.roles, was.disabled_at.is_some());
    let after = shown(&is.roles, is.disabled_at.is_some());
    tell(
        tx,
        staff,
        ("person.change", was.person),
        (Some(before), after),
        now,
    )
    .await?;
    Ok(is)
}

async fn tell(
    tx: &mut TenantTx,
    staff: Staff,
    (action, person): (&str, Uuid),
    (before, after): (Option<Value>, Value),
    now: Instant,
) -> Result<(), AuthError> {
    let subject = format!("person:{person}");
    let by = Actor::Caller(staff.identity);
    let change = Change {
        action,
        subject: &subject,
        before,
        after: Some(after.clone()),
    };
    audit::note(tx, by, change, now).await?;
    let kind = if action == "person.invite" {
        "person.invited"
    } else {
        "person.changed"
    };
    let mut body = after;
    body["person"] = json!(person);
    let happened = Happened {
        kind,
        subject: &subject,
        body,
    };
    outbox::put(tx, happened, now).await?;
    Ok(())
}
