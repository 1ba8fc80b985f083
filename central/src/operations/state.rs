//! What may happen to a trip on its day: pure.
//!
//! ```text
//! scheduled ──► boarding ──► departed ──► arrived
//!     └──────────────┴──► cancelled
//! ```

use core::fmt;

use domain::time::Instant;

/// The longest delay that can be entered: past that the trip is another one.
pub const DELAY_MS_MAX: i64 = 72 * 3_600_000;
/// A departure or arrival may be entered so much ahead of the hub's clock, never more.
const CLOCK_SLACK_MS: i64 = 2 * 60_000;
/// Nobody departs earlier than this before the timetable.
const EARLY_MS_MAX: i64 = 60 * 60_000;

/// Where a trip stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// In the timetable.
    Scheduled,
    /// Passengers get on.
    Boarding,
    /// It has left its first stop.
    Departed,
    /// It has reached its last stop.
    Arrived,
    /// It does not run.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Scheduled,
        Self::Boarding,
        Self::Departed,
        Self::Arrived,
        Self::Cancelled,
    ];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Boarding => "boarding",
            Self::Departed => "departed",
            Self::Arrived => "arrived",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// Whether it has not left yet, and will.
    pub const fn is_to_come(self) -> bool {
        matches!(self, Self::Scheduled | Self::Boarding)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A trip as far as its day is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TripDay {
    /// Where it stands.
    pub state: State,
    /// From its first stop by the timetable.
    pub departs_at: Instant,
    /// How late it is, in ms.
    pub delay_ms: i64,
    /// Why it is late or cancelled.
    pub reason: Option<String>,
    /// When it left.
    pub departed_at: Option<Instant>,
    /// When it arrived.
    pub arrived_at: Option<Instant>,
}

/// What somebody wants of a trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Passengers may get on.
    Board,
    /// It left at this moment.
    Depart(Instant),
    /// It arrived at this moment.
    Arrive(Instant),
    /// It does not run.
    Cancel(String),
    /// It is so late.
    Delay {
        /// In ms; 0 is on time again.
        delay_ms: i64,
        /// For passengers.
        reason: String,
    },
}

/// What happened to a trip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Passengers get on.
    Boarding,
    /// It left.
    Departed(Instant),
    /// It arrived.
    Arrived(Instant),
    /// It does not run.
    Cancelled(String),
    /// It is so late.
    Delayed {
        /// In ms; 0 is on time again.
        delay_ms: i64,
        /// For passengers.
        reason: String,
    },
}

impl Event {
    /// The word it is stored under.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Boarding => "boarding",
            Self::Departed(_) => "departed",
            Self::Arrived(_) => "arrived",
            Self::Cancelled(_) => "cancelled",
            Self::Delayed { .. } => "delayed",
        }
    }
}

/// Why something cannot happen to a trip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not from the state it is in.
    #[error("a trip that is {state} cannot {wanted}")]
    NotFrom {
        /// Where it stands.
        state: State,
        /// What was wanted.
        wanted: &'static str,
    },
    /// A moment that has not come.
    #[error("{0} is to come: enter what has happened")]
    ToCome(Instant),
    /// Long before the timetable.
    #[error("the trip leaves at {0}, and never more than an hour earlier")]
    TooEarly(Instant),
    /// It arrived before it left.
    #[error("the trip left at {0}: it cannot arrive earlier")]
    ArrivesBeforeItLeft(Instant),
    /// No delay of a bus.
    #[error("a delay is 0 to 72 hours; cancel a trip that is later")]
    NoSuchDelay,
}

