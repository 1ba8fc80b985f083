//! The program itself, on real files, with the hub away.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use domain::ids::{
    CompanyId, Issuer, LayoutVersion, NodeId, SaleOrdinal, SeatNo, StopSeq, TicketId, TripId,
};
use domain::ingest::TicketState;
use domain::passenger::PassengerClass;
use domain::ticket::{KeyRecord, Suite, TicketClaim, sign_ticket, signing_kid};
use domain::time::Instant;
use domain::trip::Legs;
use ed25519_dalek::SigningKey;
use edge_node::identity::Identity;
use edge_node::keys::{NodeKeys, make_private_folder};
use edge_node::runtime::{DataDir, clock, open_engine};
use sync_protocol::frame::{BucketCursor, BucketId, Item, ListedTicket};
use sync_transport::{HubIdentity, NodeCredentials, NodeTlsKey};

const TRIP: TripId = TripId(7);

/// Kills what a failing test would leave.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn hub_ticket(seat: u16) -> (String, Item) {
    let key = SigningKey::from_bytes(&[42; 32]);
    let (from, to) = (StopSeq(0), StopSeq(2));
    let id = TicketId::from_bytes([seat as u8; 16]);
    let claim = TicketClaim {
        id,
        trip: TRIP,
        seat: SeatNo(seat),
        from,
        to,
        class: PassengerClass::Adult,
        ordinal: SaleOrdinal(1),
        issued_at: Instant(1_795_000_000_000),
        lease: None,
        layout_version: LayoutVersion(1),
        test: false,
    };
    let listed = Item::Ticket(ListedTicket {
        id,
        trip: TRIP,
        seat: SeatNo(seat),
        legs: Legs::new(from, to).unwrap(),
        issuer: Issuer::Hub,
        lease_no: None,
        ordinal: SaleOrdinal(1),
        state: TicketState::Live,
        code: None,
    });
    let ticket = sign_ticket(&claim, signing_kid(&key.verifying_key()), &key);
    (ticket.to_qr(), listed)
}

/// An enrolled bus that has the trip's key and one ticket on its manifest.
fn bus(folder: &Path, listed: Item) {
    let node = NodeId::from_bytes([3; 16]);
    let dir = DataDir::new(folder);
    make_private_folder(&dir.keys()).unwrap();
    NodeKeys::load_or_generate(&dir.keys()).unwrap();
    let hub = HubIdentity::generate().unwrap();
    let tls = NodeTlsKey::generate().unwrap();
    let certificate = hub
        .issue_node_certificate(&tls.signing_request().unwrap(), node)
        .unwrap();
    NodeCredentials::new(tls, &certificate, hub.ca_certificate())
        .unwrap()
        .save(&dir.keys())
        .unwrap();
    let identity = Identity {
        node,
        company: CompanyId::from_bytes([9; 16]),
        // Nothing listens there.
        hub_addr: "127.0.0.1:9".to_owned(),
        hub_keys: vec![],
    };
    let config = dir.engine_config(&identity, Suite::Ed25519, false).unwrap();
    drop(edge_node::Engine::open(&dir.disk(), config).unwrap());
    identity.save(folder).unwrap();
    let (mut engine, _lock) = open_engine(folder, Suite::Ed25519).unwrap();
    let public = SigningKey::from_bytes(&[42; 32]).verifying_key();
    let items = [Item::Key(KeyRecord::signing(Issuer::Hub, public)), listed];
    let cursor = BucketCursor {
        bucket: BucketId::Trip(TRIP),
        change: 2,
    };
    engine.apply_bucket(&cursor, &items, clock::now()).unwrap();
}

fn driver(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mwimule-driver"));
    command.args(arguments).arg("--data-dir").arg(folder);
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_driver_scans_alone_and_a_kill_forgets_no_passenger() {
    let folder = tempfile::tempdir().unwrap();
    let (listed, item) = hub_ticket(12);
    let (unlisted, _) = hub_ticket(13);
    bus(folder.path(), item);
    for (turn, answers) in [["valid", "good_but_unlisted"], ["already_used"; 2]]
        .into_iter()
        .enumerate()
    {
        let mut child = driver(folder.path(), &["run", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let running = Running(child);
        let ready = lines.next().unwrap().unwrap();
        assert!(ready.contains("\"http\""), "{ready}");
        for (qr, answer) in [&listed, &unlisted].into_iter().zip(answers) {
            writeln!(input, "{qr}").unwrap();
            let line = lines.next().unwrap().unwrap();
            let told: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(told["answer"], answer, "turn {turn}: {line}");
        }
        // Dropping kills it with SIGKILL: what was answered is on disk.
        drop(running);
    }
    let told = driver(folder.path(), &["verify", &listed])
        .output()
        .unwrap();
    let told = text(&told);
    assert!(told.starts_with("ALREADY USED on trip 7"), "{told}");
    assert!(told.contains("the signature is good"), "{told}");
    let status = text(&driver(folder.path(), &["status"]).output().unwrap());
    assert!(status.contains("\"last_seq\": 4"), "{status}");
}

#[test]
fn a_device_that_nobody_enrolled_says_how_to() {
    let folder = tempfile::tempdir().unwrap();
    let output = driver(folder.path(), &["run"]).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("enrol"), "{said}");
}
