//! Where a node's log goes on after a greeting: continue, or begin a new incarnation.

use domain::event::ChainHead;
use domain::ids::{EventHash, HubIncarnation, NodeIncarnation, Seq};
use domain::restore::{first_incarnation, is_doubtful};

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
    /// The node's disk may lack what a hub that was lost had granted it.
    pub doubtful: bool,
}

/// Decides how the logs of a hello go on. `known` answers for each of them, in order;
/// `highest` is the highest incarnation that the hub ever gave this node, `hub` its own.
///
/// A log that is behind the hub's was restored from an old disk: it must not be sold from
/// again. A log whose head differs from what the hub stored there is a fork.
pub fn decide_resume(
    hello: &Hello,
    known: &[KnownLog],
    highest: NodeIncarnation,
    hub: HubIncarnation,
) -> Resume {
    let mut resume = Resume {
        stored: vec![],
        begin: None,
        forked: false,
        doubtful: false,
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
        // What a lost hub may have given is not given again.
        let last = highest.max(running).max(first_incarnation(hub));
        resume.begin = Some(NodeIncarnation(last.0 + 1));
    }
    resume.doubtful = is_doubtful(hello.restored, resume.begin.is_some(), running, highest);
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
            hub: None,
            me: None,
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

    fn resume(hello: &Hello, known: &[KnownLog], highest: u32) -> Resume {
        decide_resume(hello, known, NodeIncarnation(highest), HubIncarnation(1))
    }

    #[test]
    fn a_restored_hub_never_begins_an_incarnation_that_a_lost_one_may_have_begun() {
        let hub = HubIncarnation(470_000);
        let old_disk = decide_resume(&hello(7, 5), &[known(10, Some(5))], NodeIncarnation(1), hub);
        assert_eq!(old_disk.begin, Some(NodeIncarnation(470_001)));
        assert!(old_disk.doubtful);
        let fine = decide_resume(&hello(12, 5), &[known(10, None)], NodeIncarnation(1), hub);
        assert_eq!((fine.begin, fine.doubtful), (None, false));
    }

    #[test]
    fn an_incarnation_that_the_hub_never_gave_makes_the_node_doubtful() {
        let mut ahead = hello(3, 5);
        ahead.logs[0].incarnation = NodeIncarnation(2);
        let resume = resume(&ahead, &[known(0, None)], 1);
        assert_eq!((resume.begin, resume.doubtful), (None, true));
    }

    #[test]
    fn a_log_ahead_of_the_hub_goes_on() {
        let resume = resume(&hello(12, 5), &[known(10, None)], 1);
        assert_eq!((resume.begin, resume.forked), (None, false));
        assert_eq!(resume.stored[0].through, Seq(10));
    }

    #[test]
    fn a_log_behind_the_hub_begins_a_new_incarnation() {
        let resume = resume(&hello(7, 5), &[known(10, Some(5))], 1);
        assert_eq!(
            (resume.begin, resume.forked),
            (Some(NodeIncarnation(2)), false)
        );
    }

    #[test]
    fn another_event_at_a_stored_position_is_a_fork_and_is_sent_whole() {
        let resume = resume(&hello(7, 5), &[known(10, Some(6))], 1);
        assert_eq!(
            (resume.begin, resume.forked),
            (Some(NodeIncarnation(2)), true)
        );
        assert_eq!(resume.stored[0].through, Seq(0));
    }

    #[test]
    fn an_old_incarnation_never_sells_again() {
        let resume = resume(&hello(12, 5), &[known(10, None)], 3);
        assert_eq!(resume.begin, Some(NodeIncarnation(4)));
    }

    #[test]
    fn a_node_whose_sidecar_disagrees_begins_a_new_incarnation() {
        let mut restored = hello(10, 9);
        restored.restored = true;
        let resume = resume(&restored, &[known(10, Some(9))], 1);
        assert_eq!(
            (resume.begin, resume.forked),
            (Some(NodeIncarnation(2)), false)
        );
    }
}
