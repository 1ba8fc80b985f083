//! Golden bytes: what every frame, item and event looked like when it was first sent.
//!
//! `golden/*.hex` are kept for ever: a log or a peer of today must be readable by every later
//! version. `MWIMULE_WRITE_GOLDEN=1` writes the files anew; a changed file in a diff is a broken
//! promise unless the kind was never released. Enrolment's samples are proven by `sync-transport`.

mod hostile;
mod kinds;
mod reading;
mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use domain::codec::{from_hex, to_hex};
use domain::ingest::Verdict;
use ed25519_dalek::Signer as _;

use reading::{Read, Sample};

const CDDL: &str = include_str!("../../docs/sync-protocol.cddl");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

#[expect(
    clippy::disallowed_methods,
    reason = "golden bytes are files of the source tree"
)]
fn committed() -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let hex = std::fs::read_to_string(&path).unwrap();
            let hex: String = hex.split_ascii_whitespace().collect();
            let bytes = from_hex(&hex).unwrap_or_else(|| panic!("{file} is not hexadecimal"));
            (file, bytes)
        })
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "golden bytes are files of the source tree"
)]
fn write_if_asked(samples: &[Sample]) {
    if std::env::var_os("MWIMULE_WRITE_GOLDEN").is_none() {
        return;
    }
    let before = committed();
    for sample in samples {
        let still_good = before
            .get(sample.file)
            .is_some_and(|bytes| sample.packed && (sample.read)(bytes) == Read::Same);
        if still_good {
            continue;
        }
        let hex = to_hex(&sample.bytes);
        let lines: Vec<&str> = hex
            .as_bytes()
            .chunks(96)
            .map(|l| str::from_utf8(l).unwrap())
            .collect();
        std::fs::write(
            folder().join(format!("{}.hex", sample.file)),
            lines.join("\n") + "\n",
        )
        .unwrap();
    }
}

#[test]
fn golden_bytes_read_as_what_they_were_and_are_still_what_is_sent() {
    let samples = reading::all();
    write_if_asked(&samples);
    let committed = committed();
    for Sample {
        file,
        bytes,
        packed,
        read,
        ..
    } in &samples
    {
        let golden = committed.get(*file).unwrap_or_else(|| {
            panic!("golden/{file}.hex is missing: MWIMULE_WRITE_GOLDEN=1 makes it")
        });
        assert_eq!(read(golden), Read::Same, "{file} reads as another value");
        if !packed {
            assert_eq!(
                to_hex(bytes),
                to_hex(golden),
                "{file} is sent with other bytes"
            );
        }
    }
}

#[test]
fn every_kind_has_a_golden_file() {
    let sampled: BTreeSet<&str> = reading::all().iter().map(|s| s.file).collect();
    assert_eq!(
        sampled.len(),
        reading::all().len(),
        "two samples share a file"
    );
    let kinds = [
        kinds::EDGE_KINDS,
        kinds::HUB_KINDS,
        kinds::ITEM_KINDS,
        kinds::BODY_KINDS,
    ];
    for kind in kinds.concat() {
        assert!(sampled.contains(kind), "{kind} has no sample");
    }
    for file in committed().keys() {
        let ours = sampled.contains(file.as_str());
        assert!(
            ours || file.starts_with("enrolment-"),
            "golden/{file}.hex has no sample"
        );
    }
}

#[test]
fn every_reason_for_quarantine_is_in_the_sample_of_verdicts() {
    let all = [samples::verdicts(), samples::later_verdicts()].concat();
    let sampled: Vec<&str> = all
        .iter()
        .filter_map(|v| match &v.verdict {
            Verdict::Quarantined(reason) => Some(kinds::reason_kind(reason)),
            Verdict::Applied | Verdict::Duplicate => None,
        })
        .collect();
    assert_eq!(sampled, kinds::REASONS);
}

#[test]
fn an_envelope_is_rebuilt_to_the_bytes_that_were_signed() {
    let golden = &committed()["event-envelope"];
    let event = samples::events().remove(1);
    let key = samples::node_key();
    assert_eq!(key.sign(golden).to_bytes(), event.signature);
}

fn rule_of(file: &str) -> &'static str {
    if file.starts_with("enrolment-") {
        return if file == "enrolment-request" {
            "enrolment-request"
        } else {
            "enrolment-answer"
        };
    }
    reading::all()
        .into_iter()
        .find(|s| s.file == file)
        .map_or("", |s| s.rule)
}

#[test]
fn golden_bytes_are_what_the_cddl_says() {
    for (file, bytes) in committed() {
        if let Err(why) = cddl_cat::validate_cbor_bytes(rule_of(&file), CDDL, &bytes) {
            panic!("golden/{file}.hex does not match docs/sync-protocol.cddl: {why}");
        }
    }
}

#[test]
fn the_cddl_refuses_what_is_not_sent() {
    let refused = |rule: &str, hex: &str| {
        let bytes = from_hex(hex).unwrap();
        cddl_cat::validate_cbor_bytes(rule, CDDL, &bytes).is_err()
    };
    assert!(!refused("edge-frame", "82048100"), "a time request is fine");
    assert!(
        refused("edge-frame", "82188100"),
        "a frame of an unknown kind"
    );
    assert!(
        refused("edge-frame", "820480"),
        "a time request without its uptime"
    );
    assert!(
        refused("edge-frame", "8204816178"),
        "a time request with a text"
    );
    assert!(
        refused("bucket-id", "820280"),
        "a trip's bucket without its trip"
    );
    assert!(refused("kid", "43010203"), "a short key id");
    assert!(
        refused("currency", "637a6d77"),
        "a currency in small letters"
    );
    assert!(refused("legs", "820041"), "legs that are not numbers");
}
