//! The routes: fares, discounts, vouchers, commission rates, and what a journey would cost.

mod commissions;
mod discounts;
mod fares;
mod preview;
mod rows;
mod vouchers;

use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{PriceRefusal, VoucherRefusal};
use crate::http::{Api, Problem};

/// Every route of this service.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(fares::tables, fares::create_table))
        .routes(routes!(fares::list, fares::create))
        .routes(routes!(fares::show, fares::replace, fares::remove))
        .routes(routes!(discounts::list, discounts::create))
        .routes(routes!(
            discounts::show,
            discounts::replace,
            discounts::remove
        ))
        .routes(routes!(vouchers::list, vouchers::create))
        .routes(routes!(vouchers::show, vouchers::replace, vouchers::remove))
        .routes(routes!(vouchers::uses))
        .routes(routes!(commissions::list, commissions::create))
        .routes(routes!(
            commissions::show,
            commissions::replace,
            commissions::remove
        ))
        .routes(routes!(preview::price))
}

impl From<PriceRefusal> for Problem {
    fn from(refusal: PriceRefusal) -> Self {
        let detail = refusal.to_string();
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        match refusal {
            PriceRefusal::NoFare { .. } => Self::new(status, "no-fare", "Not on sale", detail),
            PriceRefusal::TwoCurrencies(..) => {
                Self::new(status, "two-currencies", "Two currencies", detail)
            }
            PriceRefusal::Voucher(refusal) => refusal.into(),
        }
    }
}

impl From<VoucherRefusal> for Problem {
    fn from(refusal: VoucherRefusal) -> Self {
        let detail = refusal.to_string();
        let unprocessable =
            |kind, title| Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title, &detail);
        match refusal {
            VoucherRefusal::Unknown(_) => unprocessable("voucher-unknown", "No such voucher"),
            VoucherRefusal::NotYet { .. } => unprocessable("voucher-not-yet", "Not valid yet"),
            VoucherRefusal::Over { .. } => unprocessable("voucher-over", "Not valid any more"),
            VoucherRefusal::UsedUp(_) => Self::conflict("voucher-used-up", "Used up", detail),
            VoucherRefusal::UsedByYou { .. } => {
                Self::conflict("voucher-used-by-you", "Used before", detail)
            }
            VoucherRefusal::SpendMore {
                min_spend_minor,
                currency,
                ..
            } => unprocessable("voucher-spend-more", "Spend more")
                .with("min_spend_minor", min_spend_minor.0)
                .with("currency", currency.as_str()),
            VoucherRefusal::OtherCurrency { .. } => {
                unprocessable("voucher-other-currency", "Other currency")
            }
        }
    }
}

#[cfg(test)]
mod tests;
