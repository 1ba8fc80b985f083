//! Passengers' names.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Caller, Permission};
use crate::aftersale::names::{self, Wish};
use crate::aftersale::rules::Correction;
use crate::booking::http::{Proof, locate, text};
use crate::clock;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::{Body, Named};
use crate::http::{Api, Problem};

/// The longest name or document number, in characters.
const TEXT_CHARS_MAX: usize = 100;

/// A passenger as they should be named.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Mutale Banda", "reason": "typo", "phone": "+260970000001"}))]
pub struct PassengerAsked {
    /// As on the passenger's papers.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The number of a passport or identity card; left as it is where absent.
    #[schema(max_length = 100)]
    document: Option<String>,
    /// `typo`, `incomplete`, `name_change`; staff also `other_person`.
    reason: String,
    /// Proof: the phone number given at the booking. Staff and the owner need none.
    phone: Option<String>,
    /// Proof: the name given at the booking.
    booked_by: Option<String>,
}

/// A passenger as they are named.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"booking": "7F3K-22QX", "coupon": 1, "name": "Mutale Banda",
    "corrections": 1}))]
pub struct PassengerView {
    /// The booking's reference.
    booking: String,
    /// The place in the booking, from 1.
    coupon: i16,
    /// As on tickets and the manifest.
    name: Option<String>,
    /// How often it was corrected.
    corrections: i64,
}

/// Corrects who travels on a seat of a booking, as often and as late as the company's rules
/// allow; its staff until the bus leaves. Tickets and manifest show the name from then on; the
/// code on the ticket stays good.
#[utoipa::path(put, path = "/bookings/{reference}/coupons/{coupon}/passenger", tag = "aftersale",
    security((), ("bearer" = ["bookings:write"])), request_body = PassengerAsked,
    params(("reference" = String, Path, example = "7F3K-22QX"), ("coupon" = i16, Path, example = 1),
        ("If-Match" = String, Header, description = "the booking's `ETag`")),
    responses((status = 200, body = PassengerView, headers(("ETag" = String))),
        (status = 403, body = Problem, description = "`staff-only`"),
        (status = 404, body = Problem, description = "no such booking, or a wrong proof"),
        (status = 409, body = Problem, description = "`not-corrected`"),
        (status = 412, body = Problem), (status = 428, body = Problem),
        (status = 422, body = Problem, description = "`no-such-coupon`, `unprocessable`"),
        (status = "default", body = Problem)))]
pub async fn correct(
    State(api): State<Api>,
    caller: Caller,
    Named((reference, coupon)): Named<(String, i16)>,
    if_match: IfMatch,
    body: Body<PassengerAsked>,
) -> Result<Tagged<PassengerView>, Problem> {
    let asked = body.value;
    let why = Correction::of(&asked.reason).ok_or_else(|| {
        let all = Correction::ALL.map(Correction::as_str).join(", ");
        Problem::unprocessable(format!("`reason` has to be one of {all}"))
    })?;
    let name = text("the passenger's name", &asked.name, TEXT_CHARS_MAX)?;
    let document = asked.document.as_deref();
    let document = document.map(|d| text("the passenger's document", d, TEXT_CHARS_MAX));
    let proof = Proof {
        phone: asked.phone,
        name: asked.booked_by,
    };
    let (company, booking) = locate(&api, &caller, &reference, &proof).await?;
    let wish = Wish {
        booking,
        coupon,
        name,
        document: document.transpose()?,
        why,
        by_staff: caller.may_in(Permission::BookingsWrite, company),
        identity: caller.identity,
    };
    let now = clock::now();
    let done = names::correct(&api, company, &wish, &if_match, now).await?;
    let view = PassengerView {
        booking: done.reference,
        coupon,
        name: done.passenger.name,
        corrections: done.times,
    };
    Ok(Tagged::ok(done.version, view))
}
