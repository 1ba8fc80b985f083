//! What a journey costs: pure.
//!
//! How reductions stack: every discount is reckoned from the full fare. Those that combine are
//! added up; of those that do not, the one that takes most off counts, and is added too. A
//! passenger never gets more off than the fare. A voucher comes last: it is reckoned from what
//! the whole booking still costs, and shared out in proportion, to the last minor unit.

use core::fmt;
use core::str::FromStr;

use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::ServiceDate;

/// A hundred percent, in hundredths of a percent.
const WHOLE_BP: i128 = 10_000;

/// Days on which something holds, both ends included; an absent end is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Validity {
    /// The first day.
    pub from: Option<ServiceDate>,
    /// The last day.
    pub until: Option<ServiceDate>,
}

impl Validity {
    /// Whether it holds on a day.
    pub fn holds_on(&self, day: ServiceDate) -> bool {
        !self.is_before(day) && self.from.is_none_or(|from| from <= day)
    }

    /// Whether its last day is over.
    pub fn is_before(&self, day: ServiceDate) -> bool {
        self.until.is_some_and(|until| until < day)
    }

    /// Whether it holds on any day at all.
    pub fn is_ordered(&self) -> bool {
        match (self.from, self.until) {
            (Some(from), Some(until)) => from <= until,
            (None, _) | (_, None) => true,
        }
    }
}

/// A part of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Off {
    /// In hundredths of a percent, 1 to 10 000.
    PercentBp(u16),
    /// So much, of money in one currency.
    Amount(Minor, Currency),
}

impl Off {
    /// What it comes to: between nothing and all of it, halves rounded up. The one place where
    /// money is rounded.
    pub fn of(&self, whole: Minor, currency: Currency) -> Minor {
        let part = match self {
            Self::PercentBp(bp) => {
                let exact = i128::from(whole.0) * i128::from(*bp);
                i64::try_from((exact + WHOLE_BP / 2).div_euclid(WHOLE_BP)).unwrap_or(whole.0)
            }
            Self::Amount(amount, of) if *of == currency => amount.0,
            Self::Amount(..) => 0,
        };
        Minor(part.min(whole.0).max(0))
    }
}

/// A word that names no channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a channel is online, counter or partner")]
pub struct UnknownChannel;

/// Where a sale is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// By the customer, over the network.
    Online,
    /// By an agent or clerk at the hub's screens.
    Counter,
    /// By another program, under an API key.
    Partner,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Online, Self::Counter, Self::Partner];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Counter => "counter",
            Self::Partner => "partner",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Channel {
    type Err = UnknownChannel;
    fn from_str(text: &str) -> Result<Self, UnknownChannel> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == text)
            .ok_or(UnknownChannel)
    }
}

/// A fare of one stop pair, with the days of sale that it holds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatedFare {
    /// Who travels.
    pub class: PassengerClass,
    /// What it costs.
    pub fare_minor: Minor,
    /// When it is sold.
    pub valid: Validity,
}

/// What a class pays on a day: of the fares that hold, the one whose period began last.
pub fn fare_on(fares: &[DatedFare], class: PassengerClass, day: ServiceDate) -> Option<Minor> {
    fares
        .iter()
        .filter(|f| f.class == class && f.valid.holds_on(day))
        .max_by_key(|f| f.valid.from)
        .map(|f| f.fare_minor)
}

/// What a sale is like, as far as discounts ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occasion<'a> {
    /// The route's code.
    pub route: &'a str,
    /// Of departure at the boarding stop, 1 Monday to 7 Sunday.
    pub weekday: u8,
    /// Days from the sale to departure; 0 on the same day.
    pub days_ahead: i32,
    /// Where it is sold.
    pub channel: Channel,
    /// The day of sale in the company's zone.
    pub sold_on: ServiceDate,
}

