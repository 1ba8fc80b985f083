//! Sessions: signing in, refreshing, changing company, ending.

use data_encoding::BASE64URL_NOPAD;
use domain::ids::CompanyId;
use domain::time::Instant;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::contact::Contact;
use super::db::people::{self as people_rows, Credentials};
use super::db::sessions::{self as rows, NewSession, Refreshable};
use super::error::AuthError;
use super::person::{blind, note};
use super::standing::{Standing, Transport};
use super::throttle::{ACCOUNT, ADDRESS, charge, clear, give_back};
use super::token::{self, Subject};
use super::{HUB, factor, password, rules};
use crate::access::{Identity, Role};
use crate::audit::{self, Actor, Change};
use crate::company::fresh_uuid;
use crate::http::Api;
use crate::tenant::TenantTx;

/// What every refresh token begins with.
pub(crate) const REFRESH_PREFIX: &str = "mwr_";
/// How long a refresh token that was used gives the same successor again: its answer may have
/// been lost on the way.
const GRACE_MS: i64 = 30_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// The longest part of a `User-Agent` that is kept, in characters.
const DEVICE_CHARS_MAX: usize = 120;

/// Who wants in, and how.
#[derive(Debug, Clone)]
pub(crate) struct SignIn<'a> {
    pub(crate) contact: Contact,
    pub(crate) password: &'a str,
    pub(crate) totp: Option<&'a str>,
    pub(crate) recovery_code: Option<&'a str>,
    pub(crate) company: Option<CompanyId>,
    pub(crate) transport: Transport,
    pub(crate) device: &'a str,
    /// Keyed hash of the client's address, when it is known.
    pub(crate) address: Option<Vec<u8>>,
}

/// How a session stands with its second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SecondFactor {
    /// No role asks for one.
    NotNeeded,
    /// It was proved.
    Proved,
    /// A role waits until one is enrolled.
    Enrol,
}

/// A company that a person may work for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workplace {
    pub(crate) company: CompanyId,
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
}

/// A session with what its bearer needs.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) session: Uuid,
    pub(crate) person: Uuid,
    pub(crate) company: Option<CompanyId>,
    pub(crate) roles: Vec<Role>,
    pub(crate) second_factor: SecondFactor,
    pub(crate) workplaces: Vec<Workplace>,
    /// Of a token session.
    pub(crate) access: Option<String>,
    /// Of a token session that begins or was refreshed.
    pub(crate) refresh: Option<String>,
    /// Of a cookie session that begins.
    pub(crate) cookie: Option<String>,
}

/// Lets a person in, or refuses without telling whether they exist.
pub(crate) async fn sign_in(
    api: &Api,
    wish: &SignIn<'_>,
    now: Instant,
) -> Result<Opened, AuthError> {
    let account = blind(&api.vault, &wish.contact)?;
    if let Some(address) = &wish.address {
        charge(api, ADDRESS, address, now).await?;
    }
    let tries = charge(api, ACCOUNT, &account, now).await?;
    let known = people_rows::credentials(&api.db, wish.contact.kind(), &account).await?;
    let hash = known.as_ref().and_then(|k| k.password_hash.clone());
    let verdict = password::verify(&api.auth, wish.password, hash.as_deref()).await?;
    let known = known.filter(|k| verdict.right && !k.disabled);
    let Some(known) = known else {
        return refused(api, wish, &account, tries, now).await;
    };
    let shown = wish.totp.is_some() || wish.recovery_code.is_some();
    if known.totp_sealed.is_some() && !shown {
        // The password was right: a try that has only begun.
        forgive(api, wish, &account).await?;
        return Err(AuthError::SecondFactorNeeded);
    }
    let mut tx = api.db.tenant(wish.company.unwrap_or(HUB)).await?;
    let proved = factor::prove(
        &mut tx,
        &api.vault,
        &known,
        wish.totp,
        wish.recovery_code,
        now,
    );
    let second_factor = match proved.await {
        Err(AuthError::WrongCredentials) => {
            drop(tx);
            return refused(api, wish, &account, tries, now).await;
        }
        proved => proved?,
    };
    if verdict.outdated {
        let fresh = password::hash(&api.auth, wish.password).await?;
        people_rows::rehash(&mut tx, known.person, hash.as_deref(), &fresh).await?;
    }
    let opened = begin(api, &mut tx, &known, wish, second_factor, now).await?;
    tx.commit().await?;
    clear(api, ACCOUNT, &account).await?;
    if let Some(address) = &wish.address {
        give_back(api, ADDRESS, address).await?;
    }
    Ok(opened)
}

