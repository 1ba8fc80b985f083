//! What becomes of a datagram: a pure function of seed, flow and place in the flow.

use std::time::Duration;

use crate::RelayError;

/// How bad the network is, each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// The same seed gives the same fates.
    pub seed: u64,
    /// Of 1000 datagrams, how many are lost.
    pub loss_permille: u16,
    /// How long every datagram takes, in ms.
    pub delay_ms: u64,
    /// Of 1000 datagrams, how many arrive twice.
    pub duplicate_permille: u16,
    /// Of 1000 datagrams, how many are held back, so that later ones overtake them.
    pub reorder_permille: u16,
}

/// The longest that a datagram is held back to be overtaken, in ms.
const HOLD_MS_MAX: u64 = 20;

impl Faults {
    pub(crate) fn check(&self) -> Result<(), RelayError> {
        let shares = [
            ("loss", self.loss_permille),
            ("duplicate", self.duplicate_permille),
            ("reorder", self.reorder_permille),
        ];
        match shares.into_iter().find(|(_, permille)| *permille > 1000) {
            Some((what, permille)) => Err(RelayError::Permille { what, permille }),
            None => Ok(()),
        }
    }
}

/// What becomes of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fate {
    pub lost: bool,
    pub duplicated: bool,
    pub reordered: bool,
    /// When it goes on, from its arrival.
    pub delay: Duration,
}

/// The fates of one flow, in order.
#[derive(Debug)]
pub(crate) struct Dice {
    faults: Faults,
    state: u64,
}

impl Dice {
    /// `flow` numbers the client and the direction.
    pub(crate) fn new(faults: Faults, flow: u64) -> Self {
        let mut dice = Self {
            faults,
            state: faults.seed ^ flow.wrapping_mul(0xd6e8_feb8_6659_fd93),
        };
        dice.roll();
        dice
    }

    /// Always the same number of rolls, so that one fault does not shift another.
    pub(crate) fn next_fate(&mut self) -> Fate {
        let lost = self.roll() % 1000 < u64::from(self.faults.loss_permille);
        let duplicated = self.roll() % 1000 < u64::from(self.faults.duplicate_permille);
        let reordered = self.roll() % 1000 < u64::from(self.faults.reorder_permille);
        let hold_ms = 1 + self.roll() % HOLD_MS_MAX;
        let held_ms = if reordered { hold_ms } else { 0 };
        Fate {
            lost,
            duplicated,
            reordered,
            delay: Duration::from_millis(self.faults.delay_ms + held_ms),
        }
    }

    /// A splitmix64 step.
    fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(seed: u64, flow: u64) -> Vec<Fate> {
        let faults = Faults {
            seed,
            loss_permille: 100,
            delay_ms: 5,
            duplicate_permille: 50,
            reorder_permille: 200,
        };
        let mut dice = Dice::new(faults, flow);
        (0..10_000).map(|_| dice.next_fate()).collect()
    }

    #[test]
    fn the_same_seed_and_flow_give_the_same_fates_and_others_differ() {
        assert_eq!(fates(1, 0), fates(1, 0));
        assert_ne!(fates(1, 0), fates(2, 0));
        assert_ne!(fates(1, 0), fates(1, 1));
    }

    #[test]
    fn faults_come_as_often_as_asked() {
        let fates = fates(7, 3);
        let count = |what: fn(&Fate) -> bool| fates.iter().filter(|fate| what(fate)).count();
        assert!((900..1100).contains(&count(|fate| fate.lost)));
        assert!((420..580).contains(&count(|fate| fate.duplicated)));
        assert!((1850..2150).contains(&count(|fate| fate.reordered)));
        assert!(fates.iter().all(|fate| {
            let least_ms = if fate.reordered { 6 } else { 5 };
            fate.delay >= Duration::from_millis(least_ms) && fate.delay <= Duration::from_millis(25)
        }));
    }

    #[test]
    fn a_share_above_1000_is_refused() {
        let faults = Faults {
            loss_permille: 1001,
            ..Faults::default()
        };
        let error = faults.check().unwrap_err();
        assert_eq!(error.to_string(), "loss is 1001, but it is a share of 1000");
    }
}
