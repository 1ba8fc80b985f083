//! Where a booking stands, and how long its seats may wait for money.

use core::fmt;

use domain::time::Instant;

/// How long seats are held without a name, at first.
pub const HOLD_MS: i64 = 10 * 60 * 1000;
/// No customer keeps unpaid seats longer than this, however often they ask.
pub const HOLD_LIMIT_MS: i64 = 30 * 60 * 1000;
/// How much longer a payment that is under way may keep them.
pub const PAYMENT_GRACE_MS: i64 = 15 * 60 * 1000;

/// Where a booking stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Seats without a name.
    Held,
    /// With a name, not paid.
    AwaitingPayment,
    /// Paid, tickets issued.
    Confirmed,
    /// Nobody paid in time; its seats went back.
    Expired,
    /// Taken back, before or after payment.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Held,
        Self::AwaitingPayment,
        Self::Confirmed,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::AwaitingPayment => "awaiting_payment",
            Self::Confirmed => "confirmed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// Whether its seats are claims that wait for money.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Held | Self::AwaitingPayment)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// When unpaid seats go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// As it stands.
    pub expires_at: Instant,
    /// No extension reaches beyond, not even a payment's.
    pub last: Instant,
}

impl Deadline {
    /// Of seats taken at this moment.
    pub fn starting(now: Instant) -> Self {
        Self {
            expires_at: now.plus_ms(HOLD_MS),
            last: now.plus_ms(HOLD_LIMIT_MS + PAYMENT_GRACE_MS),
        }
    }

    /// The last moment that a customer's own wish reaches.
    pub fn customers_last(self) -> Instant {
        self.last.plus_ms(-PAYMENT_GRACE_MS)
    }

    /// What a customer's wish for more time comes to; `None` where there is no more to be had.
    pub fn extended(self, now: Instant) -> Option<Self> {
        let wanted = now.plus_ms(HOLD_MS).min(self.customers_last());
        (wanted > self.expires_at && now < self.expires_at).then_some(Self {
            expires_at: wanted,
            last: self.last,
        })
    }

    /// What a payment that needs the seats until then comes to: never less than before, never
    /// beyond the last moment.
    pub fn kept_for_payment(self, until: Instant) -> Self {
        Self {
            expires_at: until.min(self.last).max(self.expires_at),
            last: self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_state_reads_back_from_its_word() {
        for state in State::ALL {
            assert_eq!(State::of(state.as_str()), Some(state));
        }
        assert_eq!(State::of("paid"), None);
    }

    proptest! {
        #[test]
        fn a_hold_never_outlives_its_limit_however_often_it_is_extended(
            start in 0i64..4_000_000_000_000,
            wishes in prop::collection::vec((0i64..40 * 60_000, any::<bool>()), 0..40),
        ) {
            let start = Instant(start);
            let mut deadline = Deadline::starting(start);
            let mut now = start;
            for (later, pays) in wishes {
                now = now.plus_ms(later);
                let before = deadline;
                if pays {
                    deadline = deadline.kept_for_payment(now.plus_ms(later));
                } else if let Some(longer) = deadline.extended(now) {
                    prop_assert!(longer.expires_at <= start.plus_ms(HOLD_LIMIT_MS));
                    deadline = longer;
                }
                prop_assert!(deadline.expires_at >= before.expires_at);
                prop_assert_eq!(deadline.last, start.plus_ms(HOLD_LIMIT_MS + PAYMENT_GRACE_MS));
                prop_assert!(deadline.expires_at <= deadline.last);
            }
        }

        #[test]
        fn what_has_run_out_is_not_extended(late in 0i64..100_000_000) {
            let deadline = Deadline::starting(Instant(0));
            prop_assert_eq!(deadline.extended(deadline.expires_at.plus_ms(late)), None);
        }
    }
}
