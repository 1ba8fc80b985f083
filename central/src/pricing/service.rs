//! Prices, and vouchers in bookings.

use std::sync::Arc;

use domain::fare::FareIndex;
use domain::ids::StopCode;
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::{Instant, ServiceDate};
use domain::trip::Trip;
use uuid::Uuid;

use super::db::{discounts, fares as rows, vouchers};
use super::rules::{
    Channel, Occasion, Reason, ReasonKind, VoucherRefusal, discounts_of, fare_on, shared_out,
};
use crate::company::fares_of;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// The longest code of a voucher, in characters.
pub(super) const VOUCHER_CHARS_MAX: usize = 40;

/// Some passengers on one trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which trip.
    pub trip: &'a Trip,
    /// Where they board.
    pub from: &'a StopCode,
    /// Where they leave.
    pub to: &'a StopCode,
    /// Who travels.
    pub passengers: &'a [PassengerClass],
}

/// What one passenger pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedPassenger {
    /// Who.
    pub class: PassengerClass,
    /// The full fare.
    pub fare_minor: Minor,
    /// Off that; never more than it, and the sum of the reasons.
    pub discount_minor: Minor,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl PricedPassenger {
    /// What is left to pay.
    pub fn to_pay(&self) -> Minor {
        Minor(self.fare_minor.0 - self.discount_minor.0)
    }
}

/// What some passengers pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priced {
    /// What all amounts are in.
    pub currency: Currency,
    /// In the order of the wish, part by part.
    pub passengers: Vec<PricedPassenger>,
    /// The voucher that counts, as it is written, and what it takes off in all.
    pub voucher: Option<(String, Minor)>,
}

impl Priced {
    /// What all of them pay.
    pub fn total(&self) -> Minor {
        Minor(self.passengers.iter().map(|p| p.to_pay().0).sum())
    }
}

/// Why there is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceRefusal {
    /// The company sells no such ticket on this day.
    #[error("there is no {class} fare from {from} to {to}")]
    NoFare {
        /// Where from.
        from: StopCode,
        /// Where to.
        to: StopCode,
        /// For whom.
        class: PassengerClass,
    },
    /// The parts are paid in different money.
    #[error("one booking is paid in one currency, not in {0} and {1}: book the trips apart")]
    TwoCurrencies(Currency, Currency),
    /// The voucher takes nothing off.
    #[error(transparent)]
    Voucher(#[from] VoucherRefusal),
}

/// Who uses a voucher, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redeemer {
    /// The account that books.
    pub person: Option<Uuid>,
    /// The contact's phone as `booking.phone_blind` has it.
    pub phone_blind: Option<Vec<u8>>,
}

/// What each passenger pays on one trip, and why. Fares and discounts are those of the day of
/// sale in the company's zone. Locks nothing.
pub async fn price(
    tx: &mut TenantTx,
    part: Part<'_>,
    voucher: Option<&str>,
    channel: Channel,
    now: Instant,
) -> Result<Result<Priced, PriceRefusal>, DbError> {
    price_all(tx, &[part], voucher, channel, now).await
}

