//! Whose booking it is.

use domain::ids::CompanyId;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::access::Caller;
use crate::booking::http::locate;
use crate::http::{Api, Problem};

/// Proof that a booking is the asker's: what it was made with. Its owner who signed in and the
/// company's office need none.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Proof {
    /// The phone number given at the booking.
    #[param(example = "+260970000001")]
    pub phone: Option<String>,
    /// The name given at the booking.
    pub name: Option<String>,
}

/// The booking with a reference, where the caller may see it.
///
/// # Errors
/// 404, the same for an unknown reference and a wrong proof: neither can be guessed from it; 400
/// without any proof, 429 after too many wrong ones.
pub async fn find(
    api: &Api,
    caller: &Caller,
    reference: &str,
    proof: &Proof,
) -> Result<(CompanyId, Uuid), Problem> {
    let said = (proof.phone.clone(), proof.name.clone());
    locate(api, caller, reference, said).await
}
