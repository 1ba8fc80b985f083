//! What a journey costs: fares with their validity, discounts, vouchers, commissions.
//!
//! [`price`] says what each passenger pays and why; [`redeem`] and [`give_back`] count vouchers;
//! [`commission::rate`] says what a seller earns. How reductions stack: `rules`.

pub mod commission;
pub(crate) mod csv;
mod db;
pub mod fares;
pub mod http;
pub mod records;
mod rules;
mod service;

pub use rules::{
    Channel, DatedFare, Discount, Off, Reason, ReasonKind, Validity, Voucher, VoucherRefusal,
};
pub use service::{
    Part, PriceRefusal, Priced, PricedPassenger, Redeemer, give_back, price, price_all, redeem,
};

use std::time::Duration;

use crate::worker::{Job, Progress};

/// How often the hub looks whether a fare's period began.
const PUBLISH_EVERY: Duration = Duration::from_mins(1);

/// Every job of this service: tells the nodes of fares whose period began or ended.
pub(crate) fn jobs() -> Vec<Job> {
    vec![Job {
        name: "fares of the day",
        every: PUBLISH_EVERY,
        run: |api| {
            Box::pin(async move {
                fares::publish_due(&api.db, crate::clock::now()).await?;
                Ok(Progress::Idle)
            })
        },
    }]
}

#[cfg(test)]
mod tests;
