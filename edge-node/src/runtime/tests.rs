//! A whole node against a hub in memory, over real QUIC, real HTTP and real files.

mod hub;

use std::path::Path;
use std::time::Duration;

use domain::ids::NodeIncarnation;
use domain::ticket::Suite;
use serde_json::{Value, json};
use sync_transport::TransportSettings;
use uuid::Uuid;

use super::node::{Node, NodeOptions, RuntimeError};
use super::{EnrolError, enrol};
use crate::client::Client;
use hub::{Hub, HubOffice};

fn quick() -> TransportSettings {
    TransportSettings {
        connect_timeout_ms: 2_000,
        ..TransportSettings::edge()
    }
}

async fn enrolled(hub: &Hub, folder: &Path) {
    enrol(&hub.good_code(), folder, "Kabwe 1", &quick())
        .await
        .unwrap();
}

async fn start(folder: &Path, hub: Option<&Hub>) -> Node {
    Node::start(NodeOptions {
        data_dir: folder.to_owned(),
        http: "127.0.0.1:0".parse().unwrap(),
        hub: hub.map(|h| h.address.to_string()),
        suite: Suite::Ed25519,
        transport: quick(),
    })
    .await
    .unwrap()
}

/// One request of the local API: the status and the JSON that came.
async fn ask(node: &Node, path: &str, body: Option<Value>) -> (u16, Value) {
    let url = format!("http://{}{path}", node.http());
    tokio::task::spawn_blocking(move || {
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build(),
        );
        let mut response = match body {
            Some(body) => agent.post(&url).send_json(&body).unwrap(),
            None => agent.get(&url).call().unwrap(),
        };
        let status = response.status().as_u16();
        (status, response.body_mut().read_json().unwrap())
    })
    .await
    .unwrap()
}

