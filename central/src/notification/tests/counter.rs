//! People whom only a counter knows.

use domain::event::{EventBody, LeaseAccepted, ShiftOpened};
use domain::ids::ShiftNo;
use domain::money::{Currency, Minor};

use crate::notification::db::{counter_blob, counter_blobs};
use crate::testing::{TestCompany, TestDb, TestNode, deliver};

#[tokio::test(flavor = "multi_thread")]
async fn who_bought_at_a_counter_is_found_by_ticket_and_by_trip() {
    let test = TestDb::new().await.unwrap();
    let company = TestCompany::new(&test.db, 1).await.unwrap();
    let trip = company.trip("1", 2, 10).await.unwrap();
    let mut node = company.station(0).await.unwrap();
    let grant = company.lease(&mut node, trip.id, (0, 2), 3).await.unwrap();
    let opened = node.log(&EventBody::ShiftOpened(ShiftOpened {
        shift: ShiftNo(1),
        agent: "Mutinta".to_owned(),
        float_minor: Minor(0),
        currency: Currency::ZMW,
    }));
    let accepted = node.log(&EventBody::LeaseAccepted(LeaseAccepted {
        trip: trip.id,
        lease_no: grant.lease_no,
        epoch: grant.epoch,
    }));
    let seats: Vec<u16> = grant.claims.iter().map(|claim| claim.seat.0).collect();
    let blob = b"a phone number".to_vec();
    let told = node.sell_party(1, &[(&grant, (seats[0], 0, 2))], Some(blob.clone()));
    // A ticket tells its time in whole seconds, the sale in milliseconds.
    assert_ne!(told.envelope.at.0 % 1_000, 0);
    let silent = node.sell(1, &grant, &[(seats[1], 0, 2)]);
    let tickets = [(&told, seats[0]), (&silent, seats[1])]
        .map(|(sale, seat)| TestNode::ticket_of(sale, trip.id, seat).0);
    let mut ingest = node.ingest(&test.db);
    deliver(&mut ingest, vec![opened, accepted, told, silent])
        .await
        .unwrap();
    let mut tx = test.db.tenant(company.id).await.unwrap();
    let found = counter_blob(&mut tx, tickets[0]).await.unwrap();
    assert_eq!(found.as_ref(), Some(&blob));
    assert_eq!(counter_blob(&mut tx, tickets[1]).await.unwrap(), None);
    let all = counter_blobs(&mut tx, trip.id.0 as i64).await.unwrap();
    assert_eq!(all, [blob]);
}
