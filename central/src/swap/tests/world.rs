//! A trip with a full bus: parties, two wheelchair users, and a counter that the hub hears late.

use domain::codec::{from_cbor, to_cbor};
use domain::event::{EventBody, LeaseAccepted, ShiftOpened};
use domain::ids::{CompanyId, LayoutVersion, SeatNo, ShiftNo, TicketId, TripId};
use domain::ingest::TicketState;
use domain::layout::{Seat, SeatAttributes, SeatLayout};
use domain::lease::Grant;
use domain::money::{Currency, Minor};
use domain::scan::{SeatHold, TripView};
use domain::trip::Trip;
use serde_json::{Value, json};
use sqlx::Row as _;
use sync_protocol::{BucketId, Item};

use crate::http::tests::site::{Answer, Site, booking};
use crate::nodes::assignment::assign_onboard;
use crate::sync::buckets::load_bucket;
use crate::testing::{TestCompany, TestNode, deliver};

/// What must never be.
const TWO_OWNERS: &str = "
    WITH taken AS (
        SELECT 'c' || claim_id AS id, 'claim' AS what, node_id AS node, trip_id, seat, legs
        FROM claim
        UNION ALL
        SELECT 't' || ticket_id, 'ticket', issuer_node, trip_id, seat, legs
        FROM ticket WHERE state = 0)
    SELECT count(*) FROM taken a JOIN taken b
        ON a.trip_id = b.trip_id AND a.seat = b.seat AND a.legs && b.legs AND a.id < b.id
    WHERE a.what = b.what OR a.node IS DISTINCT FROM b.node";

/// Seats that the counter holds.
const LEASED: u16 = 6;
/// The parties of a full bus, beside two wheelchair users: 41 seats.
const PARTIES: [usize; 13] = [4, 3, 5, 2, 6, 1, 4, 2, 8, 1, 3, 1, 1];

pub struct World {
    pub site: Site,
    pub company: TestCompany,
    pub office: String,
    pub trip: u64,
    pub bus: TestNode,
    pub node: TestNode,
    pub grant: Grant,
    sold: u16,
    last: u8,
    keys: usize,
    last_body: Value,
}

/// A ticket as the hub has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub ticket: TicketId,
    pub seat: SeatNo,
    pub printed: SeatNo,
    pub state: i16,
    pub fare_minor: i64,
    pub qr: String,
    pub code: String,
}

/// Rows of four; the seats of `wheels` are wheelchair places. Labels run by rows, or by sides, so
/// that two buses do not call the same place alike.
fn coach(id: &str, seats: u16, wheels: &[u16], by_rows: bool) -> SeatLayout {
    let rows = seats.div_ceil(4);
    let seat = |n: u16| {
        let (row, side) = ((n - 1) / 4, (n - 1) % 4);
        let mut attributes = SeatAttributes(if side % 3 == 0 { 1 } else { 2 });
        if wheels.contains(&n) {
            attributes = attributes.with(SeatAttributes::WHEELCHAIR);
        }
        Seat {
            label: if by_rows {
                format!("{}{}", row + 1, ['A', 'B', 'C', 'D'][usize::from(side)])
            } else {
                (side * rows + row + 1).to_string()
            },
            row: row + 1,
            column: [1, 2, 4, 5][usize::from(side)],
            attributes,
        }
    };
    SeatLayout::new(id, LayoutVersion(1), (1..=seats).map(seat).collect()).unwrap()
}

fn layouts() -> Vec<SeatLayout> {
    vec![
        coach("T49", 49, &[7, 8], true),
        coach("T65", 65, &[1, 2, 3], false),
        coach("T66", 66, &[1, 2, 3], false),
        coach("T45", 45, &[44, 45], true),
        coach("T4", 4, &[], true),
    ]
}