async fn forgive(api: &Api, wish: &SignIn<'_>, account: &[u8]) -> Result<(), AuthError> {
    give_back(api, ACCOUNT, account).await?;
    if let Some(address) = &wish.address {
        give_back(api, ADDRESS, address).await?;
    }
    Ok(())
}

/// The last try that is allowed is written down for whoever owns the account.
async fn refused<T>(
    api: &Api,
    wish: &SignIn<'_>,
    account: &[u8],
    tries: i32,
    now: Instant,
) -> Result<T, AuthError> {
    if tries == ACCOUNT.tries_max
        && let Some(known) = people_rows::credentials(&api.db, wish.contact.kind(), account).await?
    {
        let mut tx = api.db.tenant(HUB).await?;
        let detail = json!({ "tries": tries });
        let by = Actor::Caller(Identity::Anonymous);
        note(
            &mut tx,
            known.person,
            by,
            "account.locked",
            Some(detail),
            now,
        )
        .await?;
        tx.commit().await?;
    }
    Err(AuthError::WrongCredentials)
}

/// Begins a session for somebody who has proved themselves.
pub(crate) async fn begin(
    api: &Api,
    tx: &mut TenantTx,
    known: &Credentials,
    wish: &SignIn<'_>,
    second_factor: bool,
    now: Instant,
) -> Result<Opened, AuthError> {
    let workplaces = workplaces(tx, known.person, known.super_admin).await?;
    let company = chosen(&workplaces, known.super_admin, wish.company)?;
    let works = known.super_admin || workplaces.iter().any(|w| !w.roles.is_empty());
    let (idle_ms, whole_ms) = lifetime(works);
    let session = fresh_uuid(now)?;
    let secret = fresh_secret()?;
    let cookie = (wish.transport == Transport::Cookie).then(|| secret.clone());
    let refresh = (wish.transport == Transport::Token).then(|| format!("{REFRESH_PREFIX}{secret}"));
    let device: String = wish.device.chars().take(DEVICE_CHARS_MAX).collect();
    let new = NewSession {
        session,
        person: known.person,
        transport: wish.transport,
        secret_hash: cookie.as_deref().map(hash_of),
        company,
        second_factor,
        device: &device,
        idle_ends: now.plus_ms(idle_ms),
        ends: now.plus_ms(whole_ms),
    };
    rows::insert(tx, &new, now).await?;
    if let Some(refresh) = &refresh {
        rows::insert_refresh(tx, &hash_of(refresh), session, now).await?;
    }
    let by = Actor::Caller(Identity::Person(known.person));
    let detail = json!({ "session": session, "transport": wish.transport.as_str() });
    note(tx, known.person, by, "session.begin", Some(detail), now).await?;
    let about = About {
        session,
        person: known.person,
        authority: known.authority,
        super_admin: known.super_admin,
        second_factor,
    };
    let mut opened = open(api, &about, company, workplaces, wish.transport, now).await?;
    opened.refresh = refresh;
    opened.cookie = cookie;
    Ok(opened)
}

/// How long a session lasts without use, and at most: those who work with other people's money
/// sign in every day.
const fn lifetime(works: bool) -> (i64, i64) {
    if works {
        (12 * HOUR_MS, 7 * DAY_MS)
    } else {
        (30 * DAY_MS, 365 * DAY_MS)
    }
}

struct About {
    session: Uuid,
    person: Uuid,
    authority: i32,
    super_admin: bool,
    second_factor: bool,
}

