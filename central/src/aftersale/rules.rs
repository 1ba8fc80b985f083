//! What goes back for which reason: decided over loaded rules, nothing else.

mod names;

use core::fmt;

pub use names::{CORRECTIONS_MAX, Correction, NameStanding, NotCorrected, check_correction};

/// Printed on tickets of a company that has said nothing.
pub const DEFAULT_CONDITIONS: &str = "Keep this ticket until you have left the bus. Be at the \
    stop 15 minutes before departure. The code is good for one passenger and one journey. \
    Cancelling and exchanging follow the company's rules: ask with your booking reference and \
    phone number. If the company cancels the trip you may travel on another one or have all your \
    money back.";

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;
/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// Why tickets are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The passenger wishes so: by the company's tiers.
    PassengerRequest,
    /// The company cancelled the trip.
    TripCancelled,
    /// The company swapped the bus, and the other one has no place for the passenger.
    BusSwapped,
    /// The trip is late beyond the company's limit.
    DelayOverLimit,
    /// The same journey was bought twice.
    Duplicate,
    /// The office or counter made a mistake.
    Mistake,
    /// The company is kind.
    Goodwill,
    /// The passenger is ill.
    Medical,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::PassengerRequest,
        Self::TripCancelled,
        Self::BusSwapped,
        Self::DelayOverLimit,
        Self::Duplicate,
        Self::Mistake,
        Self::Goodwill,
        Self::Medical,
    ];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PassengerRequest => "passenger_request",
            Self::TripCancelled => "trip_cancelled",
            Self::BusSwapped => "bus_swapped",
            Self::DelayOverLimit => "delay_over_limit",
            Self::Duplicate => "duplicate",
            Self::Mistake => "mistake",
            Self::Goodwill => "goodwill",
            Self::Medical => "medical",
        }
    }

    /// The reason with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == word)
    }

    /// Whether only the company's staff may give it.
    pub const fn is_staffs(self) -> bool {
        match self {
            Self::PassengerRequest
            | Self::TripCancelled
            | Self::BusSwapped
            | Self::DelayOverLimit => false,
            Self::Duplicate | Self::Mistake | Self::Goodwill | Self::Medical => true,
        }
    }

    /// Whether everything goes back.
    const fn is_full(self) -> bool {
        !matches!(self, Self::PassengerRequest)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One step of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// Asked for at least so many hours before departure.
    pub hours_before: i32,
    /// Per cent of the price.
    pub keep_percent: i16,
    /// On top, per seat, minor units.
    pub fee_minor: i64,
}

/// A company's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Steps, in any order; of one route.
    pub tiers: Vec<Tier>,
    /// Per seat, minor units.
    pub exchange_fee_minor: i64,
    /// No exchange later than so many minutes before departure.
    pub exchange_until_min: i32,
    /// A longer delay refunds everything.
    pub delay_limit_min: i32,
    /// Per cent kept of who did not come.
    pub no_show_keep_percent: i16,
    /// Whether passengers may cancel and exchange by themselves.
    pub self_service: bool,
    /// How often passengers may correct a name by themselves.
    pub correction_max: i16,
    /// And no later than so many minutes before departure.
    pub correction_until_min: i32,
}

/// What holds for a company that has said nothing: a tenth is kept a day ahead, half until two
/// hours before, then everything.
impl Default for Rules {
    fn default() -> Self {
        let tier = |hours_before, keep_percent| Tier {
            hours_before,
            keep_percent,
            fee_minor: 0,
        };
        Self {
            tiers: vec![tier(24, 10), tier(2, 50)],
            exchange_fee_minor: 0,
            exchange_until_min: 60,
            delay_limit_min: 120,
            no_show_keep_percent: 100,
            self_service: true,
            correction_max: 2,
            correction_until_min: 0,
        }
    }
}

/// How a ticket stands when it is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What was paid for it and not given back, minor units.
    pub price_minor: i64,
    /// When its passenger's bus leaves, by the timetable, in ms.
    pub departs_ms: i64,
    /// How late the bus is, in ms.
    pub delay_ms: i64,
    /// Whether the company cancelled the trip, or has no place for the passenger.
    pub is_cancelled: bool,
    /// Whether the passenger got in.
    pub has_boarded: bool,
}

/// What goes back for one ticket, and what stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// To the passenger, minor units.
    pub refund_minor: i64,
    /// Earned by the company, minor units.
    pub fee_minor: i64,
}

