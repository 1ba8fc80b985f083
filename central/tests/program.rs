//! The program `mwimule-hub` as a process: commands beside a running hub and without one, and
//! every way for a hub to end.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_mins(1);
const COMPANY: &str = "Mwimule Coaches";

/// A data folder of its own.
struct Folder(tempfile::TempDir);

/// A running hub. Killed when dropped.
struct Hub {
    process: Child,
    about: Value,
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        Self(folder)
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mwimule-hub"));
        command.arg("--data-dir").arg(self.data()).args(args);
        for name in ["MWIMULE_DATABASE_URL", "MWIMULE_CONFIG", "DATABASE_URL"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command that has to succeed; what it said.
    fn run(&self, args: &[&str]) -> Value {
        let done = self.program(args).arg("--json").output().unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{args:?}: {errors}");
        serde_json::from_slice(&done.stdout).unwrap()
    }

    /// Runs a command that has to fail; what it complained of.
    fn fail(&self, args: &[&str]) -> String {
        let done = self.program(args).output().unwrap();
        assert!(!done.status.success(), "{args:?} succeeded");
        String::from_utf8_lossy(&done.stderr).into_owned()
    }

    fn serve(&self) -> Hub {
        let mut process = self
            .program(&["serve", "--http", "127.0.0.1:0", "--quic", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let about = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        Hub { process, about }
    }

    fn import(&self) -> Value {
        let feed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/zambia-gtfs");
        let feed = feed.to_str().unwrap();
        let day = ["--from", "2034-05-02", "--days", "1"];
        let mut args = vec!["gtfs", "import", feed, "--company", COMPANY];
        args.extend(day);
        self.run(&args)["database"].clone()
    }

    fn make_company(&self) {
        let zone = ["--zone", "Africa/Lusaka", "--currency", "ZMW"];
        let mut args = vec!["company", "create", COMPANY];
        args.extend(zone);
        self.run(&args);
    }
}

impl Hub {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id() as i32), signal).unwrap();
    }

    fn stop(mut self, signal: Signal) -> bool {
        self.signal(signal);
        self.process.wait().unwrap().success()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.about["hub_url"].as_str().unwrap())
    }

    fn get(&self, path: &str) -> Value {
        let mut response = ureq::get(self.url(path)).call().unwrap();
        response.body_mut().read_json().unwrap()
    }

    fn book(&self, trip: u64, key: &str) -> String {
        let body = json!({
            "trip": trip, "from": "LUN", "to": "SOL", "passengers": ["adult"],
            "contact": { "name": "Mutale", "phone": "+260970000001" },
        });
        let request = ureq::post(self.url("/bookings")).header("idempotency-key", key);
        let mut response = request.send_json(body).unwrap();
        response.body_mut().read_to_string().unwrap()
    }

    fn first_trip(&self) -> u64 {
        let page = self.get("/trips?from=LUN&to=SOL&limit=1");
        page["items"][0]["trip"].as_u64().unwrap()
    }
}

