//! What providers send by themselves. Each is a hint to ask: nothing in it is believed.

use domain::ids::CompanyId;
use domain::time::Instant;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use uuid::Uuid;

use super::db;
use super::provider::subject_of;
use super::refunds;
use super::service::PaymentError;
use crate::config::Secret;
use crate::http::Api;

/// How far a signature's time may be off, in seconds.
const TOLERANCE_S: i64 = 300;
/// The most signatures of one header that are looked at.
const SIGNATURES_MAX: usize = 8;

/// Where MoMo calls back about one payment: its number, and a secret that only this address
/// tells.
pub(super) fn momo_url(
    api: &Api,
    company: CompanyId,
    payment: Uuid,
) -> Result<Option<String>, PaymentError> {
    let Some(base) = &api.payments.callback_url else {
        return Ok(None);
    };
    let secret = secret_of(api, company, payment)?;
    let base = base.trim_end_matches('/');
    Ok(Some(format!("{base}/payments/callbacks/momo/{secret}")))
}

fn secret_of(api: &Api, company: CompanyId, payment: Uuid) -> Result<String, PaymentError> {
    let tag = api
        .vault
        .blind(company, "momo callback", &payment.to_string())?;
    Ok(format!("{}{}", payment.simple(), hex(&tag)))
}

fn hex(bytes: &[u8]) -> String {
    domain::codec::to_hex(bytes)
}

/// MoMo called back. Whether the address was one of ours.
pub async fn momo(api: &Api, secret: &str, now: Instant) -> Result<bool, PaymentError> {
    let id = secret.get(..32).and_then(|id| Uuid::try_parse(id).ok());
    let Some(payment) = id else {
        return Ok(false);
    };
    let Some(company) = db::company_of(api.db.pool(), "payment", payment).await? else {
        return Ok(false);
    };
    if !same(
        secret.as_bytes(),
        secret_of(api, company, payment)?.as_bytes(),
    ) {
        return Ok(false);
    }
    hint(api, company, ("payment", payment), now).await?;
    Ok(true)
}

/// The card provider's event, its signature checked. What it is about, if that is ours.
pub async fn card(api: &Api, event: &Value, now: Instant) -> Result<(), PaymentError> {
    let Some((what, id)) = subject_of(event) else {
        return Ok(());
    };
    let Some(company) = db::company_of(api.db.pool(), what, id).await? else {
        return Ok(());
    };
    hint(api, company, (what, id), now).await
}

async fn hint(
    api: &Api,
    company: CompanyId,
    (what, id): (&str, Uuid),
    now: Instant,
) -> Result<(), PaymentError> {
    let mut tx = api.db.tenant(company).await?;
    if what == "refund" {
        refunds::db::hint(&mut tx, id, now).await?;
        tx.commit().await?;
        return Ok(());
    }
    let asked = db::hint(&mut tx, id, now).await?;
    tx.commit().await?;
    if asked {
        super::jobs::soon(api, company, id);
    }
    Ok(())
}

/// Equal, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

/// Whether `Stripe-Signature` (`t=…,v1=…`) was made over this body with one of the secrets, not
/// long ago.
pub fn card_signature_holds(header: &str, body: &[u8], secrets: &[Secret], now_s: i64) -> bool {
    let mut at = None;
    let mut signed = vec![];
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => at = text.parse::<i64>().ok(),
            Some(("v1", text)) if signed.len() < SIGNATURES_MAX => signed.push(text),
            _ => {}
        }
    }
    let Some(at) = at.filter(|at| now_s.saturating_sub(*at).saturating_abs() <= TOLERANCE_S) else {
        return false;
    };
    secrets.iter().any(|secret| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()) else {
            return false;
        };
        mac.update(format!("{at}.").as_bytes());
        mac.update(body);
        let wanted = hex(&mac.finalize().into_bytes());
        signed.iter().any(|s| same(s.as_bytes(), wanted.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_body_its_secret_and_five_minutes() {
        let secrets = [Secret::new("whsec_old"), Secret::new("whsec_sim_card")];
        let body = r#"{"id":"evt_1"}"#;
        let header = sim_card::signature("whsec_sim_card", 1_700_000_000, body);
        let holds = |body: &str, secrets: &[Secret], at| {
            card_signature_holds(&header, body.as_bytes(), secrets, at)
        };
        assert!(holds(body, &secrets, 1_700_000_000));
        assert!(holds(body, &secrets, 1_700_000_300));
        assert!(!holds(body, &secrets, 1_700_000_301));
        assert!(!holds(body, &secrets, 1_699_999_699));
        assert!(!holds(r#"{"id":"evt_2"}"#, &secrets, 1_700_000_000));
        assert!(!holds(body, &secrets[..1], 1_700_000_000));
        for wrong in ["", "t=,v1=", "v1=00", "t=1700000000", "t=1700000000,v1="] {
            assert!(!card_signature_holds(
                wrong,
                body.as_bytes(),
                &secrets,
                1_700_000_000
            ));
        }
    }
}
