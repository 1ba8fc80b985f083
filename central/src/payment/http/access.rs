//! Whose booking a reference is, for who may pay it.

use domain::ids::CompanyId;
use uuid::Uuid;

use crate::access::{Caller, Identity, Permission};
use crate::http::{Api, Problem};
use crate::payment::db;
use crate::views;

/// The booking behind a reference, where the caller may act for it: who made it, who knows the
/// phone number it was made with, or the company's own people.
pub(super) async fn booking(
    api: &Api,
    caller: &Caller,
    office: Permission,
    reference: &str,
    phone: Option<&str>,
) -> Result<(CompanyId, Uuid), Problem> {
    let reference = reference.to_ascii_uppercase();
    for company in views::all_companies(&api.db).await? {
        let mut tx = api.db.tenant(company).await?;
        let Some(known) = db::who_booked(&mut tx, &reference).await? else {
            continue;
        };
        let knows = match (phone.and_then(phone_form), &known.phone_blind) {
            (Some(form), Some(blind)) => {
                let wanted = api.vault.blind(company, "phone", &form);
                wanted.map_err(|_| Problem::unavailable())? == *blind
            }
            (Some(form), None) => {
                let plain = known.plain_phone.as_deref().and_then(phone_form);
                plain == Some(form)
            }
            (None, _) => false,
        };
        let own = matches!(caller.identity, Identity::Person(id) if known.person == Some(id));
        if knows || own || caller.may_in(office, company) {
            return Ok((company, known.booking));
        }
    }
    // One answer for an unknown reference and a wrong number: neither can be guessed from it.
    Err(Problem::not_found(
        "there is no booking with this reference and phone number",
    ))
}

/// A phone number in E.164.
pub(super) fn phone_form(text: &str) -> Option<String> {
    let kept: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.'))
        .collect();
    let digits = kept.strip_prefix('+').unwrap_or(&kept);
    let good = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    good.then(|| format!("+{digits}"))
}
