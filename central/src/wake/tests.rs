use std::sync::Arc;
use std::time::Instant;

use domain::money::Currency;

use super::*;
use crate::testing::TestDb;

const DEADLINE: Duration = Duration::from_secs(20);

/// Listens for a process until it really does.
async fn listening(url: &str, bus: &Bus) -> tokio::task::JoinHandle<()> {
    let (url, theirs) = (url.to_owned(), bus.clone());
    let mut heard = bus.listen();
    let task = tokio::spawn(async move { listen(&url, &theirs).await });
    let first = tokio::time::timeout(DEADLINE, heard.recv()).await;
    assert_eq!(first.unwrap().unwrap(), BusEvent::Everything);
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_tells_its_own_bus_a_running_hub_hears() {
    let test = TestDb::new().await.unwrap();
    let hub_bus = Bus::new();
    let listening = listening(&test.url, &hub_bus).await;
    let mut hub_hears = hub_bus.listen();
    let mut command_says = test.db.bus().listen_own();
    let event = BusEvent::Revoked(NodeId(Uuid::from_u128(4)));
    test.db.bus().tell(event.clone());
    pass_on(&test.db, &mut command_says).await.unwrap();
    let heard = tokio::time::timeout(DEADLINE, hub_hears.recv()).await;
    assert_eq!(heard.unwrap().unwrap(), event);
    listening.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_hear_each_other_once_and_themselves_not_again() {
    let test = TestDb::new().await.unwrap();
    let (a, b) = (test.db.clone(), Db::connect(&test.url).await.unwrap());
    let tasks = [
        listening(&test.url, a.bus()).await,
        listening(&test.url, b.bus()).await,
    ];
    let relaying = [a.clone(), b.clone()].map(|db| tokio::spawn(async move { relay(&db).await }));
    let (mut at_a, mut at_b) = (a.bus().listen(), b.bus().listen());
    let event = |n| BusEvent::Revoked(NodeId(Uuid::from_u128(n)));
    // The relays have to have begun before anything is said.
    let began = Instant::now();
    while a.bus().own_listeners() == 0 || b.bus().own_listeners() == 0 {
        assert!(began.elapsed() < DEADLINE, "a relay does not begin");
        tokio::task::yield_now().await;
    }
    a.bus().tell(event(1));
    let heard = tokio::time::timeout(DEADLINE, at_b.recv()).await;
    assert_eq!(heard.unwrap().unwrap(), event(1));
    b.bus().tell(event(2));
    // What A said itself it heard at once, and does not hear again on the way of B's.
    for expected in [event(1), event(2)] {
        let heard = tokio::time::timeout(DEADLINE, at_a.recv()).await;
        assert_eq!(heard.unwrap().unwrap(), expected);
    }
    for task in tasks.into_iter().chain(relaying) {
        task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_process_changes_another_forgets() {
    let test = TestDb::new().await.unwrap();
    let company = CompanyId(Uuid::from_u128(7));
    let auth = Arc::new(Auth::new(test.db.bus().clone()));
    let (db, theirs) = (test.db.clone(), Arc::clone(&auth));
    let obeying = tokio::spawn(async move { obey(&db, &theirs).await });
    let catalog = test.db.catalog();
    let began = Instant::now();
    // Told again until the task has begun to listen.
    loop {
        catalog.keep_currency(company, Currency::ZMW);
        test.db.bus().heard(BusEvent::Company(company));
        let soon = Instant::now() + Duration::from_millis(50);
        while catalog.currency(company).is_some() && Instant::now() < soon {
            tokio::task::yield_now().await;
        }
        if catalog.currency(company).is_none() {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "nothing is forgotten");
    }
    obeying.abort();
}

#[test]
fn every_wake_up_survives_the_way_and_a_strange_one_is_left_alone() {
    let (node, company) = (NodeId(Uuid::from_u128(2)), CompanyId(Uuid::from_u128(1)));
    let events = [
        BusEvent::Bucket {
            company,
            name: "station:STOP WITH BLANK".into(),
        },
        BusEvent::Assigned {
            node,
            trip: TripId(3),
        },
        BusEvent::Revoked(node),
        BusEvent::Came(node),
        BusEvent::Company(company),
        BusEvent::Standings,
        BusEvent::TokenKeys,
        BusEvent::Everything,
    ];
    for event in events {
        assert_eq!(from_text(&to_text(&event)), Some(event));
    }
    assert_eq!(from_text("party now"), None);
    let bus = Bus::new();
    let mut heard = bus.listen();
    hear("party now", &bus);
    hear(&format!("from {} standings", bus.id()), &bus);
    assert!(heard.try_recv().is_err());
    hear(&format!("from {} standings", Uuid::nil()), &bus);
    assert_eq!(heard.try_recv().unwrap(), BusEvent::Standings);
}