/// Something off the fare, by itself. What is empty or absent asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discount {
    /// The company's word for it.
    pub code: String,
    /// Its name for people.
    pub name: String,
    /// Off each passenger's fare.
    pub off: Off,
    /// For these classes.
    pub classes: Vec<PassengerClass>,
    /// On these routes, by code.
    pub routes: Vec<String>,
    /// For departures on these days, 1 Monday to 7 Sunday.
    pub weekdays: Vec<u8>,
    /// When sold here.
    pub channels: Vec<Channel>,
    /// When sold at least so many days ahead.
    pub days_ahead_min: Option<i32>,
    /// When sold at most so many days ahead.
    pub days_ahead_max: Option<i32>,
    /// When sold on these days.
    pub valid: Validity,
    /// Whether it adds to other discounts.
    pub combines: bool,
}

fn asks_for<T: PartialEq>(list: &[T], value: &T) -> bool {
    list.is_empty() || list.contains(value)
}

impl Discount {
    /// Whether a passenger of this class gets it.
    pub fn applies(&self, class: PassengerClass, occasion: &Occasion<'_>) -> bool {
        asks_for(&self.classes, &class)
            && (self.routes.is_empty() || self.routes.iter().any(|r| r == occasion.route))
            && asks_for(&self.weekdays, &occasion.weekday)
            && asks_for(&self.channels, &occasion.channel)
            && self
                .days_ahead_min
                .is_none_or(|min| occasion.days_ahead >= min)
            && self
                .days_ahead_max
                .is_none_or(|max| occasion.days_ahead <= max)
            && self.valid.holds_on(occasion.sold_on)
    }
}

/// Why something was taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasonKind {
    /// A discount of the company.
    Discount,
    /// The customer's voucher.
    Voucher,
}

impl ReasonKind {
    /// `discount` or `voucher`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Discount => "discount",
            Self::Voucher => "voucher",
        }
    }
}

/// One thing that was taken off a fare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What kind.
    pub kind: ReasonKind,
    /// Its code.
    pub code: String,
    /// Its name for people.
    pub name: String,
    /// How much; more than nothing.
    pub amount_minor: Minor,
}

/// What one passenger gets off, each with its reason; together never more than the fare.
pub fn discounts_of(
    fare: Minor,
    currency: Currency,
    class: PassengerClass,
    discounts: &[Discount],
    occasion: &Occasion<'_>,
) -> Vec<Reason> {
    let mut counting: Vec<(&Discount, Minor)> = discounts
        .iter()
        .filter(|d| d.applies(class, occasion))
        .map(|d| (d, d.off.of(fare, currency)))
        .filter(|(_, off)| off.0 > 0)
        .collect();
    // The largest first; of equal ones the first by code, so that the answer has one form.
    counting.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.code.cmp(&b.0.code)));
    let mut left = fare;
    let mut alone = false;
    let mut reasons = vec![];
    for (discount, off) in counting {
        if !discount.combines && std::mem::replace(&mut alone, true) {
            continue;
        }
        let amount_minor = off.min(left);
        if amount_minor.0 == 0 {
            break;
        }
        left = Minor(left.0 - amount_minor.0);
        reasons.push(Reason {
            kind: ReasonKind::Discount,
            code: discount.code.clone(),
            name: discount.name.clone(),
            amount_minor,
        });
    }
    reasons
}

/// Shares an amount out in proportion to what each can bear. The shares add up to it exactly,
/// and none is more than its bearer bears; an amount beyond all of them is cut to their sum.
pub fn shared_out(amount: Minor, bearers: &[Minor]) -> Vec<Minor> {
    let whole: i128 = bearers.iter().map(|b| i128::from(b.0.max(0))).sum();
    let amount = i128::from(amount.0.max(0)).min(whole);
    if whole == 0 {
        return vec![Minor::ZERO; bearers.len()];
    }
    let exact = |b: &Minor| amount * i128::from(b.0.max(0));
    let mut shares: Vec<i64> = bearers
        .iter()
        .map(|b| i64::try_from(exact(b) / whole).unwrap_or(i64::MAX))
        .collect();
    let given: i128 = shares.iter().map(|s| i128::from(*s)).sum();
    // What is left over is less than the number of shares with a remainder; the largest
    // remainders get one each, the first of equal ones first.
    let mut order: Vec<usize> = (0..bearers.len()).collect();
    order.sort_by_key(|i| core::cmp::Reverse(bearers.get(*i).map_or(0, |b| exact(b) % whole)));
    let left_over = usize::try_from(amount - given).unwrap_or(0);
    for index in order.into_iter().take(left_over) {
        if let Some(share) = shares.get_mut(index) {
            *share += 1;
        }
    }
    shares.into_iter().map(Minor).collect()
}

