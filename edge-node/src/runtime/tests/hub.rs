//! A hub in memory, over real QUIC: the real session machine with the least behind it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::event::{ChainHead, SignedEvent};
use domain::ids::{CompanyId, Kid, LeaseNo, NodeIncarnation, Seq};
use domain::lease::{LeaseRequest, SignedGrant};
use domain::restore::FIRST;
use domain::tracking::Fix;
use ed25519_dalek::VerifyingKey;
use sync_protocol::frame::{
    BucketId, EdgeFrame, Hello, HubFrame, Item, LeaseAnswer, StoredMark, TAKES_POSITIONS, Welcome,
};
use sync_protocol::resume::{KnownLog, decide_resume};
use sync_protocol::session::{HubInput, HubOutput, HubSession};
use sync_transport::enrolment::{EnrolmentRequest, HubKey, HubKeyUse};
use sync_transport::{
    Arrival, Channel, Connection, EnrolmentCode, EnrolmentDesk, EnrolmentGrant, EnrolmentRefusal,
    HubEndpoint, HubIdentity, TransportSettings,
};

use crate::engine::tests::fixture::{company_items, grant, hub_key, station};
use crate::runtime::clock;

const SECRET: [u8; 16] = [7; 16];

#[derive(Default)]
struct Books {
    event_key: Option<VerifyingKey>,
    logs: BTreeMap<NodeIncarnation, Vec<SignedEvent>>,
    highest: u32,
    grants: Vec<(LeaseRequest, SignedGrant)>,
    fixes: Vec<Fix>,
    datagrams: usize,
}

/// What survives the death of a hub process.
pub(super) struct HubOffice {
    identity: HubIdentity,
    books: Mutex<Books>,
}

/// A running hub process.
pub(super) struct Hub {
    pub(super) office: Arc<HubOffice>,
    pub(super) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HubOffice {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            identity: HubIdentity::generate().unwrap(),
            books: Mutex::new(Books {
                highest: 1,
                ..Books::default()
            }),
        })
    }

    pub(super) fn events(&self, incarnation: u32) -> Vec<SignedEvent> {
        let books = self.books.lock().unwrap();
        let log = books.logs.get(&NodeIncarnation(incarnation));
        log.cloned().unwrap_or_default()
    }

    /// The numbers of the fixes taken, in the order they came, and how many came as datagrams.
    pub(super) fn fixes(&self) -> (Vec<u64>, usize) {
        let books = self.books.lock().unwrap();
        let numbers = books.fixes.iter().map(|fix| fix.seq).collect();
        (numbers, books.datagrams)
    }

    fn greet(&self, hello: &Hello) -> Welcome {
        let mut books = self.books.lock().unwrap();
        let known: Vec<KnownLog> = hello
            .logs
            .iter()
            .map(|log| {
                let stored = books.logs.get(&log.incarnation);
                let at = |seq: Seq| stored?.get((seq.0 as usize).checked_sub(1)?);
                let last = stored.and_then(|s| s.last());
                KnownLog {
                    head: last.map_or(ChainHead::empty(log.incarnation), SignedEvent::head),
                    hash_at_hello: at(log.seq).map(|e| e.hash),
                    fork_stored: false,
                }
            })
            .collect();
        let resume = decide_resume(hello, &known, NodeIncarnation(books.highest), FIRST);
        if let Some(begin) = resume.begin {
            books.highest = begin.0;
        }
        Welcome {
            version: 1,
            hub_incarnation: FIRST,
            now: clock::now(),
            stored: resume.stored,
            begin: resume.begin,
            buckets: vec![BucketId::Company, BucketId::Node],
            tell_grants: false,
            takes: Some(TAKES_POSITIONS),
        }
    }

    fn store(&self, batch: &sync_protocol::batch::EventBatch) -> Option<StoredMark> {
        let mut books = self.books.lock().unwrap();
        let events = batch.unpack(station(), &books.event_key?).unwrap();
        let log = books.logs.entry(batch.incarnation).or_default();
        for event in events {
            if event.envelope.seq.0 == log.len() as u64 + 1 {
                log.push(event);
            }
        }
        Some(StoredMark {
            incarnation: batch.incarnation,
            through: Seq(log.len() as u64),
        })
    }

    fn lease(&self, request: &LeaseRequest) -> LeaseAnswer {
        let mut books = self.books.lock().unwrap();
        if let Some((_, known)) = books
            .grants
            .iter()
            .find(|(r, _)| r.request == request.request)
        {
            return LeaseAnswer::Granted(known.clone());
        }
        let no = books.grants.len() as u16 + 1;
        let mut lease = grant(no, no..=no + 1);
        lease.lease_no = LeaseNo(no);
        lease.request = request.request;
        lease.sell_until = clock::now().plus_ms(3_600_000);
        let signed = SignedGrant::sign(&lease, &hub_key());
        books.grants.push((request.clone(), signed.clone()));
        LeaseAnswer::Granted(signed)
    }

    fn bucket(&self, bucket: &BucketId, after: u64) -> (u64, Vec<Item>) {
        let books = self.books.lock().unwrap();
        let items = match bucket {
            BucketId::Company => company_items(),
            BucketId::Node | BucketId::Trip(_) | BucketId::Station(_) => books
                .grants
                .iter()
                .map(|(_, signed)| Item::Grant(signed.clone()))
                .collect(),
        };
        let checkpoint = items.len() as u64;
        (checkpoint, items.into_iter().skip(after as usize).collect())
    }

    async fn drive(self: Arc<Self>, connection: Connection) {
        let mut session = HubSession::new();
        loop {
            while let Some(output) = session.poll_output() {
                let now = clock::uptime();
                let input = match output {
                    HubOutput::Send(frame) => {
                        if send(&connection, &frame).await.is_err() {
                            return;
                        }
                        continue;
                    }
                    HubOutput::Greet(hello) => HubInput::Welcome(self.greet(&hello)),
                    HubOutput::Store(batch) => match self.store(&batch) {
                        Some(mark) => {
                            session.handle_input(HubInput::Stored(mark), now);
                            HubInput::Judged(mark, vec![])
                        }
                        None => HubInput::NotStored,
                    },
                    HubOutput::DecideLease(request) => {
                        let answer = self.lease(&request);
                        session.handle_input(HubInput::BucketChanged(BucketId::Node), now);
                        HubInput::Lease(request.request, answer)
                    }
                    HubOutput::LoadBucket { bucket, after } => {
                        let (checkpoint, items) = self.bucket(&bucket, after);
                        HubInput::BucketLoaded {
                            bucket,
                            after,
                            checkpoint,
                            items,
                        }
                    }
                    HubOutput::BucketAcked(_) => continue,
                    HubOutput::TakeGrants { .. } => HubInput::GrantsTaken(true),
                    HubOutput::TakePositions(fixes) => {
                        let numbers = fixes.iter().map(|fix| fix.seq).collect();
                        self.books.lock().unwrap().fixes.extend(fixes);
                        HubInput::PositionsTaken(numbers)
                    }
                    HubOutput::TellTime(asked) => {
                        let frame = HubSession::time_frame(asked, clock::now());
                        if send(&connection, &frame).await.is_err() {
                            return;
                        }
                        continue;
                    }
                };
                session.handle_input(input, now);
            }
            let late = session.poll_timeout();
            let wait = late.map(|at| at.0.saturating_sub(clock::uptime().0));
            tokio::select! {
                frame = connection.recv() => {
                    let Ok((_, bytes)) = frame else { return };
                    let frame = EdgeFrame::from_bytes(&bytes).unwrap();
                    session.handle_input(HubInput::Frame(frame), clock::uptime());
                }
                frame = connection.recv_datagram() => {
                    let Ok(bytes) = frame else { return };
                    self.books.lock().unwrap().datagrams += 1;
                    let frame = EdgeFrame::from_bytes(&bytes).unwrap();
                    session.handle_input(HubInput::Frame(frame), clock::uptime());
                }
                // tidy-allow-sleep: the machine's own timer
                () = tokio::time::sleep(Duration::from_millis(wait.unwrap_or(0))),
                    if wait.is_some() => session.handle_timeout(clock::uptime()),
            }
        }
    }
}

