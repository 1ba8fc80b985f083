//! Devices that were enrolled after the backup: who is waited for, and who may end it.

use domain::ids::NodeId;
use sync_protocol::frame::{Introduction, KnownIssuer};

use super::*;
use crate::audit::Actor;
use crate::nodes::NodeKind;
use crate::restore::unknown::{self, NotTaken};
use crate::restore::{accept_risk, db};

const NODES: &str = "SELECT count(*) FROM node";

fn introduction(scene: &Scene, node: &TestNode) -> Introduction {
    Introduction {
        company: scene.company.id,
        event_key: node.event_key.verifying_key().to_bytes(),
        ticket_key: node.ticket_key.verifying_key().to_bytes(),
    }
}

fn issuer(node: &TestNode) -> KnownIssuer {
    KnownIssuer {
        node: node.id(),
        ticket_key: node.ticket_key.verifying_key().to_bytes(),
    }
}

impl Restored {
    /// Devices that are waited for, each with the word.
    async fn waits(&self) -> Vec<(NodeId, &'static str)> {
        let mut tx = self.db.tenant(self.company.id).await.unwrap();
        let devices = db::devices(&mut tx).await.unwrap();
        let waits = devices.iter().filter_map(|d| Some((d, d.waits_for()?)));
        waits.map(|(d, why)| (d.node, why.as_str())).collect()
    }

    async fn hear_stranger(&self, node: NodeId, me: Introduction) -> String {
        unknown::hear_stranger(&self.db, node, Some(me), clock::now())
            .await
            .unwrap()
    }

    async fn admit(&self, node: NodeId) -> Result<(), NotTaken> {
        let mut tx = self.db.tenant(self.company.id).await.unwrap();
        let (keys, now) = (&self.company.keys, clock::now());
        let kind = NodeKind::Station("S0".parse().unwrap());
        let done = unknown::admit(&mut tx, keys, node, ("B", &kind), Actor::System, now).await;
        tx.commit().await.unwrap();
        done
    }

    async fn give_up(&self, node: NodeId) -> Result<String, NotTaken> {
        let mut tx = self.db.tenant(self.company.id).await.unwrap();
        let by = (Actor::System, "nobody knows it");
        let done = unknown::give_up(&mut tx, node, by, clock::now()).await;
        tx.commit().await.unwrap();
        done
    }
}

/// A bus of before the backup, and a station of after it that holds seats.
async fn scene() -> (Scene, TestNode, TestNode, Grant) {
    let scene = Scene::new().await;
    let bus = scene.company.onboard(1).await.unwrap();
    scene.back_up().await;
    let mut late = scene.company.station(1).await.unwrap();
    let held = scene.company.lease(&mut late, scene.trip, (0, 4), 4).await;
    (scene, bus, late, held.unwrap())
}

#[tokio::test]
async fn a_grant_that_another_device_tells_of_keeps_its_seats_and_its_holder_is_waited_for() {
    let (scene, bus, late, held) = scene().await;
    let hub = scene.restored().await;
    let known = Known {
        others: hub.signed(&[&held]),
        issuers: vec![issuer(&late)],
        ..Known::default()
    };
    hub.tell_all(&bus, &known).await;
    assert_eq!(hub.waits().await, [(late.id(), "unknown")]);
    assert!(!hub.settle().await, "the late device is waited for");
    let mut tx = hub.db.tenant(hub.company.id).await.unwrap();
    let by = (Actor::System, "it burned down");
    let risk = accept_risk(&mut tx, scene.trip, by, clock::now()).await;
    let risk = risk.unwrap();
    assert!(
        risk.risk().contains(&late.id().to_string()),
        "{}",
        risk.risk()
    );
    tx.commit().await.unwrap();
    let mut c = hub.company.station(2).await.unwrap();
    let rest = hub.company.lease(&mut c, scene.trip, (0, 4), 10).await;
    let rest = rest.unwrap();
    assert_eq!(rest.claims.len(), 6, "four are the late device's");
    let theirs = |claim| held.claims.contains(claim);
    assert!(!rest.claims.iter().any(theirs));
}

