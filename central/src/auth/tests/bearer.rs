//! Who a bearer token is, and what it may do.

use serde_json::Value;

use crate::access::{Permission, Role};
use crate::http::tests::site::Site;
use crate::testing::{person_with, token_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_its_role_may_do_in_its_company_and_nothing_else() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    for role in Role::ALL {
        let token = token_for(&site.api, company, role).await.unwrap();
        for (path, permission) in [
            ("/nodes", Permission::NodesRead),
            ("/tickets", Permission::BookingsRead),
            ("/reconciliation/ledger", Permission::BooksRead),
        ] {
            let answer = site.get_as(&token, path).await;
            let wanted = if role.permissions().has(permission) {
                200
            } else {
                403
            };
            assert_eq!(answer.status, wanted, "{role:?} {path} {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_set_has_the_key_of_every_token_and_no_secret() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    let token = token_for(&site.api, company, Role::Clerk).await.unwrap();
    let set = site.get("/.well-known/jwks.json").await;
    assert_eq!(set.status, 200);
    let set = set.json();
    let keys = set["keys"].as_array().unwrap();
    let signing: Vec<&Value> = keys.iter().filter(|k| k["use"] == "sig").collect();
    assert_eq!(signing.len(), 1, "{set}");
    let kid = crate::auth::token::kid_of(&token).unwrap();
    assert_eq!(signing[0]["kid"], kid);
    assert_eq!(signing[0]["crv"], "Ed25519");
    assert!(keys.iter().all(|k| k.get("d").is_none()), "{set}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_session_and_with_its_persons_rights() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    let endings = [
        "UPDATE session SET ended_at_ms = 1 WHERE session_id = $1",
        "UPDATE person SET authority_no = 2
         WHERE person_id = (SELECT person_id FROM session WHERE session_id = $1)",
        "UPDATE person SET disabled_at_ms = 1
         WHERE person_id = (SELECT person_id FROM session WHERE session_id = $1)",
    ];
    for ending in endings {
        let clerk = person_with(&site.api, company, Role::Clerk).await.unwrap();
        assert_eq!(site.get_as(&clerk.token, "/nodes").await.status, 200);
        let mut owner = site.db.owner().await.unwrap();
        let ended = sqlx::query(ending).bind(clerk.session).execute(&mut owner);
        assert_eq!(ended.await.unwrap().rows_affected(), 1);
        site.api.auth.forget_standings();
        let refused = site.get_as(&clerk.token, "/nodes").await;
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (401, "unauthorized"),
            "{ending}"
        );
    }
}