/// Looks until something is so; no test waits longer than this for anything.
async fn until<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let begin = std::time::Instant::now();
    while !look().await {
        assert!(begin.elapsed() < Duration::from_secs(30), "never: {what}");
        // tidy-allow-sleep: between two looks
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn id(n: u128) -> String {
    Uuid::from_u128(n).to_string()
}

async fn open_shift(node: &Node) {
    let request = json!({
        "command_id": id(1), "agent": "Mercy", "float_minor": 0, "currency": "ZMW",
    });
    assert_eq!(ask(node, "/shift/open", Some(request)).await.0, 200);
}

async fn request_lease(node: &Node, n: u128) -> (u16, Value) {
    let request = json!({
        "command_id": id(n), "trip": 7, "boarding": "LUN",
        "wants": [{ "to": "NDO", "count": 2 }], "wait_ms": 20_000,
    });
    ask(node, "/lease/request", Some(request)).await
}

async fn sell(node: &Node, n: u128) -> (u16, Value) {
    let request = json!({
        "command_id": id(n),
        "journeys": [{ "trip": 7, "from": "LUN", "to": "NDO",
            "passengers": [{ "class": "adult", "name": "Chanda" }] }],
        "phone": "0971",
    });
    ask(node, "/sell", Some(request)).await
}

async fn knows_the_trip(node: &Node) {
    until("the timetable has come", || async {
        node.engine()
            .call(|engine| !engine.catalogue().trips.is_empty())
            .await
            .unwrap()
    })
    .await;
}

async fn drained(node: &Node) {
    until("everything is stored at the hub", || async {
        ask(node, "/status", None).await.1["unsynced"] == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_enrols_gets_a_lease_sells_and_drains() {
    let hub = Hub::start(&HubOffice::new());
    let folder = tempfile::tempdir().unwrap();
    enrolled(&hub, folder.path()).await;
    let node = start(folder.path(), None).await;
    let ready: Value = serde_json::from_str(&node.ready_line()).unwrap();
    assert_eq!(ready["incarnation"], 1);
    knows_the_trip(&node).await;
    open_shift(&node).await;
    let (status, lease) = request_lease(&node, 10).await;
    assert_eq!(
        (status, lease["state"].as_str()),
        (200, Some("granted")),
        "{lease}"
    );
    assert_eq!(lease["seats"], 2);
    let (_, again) = request_lease(&node, 10).await;
    assert_eq!(
        again["lease_no"], lease["lease_no"],
        "a retry got another lease"
    );
    let (status, sale) = sell(&node, 20).await;
    assert_eq!(status, 200, "{sale}");
    let ticket = &sale["tickets"][0];
    assert!(ticket["qr"].as_str().unwrap().starts_with("MW1:"));
    let (_, replay) = sell(&node, 20).await;
    assert_eq!(&replay, &sale);
    let path = format!("/tickets/{}", ticket["id"].as_str().unwrap());
    assert_eq!(&ask(&node, &path, None).await.1, ticket);
    drained(&node).await;
    let (_, status) = ask(&node, "/status", None).await;
    assert_eq!(status["connected"], true);
    assert_eq!(status["leases"][0]["seats_left"], 1);
    // Shift opened, lease accepted, sale.
    assert_eq!(hub.office.events(1).len(), 3);
    node.shut_down().await;
    assert!(!folder.path().join("run.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_with_the_hub_down_sells_and_drains_when_it_is_back() {
    let office = HubOffice::new();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(&office);
    enrolled(&hub, folder.path()).await;
    let node = start(folder.path(), None).await;
    knows_the_trip(&node).await;
    open_shift(&node).await;
    assert_eq!(request_lease(&node, 10).await.0, 200);
    node.shut_down().await;
    drop(hub);

    let node = start(folder.path(), None).await;
    assert_eq!(sell(&node, 20).await.0, 200);
    assert_eq!(sell(&node, 21).await.0, 200);
    let (status, problem) = sell(&node, 22).await;
    assert_eq!(status, 409);
    assert_eq!(problem["type"], "urn:mwimule:problem:lease_dry");
    assert_eq!(problem["code"], "lease_dry");
    assert!(
        problem["detail"].as_str().unwrap().contains("0 left"),
        "{problem}"
    );
    let (_, status) = ask(&node, "/status", None).await;
    assert_eq!(status["connected"], false);
    until("the link says what is wrong", || async {
        ask(&node, "/status", None).await.1["link"]["last_error"].is_string()
    })
    .await;
    node.shut_down().await;

    let hub = Hub::start(&office);
    let node = start(folder.path(), Some(&hub)).await;
    drained(&node).await;
    assert_eq!(office.events(1).len(), 4);
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_node_begins_a_new_incarnation_at_contact_and_sells_again() {
    let hub = Hub::start(&HubOffice::new());
    let folder = tempfile::tempdir().unwrap();
    enrolled(&hub, folder.path()).await;
    let node = start(folder.path(), None).await;
    knows_the_trip(&node).await;
    open_shift(&node).await;
    request_lease(&node, 10).await;
    sell(&node, 20).await;
    drained(&node).await;
    node.shut_down().await;
    std::fs::remove_file(folder.path().join("log-head")).unwrap();

    let node = start(folder.path(), Some(&hub)).await;
    until("a new incarnation has begun", || async {
        node.engine().news().borrow().head.incarnation == NodeIncarnation(2)
    })
    .await;
    let reopened = json!({
        "command_id": id(2), "agent": "Mercy", "float_minor": 0, "currency": "ZMW",
    });
    assert_eq!(ask(&node, "/shift/open", Some(reopened)).await.0, 200);
    let (_, problem) = sell(&node, 21).await;
    assert_eq!(problem["code"], "no_lease", "the old lease is in doubt");
    assert_eq!(request_lease(&node, 11).await.1["state"], "granted");
    assert_eq!(sell(&node, 22).await.0, 200);
    drained(&node).await;
    assert_eq!(hub.office.events(1).len(), 3);
    assert_eq!(hub.office.events(2).len(), 3);
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_enrols_nothing_and_the_right_one_still_works() {
    let hub = Hub::start(&HubOffice::new());
    let folder = tempfile::tempdir().unwrap();
    let wrong = enrol(&hub.code([8; 16]), folder.path(), "x", &quick()).await;
    let error = wrong.unwrap_err().to_string();
    assert!(error.contains("does not know this code"), "{error}");
    let garbled = enrol("MWE1-QQQQQ", folder.path(), "x", &quick()).await;
    assert!(matches!(garbled, Err(EnrolError::Code(_))));
    enrolled(&hub, folder.path()).await;
    let twice = enrol(&hub.good_code(), folder.path(), "x", &quick()).await;
    let error = twice.unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_api_refuses_what_a_web_page_could_send() {
    let hub = Hub::start(&HubOffice::new());
    let folder = tempfile::tempdir().unwrap();
    enrolled(&hub, folder.path()).await;
    let node = start(folder.path(), None).await;
    let url = format!("http://{}", node.http());
    let refused = tokio::task::spawn_blocking(move || {
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build(),
        );
        let text = agent
            .post(format!("{url}/sell"))
            .header("content-type", "text/plain")
            .send("{}")
            .unwrap();
        let foreign = agent
            .get(format!("{url}/status"))
            .header("host", "shop.example")
            .call()
            .unwrap();
        let huge = agent
            .post(format!("{url}/scan"))
            .header("content-type", "application/json")
            .send("x".repeat(200_000))
            .unwrap();
        [text, foreign, huge].map(|r| r.status().as_u16())
    })
    .await
    .unwrap();
    assert_eq!(refused, [415, 403, 413]);
    let unknown = json!({ "command_id": id(1), "agent": "x", "float": 5 });
    let (status, problem) = ask(&node, "/shift/open", Some(unknown)).await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (400, Some("bad_request"))
    );
    let (status, problem) = ask(&node, "/nothing", None).await;
    assert_eq!(
        (status, problem["code"].as_str()),
        (404, Some("no_such_path"))
    );
    node.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_has_one_node_and_the_client_finds_it_running_or_not() {
    let hub = Hub::start(&HubOffice::new());
    let folder = tempfile::tempdir().unwrap();
    enrolled(&hub, folder.path()).await;
    let node = start(folder.path(), None).await;
    let second = super::open_engine(folder.path(), Suite::Ed25519);
    assert!(matches!(second, Err(RuntimeError::Locked { .. })));
    let data = folder.path().to_owned();
    let look = move || {
        let mut client = Client::open(&data, Suite::Ed25519).unwrap();
        (
            matches!(client, Client::Remote { .. }),
            client.status().unwrap().node,
        )
    };
    let (remote, name) = tokio::task::spawn_blocking(look.clone()).await.unwrap();
    assert!(remote);
    node.shut_down().await;
    let (remote, same) = tokio::task::spawn_blocking(look).await.unwrap();
    assert!(!remote);
    assert_eq!(name, same);
    let findings = crate::doctor::examine(folder.path());
    assert!(findings.iter().all(|f| f.well), "{findings:#?}");
    std::fs::remove_file(folder.path().join("node.sqlite")).unwrap();
    let findings = crate::doctor::examine(folder.path());
    assert!(
        findings
            .iter()
            .any(|f| !f.well && f.text.contains("missing"))
    );
}

fn here(secs_ago: i64) -> domain::tracking::Fix {
    domain::tracking::Fix {
        trip: domain::ids::TripId(7),
        seq: 0,
        at: super::clock::now().plus_ms(-secs_ago * 1_000),
        lat_e7: -154_000_000,
        lon_e7: 282_000_000,
        speed_cm_s: Some(2_000),
        bearing_deg: Some(90),
        accuracy_m: Some(5),
        source: domain::tracking::Source::Receiver,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fixes_of_a_dead_spot_go_after_the_live_one_and_are_forgotten_once_taken() {
    let office = HubOffice::new();
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(&office);
    enrolled(&hub, folder.path()).await;
    drop(hub);
    let node = start(folder.path(), None).await;
    let positions = node.positions().clone();
    for secs_ago in (30..40).rev() {
        positions.record(here(secs_ago)).await.unwrap();
    }
    assert_eq!(positions.waiting().await.unwrap(), 10);
    node.shut_down().await;
    let hub = Hub::start(&office);
    let node = start(folder.path(), Some(&hub)).await;
    until("the hub is reached", async || {
        node.link().borrow().connected
    })
    .await;
    node.positions().record(here(0)).await.unwrap();
    until("the live fix", async || office.fixes().1 == 1).await;
    assert_eq!(office.fixes().0[0], 11, "{:?}", office.fixes());
    until("the fixes of before", async || office.fixes().0.len() == 11).await;
    assert_eq!(office.fixes().0[1..], [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let waits = node.positions().clone();
    until("nothing waits", async || {
        waits.waiting().await.unwrap() == 0
    })
    .await;
    node.shut_down().await;
}
