//! Whose booking it is: shown to, paid and changed by who can prove that it is theirs.

use std::time::Duration;

use axum::http::StatusCode;
use domain::ids::CompanyId;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::access::{Caller, Permission};
use crate::booking::read::{self, Asker};
use crate::http::{Api, Problem};

/// How many wrong guesses at one reference are answered before it is closed for a while.
const GUESSES_MAX: i64 = 20;
const GUESSES_FORGOTTEN: Duration = Duration::from_mins(15);
/// The longest name or number that a booking is asked for by, in characters.
pub(super) const PROOF_CHARS_MAX: usize = 100;

/// Proof that a booking is the asker's: what it was made with. Its owner who signed in and the
/// company's office need none.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Proof {
    /// The phone number given at the booking, however it is written.
    #[param(max_length = 100, example = "+260970000001")]
    pub phone: Option<String>,
    /// The name given at the booking; case, accents and double spaces do not count.
    #[param(max_length = 100)]
    pub name: Option<String>,
}

/// Company and number of the booking with a reference, where the caller may act for it: who
/// proves that it is theirs, its owner who signed in, or who may `bookings:read` in the company.
///
/// # Errors
/// 404, the same for an unknown reference and a wrong proof: neither can be guessed from it; 400
/// without any proof, 429 after too many wrong ones.
pub(crate) async fn locate(
    api: &Api,
    caller: &Caller,
    reference: &str,
    proof: &Proof,
) -> Result<(CompanyId, Uuid), Problem> {
    let (reference, asker) = guarded(api, caller, reference, proof).await?;
    match read::locate(api, &reference, &asker).await? {
        Some(found) => Ok(found),
        None => Err(guessed(api, &reference, &asker).await),
    }
}

/// The reference in its one form and who asks, unless they have guessed too often.
pub(super) async fn guarded(
    api: &Api,
    caller: &Caller,
    reference: &str,
    proof: &Proof,
) -> Result<(String, Asker), Problem> {
    let asker = asker(caller, proof)?;
    let reference = reference.trim().to_ascii_uppercase();
    if reference.len() > 20 || !reference.is_ascii() {
        return Err(unknown());
    }
    let guessing = matches!(asker, Asker::Knows(_));
    if guessing && guesses(api, &counter(&reference), 0).await >= GUESSES_MAX {
        let detail = "too many wrong guesses at this reference: try again in a quarter of an hour";
        let status = StatusCode::TOO_MANY_REQUESTS;
        return Err(Problem::new(
            status,
            "too-many-guesses",
            "Too many guesses",
            detail,
        ));
    }
    Ok((reference, asker))
}

fn asker(caller: &Caller, proof: &Proof) -> Result<Asker, Problem> {
    let long = |text: &str| text.chars().count() > PROOF_CHARS_MAX;
    match (&proof.phone, &proof.name) {
        (Some(text), _) | (_, Some(text)) if long(text) => {
            Err(Problem::bad_request("at most 100 characters"))
        }
        (Some(phone), None) => Ok(Asker::Knows(read::Proof::Phone(phone.clone()))),
        (None, Some(name)) => Ok(Asker::Knows(read::Proof::Name(name.clone()))),
        (None, None) => {
            let office = caller.may(Permission::BookingsRead).ok().map(|s| s.company);
            let person = caller.person().ok();
            if office.is_none() && person.is_none() {
                return Err(Problem::bad_request(
                    "give the `phone` or the `name` that the booking was made with",
                ));
            }
            Ok(Asker::Is { person, office })
        }
        (Some(_), Some(_)) => Err(Problem::bad_request("give `phone` or `name`, not both")),
    }
}

/// Counts a wrong guess.
pub(super) async fn guessed(api: &Api, reference: &str, asker: &Asker) -> Problem {
    if matches!(asker, Asker::Knows(_)) {
        guesses(api, &counter(reference), 1).await;
    }
    unknown()
}

fn counter(reference: &str) -> String {
    format!("booking-guesses:{reference}")
}

async fn guesses(api: &Api, counter: &str, more: i64) -> i64 {
    let sum = api.cache.add(counter, more, GUESSES_FORGOTTEN).await;
    sum.unwrap_or(0)
}

/// One answer for an unknown reference and a wrong number: neither can be guessed from it.
fn unknown() -> Problem {
    Problem::not_found("there is no booking with this reference and this phone number or name")
}
