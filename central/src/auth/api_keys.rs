//! A company's API keys: what its programs come with.

use data_encoding::HEXLOWER;
use domain::time::Instant;
use serde_json::json;
use uuid::Uuid;

use super::db::api_keys::{self as rows, KeyRow, NewKey};
use super::error::AuthError;
use super::{person, rules, session};
use crate::access::{Caller, Permission, Permissions, Staff};
use crate::audit::{self, Change};
use crate::company::TOKEN_PREFIX;
use crate::http::Api;
use crate::outbox::{self, Happened};

/// The most keys of one company that count.
const KEYS_MAX: i64 = 200;
/// The longest life of a key that ends, in milliseconds: ten years.
const LIFE_MS_MAX: i64 = 10 * 365 * 24 * 3_600_000;

/// A key to be.
#[derive(Debug, Clone)]
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a str,
    /// What it may do; all that its maker may, when nothing is said.
    pub(crate) scopes: Option<Vec<Permission>>,
    /// Looks, and changes nothing.
    pub(crate) read_only: bool,
    pub(crate) expires_at: Option<Instant>,
}

/// What a key may do: no more than its maker, and never what concerns the whole hub.
pub(crate) fn scopes_of(wish: &Wish<'_>, own: Permissions) -> Result<Vec<Permission>, AuthError> {
    let all = Permission::ALL
        .into_iter()
        .filter(|p| own.has(*p) && *p != Permission::Hub);
    let Some(scopes) = &wish.scopes else {
        return Ok(all.filter(|p| !wish.read_only || p.is_read()).collect());
    };
    let asked: Permissions = scopes.iter().copied().collect();
    if asked.has(Permission::Hub) {
        return Err(AuthError::Input("no key may have the scope hub".to_owned()));
    }
    if let Some(permission) = rules::beyond(own, asked) {
        return Err(AuthError::BeyondYours(permission.as_str().to_owned()));
    }
    if let Some(writes) = asked.iter().find(|p| wish.read_only && !p.is_read()) {
        let word = writes.as_str();
        let what = format!("a read-only key cannot have the scope {word}");
        return Err(AuthError::Input(what));
    }
    if asked == Permissions::NONE {
        return Err(AuthError::Input("give a key at least one scope".to_owned()));
    }
    Ok(asked.iter().collect())
}

/// Makes a key; it is shown this once.
pub(crate) async fn create(
    api: &Api,
    (caller, staff): (&Caller, Staff),
    wish: &Wish<'_>,
    now: Instant,
) -> Result<(KeyRow, String), AuthError> {
    let name = person::checked_name(wish.name)?;
    let scopes = scopes_of(wish, caller.permissions)?;
    let life = wish.expires_at.map(|at| at.0.saturating_sub(now.0));
    if life.is_some_and(|ms| !(1..=LIFE_MS_MAX).contains(&ms)) {
        let what = "`expires_at` has to be in the future, ten years from now at most";
        return Err(AuthError::Input(what.to_owned()));
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let token = format!("{TOKEN_PREFIX}{}", HEXLOWER.encode(&secret));
    let words: Vec<String> = scopes.iter().map(|p| p.as_str().to_owned()).collect();
    let mut tx = api.db.tenant(staff.company).await?;
    if rows::count_live(&mut tx, now).await? >= KEYS_MAX {
        return Err(AuthError::Full(
            "revoke keys that nobody uses: the company has 200",
        ));
    }
    let new = NewKey {
        hash: session::hash_of(&token),
        name,
        scopes: &words,
        expires_at: wish.expires_at,
        created_by: staff.identity.id(),
    };
    let row = rows::insert(&mut tx, &new, now).await?;
    let subject = format!("api_key:{}", row.key);
    let after = json!({ "name": row.name, "scopes": words,
        "expires_at": wish.expires_at.map(|at| at.to_string()) });
    let change = Change {
        action: "api_key.create",
        subject: &subject,
        before: None,
        after: Some(after.clone()),
    };
    audit::note(&mut tx, staff.identity, change, now).await?;
    let happened = Happened {
        kind: "api_key.created",
        subject: &subject,
        body: after,
    };
    outbox::put(&mut tx, happened, now).await?;
    tx.commit().await?;
    Ok((row, token))
}

/// Revokes a key at once; a second time changes nothing.
pub(crate) async fn revoke(
    api: &Api,
    staff: Staff,
    key: Uuid,
    now: Instant,
) -> Result<(), AuthError> {
    let mut tx = api.db.tenant(staff.company).await?;
    let row = rows::lock(&mut tx, key).await?;
    let row = row.ok_or(AuthError::NotFound("your company has no such key"))?;
    if row.revoked_at.is_some() {
        return Ok(());
    }
    rows::revoke(&mut tx, key, now).await?;
    let subject = format!("api_key:{key}");
    let before = json!({ "name": row.name, "scopes": row.scopes });
    let change = Change {
        action: "api_key.revoke",
        subject: &subject,
        before: Some(before),
        after: None,
    };
    audit::note(&mut tx, staff.identity, change, now).await?;
    let happened = Happened {
        kind: "api_key.revoked",
        subject: &subject,
        body: json!({ "name": row.name }),
    };
    outbox::put(&mut tx, happened, now).await?;
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    fn wish(scopes: Option<&[Permission]>, read_only: bool) -> Wish<'static> {
        Wish {
            name: "a key",
            scopes: scopes.map(<[Permission]>::to_vec),
            read_only,
            expires_at: None,
        }
    }

    #[test]
    fn a_key_may_do_no_more_than_its_maker_and_a_read_only_one_only_looks() {
        let clerk = Role::Clerk.permissions();
        let all = scopes_of(&wish(None, false), clerk).unwrap();
        assert_eq!(all.into_iter().collect::<Permissions>(), clerk);
        let looks = scopes_of(&wish(None, true), clerk).unwrap();
        assert!(!looks.is_empty() && looks.iter().all(|p| p.is_read()));
        let beyond = scopes_of(&wish(Some(&[Permission::KeysWrite]), false), clerk);
        assert!(matches!(beyond, Err(AuthError::BeyondYours(_))));
        let writes = scopes_of(&wish(Some(&[Permission::FaresWrite]), true), clerk);
        assert!(matches!(writes, Err(AuthError::Input(_))));
        let hub = Role::SuperAdmin.permissions();
        assert!(
            !scopes_of(&wish(None, false), hub)
                .unwrap()
                .contains(&Permission::Hub)
        );
        assert!(scopes_of(&wish(Some(&[Permission::Hub]), false), hub).is_err());
        assert!(scopes_of(&wish(Some(&[]), false), hub).is_err());
    }
}