/// What a command leads to; nothing where it is so already.
pub fn decide(trip: &TripDay, command: &Command, now: Instant) -> Result<Vec<Event>, Refusal> {
    let not_from = |wanted| {
        Err(Refusal::NotFrom {
            state: trip.state,
            wanted,
        })
    };
    match (command, trip.state) {
        (Command::Board, State::Scheduled) => Ok(vec![Event::Boarding]),
        (Command::Board, State::Boarding)
        | (Command::Depart(_), State::Departed)
        | (Command::Arrive(_), State::Arrived)
        | (Command::Cancel(_), State::Cancelled) => Ok(vec![]),
        (Command::Depart(at), State::Scheduled | State::Boarding) => {
            happened(*at, now)?;
            if *at < trip.departs_at.plus_ms(-EARLY_MS_MAX) {
                return Err(Refusal::TooEarly(trip.departs_at));
            }
            let boarding = (trip.state == State::Scheduled).then_some(Event::Boarding);
            Ok(boarding.into_iter().chain([Event::Departed(*at)]).collect())
        }
        (Command::Arrive(at), State::Departed) => {
            happened(*at, now)?;
            match trip.departed_at {
                Some(left) if *at < left => Err(Refusal::ArrivesBeforeItLeft(left)),
                Some(_) | None => Ok(vec![Event::Arrived(*at)]),
            }
        }
        (Command::Cancel(reason), State::Scheduled | State::Boarding) => {
            Ok(vec![Event::Cancelled(reason.clone())])
        }
        (
            Command::Delay { delay_ms, reason },
            State::Scheduled | State::Boarding | State::Departed,
        ) => {
            if !(0..=DELAY_MS_MAX).contains(delay_ms) {
                return Err(Refusal::NoSuchDelay);
            }
            let same = *delay_ms == trip.delay_ms && trip.reason.as_ref() == Some(reason);
            let event = Event::Delayed {
                delay_ms: *delay_ms,
                reason: reason.clone(),
            };
            Ok((!same).then_some(event).into_iter().collect())
        }
        (Command::Board, _) => not_from("board"),
        (Command::Depart(_), _) => not_from("depart"),
        (Command::Arrive(_), _) => not_from("arrive"),
        (Command::Cancel(_), _) => not_from("be cancelled"),
        (Command::Delay { .. }, _) => not_from("be late"),
    }
}

fn happened(at: Instant, now: Instant) -> Result<(), Refusal> {
    if at > now.plus_ms(CLOCK_SLACK_MS) {
        return Err(Refusal::ToCome(at));
    }
    Ok(())
}

/// The trip after an event.
pub fn apply(trip: &mut TripDay, event: &Event) {
    match event {
        Event::Boarding => trip.state = State::Boarding,
        Event::Departed(at) => {
            trip.state = State::Departed;
            trip.departed_at = Some(*at);
        }
        Event::Arrived(at) => {
            trip.state = State::Arrived;
            trip.arrived_at = Some(*at);
        }
        Event::Cancelled(reason) => {
            trip.state = State::Cancelled;
            trip.reason = Some(reason.clone());
        }
        Event::Delayed { delay_ms, reason } => {
            trip.delay_ms = *delay_ms;
            trip.reason = Some(reason.clone());
        }
    }
}