async fn open(
    api: &Api,
    about: &About,
    company: Option<CompanyId>,
    workplaces: Vec<Workplace>,
    transport: Transport,
    now: Instant,
) -> Result<Opened, AuthError> {
    let here = workplaces.iter().find(|w| Some(w.company) == company);
    let held = here.map(|w| w.roles.clone()).unwrap_or_default();
    let roles = rules::roles_in_force(&held, about.super_admin, about.second_factor);
    let anywhere: Vec<Role> = workplaces.iter().flat_map(|w| w.roles.clone()).collect();
    let second_factor = if about.second_factor {
        SecondFactor::Proved
    } else if rules::wants_second_factor(&anywhere, about.super_admin) {
        SecondFactor::Enrol
    } else {
        SecondFactor::NotNeeded
    };
    let access = match transport {
        Transport::Cookie => None,
        Transport::Token => {
            let subject = Subject {
                person: about.person,
                session: about.session,
                authority: about.authority,
                company: company.map(|c| c.0),
                roles: rules::words(&roles),
                second_factor: about.second_factor,
            };
            let ring = api.auth.keyring(&api.db, &api.vault, now).await?;
            Some(token::issue(&ring, &subject, fresh_uuid(now)?, now)?.0)
        }
    };
    Ok(Opened {
        session: about.session,
        person: about.person,
        company,
        roles,
        second_factor,
        workplaces,
        access,
        refresh: None,
        cookie: None,
    })
}

/// Where a person may work: a super admin everywhere.
async fn workplaces(
    tx: &mut TenantTx,
    person: Uuid,
    super_admin: bool,
) -> Result<Vec<Workplace>, AuthError> {
    let mut places = rows::workplaces(tx, person).await?;
    if super_admin {
        for (company, name) in rows::companies(tx).await? {
            if !places.iter().any(|w| w.company == company) {
                let roles = vec![];
                places.push(Workplace {
                    company,
                    name,
                    roles,
                });
            }
        }
    }
    Ok(places)
}

/// The company asked for, or the only one there is.
fn chosen(
    places: &[Workplace],
    super_admin: bool,
    wanted: Option<CompanyId>,
) -> Result<Option<CompanyId>, AuthError> {
    match (wanted, places) {
        (Some(company), _) if places.iter().any(|w| w.company == company) => Ok(Some(company)),
        (Some(_), _) => Err(AuthError::NotYourCompany),
        (None, [only]) if !super_admin => Ok(Some(only.company)),
        (None, _) => Ok(None),
    }
}

/// Gives the next access and refresh token for a refresh token.
pub(crate) async fn refresh(api: &Api, shown: &str, now: Instant) -> Result<Opened, AuthError> {
    let hash = hash_of(shown);
    // Its company first: what a reuse ends is written into that company's log, too.
    let works_for = rows::company_of_refresh(&api.db, &hash).await?;
    let mut tx = api.db.tenant(works_for.unwrap_or(HUB)).await?;
    let known = rows::lock_refresh(&mut tx, &hash).await?;
    let known = known.filter(|k| k.stands(now));
    let Some(known) = known else {
        return Err(AuthError::RefreshRefused);
    };
    let next = successor(api, shown)?;
    match known.used_at {
        None => {
            rows::use_refresh(&mut tx, &hash, now).await?;
            rows::insert_refresh(&mut tx, &hash_of(&next), known.session, now).await?;
        }
        Some(used)
            if now.0 - used.0 <= GRACE_MS && !known.successor_used(&mut tx, &next).await? => {}
        Some(_) => {
            reused(&mut tx, &known, now).await?;
            tx.commit().await?;
            api.auth.forget_standings();
            return Err(AuthError::RefreshRefused);
        }
    }
    let places = workplaces(&mut tx, known.person, known.super_admin).await?;
    let works = known.super_admin || places.iter().any(|w| !w.roles.is_empty());
    let idle_ends = now.plus_ms(lifetime(works).0);
    rows::seen(&mut tx, known.session, idle_ends, now).await?;
    // A company that the person has left meanwhile is no longer worked for.
    let company = known
        .company
        .filter(|c| places.iter().any(|w| w.company == *c));
    let about = About {
        session: known.session,
        person: known.person,
        authority: known.authority,
        super_admin: known.super_admin,
        second_factor: known.second_factor,
    };
    let mut opened = open(api, &about, company, places, Transport::Token, now).await?;
    tx.commit().await?;
    opened.refresh = Some(next);
    Ok(opened)
}

impl Refreshable {
    fn stands(&self, now: Instant) -> bool {
        self.ended_at.is_none() && !self.disabled && now < self.idle_ends && now < self.ends
    }

