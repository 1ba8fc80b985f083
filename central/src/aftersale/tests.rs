mod manifest;
mod names;

use domain::ids::{CompanyId, NodeId, TripId};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor as _};
use sync_protocol::BucketId;
use uuid::Uuid;

use super::{jobs, trip_cancelled};
use crate::access::Role;
use crate::audit::Actor;
use crate::clock;
use crate::http::tests::site::{Answer, DAY, Site};
use crate::sync::buckets::on_bucket_ack;
use crate::testing::token_for;

const PHONE: &str = "+260970000001";

/// A company with paid bookings.
struct Shop {
    site: Site,
    company: CompanyId,
    trips: Vec<u64>,
    clerk: String,
}

struct Paid {
    id: Uuid,
    reference: String,
    total: i64,
    tickets: Vec<Uuid>,
}

impl Shop {
    async fn new() -> Self {
        let site = Site::new().await;
        let (company, _) = site.company("A").await;
        let path = format!("/trips?company=A&date={DAY}&from=LUN&to=LVI&limit=2");
        let page = site.get(&path).await.json();
        let trips = page["items"].as_array().unwrap().iter();
        let trips = trips.map(|t| t["trip"].as_u64().unwrap()).collect();
        let clerk = token_for(&site.api, company, Role::Clerk).await.unwrap();
        Self {
            site,
            company,
            trips,
            clerk,
        }
    }

    async fn run(&self, sql: &str) {
        let mut owner = self.site.db.owner().await.unwrap();
        owner.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
    }

    async fn paid(&self, key: &str, adults: usize) -> Paid {
        let booked = self.site.book(self.trips[0], key, adults).await.json();
        let id: Uuid = booked["booking"].as_str().unwrap().parse().unwrap();
        self.run(&format!(
            "UPDATE booking SET paid_minor = total_minor WHERE booking_id = '{id}';
             INSERT INTO coupon (company_id, booking_id, coupon_no, trip_id, seat, legs, class,
                 fare_minor, ticket_id, state)
             SELECT company_id, booking_id, row_number() OVER (ORDER BY seat), trip_id, seat, legs,
                 class, fare_minor, ticket_id, 'issued' FROM ticket WHERE booking_id = '{id}'
             ON CONFLICT DO NOTHING"
        ))
        .await;
        let tickets = booked["tickets"].as_array().unwrap().iter();
        Paid {
            id,
            reference: booked["reference"].as_str().unwrap().to_owned(),
            total: booked["total_minor"].as_i64().unwrap(),
            tickets: tickets
                .map(|t| t["ticket"].as_str().unwrap().parse().unwrap())
                .collect(),
        }
    }

