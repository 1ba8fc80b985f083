//! What a payment and a refund may become. No IO, clock or randomness.

use domain::money::Minor;
use domain::time::Instant;

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentState {
    /// Stored; the provider may not have heard of it.
    Intent,
    /// The provider has it and has not decided.
    Pending,
    /// The money is there.
    Captured,
    /// The provider said no.
    Failed,
    /// Nobody paid in time.
    Expired,
}

impl PaymentState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Intent,
        Self::Pending,
        Self::Captured,
        Self::Failed,
        Self::Expired,
    ];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Pending => "pending",
            Self::Captured => "captured",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// Reads its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// Whether it may still be paid in the ordinary way.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Intent | Self::Pending)
    }
}

/// What the provider is known to think of a payment or a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Heard {
    /// Certainly yes: the money moved.
    Yes,
    /// Certainly no: it did not, and will not under this reference.
    No,
    /// It knows of it and has not decided.
    Waiting,
    /// It has never heard of the reference.
    NeverHeard,
    /// No answer, or none that means anything.
    NoWord,
}

/// What a payment becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing changes, and the provider is not asked again by itself.
    Rest,
    /// Still under way: in this state, asked again at this time.
    Wait(PaymentState, Instant),
    /// The money is there.
    Capture,
    /// It is not and will not be.
    Fail,
    /// Time is over; asked again at this time, for money may come late.
    Expire(Option<Instant>),
}

/// What the rules know of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands.
    pub state: PaymentState,
    /// How often the provider was called for it.
    pub asked: u32,
    /// After it the payment expires.
    pub deadline: Instant,
}

/// The first wait between two questions, in milliseconds.
const POLL_FIRST_MS: i64 = 1_000;
/// The longest wait between two questions of a live payment.
const POLL_LAST_MS: i64 = 30_000;
/// When an expired payment is asked about, counted from its deadline: 10 min, 1 h, 6 h, 1 d, 3 d.
const LATE_MS: [i64; 5] = [600_000, 3_600_000, 21_600_000, 86_400_000, 259_200_000];

/// What the provider's word makes of a payment.
pub fn hear(payment: Standing, heard: Heard, now: Instant) -> Step {
    use PaymentState as S;
    match (payment.state, heard) {
        // Whatever was said before: money that came is money.
        (S::Intent | S::Pending | S::Failed | S::Expired, Heard::Yes) => Step::Capture,
        (S::Captured | S::Failed, _) | (S::Expired, Heard::No) => Step::Rest,
        (S::Intent | S::Pending, Heard::No) => Step::Fail,
        (S::Expired, Heard::Waiting | Heard::NeverHeard | Heard::NoWord) => {
            late(payment.deadline, now).map_or(Step::Rest, |at| Step::Wait(S::Expired, at))
        }
        (S::Intent | S::Pending, Heard::Waiting | Heard::NeverHeard | Heard::NoWord) => {
            if now >= payment.deadline {
                return Step::Expire(late(payment.deadline, now));
            }
            let known = payment.state == S::Pending || heard == Heard::Waiting;
            let state = if known { S::Pending } else { S::Intent };
            let at = now.plus_ms(backoff_ms(payment.asked, POLL_FIRST_MS, POLL_LAST_MS));
            // The last question comes at the deadline, not half a minute after it.
            Step::Wait(state, Instant(at.0.min(payment.deadline.0.max(now.0 + 1))))
        }
    }
}

/// The next time to ask about an expired payment.
fn late(deadline: Instant, now: Instant) -> Option<Instant> {
    let times = LATE_MS.into_iter().map(|ms| deadline.plus_ms(ms));
    times.into_iter().find(|at| *at > now)
}

/// Doubles from the first wait to the last.
pub fn backoff_ms(tries: u32, first_ms: i64, last_ms: i64) -> i64 {
    let doubled = first_ms.saturating_mul(1 << tries.min(30));
    doubled.min(last_ms)
}

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefundState {
    /// Stored; the provider may not have heard of it.
    Requested,
    /// The provider has it.
    Pending,
    /// The money went back.
    Done,
    /// It did not; a person decides.
    Failed,
}

impl RefundState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Requested, Self::Pending, Self::Done, Self::Failed];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Reads its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

/// What a refund becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundStep {
    /// Nothing changes.
    Rest,
    /// Still under way: in this state, tried again at this time.
    Wait(RefundState, Instant),
    /// The money went back.
    Finish,
    /// A person decides.
    Fail,
}

/// The first and the longest wait between two tries of a refund, in milliseconds.
const REFUND_FIRST_MS: i64 = 1_000;
const REFUND_LAST_MS: i64 = 3_600_000;
/// After so many tries without an answer a person looks: about three days.
const REFUND_TRIES_MAX: u32 = 84;

/// What the provider's word makes of a refund.
pub fn hear_refund(state: RefundState, asked: u32, heard: Heard, now: Instant) -> RefundStep {
    use RefundState as S;
    match (state, heard) {
        (S::Requested | S::Pending | S::Failed, Heard::Yes) => RefundStep::Finish,
        (S::Done | S::Failed, _) => RefundStep::Rest,
        (S::Requested | S::Pending, Heard::No) => RefundStep::Fail,
        (S::Requested | S::Pending, _) if asked >= REFUND_TRIES_MAX => RefundStep::Fail,
        (S::Requested | S::Pending, Heard::Waiting | Heard::NeverHeard | Heard::NoWord) => {
            let known = state == S::Pending || heard == Heard::Waiting;
            let state = if known { S::Pending } else { S::Requested };
            let wait = backoff_ms(asked, REFUND_FIRST_MS, REFUND_LAST_MS);
            RefundStep::Wait(state, now.plus_ms(wait))
        }
    }
}

/// More money was asked back than came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only {left} minor units of what was paid can still be returned, not {wanted}", left = left.0, wanted = wanted.0)]
pub struct MoreThanPaid {
    /// What was wanted.
    pub wanted: Minor,
    /// What is left of what was paid.
    pub left: Minor,
}

/// Which payments an amount goes back to, by what is left of each: in the order given, as little
/// as possible from the later ones. Gives (index, part) with parts above zero that sum to the
/// amount.
pub fn allocate(wanted: Minor, left: &[Minor]) -> Result<Vec<(usize, Minor)>, MoreThanPaid> {
    let sum: i128 = left.iter().map(|m| i128::from(m.0.max(0))).sum();
    let whole = i64::try_from(sum).unwrap_or(i64::MAX);
    if wanted.0 <= 0 || i128::from(wanted.0) > sum {
        return Err(MoreThanPaid {
            wanted,
            left: Minor(whole),
        });
    }
    let mut open = wanted.0;
    let mut parts = vec![];
    for (index, left) in left.iter().enumerate() {
        let part = open.min(left.0.max(0));
        if part > 0 {
            parts.push((index, Minor(part)));
            open -= part;
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