    async fn successor_used(&self, tx: &mut TenantTx, next: &str) -> Result<bool, AuthError> {
        Ok(rows::was_used(tx, &hash_of(next)).await?)
    }
}

/// Somebody has a token that another has used: nobody knows which of them is the thief, so the
/// whole family ends.
async fn reused(tx: &mut TenantTx, known: &Refreshable, now: Instant) -> Result<(), AuthError> {
    rows::end(tx, known.session, "a refresh token was used twice", now).await?;
    let detail = json!({ "session": known.session });
    let by = Actor::Caller(Identity::Anonymous);
    note(
        tx,
        known.person,
        by,
        "session.reuse",
        Some(detail.clone()),
        now,
    )
    .await?;
    if tx.company() != HUB {
        let change = Change {
            action: "session.reuse",
            subject: &format!("person:{}", known.person),
            before: None,
            after: Some(detail),
        };
        audit::note(tx, by, change, now).await?;
    }
    Ok(())
}

/// The token that follows. It is derived, so that a repeated request gets the same one; only the
/// hub can.
fn successor(api: &Api, shown: &str) -> Result<String, AuthError> {
    let mut bytes = api.vault.blind(HUB, "refresh-successor-1", shown)?;
    bytes.extend(api.vault.blind(HUB, "refresh-successor-2", shown)?);
    Ok(format!(
        "{REFRESH_PREFIX}{}",
        BASE64URL_NOPAD.encode(&bytes)
    ))
}

/// Works for another company from now on, or for none.
pub(crate) async fn switch(
    api: &Api,
    standing: &Standing,
    company: Option<CompanyId>,
    now: Instant,
) -> Result<Opened, AuthError> {
    let mut tx = api.db.tenant(company.unwrap_or(HUB)).await?;
    let known = people_rows::by_id(&mut tx, standing.person).await?;
    let known = known
        .filter(|k| !k.disabled)
        .ok_or(AuthError::SessionEnded)?;
    let places = workplaces(&mut tx, known.person, known.super_admin).await?;
    if let Some(company) = company
        && !places.iter().any(|w| w.company == company)
    {
        return Err(AuthError::NotYourCompany);
    }
    rows::work_for(&mut tx, standing.session, company).await?;
    let about = About {
        session: standing.session,
        person: known.person,
        authority: known.authority,
        super_admin: known.super_admin,
        second_factor: standing.second_factor,
    };
    let opened = open(api, &about, company, places, standing.transport, now).await?;
    tx.commit().await?;
    api.auth.forget_standings();
    Ok(opened)
}

/// A session as it stands, with its person's choices and no secret.
pub(crate) async fn show(
    api: &Api,
    standing: &Standing,
    now: Instant,
) -> Result<(Opened, Credentials), AuthError> {
    let mut tx = api.db.tenant(HUB).await?;
    let known = people_rows::by_id(&mut tx, standing.person).await?;
    let known = known.ok_or(AuthError::SessionEnded)?;
    let places = workplaces(&mut tx, known.person, known.super_admin).await?;
    let about = About {
        session: standing.session,
        person: known.person,
        authority: known.authority,
        super_admin: known.super_admin,
        second_factor: standing.second_factor,
    };
    let opened = open(
        api,
        &about,
        standing.company,
        places,
        Transport::Cookie,
        now,
    )
    .await?;
    Ok((opened, known))
}

/// Ends one session of a person.
pub(crate) async fn end(
    api: &Api,
    person: Uuid,
    session: Uuid,
    now: Instant,
) -> Result<(), AuthError> {
    let mut tx = api.db.tenant(HUB).await?;
    if !rows::end_own(&mut tx, person, session, now).await? {
        return Err(AuthError::NotFound("you have no such session"));
    }
    let by = Actor::Caller(Identity::Person(person));
    let detail = json!({ "session": session });
    note(&mut tx, person, by, "session.end", Some(detail), now).await?;
    tx.commit().await?;
    api.auth.forget_standings();
    Ok(())
}

/// Random bytes in base64url, for cookies and first refresh tokens.
pub(crate) fn fresh_secret() -> Result<String, AuthError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    Ok(BASE64URL_NOPAD.encode(&secret))
}

/// What a secret is known by.
pub(crate) fn hash_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
