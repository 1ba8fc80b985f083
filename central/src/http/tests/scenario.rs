//! Whatever is sold, paid, taken back, exchanged, driven and settled: the books stay right.

use std::collections::{BTreeMap, BTreeSet};

use domain::event::{EventBody, ShiftOpened, VoidReason, VoidRecord};
use domain::ids::{CompanyId, ShiftNo, TicketId, TripId};
use domain::lease::Grant;
use domain::money::{Currency, Minor};
use domain::time::Instant;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::site::{Answer, DAY, Site, booking};
use crate::access::{Identity, Staff};
use crate::audit::Actor;
use crate::operations::{Command, trips};
use crate::reconciliation::settlements::{self, Wish};
use crate::testing::{TestCompany, TestNode, deliver};

/// Names the scenario to run instead of the fixed ones.
const SEED_VARIABLE: &str = "MWIMULE_SCENARIO_SEED";
const SEEDS: [u64; 2] = [4, 20_261_123];
const STEPS: usize = 50;
/// Long after every departure: what was posted before is in a settlement's span.
const LATER: Instant = Instant(2_100_000_000_000);
/// Of every fare, to whoever sold it.
const COMMISSION_PERCENT: i64 = 5;

/// What has to be nothing after every step, and what it counts.
const LAWS: [(&str, &str); 7] = [
    (
        "entries that do not sum to zero",
        "SELECT count(*) FROM (SELECT 1 FROM ledger_posting
             GROUP BY company_id, entry_id HAVING sum(amount_minor) <> 0) AS x",
    ),
    (
        "minor units that all postings together are off",
        "SELECT abs(COALESCE(sum(amount_minor), 0))::bigint FROM ledger_posting",
    ),
    (
        "tickets whose fare is not posted exactly once",
        "SELECT count(*) FROM ticket k LEFT JOIN LATERAL (
             SELECT count(*) AS lines, sum(amount_minor) AS amount FROM ledger_posting p
             WHERE p.ticket_id = k.ticket_id AND p.kind = 'sale') AS s ON true
         WHERE s.lines <> 1 OR s.amount <> -k.fare_minor",
    ),
    (
        "accounts of what is owed to passengers that passengers owe",
        "SELECT count(*) FROM (SELECT 1 FROM ledger_posting p
             JOIN ledger_account a USING (company_id, account_id)
             WHERE a.kind IN ('deferred_revenue', 'refunds_payable', 'suspense')
             GROUP BY a.account_id HAVING sum(p.amount_minor) > 0) AS x",
    ),
    (
        "tickets for which more is owed, earned and held than was paid",
        "SELECT count(*) FROM (SELECT p.ticket_id FROM ledger_posting p
             JOIN ledger_account a USING (company_id, account_id)
             WHERE a.kind IN ('deferred_revenue', 'refunds_payable', 'suspense', 'revenue')
               AND p.ticket_id IS NOT NULL
             GROUP BY p.ticket_id HAVING sum(p.amount_minor) FILTER (
                 WHERE p.kind <> 'recognition') NOT BETWEEN
                 -(SELECT fare_minor FROM ticket k WHERE k.ticket_id = p.ticket_id) AND 0) AS x",
    ),
    (
        "trips that have departed and still owe the journey",
        "SELECT count(*) FROM (SELECT 1 FROM ledger_posting p
             JOIN ledger_account a USING (company_id, account_id)
             JOIN ledger_recognition r USING (company_id, trip_id)
             WHERE a.kind = 'deferred_revenue'
             GROUP BY a.account_id HAVING sum(p.amount_minor) <> 0) AS x",
    ),
    (
        "seat-legs with two owners",
        "WITH taken AS (
             SELECT 'c' || claim_id AS id, 'claim' AS what, node_id AS node, trip_id, seat, legs
             FROM claim
             UNION ALL
             SELECT 't' || ticket_id, 'ticket', issuer_node, trip_id, seat, legs
             FROM ticket WHERE state = 0)
         SELECT count(*) FROM taken a JOIN taken b
             ON a.trip_id = b.trip_id AND a.seat = b.seat AND a.legs && b.legs AND a.id < b.id
         WHERE a.what = b.what OR a.node IS DISTINCT FROM b.node",
    ),
];

