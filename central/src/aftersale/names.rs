//! Correcting the name of who travels, and letting it follow an exchange.

use domain::codec::to_hex;
use domain::ids::CompanyId;
use domain::time::Instant;
use serde_json::{Value, json};
use uuid::Uuid;

use super::db::{self, NewCorrection};
use super::offer::{AftersaleError, Refused};
use super::rules::{Correction, check_correction};
use crate::access::Identity;
use crate::audit::{self, Change};
use crate::booking::contact::{self, Passenger, name_form};
use crate::company::fresh_uuid;
use crate::http::etag::IfMatch;
use crate::http::{Api, Problem};
use crate::outbox::{self, Happened};
use crate::vault::{Place, Vault, VaultError};

/// A wish to have a name corrected.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) booking: Uuid,
    pub(super) coupon: i16,
    pub(super) name: String,
    /// None leaves it as it is.
    pub(super) document: Option<String>,
    pub(super) why: Correction,
    pub(super) by_staff: bool,
    pub(super) identity: Identity,
}

/// A name as it stands after a wish.
#[derive(Debug, Clone)]
pub(super) struct Corrected {
    pub(super) reference: String,
    /// Of the booking's row.
    pub(super) version: i32,
    pub(super) passenger: Passenger,
    /// How often it was.
    pub(super) times: i64,
}

/// Writes a name as it should be. The same name again changes nothing.
pub(super) async fn correct(
    api: &Api,
    company: CompanyId,
    wish: &Wish,
    if_match: &IfMatch,
    now: Instant,
) -> Result<Corrected, Problem> {
    let mut tx = api.db.tenant(company).await?;
    db::lock_booking(&mut tx, wish.booking).await?;
    let at = (wish.booking, wish.coupon);
    let named = db::named(&mut tx, at).await?;
    let named = named.ok_or_else(|| Problem::from(Refused::NoCoupon(wish.coupon)))?;
    if_match.check(named.version)?;
    let before = named.passenger_sealed.as_deref();
    let before = before.map(|sealed| contact::open_passenger(&api.vault, company, at, sealed));
    let before = before.transpose().map_err(AftersaleError::from)?;
    let was = before.clone().unwrap_or_default();
    let passenger = Passenger {
        name: Some(wish.name.clone()),
        document: wish.document.clone().or_else(|| was.document.clone()),
    };
    let mut corrected = Corrected {
        reference: named.reference,
        version: named.version,
        passenger,
        times: named.standing.corrected,
    };
    if corrected.passenger == was {
        return Ok(corrected);
    }
    let rules = db::load_rules(&mut tx, &named.route).await?;
    check_correction(&rules, wish.why, wish.by_staff, &named.standing, now.0)
        .map_err(|why| Problem::from(Refused::Name(why)))?;
    let id = fresh_uuid(now).map_err(AftersaleError::from)?;
    let sealed = Sealed::of(
        &api.vault,
        company,
        (id, at),
        (before.as_ref(), &corrected.passenger),
    );
    let sealed = sealed.map_err(AftersaleError::from)?;
    let new = NewCorrection {
        id,
        booking: wish.booking,
        coupon: wish.coupon,
        before_sealed: sealed.before.as_deref(),
        passenger_sealed: &sealed.passenger,
        reason: wish.why.as_str(),
        actor: (wish.identity.kind(), wish.identity.id()),
        at_ms: now.0,
    };
    corrected.version = db::correct(&mut tx, &new).await?;
    corrected.times += 1;
    let (hashed, subject) = (
        |p: &Passenger| said(&api.vault, company, p).map_err(AftersaleError::from),
        format!("booking:{}", corrected.reference),
    );
    let change = Change {
        action: "booking.correct_name",
        subject: &subject,
        before: Some(hashed(&was)?),
        after: Some({
            let mut after = hashed(&corrected.passenger)?;
            after["coupon"] = json!(wish.coupon);
            after["reason"] = json!(wish.why.as_str());
            after["correction"] = json!(id);
            after
        }),
    };
    audit::note(&mut tx, wish.identity, change, now).await?;
    let happened = Happened {
        kind: "booking.name_corrected",
        subject: &subject,
        body: json!({
            "booking": wish.booking,
            "reference": corrected.reference,
            "coupon": wish.coupon,
            "reason": wish.why.as_str(),
        }),
    };
    outbox::put(&mut tx, happened, now).await?;
    tx.commit().await?;
    Ok(corrected)
}

/// What the audit log may know of a passenger: whether it is the same one, not who.
fn said(vault: &Vault, company: CompanyId, passenger: &Passenger) -> Result<Value, VaultError> {
    let hash = |what: &str, text: &Option<String>| {
        let blind = text
            .as_deref()
            .map(|t| vault.blind(company, what, &name_form(t)));
        Ok::<_, VaultError>(blind.transpose()?.map(|b| to_hex(&b)))
    };
    Ok(json!({
        "name_hash": hash("name", &passenger.name)?,
        "document_hash": hash("document", &passenger.document)?,
    }))
}

/// A correction as it is stored.
struct Sealed {
    before: Option<Vec<u8>>,
    passenger: Vec<u8>,
}

impl Sealed {
    fn of(
        vault: &Vault,
        company: CompanyId,
        (id, at): (Uuid, (Uuid, i16)),
        (before, after): (Option<&Passenger>, &Passenger),
    ) -> Result<Self, VaultError> {
        let place = Place {
            company,
            table: "passenger_correction",
            row: id.as_bytes(),
            column: "before",
        };
        let text = before.map(|p| serde_json::to_vec(p).unwrap_or_default());
        Ok(Self {
            before: text.map(|t| vault.seal(place, &t)).transpose()?,
            passenger: contact::seal_passenger(vault, company, at, after)?,
        })
    }
}

/// What is known of a passenger, sealed for the coupon that takes another's place.
pub(super) fn moved(
    vault: &Vault,
    company: CompanyId,
    booking: Uuid,
    (from, to): (i16, i16),
    sealed: &[u8],
) -> Result<Vec<u8>, VaultError> {
    let passenger = contact::open_passenger(vault, company, (booking, from), sealed)?;
    contact::seal_passenger(vault, company, (booking, to), &passenger)
}