    async fn post(&self, path: &str, token: Option<&str>, key: &str, body: Value) -> Answer {
        let bearer = token.map(|t| format!("Bearer {t}"));
        let mut headers = vec![
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        headers.extend(bearer.as_deref().map(|b| ("authorization", b)));
        self.site.post(path, &headers, &body.to_string()).await
    }

    async fn offer(&self, of: &Paid, body: Value) -> Answer {
        let mut body = body;
        body["phone"] = json!(PHONE);
        let path = format!("/bookings/{}/offers", of.reference);
        self.post(&path, None, "-", body).await
    }

    async fn confirm(&self, offer: &Value, key: &str, body: Value) -> Answer {
        let path = format!("/offers/{}/confirm", offer["offer"].as_str().unwrap());
        self.post(&path, None, key, body).await
    }

    async fn number(&self, sql: &'static str) -> i64 {
        self.site.db.number(sql).await.unwrap()
    }

    async fn books_balance(&self) {
        let sum = "SELECT COALESCE(sum(amount_minor), 0)::bigint FROM ledger_posting";
        assert_eq!(self.number(sum).await, 0);
    }

    async fn cancel_trip(&self) -> usize {
        let trip = self.trips[0];
        let bearer = format!("Bearer {}", self.clerk);
        let headers = [
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
            ("if-match", "*"),
        ];
        let path = format!("/operations/trips/{trip}/cancellation");
        let body = json!({"reason": "the road is flooded"}).to_string();
        let offers = "SELECT count(*) FROM aftersale_offer WHERE kind = 'rebook'";
        let before = self.number(offers).await;
        let answer = self.site.post(&path, &headers, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let made = self.number(offers).await - before;
        // Saying it twice offers nothing twice.
        let mut tx = self.site.db.db.tenant(self.company).await.unwrap();
        let again = trip_cancelled(&mut tx, TripId(trip), Actor::System, clock::now()).await;
        tx.commit().await.unwrap();
        assert_eq!(again.unwrap(), 0);
        usize::try_from(made).unwrap()
    }
}

const OWED: &str = "SELECT COALESCE(sum(-p.amount_minor), 0)::bigint FROM ledger_posting p
    JOIN ledger_account a USING (company_id, account_id) WHERE a.kind = 'refunds_payable'";
const EARNED: &str = "SELECT COALESCE(sum(-p.amount_minor), 0)::bigint FROM ledger_posting p
    JOIN ledger_account a USING (company_id, account_id) WHERE a.kind = 'revenue'";
const ASKED_BACK: &str = "SELECT COALESCE(sum(amount_minor), 0)::bigint FROM refund";
const LIVE: &str = "SELECT count(*) FROM ticket WHERE state = 0";

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_pays_back_exactly_what_was_offered_and_only_once() {
    let shop = Shop::new().await;
    let paid = shop.paid("one", 2).await;
    let free = "SELECT count(*) FROM ticket WHERE state = 0";
    assert_eq!(shop.number(free).await, 2);
    let offer = shop
        .offer(&paid, json!({"kind": "cancel", "coupons": [1]}))
        .await;
    assert_eq!(offer.status, 201, "{offer:?}");
    let offer = offer.json();
    let half = paid.total / 2;
    assert_eq!(
        offer["refund_minor"].as_i64().unwrap(),
        half - half / 10,
        "{offer}"
    );
    assert_eq!(shop.number(free).await, 2, "an offer takes nothing back");
    let done = shop.confirm(&offer, "k", json!({})).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(shop.confirm(&offer, "k", json!({})).await, done);
    let again = shop.confirm(&offer, "another", json!({})).await;
    assert_eq!(
        (again.status, again.problem().as_str()),
        (409, "offer-over")
    );
    assert_eq!(shop.number(free).await, 1);
    assert_eq!(shop.number(OWED).await, half - half / 10);
    assert_eq!(shop.number(ASKED_BACK).await, half - half / 10);
    assert_eq!(shop.number(EARNED).await, half / 10);
    let states = "SELECT count(*) FROM coupon WHERE state = 'void'";
    assert_eq!(shop.number(states).await, 1);
    let told = "SELECT count(*) FROM outbox WHERE kind IN
        ('ticket.void', 'booking.cancelled', 'refund.requested')";
    assert_eq!(shop.number(told).await, 3);
    let rest = shop.offer(&paid, json!({"kind": "cancel"})).await.json();
    assert_eq!(shop.confirm(&rest, "rest", json!({})).await.status, 200);
    let gone = "SELECT count(*) FROM booking WHERE state = 'cancelled'";
    assert_eq!(shop.number(gone).await, 1);
    let nothing = shop.offer(&paid, json!({"kind": "cancel"})).await;
    assert_eq!(
        (nothing.status, nothing.problem().as_str()),
        (409, "no-tickets")
    );
    shop.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voided_seat_waits_until_the_validator_on_board_has_heard() {
    let shop = Shop::new().await;
    let paid = shop.paid("one", 1).await;
    let (trip, node) = (shop.trips[0], Uuid::from_u128(7));
    shop.run(&format!(
        "UPDATE trip SET onboard_node = '{node}' WHERE trip_id = {trip}"
    ))
    .await;
    let offer = shop.offer(&paid, json!({"kind": "cancel"})).await.json();
    assert_eq!(shop.confirm(&offer, "k", json!({})).await.status, 200);
    let blocks = "SELECT count(*) FROM claim WHERE kind = 'block'";
    assert_eq!(shop.number(blocks).await, 1);
    let change = shop.number("SELECT max(waits_for_change) FROM claim").await as u64;
    let bucket = BucketId::Trip(TripId(trip));
    let db = &shop.site.db.db;
    for (heard, left) in [(change - 1, 1), (change, 0)] {
        on_bucket_ack(db, shop.company, NodeId(node), &bucket, heard)
            .await
            .unwrap();
        assert_eq!(shop.number(blocks).await, left);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_gives_new_tickets_for_the_old_and_loses_no_coin() {
    let shop = Shop::new().await;
    let paid = shop.paid("one", 2).await;
    let to = json!({"trip": shop.trips[1], "from": "LUN", "to": "LVI"});
    let offer = shop
        .offer(&paid, json!({"kind": "exchange", "to": to}))
        .await;
    assert_eq!(offer.status, 201, "{offer:?}");
    let done = shop.confirm(&offer.json(), "k", json!({})).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.json()["tickets"].as_array().unwrap().len(), 2);
    assert_eq!(shop.number(LIVE).await, 2);
    let moved = "SELECT count(DISTINCT trip_id) FROM ticket";
    assert_eq!(shop.number(moved).await, 2);
    assert_eq!(shop.number(OWED).await, 0);
    let coupons = "SELECT count(*) FROM coupon WHERE state IN ('exchanged', 'issued')";
    assert_eq!(shop.number(coupons).await, 4);
    shop.books_balance().await;
    // The same seat again, on the first trip: whoever holds the old ticket is superseded.
    let back = json!({"trip": shop.trips[0], "from": "LUN", "to": "LVI"});
    let offer = shop
        .offer(&paid, json!({"kind": "exchange", "to": back}))
        .await
        .json();
    assert_eq!(shop.confirm(&offer, "back", json!({})).await.status, 200);
    assert_eq!(
        shop.number("SELECT max(ordinal)::bigint FROM ticket").await,
        2
    );
    let short = json!({"trip": shop.trips[0], "from": "LVI", "to": "LUN"});
    let wrong = shop
        .offer(&paid, json!({"kind": "exchange", "to": short}))
        .await;
    assert_eq!(
        (wrong.status, wrong.problem().as_str()),
        (422, "no-such-journey")
    );
    shop.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_since_the_offer_stops_it() {
    let shop = Shop::new().await;
    let paid = shop.paid("one", 1).await;
    let offer = shop.offer(&paid, json!({"kind": "cancel"})).await.json();
    let marks = format!("/trips/{}/marks", shop.trips[0]);
    let body = json!({"mark": "boarded", "tickets": paid.tickets});
    let marked = shop.post(&marks, Some(&shop.clerk), "-", body).await;
    assert_eq!(marked.status, 200, "{marked:?}");
    let stopped = shop.confirm(&offer, "k", json!({})).await;
    assert_eq!(
        (stopped.status, stopped.problem().as_str()),
        (409, "changed")
    );
    assert_eq!(shop.number(LIVE).await, 1);
    assert_eq!(shop.number(ASKED_BACK).await, 0);
    let early = json!({"mark": "no_show", "tickets": paid.tickets});
    let early = shop.post(&marks, Some(&shop.clerk), "-", early).await;
    assert_eq!((early.status, early.problem().as_str()), (409, "changed"));
    let sheet = format!("/trips/{}/manifest", shop.trips[0]);
    let seen = shop.site.get_as(&shop.clerk, &sheet).await.json();
    assert_eq!(
        (&seen["boarded"], &seen["expected"]),
        (&json!(1), &json!(0))
    );
    let table = shop.site.get_as(&shop.clerk, &format!("{sheet}.csv")).await;
    assert!(table.text.contains(&paid.reference), "{table:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_of_the_staffs_and_a_booking_of_anothers_are_refused() {
    let shop = Shop::new().await;
    let paid = shop.paid("one", 1).await;
    let kind = shop
        .offer(&paid, json!({"kind": "cancel", "reason": "goodwill"}))
        .await;
    assert_eq!((kind.status, kind.problem().as_str()), (403, "staff-only"));
    let path = format!("/bookings/{}/offers", paid.reference);
    let wish = json!({"kind": "cancel", "reason": "goodwill"});
    let nobody = shop.post(&path, None, "-", wish.clone()).await;
    assert_eq!(nobody.status, 400);
    let staff = shop.post(&path, Some(&shop.clerk), "-", wish).await;
    assert_eq!(staff.json()["refund_minor"], paid.total, "{staff:?}");
    let stranger = shop.confirm(&staff.json(), "k", json!({})).await;
    assert_eq!(stranger.status, 404, "{stranger:?}");
    let late = shop
        .offer(
            &paid,
            json!({"kind": "cancel", "reason": "delay_over_limit"}),
        )
        .await;
    assert_eq!((late.status, late.problem().as_str()), (409, "not-offered"));
}

#[tokio::test(flavor = "multi_thread")]
async fn passengers_of_a_cancelled_trip_choose_another_or_have_all_money_back() {
    let shop = Shop::new().await;
    let (moves, refunds, sleeps) = (
        shop.paid("moves", 2).await,
        shop.paid("refunds", 1).await,
        shop.paid("sleeps", 1).await,
    );
    assert_eq!(shop.cancel_trip().await, 3);
    assert_eq!(shop.cancel_trip().await, 0, "nobody gets a second offer");
    let offer_of = async |paid: &Paid| {
        let path = format!("/bookings/{}/offers?phone=%2B260970000001", paid.reference);
        shop.site.get(&path).await.json()["items"][0].clone()
    };
    let offer = offer_of(&moves).await;
    let shown = format!("/offers/{}", offer["offer"].as_str().unwrap());
    let choices = shop.site.get(&shown).await.json()["choices"].clone();
    let other = shop.trips[1];
    assert!(
        choices
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["trip"] == other),
        "{choices}"
    );
    let moved = shop.confirm(&offer, "a", json!({"trip": other})).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    assert_eq!(shop.number(OWED).await, 0, "another trip costs nothing");
    let back = shop
        .confirm(&offer_of(&refunds).await, "b", json!({}))
        .await;
    assert_eq!(back.status, 200, "{back:?}");
    assert_eq!(shop.number(OWED).await, refunds.total);
    shop.run("UPDATE aftersale_offer SET valid_until_ms = 1 WHERE state = 'open'")
        .await;
    jobs::refund_the_undecided(&shop.site.api, shop.company)
        .await
        .unwrap();
    assert_eq!(shop.number(OWED).await, refunds.total + sleeps.total);
    assert_eq!(shop.number(LIVE).await, 2);
    assert_eq!(shop.number(EARNED).await, 0);
    shop.books_balance().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counters_ticket_is_undone_only_once_its_shifts_close_has_arrived() {
    let shop = Shop::new().await;
    let paid = shop.paid("one", 1).await;
    let (node, company) = (Uuid::from_u128(9), shop.company);
    shop.run(&format!(
        "UPDATE coupon SET ticket_id = NULL;
         UPDATE ticket SET issuer_node = '{node}', shift = 1, booking_id = NULL;
         INSERT INTO shift (company_id, node_id, shift, agent, currency, business_date,
             float_minor, cash_minor, opened_at_ms)
         VALUES ('{company}', '{node}', 1, 'a', 'ZMW', '2034-05-01', 0, 0, 1)"
    ))
    .await;
    let path = format!("/tickets/{}/offers", paid.tickets[0]);
    let wish = json!({"reason": "medical"});
    let open = shop.post(&path, Some(&shop.clerk), "-", wish.clone()).await;
    assert_eq!((open.status, open.problem().as_str()), (409, "shift-open"));
    shop.run("UPDATE shift SET closed_at_ms = 2").await;
    let offer = shop.post(&path, Some(&shop.clerk), "-", wish).await;
    assert_eq!(offer.status, 201, "{offer:?}");
    let confirm = format!(
        "/offers/{}/confirm",
        offer.json()["offer"].as_str().unwrap()
    );
    let done = shop.post(&confirm, Some(&shop.clerk), "k", json!({})).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(shop.number(LIVE).await, 0);
    assert_eq!(shop.number(OWED).await, 0, "paid out over the counter");
    let drawer = "SELECT COALESCE(sum(-p.amount_minor), 0)::bigint FROM ledger_posting p
        JOIN ledger_account a USING (company_id, account_id) WHERE a.kind = 'agent_cash'";
    assert_eq!(shop.number(drawer).await, paid.total);
    let none = shop.post(&path, None, "-", json!({})).await;
    assert_eq!(none.status, 401);
    assert_ne!(paid.id, node);
}

/// A node's disputed sale of the seat of a booking's only ticket, and its case.
async fn sold_again(shop: &Shop, paid: &Paid) -> (Uuid, i64) {
    let ticket = Uuid::from_u128(paid.tickets[0].as_u128() ^ 1);
    let company = shop.company;
    shop.run(&format!(
        "INSERT INTO ticket (company_id, ticket_id, trip_id, seat, legs, class, ordinal,
             issuer_node, layout_version, issued_at_ms, kid, suite, tag, fare_minor, currency,
             state, change_no)
         SELECT company_id, '{ticket}', trip_id, seat, legs, class, ordinal, '{ticket}',
             layout_version, issued_at_ms, kid, suite, tag, fare_minor, currency, 2, change_no
         FROM ticket WHERE ticket_id = '{}';
         INSERT INTO conflict_case (company_id, node_id, incarnation, seq, reason, tickets,
             against, opened_at_ms)
         VALUES ('{company}', '{ticket}', 1, 1, 'seat_taken', ARRAY['{ticket}']::uuid[],
             ARRAY['{}']::uuid[], 1)",
        paid.tickets[0], paid.tickets[0]
    ))
    .await;
    let case = "SELECT max(case_id) FROM conflict_case";
    (ticket, shop.number(case).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn passengers_of_bookings_who_lose_their_seat_get_what_was_decided() {
    let shop = Shop::new().await;
    let decide = async |case: i64, key: &str, body: Value| {
        let path = format!("/reconciliation/conflicts/{case}/decision");
        shop.post(&path, Some(&shop.clerk), key, body).await
    };
    let tickets_of = |trip: u64, of: &Paid| {
        format!(
            "trip_id = {trip} AND booking_id = '{}' AND state = 0",
            of.id
        )
    };
    let live = async |filter: &str| {
        let mut owner = shop.site.db.owner().await.unwrap();
        let sql = format!("SELECT count(*) FROM ticket WHERE {filter}");
        let count = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut owner)
            .await;
        let count: i64 = count.unwrap();
        count
    };
    let sits = shop.paid("sits", 1).await;
    let (winner, case) = sold_again(&shop, &sits).await;
    let body = json!({"winner": winner, "consequence": "other_seat", "reason": "had boarded"});
    let done = decide(case, "a", body).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.json()["tickets"].as_array().unwrap().len(), 1);
    assert_eq!(live(&tickets_of(shop.trips[0], &sits)).await, 1);
    assert_eq!(
        live(&format!("ticket_id = '{}' AND state = 1", sits.tickets[0])).await,
        1
    );

    let moves = shop.paid("moves", 1).await;
    let (winner, case) = sold_again(&shop, &moves).await;
    let mut body = json!({"winner": winner, "consequence": "rebook", "reason": "had boarded"});
    let nowhere = decide(case, "b", body.clone()).await;
    assert_eq!(
        (nowhere.status, nowhere.problem().as_str()),
        (422, "unprocessable")
    );
    body["trip"] = shop.trips[1].into();
    let done = decide(case, "c", body).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(live(&tickets_of(shop.trips[1], &moves)).await, 1);
    assert_eq!(shop.number(OWED).await, 0, "a ticket for a ticket");
    assert_eq!(shop.number(ASKED_BACK).await, 0);

    let leaves = shop.paid("leaves", 1).await;
    let (winner, case) = sold_again(&shop, &leaves).await;
    let body = json!({"winner": winner, "consequence": "refund", "reason": "had boarded"});
    let done = decide(case, "d", body).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.json()["refunds"].as_array().unwrap().len(), 1);
    assert_eq!(
        live(&format!("booking_id = '{}' AND state = 0", leaves.id)).await,
        0
    );
    assert_eq!(shop.number(OWED).await, leaves.total);
    assert_eq!(shop.number(ASKED_BACK).await, leaves.total);
    let ended = "SELECT count(*) FROM booking WHERE state = 'cancelled'";
    assert_eq!(shop.number(ended).await, 1);
    shop.books_balance().await;
}