/// What a voucher takes off a booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher {
    /// What the customer types.
    pub code: String,
    /// Its name for people.
    pub name: String,
    /// Off the booking.
    pub off: Off,
    /// When sold on these days.
    pub valid: Validity,
    /// How often it may be used in all.
    pub uses_max: Option<i32>,
    /// How often by one person.
    pub uses_per_person_max: Option<i32>,
    /// How often it is used.
    pub used: i32,
    /// What the booking has to cost at least, after discounts.
    pub min_spend_minor: Minor,
    /// What `min_spend_minor` is in.
    pub currency: Option<Currency>,
    /// Whether the company lets it be used.
    pub active: bool,
}

/// Why a voucher takes nothing off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoucherRefusal {
    /// The company has none of that code, or has stopped it.
    #[error("there is no voucher {0}: check the code")]
    Unknown(String),
    /// Its first day is to come.
    #[error("voucher {code} holds from {from}")]
    NotYet {
        /// Which.
        code: String,
        /// Its first day.
        from: ServiceDate,
    },
    /// Its last day is over.
    #[error("voucher {code} held until {until}")]
    Over {
        /// Which.
        code: String,
        /// Its last day.
        until: ServiceDate,
    },
    /// It was used as often as it may be.
    #[error("voucher {0} is used up")]
    UsedUp(String),
    /// This person used it as often as one may.
    #[error("voucher {code} may be used {max} times by one person, and was")]
    UsedByYou {
        /// Which.
        code: String,
        /// How often.
        max: i32,
    },
    /// The booking costs too little.
    #[error("voucher {code} is for bookings of {} {currency} or more", min_spend_minor.display(*currency))]
    SpendMore {
        /// Which.
        code: String,
        /// At least so much, after discounts.
        min_spend_minor: Minor,
        /// In this.
        currency: Currency,
    },
    /// It is money of another currency.
    #[error("voucher {code} is not for journeys sold in {currency}")]
    OtherCurrency {
        /// Which.
        code: String,
        /// What the journey is sold in.
        currency: Currency,
    },
}

impl Voucher {
    /// Whether it may be used on a day, once more than it was.
    pub fn usable(&self, day: ServiceDate) -> Result<(), VoucherRefusal> {
        let code = || self.code.clone();
        if !self.active {
            return Err(VoucherRefusal::Unknown(code()));
        }
        if let Some(until) = self.valid.until.filter(|until| *until < day) {
            return Err(VoucherRefusal::Over {
                code: code(),
                until,
            });
        }
        if let Some(from) = self.valid.from.filter(|from| *from > day) {
            return Err(VoucherRefusal::NotYet { code: code(), from });
        }
        if self.uses_max.is_some_and(|max| self.used >= max) {
            return Err(VoucherRefusal::UsedUp(code()));
        }
        Ok(())
    }

    /// Whether somebody who used it so often may use it again.
    pub fn usable_by(&self, used_by_person: i64) -> Result<(), VoucherRefusal> {
        match self.uses_per_person_max {
            Some(max) if used_by_person >= i64::from(max) => Err(VoucherRefusal::UsedByYou {
                code: self.code.clone(),
                max,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// What it takes off a booking that costs `total` after discounts.
    pub fn off_booking(&self, total: Minor, currency: Currency) -> Result<Minor, VoucherRefusal> {
        if self.currency.is_some_and(|own| own != currency) {
            return Err(VoucherRefusal::OtherCurrency {
                code: self.code.clone(),
                currency,
            });
        }
        if total < self.min_spend_minor {
            return Err(VoucherRefusal::SpendMore {
                code: self.code.clone(),
                min_spend_minor: self.min_spend_minor,
                currency,
            });
        }
        Ok(self.off.of(total, currency))
    }
}

#[cfg(test)]
mod tests;