/// When a trip has departed although nobody said so.
pub fn departs_by_itself_at(departs_at: Instant, delay_ms: i64, after_ms: i64) -> Instant {
    departs_at.plus_ms(delay_ms).plus_ms(after_ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAVES: Instant = Instant(1_800_000_000_000);

    fn trip() -> TripDay {
        TripDay {
            state: State::Scheduled,
            departs_at: LEAVES,
            delay_ms: 0,
            reason: None,
            departed_at: None,
            arrived_at: None,
        }
    }

    fn after(commands: &[Command], now: Instant) -> TripDay {
        let mut trip = trip();
        for command in commands {
            for event in decide(&trip, command, now).unwrap() {
                apply(&mut trip, &event);
            }
        }
        trip
    }

    #[test]
    fn a_trip_goes_through_its_day_in_order_and_the_same_again_changes_nothing() {
        let now = LEAVES.plus_ms(3_600_000);
        let (left, there) = (LEAVES.plus_ms(60_000), LEAVES.plus_ms(3_000_000));
        let day = [
            Command::Board,
            Command::Depart(left),
            Command::Arrive(there),
        ];
        for length in 1..=day.len() {
            let trip = after(&day[..length], now);
            assert_eq!(decide(&trip, &day[length - 1], now), Ok(vec![]));
            for earlier in &day[..length - 1] {
                assert!(decide(&trip, earlier, now).is_err(), "{earlier:?}");
            }
        }
        let done = after(&day, now);
        assert_eq!(
            (done.departed_at, done.arrived_at),
            (Some(left), Some(there))
        );
        let straight = decide(&trip(), &Command::Depart(left), now);
        assert_eq!(straight, Ok(vec![Event::Boarding, Event::Departed(left)]));
    }

    #[test]
    fn what_has_left_cannot_be_cancelled_and_what_is_cancelled_stays_so() {
        let cancel = Command::Cancel("flood".to_owned());
        let gone = after(&[Command::Depart(LEAVES)], LEAVES);
        let refused = Refusal::NotFrom {
            state: State::Departed,
            wanted: "be cancelled",
        };
        assert_eq!(decide(&gone, &cancel, LEAVES), Err(refused));
        let cancelled = after(&[Command::Board, cancel], LEAVES);
        assert!(decide(&cancelled, &Command::Board, LEAVES).is_err());
        assert!(decide(&cancelled, &Command::Depart(LEAVES), LEAVES).is_err());
    }

    #[test]
    fn only_what_has_happened_can_be_entered() {
        let depart = |at, now| decide(&trip(), &Command::Depart(at), now);
        let (hour, minute) = (3_600_000, 60_000);
        assert!(matches!(
            depart(LEAVES, LEAVES.plus_ms(-hour)),
            Err(Refusal::ToCome(_))
        ));
        assert!(depart(LEAVES.plus_ms(minute), LEAVES).is_ok(), "its clock");
        let early = LEAVES.plus_ms(-hour - 1);
        assert_eq!(depart(early, LEAVES), Err(Refusal::TooEarly(LEAVES)));
        let gone = after(&[Command::Depart(LEAVES)], LEAVES);
        let arrive = Command::Arrive(LEAVES.plus_ms(-1));
        assert_eq!(
            decide(&gone, &arrive, LEAVES),
            Err(Refusal::ArrivesBeforeItLeft(LEAVES))
        );
    }

    #[test]
    fn a_delay_is_told_when_it_changes() {
        let late = |minutes: i64| Command::Delay {
            delay_ms: minutes * 60_000,
            reason: "road works".to_owned(),
        };
        let trip = after(&[late(20)], LEAVES);
        assert_eq!(decide(&trip, &late(20), LEAVES), Ok(vec![]));
        assert_eq!(decide(&trip, &late(0), LEAVES).map(|e| e.len()), Ok(1));
        for minutes in [-1, 72 * 60 + 1] {
            let refused = decide(&trip, &late(minutes), LEAVES);
            assert_eq!(refused, Err(Refusal::NoSuchDelay));
        }
    }

    fn any_command() -> impl Strategy<Value = Command> {
        let at = -7_200_000_i64..7_200_000;
        prop_oneof![
            Just(Command::Board),
            at.clone()
                .prop_map(|ms| Command::Depart(LEAVES.plus_ms(ms))),
            at.prop_map(|ms| Command::Arrive(LEAVES.plus_ms(ms))),
            Just(Command::Cancel("why".to_owned())),
            (-1_i64..DELAY_MS_MAX + 2).prop_map(|delay_ms| Command::Delay {
                delay_ms,
                reason: "why".to_owned(),
            }),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_wanted_a_trip_never_goes_back_and_its_times_are_in_order(
            commands in prop::collection::vec(any_command(), 0..12),
        ) {
            let mut trip = trip();
            for command in commands {
                let before = trip.clone();
                for event in decide(&trip, &command, LEAVES).unwrap_or_default() {
                    apply(&mut trip, &event);
                }
                prop_assert!(trip.state >= before.state);
                prop_assert!((0..=DELAY_MS_MAX).contains(&trip.delay_ms));
                if before.state == State::Cancelled || before.state == State::Arrived {
                    prop_assert_eq!(&trip.state, &before.state);
                }
                if let (Some(left), Some(there)) = (trip.departed_at, trip.arrived_at) {
                    prop_assert!(left <= there);
                }
            }
        }
    }
}
