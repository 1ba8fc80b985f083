//! The whole way over real QUIC and a real database: a code, a device, a lease, a sale.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use domain::codec::from_cbor;
use domain::event::{EventBody, ShiftOpened, SignedEvent};
use domain::ids::{ShiftNo, StopCode};
use domain::lease::{Grant, LeaseRequest};
use domain::money::{Currency, Minor};
use ed25519_dalek::VerifyingKey;
use sync_protocol::batch::EventBatch;
use sync_protocol::frame::{
    BucketCursor, Hello, Introduction, LeaseAnswer, PROTOCOL_VERSION, SeqVerdict,
};
use sync_protocol::session::{EdgeInput, EdgeOutput, EdgeSession};
use sync_protocol::{BucketId, EdgeFrame, HubFrame, Item, Uptime};
use sync_transport::{
    CloseCode, Connection, DeviceKeys, EnrolmentRefusal, HubEndpoint, HubIdentity, NodeCredentials,
    NodeTlsKey, TransportError, TransportSettings, connect, enrol,
};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::server::{Hub, serve};
use crate::audit::Actor;
use crate::keys::HubKeys;
use crate::nodes::enrolment::{NodeConfig, create_code};
use crate::nodes::{NodeKind, load_node, revoke};
use crate::restore::{admit, begin_incarnation};
use crate::testing::{TestCompany, TestDb, TestNode};

const PATIENCE: Duration = Duration::from_secs(30);

/// A hub that listens on a port of its own.
struct Running {
    test: TestDb,
    company: TestCompany,
    hub: Arc<Hub>,
    address: String,
    _stop: oneshot::Sender<()>,
}

impl Running {
    async fn new() -> Self {
        let test = TestDb::new().await.unwrap();
        let company = TestCompany::new(&test.db, 1).await.unwrap();
        let keys = HubKeys::from_bytes(&[1; 32], [1; 32]);
        let hub = Hub::new(test.db.clone(), keys, HubIdentity::generate().unwrap());
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let endpoint = HubEndpoint::bind(any, &hub.identity, &TransportSettings::hub()).unwrap();
        let address = endpoint.local_addr().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(Arc::clone(&hub), endpoint, async {
            let _ = stopped.await;
        }));
        Self {
            test,
            company,
            hub,
            address,
            _stop: stop,
        }
    }

    async fn code(&self, kind: &NodeKind) -> sync_transport::EnrolmentCode {
        let db = &self.test.db;
        let made = create_code(
            db,
            &self.hub.identity,
            &self.address,
            self.company.id,
            "Counter 1",
            kind,
        );
        made.await.unwrap().1
    }

    /// A counter at `S0`: its credentials, and its log to be written by hand.
    async fn enrolled(&self) -> (NodeCredentials, TestNode) {
        let code = self
            .code(&NodeKind::Station(StopCode("S0".to_owned())))
            .await;
        let tls_key = NodeTlsKey::generate().unwrap();
        let mut node = self.company.station(9).await.unwrap();
        let keys = device_keys(&node);
        let settings = TransportSettings::edge();
        let first = enrol(&code, &tls_key, &keys, &settings).await.unwrap();
        // The answer may be lost: the same device may ask again.
        let grant = enrol(&code, &tls_key, &keys, &settings).await.unwrap();
        assert_eq!(first.node_id, grant.node_id);
        let config: NodeConfig = from_cbor(&grant.config).unwrap();
        assert_eq!(config.stop, Some(StopCode("S0".to_owned())));
        node.context = load_node(&self.test.db, grant.node_id)
            .await
            .unwrap()
            .unwrap();
        let credentials =
            NodeCredentials::new(tls_key, &grant.certificate, &grant.ca_certificate).unwrap();
        (credentials, node)
    }
}

fn device_keys(node: &TestNode) -> DeviceKeys {
    DeviceKeys {
        event_public_key: node.event_key.verifying_key().to_bytes(),
        ticket_public_key: node.ticket_key.verifying_key().to_bytes(),
        name_hint: "counter".to_owned(),
    }
}

/// The edge's half of a conversation, in memory.
struct Edge {
    connection: Connection,
    session: EdgeSession,
    log: Vec<SignedEvent>,
    items: Vec<Item>,
    answer: Option<LeaseAnswer>,
    judged: Option<Vec<SeqVerdict>>,
    judged_through: u64,
    forgotten: Vec<u64>,
}

impl Edge {
    async fn connect(running: &Running, credentials: &NodeCredentials, node: &TestNode) -> Self {
        let settings = TransportSettings::edge();
        let connection = connect(&running.address, credentials, &settings)
            .await
            .unwrap();
        let mut session = EdgeSession::new();
        let connected = EdgeInput::Connected {
            logs: vec![node.head],
            restored: false,
            hub: domain::restore::FIRST,
            me: None,
            buckets: vec![BucketCursor {
                bucket: BucketId::Node,
                change: 0,
            }],
        };
        session.handle_input(connected, Uptime(0));
        Self {
            connection,
            session,
            log: vec![],
            items: vec![],
            answer: None,
            judged: None,
            judged_through: 0,
            forgotten: vec![],
        }
    }