impl World {
    /// A trip on a layout with a counter's lease of six seats, and nothing sold.
    pub async fn leased_only(layout: &str) -> Self {
        let site = Site::new().await;
        let (id, office) = site.company("A").await;
        let trip = site.trip("A").await;
        let company = TestCompany {
            id,
            db: site.db.db.clone(),
            keys: site.keys.clone(),
        };
        let legs = set_the_stage(&site, id, trip, layout).await;
        let bus = company.onboard(1).await.unwrap();
        let mut node = company.station(0).await.unwrap();
        let (db, keys) = (&site.db.db, &site.keys);
        assign_onboard(db, keys, id, TripId(trip), bus.id())
            .await
            .unwrap();
        let grant = company
            .lease(&mut node, TripId(trip), (0, legs), LEASED)
            .await;
        let mut world = Self {
            grant: grant.unwrap(),
            site,
            company,
            office,
            trip,
            bus,
            node,
            sold: 0,
            last: legs,
            keys: 0,
            last_body: Value::Null,
        };
        let opened = world.node.log(&EventBody::ShiftOpened(ShiftOpened {
            shift: ShiftNo(1),
            agent: "Mutinta".to_owned(),
            float_minor: Minor(0),
            currency: Currency::ZMW,
        }));
        let accepted = world.node.log(&EventBody::LeaseAccepted(LeaseAccepted {
            trip: TripId(trip),
            lease_no: world.grant.lease_no,
            epoch: world.grant.epoch,
        }));
        let mut ingest = world.node.ingest(&world.site.db.db);
        deliver(&mut ingest, vec![opened, accepted]).await.unwrap();
        world
    }

    /// The same with every other seat sold: two wheelchair users, parties, two at the counter.
    pub async fn full(layout: &str) -> Self {
        let mut world = Self::leased_only(layout).await;
        for n in 0..2 {
            let mut body = booking(world.trip, 1);
            body["passengers"] = json!(["prm"]);
            world.pay_cash(&format!("wheelchair-{n}"), body).await;
        }
        for (n, size) in PARTIES.into_iter().enumerate() {
            let body = booking(world.trip, size);
            world.pay_cash(&format!("party-{n}"), body).await;
        }
        world.late_sale(2).await;
        world
    }

