//! What tests of the hub stand on: a migrated database of their own, a company with a trip, and
//! a node that writes its log by hand.

use std::sync::atomic::{AtomicU32, Ordering};

use domain::codec::to_cbor;
use domain::event::{
    ChainHead, Coupon, Envelope, EventBody, Sale, SignedEvent, TenderKind, TenderLine, encode_body,
    personal_hash, ticket_id,
};
use domain::ids::{
    CompanyId, LayoutVersion, NodeId, NodeIncarnation, RequestId, SaleOrdinal, SeatNo, Seq,
    ShiftNo, StopSeq, TicketId, TripId,
};
use domain::lease::{Grant, LeaseRequest, SeatWant};
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::ticket::{Suite, sign_ticket, signing_kid};
use domain::time::Instant;
use domain::trip::{Legs, Trip, TripStop};
use ed25519_dalek::SigningKey;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use sync_protocol::frame::LeaseAnswer;
use uuid::Uuid;

use crate::db::{Db, DbError};
use crate::keys::HubKeys;
use crate::nodes::enrolment::enrol_for_test;
use crate::nodes::{NodeContext, NodeKind, load_node};
use crate::postgres::{TestCluster, TestDatabase};
use crate::sync::ingest::{Ingest, Judged, StoreOutcome};
use crate::ticketing::leases::grant_lease;

mod people;

pub use people::{TestPerson, person_with, token_for};

/// The server whose databases tests use, instead of a private cluster.
const SERVER_VARIABLE: &str = "MWIMULE_TEST_DATABASE_URL";

/// A migrated database that one test has for itself.
#[derive(Debug, Clone)]
pub struct TestDb {
    /// As the hub works with it.
    pub db: Db,
    /// As its owner.
    pub url: String,
    _cluster: Option<TestDatabase>,
}

type TestError = Box<dyn std::error::Error + Send + Sync>;

impl TestDb {
    /// Makes and migrates a database.
    pub async fn new() -> Result<Self, TestError> {
        let (url, cluster) = if let Ok(server) = std::env::var(SERVER_VARIABLE) {
            (database_of(&server).await?, None)
        } else {
            let database = TestCluster::database().await?;
            (database.url.clone(), Some(database))
        };
        Db::migrate(&url).await?;
        Ok(Self {
            db: Db::connect(&url).await?,
            url,
            _cluster: cluster,
        })
    }

    /// A connection that no row-level security binds.
    pub async fn owner(&self) -> Result<PgConnection, TestError> {
        Ok(PgConnection::connect(&self.url).await?)
    }

    /// A number, as the owner sees it.
    pub async fn number(&self, sql: &'static str) -> Result<i64, TestError> {
        let mut owner = self.owner().await?;
        Ok(sqlx::query_scalar(sql).fetch_one(&mut owner).await?)
    }
}

async fn database_of(server: &str) -> Result<String, TestError> {
    static DATABASES: AtomicU32 = AtomicU32::new(1);
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let name = format!("mwimule_test_{}_{number}", std::process::id());
    let mut connection = PgConnection::connect(server).await?;
    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    sqlx::query(AssertSqlSafe(drop))
        .execute(&mut connection)
        .await?;
    let create = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(create))
        .execute(&mut connection)
        .await?;
    // The path is the part between the last slash before the parameters and the parameters.
    let (address, parameters) = server.split_once('?').unwrap_or((server, ""));
    let base = address.rsplit_once('/').map_or(address, |(base, _)| base);
    Ok(format!("{base}/{name}?{parameters}"))
}

/// A company with keys, in Lusaka.
#[derive(Debug, Clone)]
pub struct TestCompany {
    /// Which.
    pub id: CompanyId,
    /// Where.
    pub db: Db,
    /// The hub's.
    pub keys: HubKeys,
}

/// When the trips of tests leave: late enough that boarding is open.
pub const DEPARTS: Instant = Instant(4_000_000_000_000);

impl TestCompany {
    /// Makes a company with the stops `S0` to `S9`.
    pub async fn new(db: &Db, number: u8) -> Result<Self, DbError> {
        let id = CompanyId(Uuid::from_u128(0xc0_0000 + u128::from(number)));
        let mut tx = db.tenant(id).await?;
        sqlx::query(
            "INSERT INTO company (company_id, name, zone, currency, created_at_ms)
             VALUES ($1, $2, 'Africa/Lusaka', 'ZMW', 0)",
        )
        .bind(id.0)
        .bind(format!("Company {number}"))
        .execute(tx.conn())
        .await?;
        sqlx::query(
            "INSERT INTO stop (company_id, stop_code, name, fare_zone, zone)
             SELECT $1, 'S' || n, 'Stop ' || n, 'S' || n, 'Africa/Lusaka'
             FROM generate_series(0, 9) AS n",
        )
        .bind(id.0)
        .execute(tx.conn())
        .await?;
        tx.commit().await?;
        Ok(Self {
            id,
            db: db.clone(),
            keys: HubKeys::from_bytes(&[number; 32], [number; 32]),
        })
    }

