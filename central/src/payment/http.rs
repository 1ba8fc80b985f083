//! The routes: they translate only.

mod callbacks;
mod offers;
mod payments;
mod refunds;
mod webhooks;

use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::refunds::RefundError;
use super::service::{PaymentError, Refusal};
use crate::http::{Api, Problem};

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(payments::begin, payments::of_booking))
        .routes(routes!(offers::begin))
        .routes(routes!(payments::list))
        .routes(routes!(payments::show))
        .routes(routes!(payments::calls))
        .routes(routes!(refunds::list))
        .routes(routes!(refunds::show))
        .routes(routes!(refunds::retry))
        .routes(routes!(refunds::settle))
        .routes(routes!(callbacks::momo_post, callbacks::momo_put))
        .routes(routes!(callbacks::card))
        .routes(routes!(webhooks::create, webhooks::list))
        .routes(routes!(webhooks::show, webhooks::change, webhooks::delete))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::resend))
}

impl From<PaymentError> for Problem {
    fn from(error: PaymentError) -> Self {
        tracing::error!(%error, "a payment failed");
        Self::unavailable()
    }
}

impl From<RefundError> for Problem {
    fn from(error: RefundError) -> Self {
        match error {
            RefundError::MoreThanPaid(more) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "more-than-paid",
                "More than was paid",
                more.to_string(),
            )
            .with("left_minor", more.left.0),
            RefundError::UnknownBooking(_) => Self::not_found(error.to_string()),
            RefundError::NoEntropy(_) | RefundError::Db(_) => {
                tracing::error!(%error, "a refund failed");
                Self::unavailable()
            }
        }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::UnknownBooking => Self::not_found(detail),
            Refusal::NotPayable(state) => {
                Self::conflict("not-payable", "Not to be paid for", detail)
                    .with("state", state.as_str())
            }
            Refusal::TooLate(_) => Self::conflict("hold-expired", "The hold has ended", detail),
            Refusal::Underway(payment) => {
                Self::conflict("payment-underway", "A payment is under way", detail)
                    .with("payment", payment.to_string())
                    .with("link", format!("/payments/{payment}"))
            }
            Refusal::NotOffered(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "not-offered",
                "Not offered",
                detail,
            ),
            Refusal::NotASeller => Self::forbidden(crate::access::Permission::Sell),
            Refusal::Offer(why) => why.clone().into(),
            Refusal::SeatsGone => Self::conflict("seats-gone", "The seats are gone", detail),
        }
    }
}