    async fn pay_cash(&self, key: &str, mut body: Value) {
        body["pay"] = "cash".into();
        let bearer = format!("Bearer {}", self.office);
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key),
            ("authorization", bearer.as_str()),
        ];
        let booked = self
            .site
            .post("/bookings", &headers, &body.to_string())
            .await;
        assert_eq!(booked.status, 201, "{booked:?}");
    }

    /// The hub hears of so many more tickets that the counter sold under its lease.
    pub async fn late_sale(&mut self, count: u16) {
        let mut events = vec![];
        for _ in 0..count {
            let seat = self.grant.claims[usize::from(self.sold)].seat.0;
            self.sold += 1;
            events.push(self.node.sell(1, &self.grant, &[(seat, 0, self.last)]));
        }
        let mut ingest = self.node.ingest(&self.site.db.db);
        deliver(&mut ingest, events).await.unwrap();
    }

    /// A request to the swaps of the trip.
    pub async fn post(&mut self, key: &str, path: &str, body: &Value) -> Answer {
        self.keys += 1;
        let key = format!("{key}-{}", self.keys);
        self.send(&key, path, body).await
    }

    async fn send(&self, key: &str, path: &str, body: &Value) -> Answer {
        let path = format!("/operations/trips/{}/swaps{path}", self.trip);
        let bearer = format!("Bearer {}", self.office);
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key),
            ("authorization", bearer.as_str()),
        ];
        self.site.post(&path, &headers, &body.to_string()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        let path = format!("/operations/trips/{}/swaps{path}", self.trip);
        self.site.get_as(&self.office, &path).await
    }

    /// Previews and confirms.
    pub async fn swap(&mut self, layout: &str) -> Value {
        self.swap_as(json!({"layout": layout})).await
    }

    pub async fn swap_as(&mut self, mut asked: Value) -> Value {
        let preview = self.post("preview", "/preview", &asked).await;
        assert_eq!(preview.status, 200, "{preview:?}");
        asked["preview"] = preview.json()["preview"].clone();
        let done = self.send("the-swap", "", &asked).await;
        assert_eq!(done.status, 201, "{done:?}");
        self.last_body = asked;
        done.json()
    }

    /// The last confirmation once more.
    pub async fn repeat(&self) -> Answer {
        self.send("the-swap", "", &self.last_body).await
    }

    pub async fn undo(&mut self, swap: i64) -> Value {
        let done = self
            .post("undo", &format!("/{swap}/undo"), &json!({}))
            .await;
        assert_eq!(done.status, 200, "{done:?}");
        done.json()
    }

    pub async fn confirm_offer(&self, offer: &str) -> Answer {
        let path = format!("/offers/{offer}/confirm");
        let bearer = format!("Bearer {}", self.office);
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", "offer"),
            ("authorization", bearer.as_str()),
        ];
        self.site.post(&path, &headers, "{}").await
    }

    /// Every ticket of the trip, by number.
    pub async fn rows(&self) -> Vec<Row> {
        let listed = format!("/tickets?trip={}&limit=100", self.trip);
        let listed = self.site.get_as(&self.office, &listed).await.json();
        let told = |ticket: &str, what: &str| {
            let found = listed["items"].as_array().unwrap().iter();
            let mut found = found.filter(|t| t["ticket"] == ticket);
            found.next().unwrap()[what].as_str().unwrap().to_owned()
        };
        let mut owner = self.site.db.owner().await.unwrap();
        let rows = sqlx::query(
            "SELECT ticket_id, seat, COALESCE(printed_seat, seat) AS printed, state, fare_minor
             FROM ticket WHERE trip_id = $1 ORDER BY ticket_id",
        )
        .bind(self.trip as i64)
        .fetch_all(&mut owner)
        .await
        .unwrap();
        rows.iter()
            .map(|r| {
                let id: uuid::Uuid = r.get("ticket_id");
                Row {
                    ticket: TicketId(id),
                    seat: SeatNo(r.get::<i32, _>("seat") as u16),
                    printed: SeatNo(r.get::<i32, _>("printed") as u16),
                    state: r.get("state"),
                    fare_minor: r.get("fare_minor"),
                    qr: told(&id.to_string(), "qr"),
                    code: told(&id.to_string(), "code"),
                }
            })
            .collect()
    }

    pub async fn trip_now(&self) -> Trip {
        let mut owner = self.site.db.owner().await.unwrap();
        let body: Vec<u8> = sqlx::query_scalar("SELECT body FROM trip WHERE trip_id = $1")
            .bind(self.trip as i64)
            .fetch_one(&mut owner)
            .await
            .unwrap();
        from_cbor(&body).unwrap()
    }

    /// What the validator on the bus knows after it has followed the trip's bucket.
    pub async fn door(&self) -> TripView {
        let trip = TripId(self.trip);
        let mut view = TripView::new(trip);
        let mut tx = self.site.db.db.tenant(self.company.id).await.unwrap();
        let bucket = BucketId::Trip(trip);
        let (_, items) = load_bucket(&mut tx, self.bus.id(), &bucket, 0)
            .await
            .unwrap();
        for item in items {
            match item {
                Item::Trip(trip) => view.renumber(&trip.swaps, trip.numbering()),
                Item::Key(key) => view.add_key(key),
                Item::Grant(signed) => {
                    let hub = self.site.keys.verifying_key();
                    view.add_grant(signed.verify(&hub).unwrap());
                }
                Item::Ticket(listed) if listed.state == TicketState::Live => {
                    view.codes.extend(listed.code.map(|code| (code, listed.id)));
                    let hold = SeatHold {
                        seat: listed.seat,
                        legs: listed.legs,
                        issuer: listed.issuer,
                        lease_no: listed.lease_no,
                        ordinal: listed.ordinal,
                    };
                    view.listed.insert(listed.id, hold);
                }
                Item::Ticket(_) | Item::Layout(_) | Item::Fares(_) => {}
            }
        }
        view
    }

    pub fn layout(id: &str) -> SeatLayout {
        layouts().into_iter().find(|l| l.id == id).unwrap()
    }

    /// The tickets of the wheelchair users.
    pub fn wheelchairs(&self) -> Vec<TicketId> {
        self.tickets_where("k.class = 3").concat()
    }

    /// The tickets of each booking of two and more.
    pub fn parties(&self) -> Vec<Vec<TicketId>> {
        let all = self.tickets_where("true");
        all.into_iter().filter(|p| p.len() > 1).collect()
    }

    fn tickets_where(&self, what: &str) -> Vec<Vec<TicketId>> {
        let sql = format!(
            "SELECT array_agg(k.ticket_id) FROM ticket k WHERE booking_id IS NOT NULL AND {what}
             GROUP BY booking_id"
        );
        let found = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut owner = self.site.db.owner().await.unwrap();
                let asked = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
                let rows: Vec<Vec<uuid::Uuid>> = asked.fetch_all(&mut owner).await.unwrap();
                rows
            })
        });
        let ids = |ids: Vec<uuid::Uuid>| ids.into_iter().map(TicketId).collect();
        found.into_iter().map(ids).collect()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        self.site.db.number(sql).await.unwrap()
    }

    /// The bodies of one kind of event, in order.
    pub async fn events(&self, kind: &str) -> Vec<Value> {
        let mut owner = self.site.db.owner().await.unwrap();
        sqlx::query_scalar("SELECT body FROM outbox WHERE kind = $1 ORDER BY event_no")
            .bind(kind)
            .fetch_all(&mut owner)
            .await
            .unwrap()
    }

    /// What stands in suspense, minor units.
    pub async fn suspense(&self) -> i64 {
        let sql = "SELECT COALESCE(-sum(p.amount_minor), 0)::bigint FROM ledger_posting p
                   JOIN ledger_account a USING (company_id, account_id) WHERE a.kind = 'suspense'";
        self.count(sql).await
    }

    /// One owner for each seat, and books that balance.
    pub async fn books_are_right(&self) {
        assert_eq!(self.count(TWO_OWNERS).await, 0);
        let sum = "SELECT COALESCE(sum(amount_minor), 0)::bigint FROM ledger_posting";
        assert_eq!(self.count(sum).await, 0);
        let owed = "SELECT count(*) FROM (SELECT 1 FROM ledger_posting p
             JOIN ledger_account a USING (company_id, account_id)
             WHERE a.kind IN ('deferred_revenue', 'refunds_payable', 'suspense')
             GROUP BY a.account_id HAVING sum(p.amount_minor) > 0) AS x";
        assert_eq!(self.count(owed).await, 0);
        let hidden = "SELECT count(*) FROM ticket WHERE state = 0 AND seat < 1";
        assert_eq!(self.count(hidden).await, 0);
    }
}