/// The process that Postgres runs as in this folder.
fn postmaster(folder: &Folder) -> Option<u32> {
    let note = folder.data().join("postgres/cluster/postmaster.pid");
    let text = std::fs::read_to_string(note).ok()?;
    text.lines().next()?.trim().parse().ok()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        // tidy-allow-sleep: between two looks, deadline above
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn commands_work_without_a_hub_and_beside_one() {
    let folder = Folder::new();
    folder.make_company();
    let made = folder.import();
    assert!(made["trips"]["created"].as_u64().unwrap() > 0, "{made}");
    let hub = folder.serve();
    let again = folder.import();
    assert_eq!(again["trips"]["created"], 0, "{again}");
    assert_eq!(again["trips"]["updated"], 0, "{again}");
    let token = folder.run(&["admin", "create", "--company", COMPANY, "--name", "boss"]);
    let station = folder.run(&[
        "node",
        "enrol",
        "--company",
        COMPANY,
        "--name",
        "Lusaka 1",
        "--kind",
        "station",
        "--stop",
        "LUN",
    ]);
    assert_eq!(station["hub_addr"], hub.about["public_addr"]);
    let code: sync_transport::EnrolmentCode = station["code"].as_str().unwrap().parse().unwrap();
    assert_eq!(code.hub_addr, hub.about["quic"].as_str().unwrap());
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let request = ureq::get(hub.url("/nodes")).header("authorization", bearer);
    let nodes: Value = request.call().unwrap().body_mut().read_json().unwrap();
    assert_eq!(nodes["items"][0]["node"], station["node"]);
    assert_eq!(folder.run(&["openapi"]), hub.get("/openapi.json"));
    assert!(folder.program(&["doctor"]).status().unwrap().success());
    assert!(hub.stop(Signal::SIGTERM));
    assert!(!folder.data().join("hub.json").exists());
    assert_eq!(postmaster(&folder), None, "Postgres outlived its hub");
}

#[test]
fn a_second_hub_on_the_folder_is_told_to_go() {
    let folder = Folder::new();
    let hub = folder.serve();
    let complaint = folder.fail(&["serve", "--http", "127.0.0.1:0", "--quic", "127.0.0.1:0"]);
    assert!(complaint.contains("in use by a running hub"), "{complaint}");
    assert_eq!(hub.get("/trips")["items"], json!([]));
    assert!(hub.stop(Signal::SIGINT));
}

#[test]
fn a_hub_that_was_killed_is_followed_by_one_that_remembers_every_answer() {
    let folder = Folder::new();
    folder.make_company();
    folder.import();
    let hub = folder.serve();
    let trip = hub.first_trip();
    let answer = hub.book(trip, "key");
    hub.signal(Signal::SIGKILL);
    let next = folder.serve();
    assert_eq!(next.book(trip, "key"), answer);
    assert!(next.stop(Signal::SIGTERM));
    drop(hub);
}

#[test]
fn a_postgres_that_was_killed_is_started_again_and_the_hub_goes_on() {
    let folder = Folder::new();
    folder.make_company();
    folder.import();
    let hub = folder.serve();
    let trip = hub.first_trip();
    let answer = hub.book(trip, "key");
    let first = postmaster(&folder).unwrap();
    kill(Pid::from_raw(first as i32), Signal::SIGKILL).unwrap();
    wait_until("Postgres to be there again", || {
        postmaster(&folder).is_some_and(|pid| pid != first)
            && ureq::get(hub.url("/readyz")).call().is_ok()
    });
    assert_eq!(hub.book(trip, "key"), answer);
    assert!(hub.stop(Signal::SIGTERM));
}

#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let folder = Folder::new();
    let cases: [(&[&str], &str); 5] = [
        (
            &["admin", "create", "--company", "Nobody", "--name", "x"],
            "company create",
        ),
        (
            &[
                "company",
                "create",
                "X",
                "--zone",
                "Mars/Base",
                "--currency",
                "ZMW",
            ],
            "Africa/Lusaka",
        ),
        (
            &[
                "company",
                "create",
                "X",
                "--zone",
                "Africa/Lusaka",
                "--currency",
                "kwacha",
            ],
            "three capital",
        ),
        (
            &[
                "node",
                "enrol",
                "--company",
                "X",
                "--name",
                "n",
                "--kind",
                "onboard",
            ],
            "--public-addr",
        ),
        (
            &["gtfs", "import", "/does/not/exist", "--dry-run"],
            "/does/not/exist",
        ),
    ];
    for (args, wanted) in cases {
        let complaint = folder.fail(args);
        assert!(complaint.contains(wanted), "{args:?}: {complaint}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let complaint = folder.fail(&["serve", "--http", &address, "--quic", "127.0.0.1:0"]);
    assert!(complaint.contains("choose another --http"), "{complaint}");
    assert_eq!(
        postmaster(&folder),
        None,
        "Postgres outlived a failed start"
    );
    let done = folder
        .program(&["doctor", "--http", &address, "--quic", "127.0.0.1:0"])
        .output();
    let said = String::from_utf8_lossy(&done.unwrap().stdout).into_owned();
    assert!(said.contains("FAULT  HTTP port"), "{said}");
}