/// Why nothing can be offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOffered {
    /// The reason is the staff's to give.
    #[error("the reason {0} is for the company's staff: ask at a counter")]
    StaffOnly(Reason),
    /// The company lets nobody do it alone.
    #[error("this company cancels and exchanges at its counters only")]
    AtTheCounter,
    /// The passenger travelled.
    #[error("ticket {0} was used: its passenger boarded")]
    Boarded(uuid::Uuid),
    /// It is not so.
    #[error("the company neither cancelled the trip nor took its seat away")]
    NotCancelled,
    /// Not late enough.
    #[error("the trip is not late by more than {0} minutes")]
    NotLate(i32),
    /// Too late to exchange.
    #[error("tickets of this company are exchanged until {0} minutes before departure")]
    TooLate(i32),
}

/// Whether a reason may be given, and is true.
pub fn check(
    rules: &Rules,
    reason: Reason,
    by_staff: bool,
    standing: &Standing,
) -> Result<(), NotOffered> {
    if reason.is_staffs() && !by_staff {
        return Err(NotOffered::StaffOnly(reason));
    }
    if reason == Reason::PassengerRequest && !by_staff && !rules.self_service {
        return Err(NotOffered::AtTheCounter);
    }
    if matches!(reason, Reason::TripCancelled | Reason::BusSwapped) && !standing.is_cancelled {
        return Err(NotOffered::NotCancelled);
    }
    let limit_ms = i64::from(rules.delay_limit_min) * MINUTE_MS;
    if reason == Reason::DelayOverLimit && standing.delay_ms <= limit_ms {
        return Err(NotOffered::NotLate(rules.delay_limit_min));
    }
    Ok(())
}

/// What goes back for one ticket.
pub fn share(rules: &Rules, reason: Reason, standing: &Standing, now_ms: i64) -> Share {
    let price = standing.price_minor.max(0);
    // Who asks to cancel what the company cancelled means to have everything back.
    if reason.is_full() || standing.is_cancelled {
        return Share {
            refund_minor: price,
            fee_minor: 0,
        };
    }
    let left_ms = standing.departs_ms.saturating_sub(now_ms);
    let kept = if left_ms <= 0 {
        percent(price, rules.no_show_keep_percent)
    } else {
        let within = |t: &&Tier| i64::from(t.hours_before) * HOUR_MS <= left_ms;
        let tier = rules.tiers.iter().filter(within);
        tier.max_by_key(|t| t.hours_before).map_or(price, |t| {
            percent(price, t.keep_percent).saturating_add(t.fee_minor.max(0))
        })
    };
    let fee_minor = kept.clamp(0, price);
    Share {
        refund_minor: price - fee_minor,
        fee_minor,
    }
}

/// Rounded once, halves up.
fn percent(amount: i64, percent: i16) -> i64 {
    let exact = i128::from(amount) * i128::from(percent.clamp(0, 100));
    i64::try_from((exact + 50) / 100).unwrap_or(i64::MAX)
}

/// Whether tickets may still be exchanged.
pub fn check_exchange(
    rules: &Rules,
    reason: Reason,
    standing: &Standing,
    now_ms: i64,
) -> Result<(), NotOffered> {
    let until_ms = i64::from(rules.exchange_until_min) * MINUTE_MS;
    let late = now_ms.saturating_add(until_ms) > standing.departs_ms;
    if late && !reason.is_full() && !standing.is_cancelled {
        return Err(NotOffered::TooLate(rules.exchange_until_min));
    }
    Ok(())
}

/// How an exchange is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exchange {
    /// Kept for the trouble.
    pub fee_minor: i64,
    /// Of the old price, what pays for the new tickets and the fee.
    pub used_minor: i64,
    /// What is to pay beside.
    pub due_minor: i64,
    /// What goes back.
    pub refund_minor: i64,
}

/// What an exchange of tickets worth `old` for tickets at `new` comes to, minor units.
pub fn exchange(rules: &Rules, reason: Reason, seats: usize, old: i64, new: i64) -> Exchange {
    let seats = i64::try_from(seats).unwrap_or(i64::MAX);
    let fee_minor = if reason.is_full() {
        0
    } else {
        rules.exchange_fee_minor.max(0).saturating_mul(seats)
    };
    let needed = new.max(0).saturating_add(fee_minor);
    let old = old.max(0);
    let used_minor = needed.min(old);
    Exchange {
        fee_minor,
        used_minor,
        due_minor: needed - used_minor,
        refund_minor: old - used_minor,
    }
}

