//! The sidecar: the head of the log, noted outside the database and outside every backup.
//!
//! It is written after each commit and never awaited, so it may be behind its log. A log that is
//! behind its sidecar was restored or lost commits: what it sold last is not in it any more.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use domain::event::ChainHead;
use domain::ids::{EventHash, NodeIncarnation, Seq};
use sha2::{Digest as _, Sha256};

use crate::store::{Disk, MemoryDisk, Store, StoreError};

const MAGIC: [u8; 4] = *b"MWS1";
const SLOT_BYTES: usize = 64;
const CHECK_AT: usize = 56;

/// Why a node may not sell before the hub has given it a new incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The database was missing although this device had been set up.
    DatabaseMissing,
    /// The log holds events and there is no readable sidecar.
    SidecarMissing,
    /// The sidecar knows of events that the log does not hold.
    LogBehind {
        /// What the sidecar saw.
        sidecar: ChainHead,
        /// What the log ends with.
        log: ChainHead,
    },
    /// The log holds another event where the sidecar saw one.
    OtherHistory(ChainHead),
}

impl core::fmt::Display for Doubt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::DatabaseMissing => f.write_str("the sales file was missing"),
            Self::SidecarMissing => {
                f.write_str("the file log-head beside the sales file is missing or unreadable")
            }
            Self::LogBehind { sidecar, log } => write!(
                f,
                "the sales file ends at {}:{} but this device had come to {}:{}: an old copy was put back, or the disk lost data",
                log.incarnation, log.seq, sidecar.incarnation, sidecar.seq
            ),
            Self::OtherHistory(at) => write!(
                f,
                "the sales file holds another event at {}:{} than this device had written",
                at.incarnation, at.seq
            ),
        }
    }
}

enum Backing {
    File(File),
    Memory(MemoryDisk),
}

/// An open sidecar: two slots that are written in turn, so that one is always whole.
pub struct Sidecar {
    backing: Backing,
    generation: u64,
    last: Option<ChainHead>,
}

impl core::fmt::Debug for Sidecar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sidecar")
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

fn encode(head: &ChainHead, generation: u64) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..8].copy_from_slice(&head.incarnation.0.to_be_bytes());
    slot[8..16].copy_from_slice(&head.seq.0.to_be_bytes());
    slot[16..48].copy_from_slice(&head.hash.0);
    slot[48..CHECK_AT].copy_from_slice(&generation.to_be_bytes());
    let check = Sha256::digest(&slot[..CHECK_AT]);
    slot[CHECK_AT..].copy_from_slice(&check[..SLOT_BYTES - CHECK_AT]);
    slot
}

fn decode(slot: &[u8; SLOT_BYTES]) -> Option<(u64, ChainHead)> {
    let check = Sha256::digest(&slot[..CHECK_AT]);
    if slot[..4] != MAGIC || slot[CHECK_AT..] != check[..SLOT_BYTES - CHECK_AT] {
        return None;
    }
    let head = ChainHead {
        incarnation: NodeIncarnation(u32::from_be_bytes(slot[4..8].try_into().ok()?)),
        seq: Seq(u64::from_be_bytes(slot[8..16].try_into().ok()?)),
        hash: EventHash(slot[16..48].try_into().ok()?),
    };
    Some((
        u64::from_be_bytes(slot[48..CHECK_AT].try_into().ok()?),
        head,
    ))
}

fn read(path: &Path) -> std::io::Result<(File, Vec<u8>)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let mut bytes = Vec::new();
    (&mut file)
        .take(2 * SLOT_BYTES as u64)
        .read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

impl Sidecar {
    /// Opens the sidecar of a disk. One that cannot be read counts as missing.
    pub fn open(disk: &Disk) -> Result<Self, StoreError> {
        let (backing, bytes) = match disk {
            Disk::File { sidecar, .. } => {
                let (file, bytes) = read(sidecar).map_err(|e| StoreError::CannotOpen {
                    path: sidecar.display().to_string(),
                    detail: e.to_string(),
                })?;
                (Backing::File(file), bytes)
            }
            Disk::Memory(memory) => (
                Backing::Memory(memory.clone()),
                memory.sidecar().unwrap_or_default(),
            ),
        };
        let (slots, _) = bytes.as_chunks::<SLOT_BYTES>();
        let newest = slots
            .iter()
            .filter_map(decode)
            .max_by_key(|(generation, _)| *generation);
        Ok(Self {
            backing,
            generation: newest.map_or(0, |(generation, _)| generation),
            last: newest.map(|(_, head)| head),
        })
    }

    /// What it saw last.
    pub fn last(&self) -> Option<ChainHead> {
        self.last
    }

    /// Compares it with the log that runs. `None`: the log is at least as new.
    pub fn doubt(&self, store: &Store, log: &ChainHead) -> Result<Option<Doubt>, StoreError> {
        let Some(seen) = self.last else {
            return Ok(store.has_events()?.then_some(Doubt::SidecarMissing));
        };
        // An incarnation is begun by one commit; the sidecar may not have heard of it.
        if seen.incarnation < log.incarnation {
            return Ok(None);
        }
        if seen.incarnation > log.incarnation || seen.seq > log.seq {
            return Ok(Some(Doubt::LogBehind {
                sidecar: seen,
                log: *log,
            }));
        }
        let here = match seen.seq {
            Seq(0) => Some(EventHash::GENESIS),
            seq => store.hash_at(seen.incarnation, seq)?,
        };
        Ok((here != Some(seen.hash)).then_some(Doubt::OtherHistory(seen)))
    }

    /// Notes the head after a commit. A failure leaves it behind its log, which is harmless.
    pub fn note(&mut self, head: &ChainHead) {
        let generation = self.generation + 1;
        let slot = encode(head, generation);
        let at = (generation % 2) as usize * SLOT_BYTES;
        let written = match &mut self.backing {
            Backing::File(file) => file.write_all_at(&slot, at as u64),
            Backing::Memory(memory) => {
                let mut bytes = memory.sidecar().unwrap_or_default();
                bytes.resize(2 * SLOT_BYTES, 0);
                bytes[at..at + SLOT_BYTES].copy_from_slice(&slot);
                memory.set_sidecar(Some(bytes));
                Ok(())
            }
        };
        match written {
            Ok(()) => {
                self.generation = generation;
                self.last = Some(*head);
            }
            Err(error) => tracing::warn!(%error, "the sidecar could not be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(seq: u64) -> ChainHead {
        ChainHead {
            incarnation: NodeIncarnation(1),
            seq: Seq(seq),
            hash: EventHash([seq as u8; 32]),
        }
    }

    #[test]
    fn the_newest_whole_slot_counts() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::in_folder(folder.path());
        let mut sidecar = Sidecar::open(&disk).unwrap();
        assert_eq!(sidecar.last(), None);
        for seq in 1..=5 {
            sidecar.note(&head(seq));
        }
        assert_eq!(Sidecar::open(&disk).unwrap().last(), Some(head(5)));
        // A torn write of the slot of 5 leaves 4.
        let path = folder.path().join("log-head");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[SLOT_BYTES + 20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(Sidecar::open(&disk).unwrap().last(), Some(head(4)));
    }
}