    /// A trip of so many legs and seats over the stops `S0`, `S1`, …
    pub async fn trip(&self, run: &str, legs: u8, seats: u16) -> Result<Trip, DbError> {
        let stops = (0..=legs).map(|n| TripStop {
            code: domain::ids::StopCode(format!("S{n}")),
            name: format!("Stop {n}"),
            #[expect(clippy::unwrap_used, reason = "a zone that exists")]
            zone: "Africa/Lusaka".parse().unwrap(),
            arrives: DEPARTS.plus_ms(i64::from(n) * 3_600_000),
            departs: DEPARTS.plus_ms(i64::from(n) * 3_600_000),
        });
        let mut trip = Trip {
            id: TripId(0),
            route: "R".to_owned(),
            headsign: "North".to_owned(),
            #[expect(clippy::unwrap_used, reason = "a date that exists")]
            service_date: "2096-10-02".parse().unwrap(),
            layout: "coach".to_owned(),
            layout_version: LayoutVersion(1),
            seat_count: seats,
            fare_table: "fares".to_owned(),
            currency: Currency::ZMW,
            stops: stops.collect(),
            swaps: domain::swap::Swaps::NONE,
        };
        let closes: Vec<i64> = trip.stops.iter().map(|s| s.departs.0).collect();
        let mut tx = self.db.tenant(self.id).await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO trip (company_id, pattern_key, service_date, run, route_code, headsign,
                 seat_count, leg_count, layout_version, departs_at_ms, boarding_closes_ms, body)
             VALUES ($1, 'p', '2096-10-02', $2, 'R', 'North', $3, $4, 1, $5, $6, '')
             RETURNING trip_id",
        )
        .bind(self.id.0)
        .bind(run)
        .bind(i32::from(seats))
        .bind(i32::from(legs))
        .bind(DEPARTS.0)
        .bind(&closes)
        .fetch_one(tx.conn())
        .await?;
        trip.id = TripId(id as u64);
        sqlx::query("UPDATE trip SET body = $2 WHERE trip_id = $1")
            .bind(id)
            .bind(to_cbor(&trip))
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        Ok(trip)
    }

    /// A station at `S<stop>` that writes its log by hand.
    pub async fn station(&self, stop: u8) -> Result<TestNode, DbError> {
        let kind = NodeKind::Station(domain::ids::StopCode(format!("S{stop}")));
        self.node(stop, &kind).await
    }

    /// An onboard node.
    pub async fn onboard(&self, number: u8) -> Result<TestNode, DbError> {
        self.node(100 + number, &NodeKind::Onboard).await
    }

    async fn node(&self, number: u8, kind: &NodeKind) -> Result<TestNode, DbError> {
        let seed = |what: u8| {
            let mut seed = [number; 32];
            seed[0] = what;
            seed[1..17].copy_from_slice(self.id.as_bytes());
            SigningKey::from_bytes(&seed)
        };
        let (event_key, ticket_key) = (seed(1), seed(2));
        let (event, ticket) = (event_key.verifying_key(), ticket_key.verifying_key());
        let name = format!("node {number}");
        let id = enrol_for_test(&self.db, self.id, &name, kind, &event, &ticket).await?;
        let context = load_node(&self.db, id).await?;
        Ok(TestNode {
            context: context.ok_or_else(|| DbError::damaged("the node of the test"))?,
            event_key,
            ticket_key,
            head: ChainHead::empty(NodeIncarnation(1)),
            at: Instant(1_790_000_000_000),
            requests: 0,
        })
    }

    /// Asks for `count` seats from `from` to `to` on behalf of a node.
    pub async fn lease(
        &self,
        node: &mut TestNode,
        trip: TripId,
        (from, to): (u8, u8),
        count: u16,
    ) -> Result<Grant, TestError> {
        let request = node.request(trip, (from, to), count);
        let id = node.context.node;
        match grant_lease(&self.db, &self.keys, self.id, id, &request, node.at).await? {
            LeaseAnswer::Granted(signed) => Ok(signed.verify(&self.keys.verifying_key())?),
            LeaseAnswer::Refused(why) => Err(why.into()),
        }
    }
}

/// A node that writes its log by hand.
#[derive(Debug, Clone)]
pub struct TestNode {
    /// As the hub knows it.
    pub context: NodeContext,
    /// Signs its log.
    pub event_key: SigningKey,
    /// Signs its tickets.
    pub ticket_key: SigningKey,
    /// The end of its log.
    pub head: ChainHead,
    /// Its clock.
    pub at: Instant,
    requests: u128,
}