/// The commission that stands in the books, less the one that all fares earned come to.
const COMMISSION: &str = "
    SELECT (SELECT COALESCE(sum(p.amount_minor), 0)::bigint FROM ledger_posting p
            JOIN ledger_account a USING (company_id, account_id)
            WHERE a.kind = 'commission_expense')
         - (SELECT COALESCE(sum(round(earned * 0.05)), 0)::bigint FROM (
                SELECT sum(CASE WHEN a.kind = 'revenue' THEN -p.amount_minor
                                WHEN p.kind = 'recognition' THEN p.amount_minor
                                ELSE 0 END) AS earned
                FROM ledger_posting p JOIN ledger_account a USING (company_id, account_id)
                WHERE a.kind IN ('revenue', 'deferred_revenue') AND p.ticket_id IS NOT NULL
                GROUP BY p.ticket_id) AS x)";

/// Throws the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % most.max(1) as u64) as usize
    }
}

struct World {
    dice: Dice,
    site: Site,
    /// Sees every company's rows.
    owner: PgConnection,
    company: TestCompany,
    office: String,
    trips: Vec<u64>,
    departed: BTreeSet<u64>,
    paid: Vec<String>,
    unpaid: Vec<String>,
    node: TestNode,
    grants: BTreeMap<u64, Grant>,
    sold: Vec<TicketId>,
    keys: usize,
    /// What was answered how often.
    heard: BTreeMap<String, usize>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let site = Site::new().await;
        let (id, office) = site.company("A").await;
        let company = TestCompany {
            id,
            db: site.db.db.clone(),
            keys: site.keys.clone(),
        };
        let path = format!("/trips?company=A&date={DAY}&from=LUN&to=LVI&limit=3");
        let page = site.get(&path).await.json();
        let trips = page["items"].as_array().unwrap().iter();
        let trips: Vec<u64> = trips.map(|t| t["trip"].as_u64().unwrap()).collect();
        let mut owner = site.db.owner().await.unwrap();
        sqlx::query(
            "INSERT INTO commission_rate (company_id, rate_id, seller_kind, seller, percent_bp)
             VALUES ($1, gen_random_uuid(), 'company', '', $2)",
        )
        .bind(id.0)
        .bind(COMMISSION_PERCENT as i32 * 100)
        .execute(&mut owner)
        .await
        .unwrap();
        let mut node = company.station(0).await.unwrap();
        let mut grants = BTreeMap::new();
        for trip in &trips {
            let grant = company.lease(&mut node, TripId(*trip), (0, 1), 6).await;
            grants.insert(*trip, grant.unwrap());
        }
        let opened = node.log(&EventBody::ShiftOpened(ShiftOpened {
            shift: ShiftNo(1),
            agent: "Mutinta".to_owned(),
            float_minor: Minor(0),
            currency: Currency::ZMW,
        }));
        let world = Self {
            dice: Dice(seed),
            site,
            owner,
            company,
            office,
            trips,
            departed: BTreeSet::new(),
            paid: vec![],
            unpaid: vec![],
            node,
            grants,
            sold: vec![],
            keys: 0,
            heard: BTreeMap::new(),
        };
        let mut ingest = world.node.ingest(&world.site.db.db);
        deliver(&mut ingest, vec![opened]).await.unwrap();
        world
    }

    async fn number(&mut self, sql: &'static str) -> i64 {
        let asked = sqlx::query_scalar(sql);
        asked.fetch_one(&mut self.owner).await.unwrap()
    }

    fn trip(&mut self) -> u64 {
        let place = self.dice.below(self.trips.len());
        self.trips[place]
    }

    async fn post(&mut self, step: &str, path: &str, body: &Value) -> Answer {
        self.keys += 1;
        let (bearer, key) = (format!("Bearer {}", self.office), self.keys.to_string());
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", key.as_str()),
            ("authorization", bearer.as_str()),
        ];
        let answer = self.site.post(path, &headers, &body.to_string()).await;
        assert!(answer.status < 500, "{step}: {answer:?}");
        let kind = if answer.status < 300 {
            "done".to_owned()
        } else {
            answer.problem()
        };
        *self.heard.entry(format!("{step} {kind}")).or_default() += 1;
        answer
    }

    async fn sell(&mut self) {
        let (trip, adults) = (self.trip(), 1 + self.dice.below(3));
        let mut body = booking(trip, adults);
        let cash = self.dice.below(3) > 0;
        if cash {
            body["pay"] = "cash".into();
        }
        let sold = self.post("sell", "/bookings", &body).await;
        if sold.status == 201 {
            let reference = sold.json()["reference"].as_str().unwrap().to_owned();
            let list = if cash {
                &mut self.paid
            } else {
                &mut self.unpaid
            };
            list.push(reference);
        }
    }

    async fn pay(&mut self) {
        let place = self.dice.below(self.unpaid.len());
        let Some(reference) = self.unpaid.get(place).cloned() else {
            return;
        };
        let path = format!("/bookings/{reference}/payments");
        let cash = json!({"provider": "cash"});
        if self.post("pay", &path, &cash).await.status < 300 {
            self.unpaid.remove(place);
            self.paid.push(reference);
        }
    }

    /// Takes tickets of a booking back, or exchanges them.
    async fn take_back(&mut self, exchange: bool) {
        let place = self.dice.below(self.paid.len());
        let Some(reference) = self.paid.get(place).cloned() else {
            return;
        };
        let reasons = ["passenger_request", "goodwill", "medical", "mistake"];
        let reason = reasons[self.dice.below(reasons.len())];
        let mut wish = json!({"kind": "cancel", "reason": reason});
        if self.dice.below(2) == 0 {
            wish["coupons"] = json!([1 + self.dice.below(2)]);
        }
        if exchange {
            wish["kind"] = "exchange".into();
            wish["to"] = json!({"trip": self.trip(), "from": "LUN", "to": "LVI"});
        }
        let step = if exchange { "exchange" } else { "cancel" };
        let path = format!("/bookings/{reference}/offers");
        let offer = self.post(step, &path, &wish).await;
        if offer.status == 201 {
            let offer = offer.json()["offer"].as_str().unwrap().to_owned();
            let path = format!("/offers/{offer}/confirm");
            let step = format!("{step} confirm");
            self.post(&step, &path, &json!({"cash": true})).await;
        }
    }

    /// The station sells a seat of its lease, sometimes one that it has sold already.
    async fn sell_at_the_station(&mut self) {
        let trip = self.trip();
        let grant = self.grants[&trip].clone();
        let claim = grant.claims[self.dice.below(grant.claims.len())];
        let sold = self.node.sell(1, &grant, &[(claim.seat.0, 0, 1)]);
        self.sold
            .push(TestNode::ticket_of(&sold, TripId(trip), claim.seat.0));
        let mut ingest = self.node.ingest(&self.site.db.db);
        deliver(&mut ingest, vec![sold]).await.unwrap();
    }

    async fn void_at_the_station(&mut self) {
        if self.sold.is_empty() {
            return;
        }
        let ticket = self.sold.remove(self.dice.below(self.sold.len()));
        let void = self.node.log(&EventBody::Void(VoidRecord {
            shift: ShiftNo(1),
            ticket,
            reason: VoidReason::PassengerRequest,
        }));
        let mut ingest = self.node.ingest(&self.site.db.db);
        deliver(&mut ingest, vec![void]).await.unwrap();
    }

    async fn decide(&mut self) {
        let path = "/reconciliation/conflicts?state=open";
        let open = self.site.get_as(&self.office, path).await.json();
        let open = open["items"].as_array().unwrap();
        let Some(case) = open.get(self.dice.below(open.len())) else {
            return;
        };
        let sides = [&case["tickets"], &case["against"]];
        let winner = sides[self.dice.below(2)][0].clone();
        let words = ["refund", "other_seat", "rebook", "carried"];
        let decision = json!({"winner": winner, "reason": "thrown with dice",
            "consequence": words[self.dice.below(words.len())]});
        let path = format!("/reconciliation/conflicts/{}/decision", case["case"]);
        self.post("decide", &path, &decision).await;
    }

    async fn depart(&mut self) {
        let trip = self.trip();
        if !self.departed.insert(trip) {
            return;
        }
        let mut tx = self.site.db.db.tenant(self.company.id).await.unwrap();
        let running = trips::locked(&mut tx, TripId(trip)).await.unwrap();
        let left = running.trip.stops[0].departs;
        let command = Command::Depart(left);
        trips::run(&mut tx, running, &command, Actor::System, left)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        *self.heard.entry("depart done".to_owned()).or_default() += 1;
    }

    /// Settles with the station's agent, or for the company itself.
    async fn settle(&mut self) {
        let agent = crate::ledger::commission::agent_party(self.company.id, "mutinta");
        let wish = Wish {
            party: (self.dice.below(2) == 0).then_some(agent),
            span: ("2026-01-01".parse().unwrap(), "2036-01-01".parse().unwrap()),
            currency: Currency::ZMW,
        };
        let done = settle(&self.site, self.company.id, &wish).await;
        let heard = done.err().unwrap_or("done").to_owned();
        *self.heard.entry(format!("settle {heard}")).or_default() += 1;
    }

    async fn step(&mut self) {
        match self.dice.below(20) {
            0..=4 => self.sell().await,
            5..=6 => self.pay().await,
            7..=9 => self.take_back(false).await,
            10..=11 => self.take_back(true).await,
            12..=14 => self.sell_at_the_station().await,
            15 => self.void_at_the_station().await,
            16..=17 => self.decide().await,
            18 => self.settle().await,
            _ => self.depart().await,
        }
    }
}

