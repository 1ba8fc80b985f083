//! Where a node's log goes on after a greeting: continue, or begin a new incarnation.

use domain::event::ChainHead;
use domain::ids::{EventHash, NodeIncarnation, Seq};

use crate::frame::{Hello, StoredMark};

/// What the hub knows of one log that a hello names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownLog {
    /// Its head at the hub; an empty one where the hub has nothing.
    pub head: ChainHead,
    /// The hash stored at the position that the hello names, where that is at or before the head.
    pub hash_at_hello: Option<EventHash>,
    /// The event that the hello names is stored beside the log, as the end of a fork.
    pub fork_stored: bool,
}

/// What the hub decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// For each log of the hello: the position to send after.
    pub stored: Vec<StoredMark>,
    /// The node must begin this incarnation.
    pub begin: Option<NodeIncarnation>,
    /// Two histories exist for one position: the node's rights freeze.
    pub forked: bool,
}

/// Decides how the logs of a hello go on. `known` answers for each of them, in order;
/// `highest` is the highest incarnation that the hub ever gave this node.
///
/// A log that is behind the hub's was restored from an old disk: it must not be sold from
/// again. A log whose head differs from what the hub stored there is a fork.
pub fn decide_resume(hello: &Hello, known: &[KnownLog], highest: NodeIncarnation) -> Resume {
    let mut resume = Resume {
        stored: vec![],
        begin: None,
        forked: false,
    };
    let mut stale = hello.restored;
    for (i, (log, known)) in hello.logs.iter().zip(known).enumerate() {
        let running = i + 1 == hello.logs.len();
        let same = log.seq.0 == 0 || known.hash_at_hello == Some(log.hash);
        let mut through = known.head.seq;
        if log.seq.0 > known.head.seq.0 {
            // The hub will see while storing whether this continues its history.
        } else if same {
            stale |= running && log.seq.0 < known.head.seq.0;
        } else {
            resume.forked = true;
            stale |= running;
            through = if known.fork_stored { log.seq } else { Seq(0) };
        }
        resume.stored.push(StoredMark {
            incarnation: log.incarnation,
            through,
        });
    }
    let running = hello
        .logs
        .last()
        .map_or(NodeIncarnation(0), |l| l.incarnation);
    if stale || running < highest || running.0 == 0 {
        resume.begin = Some(NodeIncarnation(highest.0.max(running.0) + 1));
    }
    resume
}

#[cfg(test)]
mod tests {
    use domain::ids::Seq;

    use super::*;
    use crate::frame::LogHead;

    fn hash(n: u8) -> EventHash {
        EventHash([n; 32])
    }

    fn hello(seq: u64, at: u8) -> Hello {
        let log = LogHead {
            incarnation: NodeIncarnation(1),
            seq: Seq(seq),
            hash: hash(at),
        };
        Hello {
            version: 1,
            logs: vec![log],
            restored: false,
            buckets: vec![],
        }
    }

    fn known(seq: u64, at_hello: Option<u8>) -> KnownLog {
        let head = ChainHead {
            incarnation: NodeIncarnation(1),
            seq: Seq(seq),
            hash: hash(9),
        };
        KnownLog {
            head,
            hash_at_hello: at_hello.map(hash),
            fork_stored: false,
        }
    }

    #[test]
    fn a_log_ahead_of_the_hub_goes_on() {
        let resume = decide_resume(&hello(12, 5), &[known(10, None)], NodeIncarnation(1));
        assert_eq!((resume.begin, resume.forked), (None, false));
        assert_eq!(resume.stored[0].through, Seq(10));
    }

    #[test]
    fn a_log_behind_the_hub_begins_a_new_incarnation() {
        let resume = decide_resume(&hello(7, 5), &[known(10, Some(5))], NodeIncarnation(1));
        assert_eq!(
            (resume.begin, resume.forked),
            (Some(NodeIncarnation(2)), false)
        );
    }

    #[test]
    fn another_event_at_a_stored_position_is_a_fork_and_is_sent_whole() {
        let resume = decide_resume(&hello(7, 5), &[known(10, Some(6))], NodeIncarnation(1));
        assert_eq!(
            (resume.begin, resume.forked),
            (Some(NodeIncarnation(2)), true)
        );
        assert_eq!(resume.stored[0].through, Seq(0));
    }

    #[test]
    fn an_old_incarnation_never_sells_again() {
        let resume = decide_resume(&hello(12, 5), &[known(10, None)], NodeIncarnation(3));
        assert_eq!(resume.begin, Some(NodeIncarnation(4)));
    }

    #[test]
    fn a_node_whose_sidecar_disagrees_begins_a_new_incarnation() {
        let mut restored = hello(10, 9);
        restored.restored = true;
        let resume = decide_resume(&restored, &[known(10, Some(9))], NodeIncarnation(1));
        assert_eq!(
            (resume.begin, resume.forked),
            (Some(NodeIncarnation(2)), false)
        );
    }
}