/// The same for both directions or connecting trips in one booking: the voucher counts once, over
/// all of them.
pub async fn price_all(
    tx: &mut TenantTx,
    parts: &[Part<'_>],
    voucher: Option<&str>,
    channel: Channel,
    now: Instant,
) -> Result<Result<Priced, PriceRefusal>, DbError> {
    let Some(currency) = parts.first().map(|part| part.trip.currency) else {
        return Err(DbError::damaged("a wish without a trip"));
    };
    let mut priced = Priced {
        currency,
        passengers: vec![],
        voucher: None,
    };
    let mut sold_on = None;
    for part in parts {
        if part.trip.currency != currency {
            let other = part.trip.currency;
            return Ok(Err(PriceRefusal::TwoCurrencies(currency, other)));
        }
        match price_part(tx, part, channel, now).await? {
            Ok((passengers, day)) => {
                priced.passengers.extend(passengers);
                sold_on = Some(day);
            }
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    if let (Some(code), Some(day)) = (voucher, sold_on)
        && let Err(refusal) = take_voucher(tx, &mut priced, code, day).await?
    {
        return Ok(Err(refusal.into()));
    }
    Ok(Ok(priced))
}

type PricedPart = (Vec<PricedPassenger>, ServiceDate);

async fn price_part(
    tx: &mut TenantTx,
    part: &Part<'_>,
    channel: Channel,
    now: Instant,
) -> Result<Result<PricedPart, PriceRefusal>, DbError> {
    let pair = rows::of_pair(tx, part.trip, part.from, part.to).await?;
    let sold_on = now
        .local_date(&pair.zone)
        .ok_or_else(|| DbError::damaged("the hub's clock"))?;
    let body = if pair.adopted {
        None
    } else {
        Some(fare_table(tx, part.trip, pair.price_version).await?)
    };
    let offered = discounts::given_on(tx, sold_on).await?;
    let occasion = occasion_of(part, &pair.route_code, channel, sold_on, now);
    let currency = part.trip.currency;
    let mut passengers = Vec::with_capacity(part.passengers.len());
    for class in part.passengers {
        let fare = match &body {
            Some(index) => index.fare(part.from, part.to, *class),
            None => fare_on(&pair.fares, *class, sold_on),
        };
        let Some(fare_minor) = fare else {
            return Ok(Err(PriceRefusal::NoFare {
                from: part.from.clone(),
                to: part.to.clone(),
                class: *class,
            }));
        };
        let reasons = discounts_of(fare_minor, currency, *class, &offered, &occasion);
        passengers.push(PricedPassenger {
            class: *class,
            fare_minor,
            discount_minor: Minor(reasons.iter().map(|r| r.amount_minor.0).sum()),
            reasons,
        });
    }
    Ok(Ok((passengers, sold_on)))
}

/// The fares of a table that nobody has adopted, laid out; remembered under the version of the
/// company's prices.
async fn fare_table(
    tx: &mut TenantTx,
    trip: &Trip,
    version: i64,
) -> Result<Arc<FareIndex>, DbError> {
    let of = (tx.company(), version);
    if let Some(known) = tx.catalog().fares(of, &trip.fare_table) {
        return Ok(known);
    }
    let table = fares_of(tx, trip).await?;
    let index = Arc::new(table.as_ref().map(FareIndex::new).unwrap_or_default());
    tx.catalog()
        .keep_fares(of, &trip.fare_table, Arc::clone(&index));
    Ok(index)
}

/// The days that discounts ask for are those of the boarding stop.
fn occasion_of<'a>(
    part: &Part<'_>,
    route: &'a str,
    channel: Channel,
    sold_on: ServiceDate,
    now: Instant,
) -> Occasion<'a> {
    let stop = part.trip.seq_of(part.from).and_then(|s| part.trip.stop(s));
    let leaves = stop
        .and_then(|s| s.departs.local_date(&s.zone))
        .unwrap_or(part.trip.service_date);
    let today = stop
        .and_then(|s| now.local_date(&s.zone))
        .unwrap_or(sold_on);
    let days_ahead = (leaves.0 - today.0).get_days();
    Occasion {
        route,
        weekday: leaves.0.weekday().to_monday_one_offset().unsigned_abs(),
        days_ahead,
        channel,
        sold_on,
    }
}

async fn take_voucher(
    tx: &mut TenantTx,
    priced: &mut Priced,
    code: &str,
    day: ServiceDate,
) -> Result<Result<(), VoucherRefusal>, DbError> {
    let code = written(code);
    let Some(kept) = vouchers::find(tx, &code).await? else {
        return Ok(Err(VoucherRefusal::Unknown(code)));
    };
    let voucher = kept.voucher;
    let off = voucher
        .usable(day)
        .and_then(|()| voucher.off_booking(priced.total(), priced.currency));
    let off = match off {
        Ok(off) => off,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let bearers: Vec<Minor> = priced
        .passengers
        .iter()
        .map(PricedPassenger::to_pay)
        .collect();
    for (passenger, share) in priced.passengers.iter_mut().zip(shared_out(off, &bearers)) {
        if share.0 == 0 {
            continue;
        }
        passenger.discount_minor = Minor(passenger.discount_minor.0 + share.0);
        passenger.reasons.push(Reason {
            kind: ReasonKind::Voucher,
            code: voucher.code.clone(),
            name: voucher.name.clone(),
            amount_minor: share,
        });
    }
    priced.voucher = Some((voucher.code, off));
    Ok(Ok(()))
}

/// A code in the form it is kept in: capitals, no spaces, cut to a length that no voucher has.
pub(super) fn written(code: &str) -> String {
    code.chars()
        .filter(|c| !c.is_whitespace())
        .take(VOUCHER_CHARS_MAX + 1)
        .collect::<String>()
        .to_uppercase()
}

/// Uses a voucher for a booking, under its row's lock: never more often than it may be.
///
/// A booking uses one voucher. Called again for the same booking it changes the amount and adds
/// who redeems: a hold redeems before anybody has a name, and again once somebody has. The
/// booking's row is locked and stored; a voucher's lock comes after the trips' and before the
/// buckets'.
pub async fn redeem(
    tx: &mut TenantTx,
    booking: Uuid,
    code: &str,
    amount_minor: Minor,
    who: &Redeemer,
    now: Instant,
) -> Result<Result<(), VoucherRefusal>, DbError> {
    let code = written(code);
    let Some(kept) = vouchers::lock(tx, &code).await? else {
        return Ok(Err(VoucherRefusal::Unknown(code)));
    };
    let earlier = vouchers::lock_use(tx, booking).await?;
    let standing = earlier.filter(|u| u.returned_at.is_none());
    let again = standing.as_ref().is_some_and(|u| u.code == code);
    if !again {
        let day = super::fares::today(tx, now).await?;
        if let Err(refusal) = kept.voucher.usable(day) {
            return Ok(Err(refusal));
        }
    }
    let used = vouchers::uses_by(tx, &code, who, booking).await?;
    if let Err(refusal) = kept.voucher.usable_by(used) {
        return Ok(Err(refusal));
    }
    if !again {
        if let Some(other) = &standing {
            vouchers::count_use(tx, &other.code, -1).await?;
        }
        vouchers::count_use(tx, &code, 1).await?;
    }
    let entry = vouchers::VoucherUse {
        booking,
        code,
        amount_minor,
        used_at: now,
        returned_at: None,
    };
    vouchers::put_use(tx, &entry, who).await?;
    Ok(Ok(()))
}

/// Gives back what a booking that came to nothing had redeemed; says whether there was anything.
/// A second call does nothing.
pub async fn give_back(tx: &mut TenantTx, booking: Uuid, now: Instant) -> Result<bool, DbError> {
    let Some(standing) = vouchers::use_of(tx, booking).await? else {
        return Ok(false);
    };
    // The voucher before its use, as in redeem.
    vouchers::lock(tx, &standing).await?;
    let entry = vouchers::lock_use(tx, booking).await?;
    if !entry.is_some_and(|u| u.returned_at.is_none() && u.code == standing) {
        return Ok(false);
    }
    vouchers::mark_returned(tx, booking, now).await?;
    vouchers::count_use(tx, &standing, -1).await?;
    Ok(true)
}
