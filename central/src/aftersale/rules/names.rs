//! Whether a passenger's name may be corrected.

use super::{MINUTE_MS, Rules};

/// The most corrections of one seat's name, by whomever: more is a trade in tickets.
pub const CORRECTIONS_MAX: i64 = 20;

/// Why a name is corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// It was misspelled.
    Typo,
    /// A part of it was missing.
    Incomplete,
    /// The passenger is called otherwise since.
    NameChange,
    /// Somebody else travels.
    OtherPerson,
}

impl Correction {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::Typo,
        Self::Incomplete,
        Self::NameChange,
        Self::OtherPerson,
    ];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Typo => "typo",
            Self::Incomplete => "incomplete",
            Self::NameChange => "name_change",
            Self::OtherPerson => "other_person",
        }
    }

    /// The reason with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == word)
    }
}

/// How a seat of a booking stands when its passenger's name is to be corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameStanding {
    /// Whether the seat is held or has a live ticket.
    pub is_live: bool,
    /// Whether the passenger got in.
    pub has_boarded: bool,
    /// When the bus leaves the passenger's stop, its delay included, in ms.
    pub departs_ms: i64,
    /// How often the name was corrected before.
    pub corrected: i64,
}

/// Why a name stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCorrected {
    /// Nobody travels on it.
    #[error(
        "this seat was given back, or its ticket was taken back or used: there is no name to correct"
    )]
    NotLive,
    /// The company lets nobody do it alone.
    #[error("this company corrects names at its counters only")]
    AtTheCounter,
    /// The reason is the staff's to give.
    #[error("another person travels only once the company's staff says so: ask at a counter")]
    StaffOnly,
    /// Too late.
    #[error("names are corrected until {0} minutes before departure")]
    TooLate(i32),
    /// The bus has left.
    #[error("the bus has left: the name stays as it was")]
    Departed,
    /// Too often.
    #[error("this name was corrected {0} times already: ask at a counter")]
    TooOften(i64),
}

/// Whether a name may be corrected at this moment.
pub fn check_correction(
    rules: &Rules,
    why: Correction,
    by_staff: bool,
    standing: &NameStanding,
    now_ms: i64,
) -> Result<(), NotCorrected> {
    if !standing.is_live || standing.has_boarded {
        return Err(NotCorrected::NotLive);
    }
    if now_ms >= standing.departs_ms {
        return Err(NotCorrected::Departed);
    }
    if standing.corrected >= CORRECTIONS_MAX {
        return Err(NotCorrected::TooOften(standing.corrected));
    }
    if by_staff {
        return Ok(());
    }
    if why == Correction::OtherPerson {
        return Err(NotCorrected::StaffOnly);
    }
    if !rules.self_service || rules.correction_max <= 0 {
        return Err(NotCorrected::AtTheCounter);
    }
    let until_ms = i64::from(rules.correction_until_min) * MINUTE_MS;
    if now_ms.saturating_add(until_ms) > standing.departs_ms {
        return Err(NotCorrected::TooLate(rules.correction_until_min));
    }
    if standing.corrected >= i64::from(rules.correction_max) {
        return Err(NotCorrected::TooOften(standing.corrected));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STANDS: NameStanding = NameStanding {
        is_live: true,
        has_boarded: false,
        departs_ms: 600_000,
        corrected: 0,
    };

    #[test]
    fn passengers_correct_what_the_rules_allow_and_staff_until_the_bus_leaves() {
        let rules = Rules {
            correction_max: 2,
            correction_until_min: 5,
            ..Rules::default()
        };
        let check = |why, staff, standing: NameStanding, now| {
            check_correction(&rules, why, staff, &standing, now)
        };
        let typo = Correction::Typo;
        assert_eq!(check(typo, false, STANDS, 300_000), Ok(()));
        let late = Err(NotCorrected::TooLate(5));
        assert_eq!(check(typo, false, STANDS, 300_001), late);
        assert_eq!(check(typo, true, STANDS, 599_999), Ok(()));
        assert_eq!(
            check(typo, true, STANDS, 600_000),
            Err(NotCorrected::Departed)
        );
        let twice = NameStanding {
            corrected: 2,
            ..STANDS
        };
        assert_eq!(check(typo, false, twice, 0), Err(NotCorrected::TooOften(2)));
        assert_eq!(check(typo, true, twice, 0), Ok(()));
        let other = Correction::OtherPerson;
        assert_eq!(check(other, false, STANDS, 0), Err(NotCorrected::StaffOnly));
        assert_eq!(check(other, true, STANDS, 0), Ok(()));
        let boarded = NameStanding {
            has_boarded: true,
            ..STANDS
        };
        assert_eq!(check(typo, true, boarded, 0), Err(NotCorrected::NotLive));
    }

    proptest! {
        #[test]
        fn staff_may_whatever_a_passenger_may_and_nobody_after_departure_or_without_end(
            max in 0i16..=20,
            until in 0i32..100,
            corrected in 0i64..30,
            departs_ms in 0i64..10_000_000,
            now in 0i64..10_000_000,
        ) {
            let rules = Rules {
                correction_max: max,
                correction_until_min: until,
                ..Rules::default()
            };
            let standing = NameStanding { departs_ms, corrected, ..STANDS };
            let alone = check_correction(&rules, Correction::Typo, false, &standing, now);
            let staff = check_correction(&rules, Correction::Typo, true, &standing, now);
            prop_assert!(alone.is_err() || staff.is_ok());
            prop_assert!(alone.is_err() || corrected < i64::from(max));
            prop_assert!(staff.is_err() || (now < departs_ms && corrected < CORRECTIONS_MAX));
        }
    }
}