/// Draws the layouts, and puts the trip on one of them. Gives its last stop.
async fn set_the_stage(site: &Site, company: CompanyId, trip: u64, layout: &str) -> u8 {
    let mut owner = site.db.owner().await.unwrap();
    let mut chosen = None;
    for l in layouts() {
        sqlx::query(
            "INSERT INTO seat_layout (company_id, layout_id, version, seat_count, body)
             VALUES ($1, $2, 1, $3, $4)",
        )
        .bind(company.0)
        .bind(&l.id)
        .bind(i32::from(l.seat_count()))
        .bind(to_cbor(&l))
        .execute(&mut owner)
        .await
        .unwrap();
        if l.id == layout {
            chosen = Some(l);
        }
    }
    let chosen = chosen.unwrap();
    let body: Vec<u8> = sqlx::query_scalar("SELECT body FROM trip WHERE trip_id = $1")
        .bind(trip as i64)
        .fetch_one(&mut owner)
        .await
        .unwrap();
    let mut run: Trip = from_cbor(&body).unwrap();
    run.layout.clone_from(&chosen.id);
    run.layout_version = chosen.version;
    run.seat_count = chosen.seat_count();
    sqlx::query(
        "UPDATE trip SET body = $2, seat_count = $3, layout_version = 1 WHERE trip_id = $1",
    )
    .bind(trip as i64)
    .bind(to_cbor(&run))
    .bind(i32::from(run.seat_count))
    .execute(&mut owner)
    .await
    .unwrap();
    run.leg_count()
}
