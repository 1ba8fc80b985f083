//! Looking a node over: each finding says what is well, or what to do.

use std::path::Path;

use domain::ids::NodeId;
use ed25519_dalek::VerifyingKey;
use sync_transport::NodeCredentials;

use crate::engine::{EngineError, verify_log};
use crate::identity::Identity;
use crate::keys::NodeKeys;
use crate::runtime::{DataDir, RuntimeError};
use crate::sidecar::Sidecar;
use crate::store::Store;

/// Less free space than this is a warning, in bytes.
#[cfg(unix)]
const FREE_BYTES_MIN: u64 = 200 * 1024 * 1024;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// It is as it should be.
    pub well: bool,
    /// What was found, and what to do where it is not well.
    pub text: String,
}

fn found(well: bool, text: impl Into<String>) -> Finding {
    Finding {
        well,
        text: text.into(),
    }
}

/// Looks over the node of a data folder, running or not. Changes nothing.
pub fn examine(folder: &Path) -> Vec<Finding> {
    let dir = DataDir::new(folder);
    let mut findings = vec![];
    let identity = match Identity::load(folder) {
        Ok(identity) => identity,
        Err(error) => return vec![found(false, error.to_string())],
    };
    findings.push(found(
        true,
        format!("node {}, hub {}", identity.node, identity.hub_addr),
    ));
    let keys = match NodeKeys::load(&dir.keys()) {
        Ok(keys) => keys,
        Err(error) => {
            findings.push(found(false, error.to_string()));
            return findings;
        }
    };
    findings.push(match NodeCredentials::load(&dir.keys()) {
        Ok(_) => found(true, "keys and certificates are here"),
        Err(error) => found(false, error.to_string()),
    });
    findings.push(match dir.lock() {
        Ok(_) => found(true, "no program has this node open"),
        Err(RuntimeError::Locked { .. }) => found(true, "the node is running"),
        Err(error) => found(false, error.to_string()),
    });
    findings.extend(free_space(folder));
    if !folder.join("node.sqlite").exists() {
        findings.push(found(
            false,
            "the sales file node.sqlite is missing: the node will sell nothing before it has \
             reached the hub once",
        ));
        return findings;
    }
    let public = keys.event.verifying_key();
    if let Err(error) = examine_store(&dir, identity.node, &public, &mut findings) {
        findings.push(found(false, error.to_string()));
    }
    findings
}

fn examine_store(
    dir: &DataDir,
    node: NodeId,
    key: &VerifyingKey,
    findings: &mut Vec<Finding>,
) -> Result<(), EngineError> {
    let (store, opened) = Store::open(&dir.disk(), node, true)?;
    let settings = store.settings()?;
    let durable = settings.journal_mode == "wal" && settings.synchronous == 2;
    findings.push(found(
        durable,
        format!(
            "SQLite {}, journal {}, synchronous {}",
            settings.sqlite_version, settings.journal_mode, settings.synchronous
        ),
    ));
    let broken = store.check()?;
    findings.push(if broken.is_empty() {
        found(true, "the sales file is sound")
    } else {
        found(
            false,
            format!(
                "the sales file is damaged: {}; call the office",
                broken.join("; ")
            ),
        )
    });
    for mark in store.marks()? {
        let count = verify_log(&store, node, key, mark.incarnation, |_| {
            Ok::<_, EngineError>(())
        })?;
        findings.push(found(
            true,
            format!(
                "the log of incarnation {} is whole: {count} events, {} of them stored at the hub",
                mark.incarnation, mark.stored
            ),
        ));
    }
    let head = store.head(opened.incarnation)?;
    let doubt = Sidecar::open(&dir.disk())?.doubt(&store, &head)?;
    findings.push(match doubt {
        None if !opened.doubt => found(true, "the log agrees with the file beside it"),
        None => found(
            false,
            "the sales file was missing: the node sells nothing before it has reached the hub once",
        ),
        Some(doubt) => found(
            false,
            format!("{doubt}: the node sells nothing before it has reached the hub once"),
        ),
    });
    Ok(())
}

#[cfg(unix)]
fn free_space(folder: &Path) -> Option<Finding> {
    let disk = nix::sys::statvfs::statvfs(folder).ok()?;
    // The fields' types differ by platform.
    #[expect(clippy::useless_conversion, reason = "32 bits on some platforms")]
    let free = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
    let megabytes = free / (1024 * 1024);
    Some(if free < FREE_BYTES_MIN {
        found(
            false,
            format!("only {megabytes} MB are free: make room before the disk is full"),
        )
    } else {
        found(true, format!("{megabytes} MB are free"))
    })
}

#[cfg(not(unix))]
fn free_space(_: &Path) -> Option<Finding> {
    None
}