/// Drafts, proposes, signs and pays a settlement; says at which step it ended.
async fn settle(site: &Site, company: CompanyId, wish: &Wish) -> Result<(), &'static str> {
    let person = |n| Staff {
        company,
        identity: Identity::Person(Uuid::from_u128(n)),
    };
    let mut tx = site.db.db.tenant(company).await.unwrap();
    let draft = settlements::draft(&mut tx, person(1), wish, LATER).await;
    let draft = draft.map_err(|_| "refused")?;
    let proposed = settlements::propose(&mut tx, person(1), &draft, LATER).await;
    let proposed = proposed.map_err(|_| "not proposed")?;
    let signed = settlements::sign_off(&mut tx, person(2), &proposed, true, LATER).await;
    let signed = signed.map_err(|_| "not signed")?;
    let paid = settlements::pay(&mut tx, person(1), &signed, "TRF", LATER).await;
    let done = if paid.is_ok() {
        Ok(())
    } else {
        Err("not paid")
    };
    tx.commit().await.unwrap();
    done
}

async fn run(seed: u64) {
    let mut world = World::new(seed).await;
    for step in 0..STEPS {
        world.step().await;
        for (what, law) in LAWS {
            let broken = world.number(law).await;
            let heard = &world.heard;
            assert_eq!(
                broken, 0,
                "seed {seed}, step {step}: {what}, after {heard:?}"
            );
        }
        let off = world.number(COMMISSION).await;
        assert_eq!(
            off, 0,
            "seed {seed}, step {step}: commission, after {:?}",
            world.heard
        );
    }
    // A scenario in which nothing happens shows nothing.
    for step in [
        "sell",
        "pay",
        "cancel confirm",
        "exchange confirm",
        "depart",
    ] {
        let done = world.heard.get(&format!("{step} done"));
        assert!(
            done.is_some(),
            "seed {seed}: no {step} in {:?}",
            world.heard
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_every_step_of_a_random_day_the_books_are_right() {
    match std::env::var(SEED_VARIABLE) {
        Ok(seed) => run(seed.parse().unwrap()).await,
        Err(_) => {
            for seed in SEEDS {
                run(seed).await;
            }
        }
    }
}
