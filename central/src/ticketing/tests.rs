//! Leases and owners of seats on a real database.

mod index;
mod owners;

use domain::ids::TripId;
use domain::lease::GrantRefusal;
use domain::time::Instant;
use sync_protocol::frame::LeaseAnswer;
use sync_protocol::{BucketId, Item};

use super::leases::grant_lease;
use crate::nodes::{assignment::assign_onboard, freeze};
use crate::sync::buckets::load_bucket;
use crate::testing::{TestCompany, TestDb, TestNode};

async fn ask(
    company: &TestCompany,
    node: &TestNode,
    request: &domain::lease::LeaseRequest,
) -> LeaseAnswer {
    let now = Instant(0);
    grant_lease(
        &company.db,
        &company.keys,
        company.id,
        node.id(),
        request,
        now,
    )
    .await
    .unwrap()
}

#[tokio::test]
async fn a_retried_request_gets_the_same_grant_and_takes_no_more_seats() {
    let test = TestDb::new().await.unwrap();
    let company = TestCompany::new(&test.db, 1).await.unwrap();
    let trip = company.trip("1", 4, 10).await.unwrap();
    let mut node = company.station(0).await.unwrap();
    let request = node.request(trip.id, (0, 4), 3);
    let first = ask(&company, &node, &request).await;
    assert!(matches!(first, LeaseAnswer::Granted(_)), "{first:?}");
    assert_eq!(ask(&company, &node, &request).await, first);
    assert_eq!(test.number("SELECT count(*) FROM claim").await.unwrap(), 3);
    assert_eq!(test.number("SELECT count(*) FROM lease").await.unwrap(), 1);
}

#[tokio::test]
async fn nodes_that_ask_at_once_never_get_one_seat_twice() {
    let test = TestDb::new().await.unwrap();
    let company = TestCompany::new(&test.db, 1).await.unwrap();
    let trip = company.trip("1", 4, 10).await.unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for stop in 0..4 {
        let mut node = company.station(stop).await.unwrap();
        let company = company.clone();
        asking.spawn(async move {
            let request = node.request(trip.id, (0, 4), 4);
            ask(&company, &node, &request).await
        });
    }
    let answers = asking.join_all().await;
    let key = company.keys.verifying_key();
    let mut seats: Vec<u16> = answers
        .iter()
        .filter_map(|a| match a {
            LeaseAnswer::Granted(signed) => Some(signed.verify(&key).unwrap()),
            LeaseAnswer::Refused(_) => None,
        })
        .flat_map(|grant| grant.claims)
        .map(|claim| claim.seat.0)
        .collect();
    seats.sort_unstable();
    assert_eq!(seats, (1..=10).collect::<Vec<_>>());
    let dry = LeaseAnswer::Refused(GrantRefusal::SoldOut);
    assert!(answers.contains(&dry), "{answers:?}");
}

#[tokio::test]
async fn a_frozen_node_gets_no_rights_and_an_unknown_trip_has_none() {
    let test = TestDb::new().await.unwrap();
    let company = TestCompany::new(&test.db, 1).await.unwrap();
    let trip = company.trip("1", 4, 10).await.unwrap();
    let mut node = company.station(0).await.unwrap();
    let nowhere = node.request(TripId(999_999), (0, 4), 1);
    let answer = ask(&company, &node, &nowhere).await;
    assert_eq!(answer, LeaseAnswer::Refused(GrantRefusal::UnknownTrip));
    freeze(&test.db, company.id, node.id()).await.unwrap();
    let request = node.request(trip.id, (0, 4), 1);
    let answer = ask(&company, &node, &request).await;
    assert_eq!(answer, LeaseAnswer::Refused(GrantRefusal::Frozen));
}

#[tokio::test]
async fn a_validator_named_late_gets_the_trip_its_issuers_and_their_grants() {
    let test = TestDb::new().await.unwrap();
    let company = TestCompany::new(&test.db, 1).await.unwrap();
    let trip = company.trip("1", 4, 10).await.unwrap();
    let mut station = company.station(0).await.unwrap();
    company
        .lease(&mut station, trip.id, (0, 4), 2)
        .await
        .unwrap();
    let bus = company.onboard(1).await.unwrap();
    assign_onboard(&test.db, &company.keys, company.id, trip.id, bus.id())
        .await
        .unwrap();
    company
        .lease(&mut station, trip.id, (0, 4), 2)
        .await
        .unwrap();

    let mut tx = test.db.tenant(company.id).await.unwrap();
    let bucket = BucketId::Trip(trip.id);
    let (checkpoint, items) = load_bucket(&mut tx, bus.id(), &bucket, 0).await.unwrap();
    let count = |wanted: fn(&Item) -> bool| items.iter().filter(|i| wanted(i)).count();
    assert_eq!(count(|i| matches!(i, Item::Trip(_))), 1);
    assert_eq!(count(|i| matches!(i, Item::Grant(_))), 2);
    // The hub's and the station's, each one for signatures and one for MACs.
    assert_eq!(count(|i| matches!(i, Item::Key(_))), 4);
    let (again, nothing) = load_bucket(&mut tx, bus.id(), &bucket, checkpoint)
        .await
        .unwrap();
    assert_eq!((again, nothing), (checkpoint, vec![]));
    let (_, own) = load_bucket(&mut tx, station.id(), &BucketId::Node, 0)
        .await
        .unwrap();
    assert_eq!(own.len(), 3, "two grants and its MAC key: {own:?}");
}
