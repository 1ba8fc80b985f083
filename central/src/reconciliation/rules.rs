//! Who keeps a seat that was sold twice: proposed by a rule, decided by a person.

use domain::ids::{NodeId, NodeIncarnation, Seq, TicketId};
use domain::time::Instant;

/// A ticket of a double sale, and what speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub ticket: TicketId,
    /// Its passenger was let on.
    pub boarded: bool,
    /// Its seller owned the seat when it sold it.
    pub lease_valid: bool,
    /// When the hub first stored it.
    pub first_commit: Instant,
    /// Where it stands in its node's log; `None` for the hub's own.
    pub position: Option<(NodeId, NodeIncarnation, Seq)>,
}

/// Who should keep the seat: whoever boarded, then whoever was sold under a valid lease, then
/// the first at the hub, then the lower (node, position). The same tickets give the same answer
/// in whatever order they come.
pub fn propose(candidates: &[Candidate]) -> Option<TicketId> {
    let best = candidates.iter().min_by_key(|c| {
        (
            !c.boarded,
            !c.lease_valid,
            c.first_commit,
            c.position,
            c.ticket,
        )
    });
    best.map(|c| c.ticket)
}

/// What happens to the passenger who loses the seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Gets the money back.
    Refund,
    /// Gets another seat on the trip, paid by what is owed back; of a booking at once.
    OtherSeat,
    /// Gets another trip, paid by what is owed back; of a booking at once.
    Rebook,
    /// Travelled all the same: the fare is the company's.
    Carried,
}

impl Consequence {
    /// Every consequence.
    pub const ALL: [Self; 4] = [Self::Refund, Self::OtherSeat, Self::Rebook, Self::Carried];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::OtherSeat => "other_seat",
            Self::Rebook => "rebook",
            Self::Carried => "carried",
        }
    }

    /// The consequence of a word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (any::<bool>(), any::<bool>(), 0_i64..3, 0_u128..3, 0_u64..3);
        prop::collection::vec(one, 1..6).prop_map(|all| {
            let all = all.into_iter().enumerate();
            all.map(|(i, (boarded, lease_valid, at, node, seq))| Candidate {
                ticket: TicketId(Uuid::from_u128(i as u128)),
                boarded,
                lease_valid,
                first_commit: Instant(at),
                position: (node > 0).then(|| {
                    let node = NodeId(Uuid::from_u128(node));
                    (node, NodeIncarnation(1), Seq(seq))
                }),
            })
            .collect()
        })
    }

    proptest! {
        #[test]
        fn the_order_in_which_tickets_come_does_not_matter(all in candidates(), by in 0_usize..6) {
            let mut turned = all.clone();
            turned.rotate_left(by % all.len());
            let mut reversed = all.clone();
            reversed.reverse();
            prop_assert_eq!(propose(&turned), propose(&all));
            prop_assert_eq!(propose(&reversed), propose(&all));
        }

        #[test]
        fn nobody_who_boarded_loses_to_one_who_did_not(all in candidates()) {
            let winner = propose(&all).unwrap();
            let winner = all.iter().find(|c| c.ticket == winner).unwrap();
            for other in &all {
                prop_assert!(winner.boarded || !other.boarded);
                if winner.boarded == other.boarded {
                    prop_assert!(winner.lease_valid || !other.lease_valid);
                    if winner.lease_valid == other.lease_valid {
                        prop_assert!(winner.first_commit <= other.first_commit);
                    }
                }
            }
        }

        #[test]
        fn a_loser_that_leaves_changes_nothing(all in candidates(), at in 0_usize..6) {
            let winner = propose(&all).unwrap();
            let mut fewer = all.clone();
            let gone = fewer.remove(at % all.len());
            prop_assume!(gone.ticket != winner);
            prop_assert_eq!(propose(&fewer), Some(winner));
        }
    }
}