#[tokio::test]
async fn a_late_device_is_taken_in_by_a_person_and_then_heard_like_any_other() {
    let (scene, bus, mut late, held) = scene().await;
    let sold = [opened(&mut late), late.sell(1, &held, &[(1, 0, 4)])];
    let hub = scene.restored().await;
    let known = Known {
        others: hub.signed(&[&held]),
        issuers: vec![issuer(&late)],
        ..Known::default()
    };
    hub.tell_all(&bus, &known).await;
    let not_come = hub.admit(late.id()).await.unwrap_err();
    assert!(matches!(not_come, NotTaken::NotCome(_)), "{not_come}");
    let me = introduction(&scene, &late);
    let elsewhere = Introduction {
        company: domain::ids::CompanyId(uuid::Uuid::from_u128(4)),
        ..me
    };
    assert!(
        hub.hear_stranger(late.id(), elsewhere)
            .await
            .contains("anew")
    );
    assert_eq!(hub.waits().await, [(late.id(), "unknown")]);
    let said = hub.hear_stranger(late.id(), me).await;
    assert!(said.contains("admit"), "{said}");
    // A later word of somebody else with its certificate changes nothing.
    let thief = introduction(&scene, &bus);
    hub.hear_stranger(late.id(), thief).await;
    assert_eq!(hub.waits().await, [(late.id(), "approval")]);
    let mut tx = hub.db.tenant(hub.company.id).await.unwrap();
    let devices = db::devices(&mut tx).await.unwrap();
    let hearsay = devices.iter().find_map(|d| d.hearsay.clone()).unwrap();
    assert_eq!((hearsay.keys_agree, hearsay.proven), (Some(true), true));
    drop(tx);
    hub.admit(late.id()).await.unwrap();
    assert_eq!(hub.waits().await, [(late.id(), "grants")]);
    let again = hub.admit(late.id()).await.unwrap_err();
    assert!(matches!(again, NotTaken::Unknown(_)), "{again}");
    hub.tell(&late, &[&held]).await;
    assert_eq!(hub.waits().await, [(late.id(), "events")]);
    assert!(hub.hear(&late, &sold).await);
    assert!(hub.settle().await, "all is in");
    let counts = (hub.number(LIVE).await, hub.number(NOT_APPLIED).await);
    assert_eq!(counts, (1, 0));
    let leased = "SELECT count(*) FROM claim WHERE kind = 'lease'";
    assert_eq!(hub.number(leased).await, 4);
    let published = "SELECT count(*) FROM bucket_item
                     WHERE bucket LIKE 'trip:%' AND item_key LIKE 'key:%'";
    assert_eq!(
        hub.number(published).await,
        2,
        "its MAC key and its public one"
    );
}

#[tokio::test]
async fn a_lying_device_makes_the_hub_wait_until_a_person_ends_it_and_nothing_more() {
    let (scene, bus, _late, held) = scene().await;
    let hub = scene.restored().await;
    let before = hub.number(NODES).await;
    let thief = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let made_up: Vec<KnownIssuer> = (1..=300)
        .map(|n| KnownIssuer {
            node: NodeId(uuid::Uuid::from_u128(n)),
            ticket_key: [1; 32],
        })
        .collect();
    let known = Known {
        others: vec![SignedGrant::sign(&held, &thief)],
        issuers: made_up,
        ..Known::default()
    };
    hub.tell_all(&bus, &known).await;
    let leases = "SELECT count(*) FROM lease";
    assert_eq!(
        hub.number(leases).await,
        0,
        "nothing that the hub did not sign"
    );
    assert_eq!(hub.number("SELECT count(*) FROM claim").await, 0);
    assert_eq!(hub.number(NODES).await, before);
    let waits = hub.waits().await;
    assert_eq!(waits.len(), domain::restore::UNKNOWN_TOLD_MAX);
    assert!(waits.iter().all(|(_, why)| *why == "unknown"));
    assert!(!hub.settle().await);
    for (node, _) in &waits {
        hub.give_up(*node).await.unwrap();
    }
    let stranger = hub.give_up(NodeId(uuid::Uuid::from_u128(1000))).await;
    assert!(matches!(stranger, Err(NotTaken::Unknown(_))));
    assert!(hub.waits().await.is_empty());
    // It has told once: told again is not heard.
    hub.tell_all(&bus, &known).await;
    assert!(hub.settle().await);
    assert_eq!(hub.number(FROZEN).await, 0);
    let later = hub.company.trip("2", 4, 10).await.unwrap();
    let mut c = hub.company.station(2).await.unwrap();
    hub.company
        .lease(&mut c, later.id, (0, 4), 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_device_that_burned_down_is_given_up_for_all_trips_that_are_and_will_be() {
    let scene = Scene::new().await;
    let burned = scene.company.station(0).await.unwrap();
    scene.back_up().await;
    let hub = scene.restored().await;
    assert!(!hub.settle().await);
    let frozen = hub.company.trip("2", 4, 10).await.unwrap();
    assert_eq!(
        hub.number(FROZEN).await,
        2,
        "trip {} may stand for a lost one",
        frozen.id
    );
    hub.give_up(burned.id()).await.unwrap();
    assert!(hub.settle().await);
    hub.company.trip("3", 4, 10).await.unwrap();
    assert_eq!(hub.number(FROZEN).await, 0);
    let noted = "SELECT count(*) FROM audit_log WHERE action = 'restore.give_up'
                 AND after->>'risk' LIKE '%second time%'";
    assert_eq!(hub.number(noted).await, 1);
    // It was not burned: it is heard like any other.
    hub.tell(&burned, &[]).await;
    assert!(hub.waits().await.is_empty());
}