    fn tell(&mut self, input: EdgeInput) {
        self.session.handle_input(input, Uptime(0));
    }

    /// Goes on with the conversation until something is there.
    async fn until<T>(&mut self, found: impl Fn(&Self) -> Option<T>) -> T {
        timeout(PATIENCE, async {
            loop {
                self.act().await;
                if let Some(found) = found(self) {
                    return found;
                }
                let (_, bytes) = self.connection.recv().await.unwrap();
                self.tell(EdgeInput::Frame(HubFrame::from_bytes(&bytes).unwrap()));
            }
        })
        .await
        .expect("the hub did not answer in time")
    }

    async fn act(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                EdgeOutput::Send(frame) => {
                    let sent = self.connection.send(frame.channel(), frame.to_bytes());
                    sent.await.unwrap();
                }
                EdgeOutput::LoadEvents { after, .. } => {
                    let rest = self.log.iter().filter(|e| e.envelope.seq > after);
                    let rest: Vec<SignedEvent> = rest.cloned().collect();
                    self.tell(EdgeInput::Events(EventBatch::pack(&rest)));
                }
                EdgeOutput::ApplyBucket { cursor, items } => {
                    self.items.extend(items);
                    self.tell(EdgeInput::Checkpointed(cursor));
                }
                EdgeOutput::Judged {
                    through,
                    exceptions,
                    ..
                } => {
                    self.judged_through = through.0;
                    self.judged.get_or_insert_default().extend(exceptions);
                }
                EdgeOutput::LeaseAnswered(_, answer) => self.answer = Some(answer),
                EdgeOutput::Refused(why) => panic!("refused: {why}"),
                EdgeOutput::MarkStored { .. }
                | EdgeOutput::BeginIncarnation(_)
                | EdgeOutput::ServerTime(..)
                | EdgeOutput::NewHub(_)
                | EdgeOutput::LoadGrants
                | EdgeOutput::LoadFixes(_)
                | EdgeOutput::Ready => {}
                EdgeOutput::SendDatagram(frame) => {
                    self.connection.send_datagram(&frame.to_bytes());
                }
                EdgeOutput::ForgetFixes(numbers) => self.forgotten.extend(numbers),
            }
        }
    }

    async fn lease(&mut self, request: LeaseRequest, hub: &VerifyingKey) -> Grant {
        self.tell(EdgeInput::WantLease(request));
        match self.until(|e| e.answer.clone()).await {
            LeaseAnswer::Granted(signed) => signed.verify(hub).unwrap(),
            LeaseAnswer::Refused(why) => panic!("{why}"),
        }
    }
}

#[tokio::test]
async fn a_device_enrols_gets_a_lease_sells_and_sees_its_sale_judged() {
    let running = Running::new().await;
    let trip = running.company.trip("1", 4, 10).await.unwrap();
    let (credentials, mut node) = running.enrolled().await;
    let mut edge = Edge::connect(&running, &credentials, &node).await;
    let request = node.request(trip.id, (0, 4), 3);
    let hub_key = running.hub.keys.verifying_key();
    let grant = edge.lease(request, &hub_key).await;
    assert_eq!(grant.claims.len(), 3);
    // The bucket brings the grant and the MAC key, the company's the public keys.
    edge.until(|e| {
        let grants = e.items.iter().any(|i| matches!(i, Item::Grant(_)));
        let keys = e.items.iter().filter(|i| matches!(i, Item::Key(_))).count();
        (grants && keys >= 3).then_some(())
    })
    .await;
    edge.log = vec![
        node.log(&EventBody::ShiftOpened(ShiftOpened {
            shift: ShiftNo(1),
            agent: "Mutinta".to_owned(),
            float_minor: Minor(0),
            currency: Currency::ZMW,
        })),
        node.sell(1, &grant, &[(1, 0, 4), (2, 0, 2)]),
    ];
    edge.tell(EdgeInput::LogGrew(node.head));
    let exceptions = edge
        .until(|e| (e.judged_through == 2).then(|| e.judged.clone()))
        .await;
    assert_eq!(exceptions, Some(vec![]));
    let live = "SELECT count(*) FROM ticket WHERE state = 0";
    assert_eq!(running.test.number(live).await.unwrap(), 2);
}

#[tokio::test]
async fn a_second_connection_replaces_the_first() {
    let running = Running::new().await;
    let (credentials, node) = running.enrolled().await;
    let mut first = Edge::connect(&running, &credentials, &node).await;
    first.until(|e| (!e.items.is_empty()).then_some(())).await;
    let mut second = Edge::connect(&running, &credentials, &node).await;
    let ended = timeout(PATIENCE, first.connection.closed()).await.unwrap();
    assert!(ended.to_string().contains("again"), "{ended}");
    second.until(|e| (!e.items.is_empty()).then_some(())).await;
    assert_eq!(running.hub.connected(), [node.id()]);
}