/// A seat from one stop to another.
pub type Journey = (u16, u8, u8);

/// What a journey costs in tests, in ngwee.
pub const FARE: Minor = Minor(15_000);

impl TestNode {
    /// Its id.
    pub fn id(&self) -> NodeId {
        self.context.node
    }

    /// A new wish for seats.
    pub fn request(&mut self, trip: TripId, (from, to): (u8, u8), count: u16) -> LeaseRequest {
        self.requests += 1;
        LeaseRequest {
            request: RequestId(Uuid::from_u128(
                self.context.node.0.as_u128() ^ (self.requests << 8),
            )),
            trip,
            boarding: StopSeq(from),
            wants: vec![SeatWant {
                to: StopSeq(to),
                count,
            }],
        }
    }

    fn envelope(&mut self) -> Envelope {
        self.at = self.at.plus_ms(1_500);
        Envelope {
            node: self.context.node,
            incarnation: self.head.incarnation,
            seq: Seq(self.head.seq.0 + 1),
            prev: self.head.hash,
            at: self.at,
            personal: None,
            body: vec![],
        }
    }

    /// Writes an event at the end of the log.
    pub fn log(&mut self, body: &EventBody) -> SignedEvent {
        let mut envelope = self.envelope();
        envelope.body = encode_body(body);
        self.finish(envelope, None)
    }

    fn finish(&mut self, mut envelope: Envelope, personal: Option<Vec<u8>>) -> SignedEvent {
        envelope.personal = personal.as_deref().map(personal_hash);
        let event = envelope.sign(&self.event_key, personal);
        self.head = event.head();
        event
    }

    /// Writes a cash sale of some journeys under a grant.
    pub fn sell(&mut self, shift: u32, grant: &Grant, journeys: &[Journey]) -> SignedEvent {
        let coupons: Vec<_> = journeys.iter().map(|j| (grant, *j)).collect();
        self.sell_party(shift, &coupons, None)
    }

    /// Writes a cash sale of journeys under several grants.
    pub fn sell_party(
        &mut self,
        shift: u32,
        journeys: &[(&Grant, Journey)],
        personal: Option<Vec<u8>>,
    ) -> SignedEvent {
        let mut envelope = self.envelope();
        let kid = signing_kid(&self.ticket_key.verifying_key());
        let mut coupons = vec![];
        for (index, (grant, (seat, from, to))) in journeys.iter().enumerate() {
            let Some(legs) = Legs::new(StopSeq(*from), StopSeq(*to)) else {
                continue;
            };
            let mut coupon = Coupon {
                trip: grant.trip,
                seat: SeatNo(*seat),
                legs,
                class: PassengerClass::Adult,
                ordinal: SaleOrdinal(1),
                lease_no: grant.lease_no,
                epoch: grant.epoch,
                layout_version: LayoutVersion(1),
                fare_minor: FARE,
                test: false,
                tag: vec![],
            };
            let id = ticket_id(&envelope, index, coupon.trip, coupon.seat);
            let claim = coupon.claim(id, envelope.at);
            let signed = sign_ticket(&claim, kid, &self.ticket_key);
            coupon.tag = signed.proof.as_bytes().to_vec();
            coupons.push(coupon);
        }
        let total = Minor(FARE.0 * coupons.len() as i64);
        envelope.body = encode_body(&EventBody::Sale(Sale {
            shift: ShiftNo(shift),
            currency: Currency::ZMW,
            kid,
            suite: Suite::Ed25519,
            coupons,
            tender: vec![TenderLine {
                kind: TenderKind::Cash,
                amount_minor: total,
            }],
        }));
        self.finish(envelope, personal)
    }

    /// The ticket of the first journey of a sale.
    pub fn ticket_of(event: &SignedEvent, trip: TripId, seat: u16) -> TicketId {
        ticket_id(&event.envelope, 0, trip, SeatNo(seat))
    }

    /// An ingest of its log.
    pub fn ingest(&self, db: &Db) -> Ingest {
        Ingest::new(db.clone(), self.context.clone())
    }
}

/// Stores and judges one batch; fails where it was not stored.
pub async fn deliver(
    ingest: &mut Ingest,
    events: Vec<SignedEvent>,
) -> Result<Option<Judged>, TestError> {
    let incarnation = events
        .first()
        .map_or(NodeIncarnation(1), |e| e.envelope.incarnation);
    let outcomes = ingest.store(incarnation, vec![events]).await?;
    if outcomes.contains(&StoreOutcome::NotStored) {
        return Err("the batch was not stored".into());
    }
    Ok(ingest.judge_all(incarnation).await?)
}