async fn send(
    connection: &Connection,
    frame: &HubFrame,
) -> Result<(), sync_transport::TransportError> {
    let channel = match frame.channel() {
        sync_protocol::Channel::Control => Channel::Control,
        sync_protocol::Channel::Events => Channel::Events,
        sync_protocol::Channel::Buckets => Channel::Buckets,
    };
    connection.send(channel, frame.to_bytes()).await
}

impl EnrolmentDesk for HubOffice {
    async fn enrol(
        &self,
        request: EnrolmentRequest,
        _: SocketAddr,
    ) -> Result<EnrolmentGrant, EnrolmentRefusal> {
        if request.secret != SECRET {
            return Err(EnrolmentRefusal::UnknownCode);
        }
        let mut books = self.books.lock().unwrap();
        books.event_key = VerifyingKey::from_bytes(&request.event_public_key).ok();
        let certificate = self
            .identity
            .issue_node_certificate(&request.csr, station());
        Ok(EnrolmentGrant {
            node_id: station(),
            company_id: CompanyId::from_bytes([9; 16]),
            certificate: certificate.unwrap(),
            ca_certificate: self.identity.ca_certificate().to_vec(),
            hub_keys: vec![HubKey {
                key_use: HubKeyUse::All,
                kid: Kid([1, 2, 3, 4]),
                public_key: hub_key().verifying_key().to_bytes(),
            }],
            config: vec![],
        })
    }
}

impl Hub {
    /// Starts a hub process of an office on a free port.
    pub(super) fn start(office: &Arc<HubOffice>) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let endpoint = HubEndpoint::bind(any, &office.identity, &TransportSettings::hub()).unwrap();
        let address = endpoint.local_addr();
        let desk = Arc::clone(office);
        let task = tokio::spawn(async move {
            while let Some(arrival) = endpoint.accept().await {
                let desk = Arc::clone(&desk);
                match arrival {
                    Arrival::Enrolment(arrival) => {
                        tokio::spawn(async move { arrival.serve(&*desk).await });
                    }
                    Arrival::Sync(arrival) => {
                        tokio::spawn(async move {
                            if let Ok(connection) = arrival.admit().await {
                                desk.drive(connection).await;
                            }
                        });
                    }
                }
            }
            endpoint.shut_down(Duration::ZERO).await;
        });
        Self {
            office: Arc::clone(office),
            address,
            task,
        }
    }

    pub(super) fn code(&self, secret: [u8; 16]) -> String {
        let fingerprint = self.office.identity.ca_fingerprint().unwrap();
        EnrolmentCode::new(&self.address.to_string(), secret, fingerprint)
            .unwrap()
            .to_string()
    }

    pub(super) fn good_code(&self) -> String {
        self.code(SECRET)
    }
}