#[tokio::test]
async fn a_revoked_device_is_cut_off_and_not_let_in_again() {
    let running = Running::new().await;
    let (credentials, node) = running.enrolled().await;
    let mut edge = Edge::connect(&running, &credentials, &node).await;
    edge.until(|e| (!e.items.is_empty()).then_some(())).await;
    revoke(&running.test.db, running.company.id, node.id())
        .await
        .unwrap();
    timeout(PATIENCE, edge.connection.closed()).await.unwrap();
    let again = connect(&running.address, &credentials, &TransportSettings::edge()).await;
    assert!(again.is_err());
}

#[tokio::test]
async fn a_device_of_after_the_backup_is_heard_and_let_in_once_a_person_takes_it_in() {
    let running = Running::new().await;
    let (credentials, node) = running.enrolled().await;
    let forget = "DELETE FROM node WHERE name = 'Counter 1'";
    let mut owner = running.test.owner().await.unwrap();
    sqlx::query(forget).execute(&mut owner).await.unwrap();
    let (settings, me) = (TransportSettings::edge(), device_keys(&node));
    let never_restored = connect(&running.address, &credentials, &settings).await;
    assert!(
        never_restored.is_err(),
        "a hub that lost nothing hears nobody"
    );
    let (keys, now) = (&running.hub.keys, crate::clock::now());
    let begun = begin_incarnation(&running.test.url, keys, now, now).await;
    begun.unwrap();
    let connection = connect(&running.address, &credentials, &settings)
        .await
        .unwrap();
    let hello = EdgeFrame::Hello(Hello {
        version: PROTOCOL_VERSION,
        logs: vec![],
        restored: false,
        buckets: vec![],
        hub: None,
        me: Some(Introduction {
            company: running.company.id,
            event_key: me.event_public_key,
            ticket_key: me.ticket_public_key,
        }),
    });
    let sent = connection.send(hello.channel(), hello.to_bytes());
    sent.await.unwrap();
    let answer = timeout(PATIENCE, connection.recv()).await.unwrap().unwrap();
    let HubFrame::Refused(why) = HubFrame::from_bytes(&answer.1).unwrap() else {
        panic!("it was let in");
    };
    assert!(
        why.contains(&format!("/restore/devices/{}/admit", node.id())),
        "{why}"
    );
    connection.close(CloseCode::Done, "");
    let mut tx = running.test.db.tenant(running.company.id).await.unwrap();
    let kind = NodeKind::Station(StopCode("S0".to_owned()));
    let as_what = ("Counter 1", &kind);
    admit(&mut tx, keys, node.id(), as_what, Actor::System, now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut edge = Edge::connect(&running, &credentials, &node).await;
    edge.until(|e| (!e.items.is_empty()).then_some(())).await;
}

#[tokio::test]
async fn a_code_lets_one_device_in_and_a_wrong_code_none() {
    let running = Running::new().await;
    let code = running.code(&NodeKind::Onboard).await;
    let settings = TransportSettings::edge();
    let node = running.company.station(8).await.unwrap();
    let keys = device_keys(&node);
    let mut wrong = code.clone();
    wrong.secret[0] ^= 1;
    let refusal = |error: TransportError| {
        let TransportError::EnrolmentRefused { refusal, .. } = error else {
            panic!("{error}");
        };
        refusal
    };
    let tls_key = NodeTlsKey::generate().unwrap();
    let unknown = enrol(&wrong, &tls_key, &keys, &settings).await.unwrap_err();
    assert_eq!(refusal(unknown), EnrolmentRefusal::UnknownCode);
    enrol(&code, &tls_key, &keys, &settings).await.unwrap();
    let other = device_keys(&running.company.station(7).await.unwrap());
    let used = enrol(&code, &tls_key, &other, &settings).await.unwrap_err();
    assert_eq!(refusal(used), EnrolmentRefusal::UsedCode);
}

#[tokio::test]
async fn a_fix_that_never_counts_is_answered_so_that_the_device_forgets_it() {
    let running = Running::new().await;
    let trip = running.company.trip("1", 4, 10).await.unwrap();
    let (credentials, node) = running.enrolled().await;
    let mut edge = Edge::connect(&running, &credentials, &node).await;
    edge.until(|e| (!e.items.is_empty()).then_some(())).await;
    // A counter is on board of nothing.
    edge.tell(EdgeInput::Fix(domain::tracking::Fix {
        trip: trip.id,
        seq: 41,
        at: crate::clock::now(),
        lat_e7: -150_000_000,
        lon_e7: 280_000_000,
        speed_cm_s: None,
        bearing_deg: None,
        accuracy_m: None,
        source: domain::tracking::Source::Receiver,
    }));
    edge.until(|e| (e.forgotten == [41]).then_some(())).await;
    let kept = "SELECT count(*) FROM trip_position";
    assert_eq!(running.test.number(kept).await.unwrap(), 0);
}