/// The steps as a sentence, for people.
pub fn in_words(rules: &Rules) -> String {
    let mut tiers = rules.tiers.clone();
    tiers.sort_by_key(|t| -t.hours_before);
    let step = |t: &Tier| {
        format!(
            "{} % until {} h before",
            100 - t.keep_percent,
            t.hours_before
        )
    };
    let steps: Vec<String> = tiers.iter().map(step).collect();
    format!("refunded: {}", steps.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn standing(price_minor: i64, hours_left: i64) -> Standing {
        Standing {
            price_minor,
            departs_ms: NOW + hours_left * HOUR_MS,
            delay_ms: 0,
            is_cancelled: false,
            has_boarded: false,
        }
    }

    #[test]
    fn the_defaults_keep_more_the_later_somebody_asks() {
        let rules = Rules::default();
        let back = |hours| {
            share(
                &rules,
                Reason::PassengerRequest,
                &standing(10_000, hours),
                NOW,
            )
        };
        assert_eq!(back(48).refund_minor, 9_000);
        assert_eq!(back(24).refund_minor, 9_000);
        assert_eq!(back(23).refund_minor, 5_000);
        assert_eq!(back(2).refund_minor, 5_000);
        assert_eq!(back(1).refund_minor, 0);
        assert_eq!(back(-1).refund_minor, 0);
    }

    #[test]
    fn what_the_company_caused_goes_back_whole_and_has_to_be_true() {
        let rules = Rules::default();
        let mut late = standing(10_000, 1);
        assert_eq!(
            check(&rules, Reason::DelayOverLimit, false, &late),
            Err(NotOffered::NotLate(120))
        );
        late.delay_ms = 121 * MINUTE_MS;
        assert_eq!(check(&rules, Reason::DelayOverLimit, false, &late), Ok(()));
        assert_eq!(
            share(&rules, Reason::DelayOverLimit, &late, NOW).refund_minor,
            10_000
        );
        assert_eq!(
            check(&rules, Reason::TripCancelled, false, &late),
            Err(NotOffered::NotCancelled)
        );
        for reason in [
            Reason::Goodwill,
            Reason::Medical,
            Reason::Mistake,
            Reason::Duplicate,
        ] {
            assert_eq!(
                check(&rules, reason, false, &late),
                Err(NotOffered::StaffOnly(reason))
            );
            assert_eq!(check(&rules, reason, true, &late), Ok(()));
        }
    }

    #[test]
    fn every_reason_reads_back_from_its_word() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::of("because"), None);
    }

    fn rules() -> impl Strategy<Value = Rules> {
        let tier = (0i32..1000, 0i16..=100, 0i64..50_000).prop_map(
            |(hours_before, keep_percent, fee_minor)| Tier {
                hours_before,
                keep_percent,
                fee_minor,
            },
        );
        (prop::collection::vec(tier, 0..6), 0i64..10_000, 0i16..=100).prop_map(
            |(tiers, fee, no_show)| Rules {
                tiers,
                exchange_fee_minor: fee,
                no_show_keep_percent: no_show,
                ..Rules::default()
            },
        )
    }

    proptest! {
        #[test]
        fn a_refund_and_what_is_kept_are_what_was_paid(
            rules in rules(), price in 0i64..1_000_000_000, hours in -100i64..2000,
            reason in prop::sample::select(Reason::ALL.to_vec()), cancelled in any::<bool>(),
        ) {
            let asked = Standing { is_cancelled: cancelled, ..standing(price, hours) };
            let share = share(&rules, reason, &asked, NOW);
            prop_assert!(share.refund_minor >= 0 && share.fee_minor >= 0);
            prop_assert_eq!(share.refund_minor + share.fee_minor, price);
        }

        #[test]
        fn with_tiers_that_fall_asking_earlier_never_pays_less(
            mut steps in prop::collection::vec((0i32..500, 0i16..=100), 1..6),
            price in 0i64..1_000_000, early in 1i64..600, later in 1i64..600,
        ) {
            steps.sort_unstable_by_key(|s| s.0);
            steps.dedup_by_key(|s| s.0);
            let mut keeps: Vec<i16> = steps.iter().map(|s| s.1).collect();
            keeps.sort_unstable_by_key(|k| -k);
            let tiers = steps.iter().zip(keeps).map(|(s, keep_percent)| Tier {
                hours_before: s.0, keep_percent, fee_minor: 0,
            });
            let rules = Rules { tiers: tiers.collect(), ..Rules::default() };
            let back = |hours| share(&rules, Reason::PassengerRequest, &standing(price, hours), NOW).refund_minor;
            let (early, later) = (early.max(later), early.min(later));
            prop_assert!(back(early) >= back(later));
        }

        #[test]
        fn an_exchange_loses_no_coin(
            rules in rules(), old in 0i64..1_000_000, new in 0i64..1_000_000, seats in 1usize..60,
            reason in prop::sample::select(Reason::ALL.to_vec()),
        ) {
            let e = exchange(&rules, reason, seats, old, new);
            prop_assert_eq!(e.used_minor + e.refund_minor, old);
            prop_assert_eq!(e.used_minor + e.due_minor, new + e.fee_minor);
            prop_assert!(e.refund_minor == 0 || e.due_minor == 0);
            prop_assert!(e.refund_minor >= 0 && e.due_minor >= 0 && e.refund_minor <= old);
        }
    }
}
