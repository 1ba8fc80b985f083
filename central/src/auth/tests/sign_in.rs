//! Who is let in, and how often one may try.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::client::{PASSWORD, account, call, count, post, send_as, sign_in};
use crate::access::Role;
use crate::cache::{Away, Bucket, Reply as CacheReply, Store, Taken};
use crate::http::tests::site::Site;
use crate::http::{Api, router};

/// A cache that is away.
#[derive(Debug)]
struct NoCache;

impl Store for NoCache {
    fn get<'a>(&'a self, _: &'a str) -> CacheReply<'a, Option<Vec<u8>>> {
        Box::pin(async { Err(Away) })
    }
    fn put<'a>(&'a self, _: &'a str, _: &'a [u8], _: Duration) -> CacheReply<'a, ()> {
        Box::pin(async { Err(Away) })
    }
    fn put_new<'a>(&'a self, _: &'a str, _: &'a [u8], _: Duration) -> CacheReply<'a, bool> {
        Box::pin(async { Err(Away) })
    }
    fn add<'a>(&'a self, _: &'a str, _: i64, _: Duration) -> CacheReply<'a, i64> {
        Box::pin(async { Err(Away) })
    }
    fn forget<'a>(&'a self, _: &'a str) -> CacheReply<'a, ()> {
        Box::pin(async { Err(Away) })
    }
    fn take<'a>(&'a self, _: &'a str, _: Bucket) -> CacheReply<'a, Taken> {
        Box::pin(async { Err(Away) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_wrong_passwords_lock_an_account_whether_it_exists_or_not() {
    let site = Site::new().await;
    account(&site, "known@example.com", Role::Customer, None).await;
    let mut told = vec![];
    for who in ["known@example.com", "nobody@example.com"] {
        let mut answers = vec![];
        for _ in 0..10 {
            let refused = sign_in(&site, who, "wrong horse battery").await;
            assert_eq!(refused.problem(), (401, "wrong-credentials"));
            answers.push(refused.json.to_string());
        }
        // The right password does not open a locked account either.
        let locked = sign_in(&site, who, PASSWORD).await;
        assert_eq!(locked.problem(), (429, "too-many-tries"));
        let wait: i64 = locked.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((800..=900).contains(&wait), "{wait}");
        answers.push(locked.text("title"));
        told.push(answers);
    }
    assert_eq!(told[0], told[1]);
    let noted = "SELECT count(*) FROM person_log WHERE action = 'account.locked'";
    assert_eq!(count(&site, noted).await, 1);
    // After the lock it opens.
    let mut owner = site.db.owner().await.unwrap();
    let over = sqlx::query("UPDATE throttle SET ends_at_ms = 1").execute(&mut owner);
    over.await.unwrap();
    let subject = crate::auth::person::blind(
        &site.api.vault,
        &crate::auth::contact::Contact::Email("known@example.com".to_owned()),
    )
    .unwrap();
    crate::auth::throttle::clear(&site.api, crate::auth::throttle::ACCOUNT, &subject)
        .await
        .unwrap();
    assert_eq!(
        sign_in(&site, "known@example.com", PASSWORD).await.status,
        201
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_made_side_by_side_with_the_cache_away_are_counted_one_by_one() {
    let site = Site::new().await;
    account(&site, "known@example.com", Role::Customer, None).await;
    let api = Api {
        cache: Arc::new(NoCache),
        ..site.api.clone()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router(api)).await });
    let mut trying = JoinSet::new();
    for _ in 0..16 {
        let base = base.clone();
        trying.spawn(async move {
            let body = json!({ "identifier": "known@example.com", "password": "wrong horse" });
            call(&base, ("POST", "/auth/sessions"), &[], Some(body))
                .await
                .status
        });
    }
    let mut answers = trying.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers, [vec![401; 10], vec![429; 6]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_one_company_works_for_it_and_with_several_chooses() {
    let site = Site::new().await;
    let (a, _) = site.company("A").await;
    let (b, _) = site.company("B").await;
    account(&site, "clerk@example.com", Role::Clerk, Some(a)).await;
    let alone = sign_in(&site, "Clerk@Example.com", PASSWORD).await;
    assert_eq!(alone.json["company"], a.to_string());
    assert_eq!(alone.json["roles"], json!(["customer", "clerk"]));
    assert_eq!(alone.json["second_factor"], "not_needed");
    let token = alone.text("access_token");
    assert_eq!(site.get_as(&token, "/nodes").await.status, 200);
    let elsewhere = send_as(
        &site,
        &token,
        ("POST", "/auth/switch"),
        Some(json!({ "company": b.0 })),
    );
    assert_eq!(elsewhere.await.problem(), (403, "not-your-company"));
    let mut owner = site.db.owner().await.unwrap();
    let joined =
        "INSERT INTO membership (company_id, person_id, roles, name_sealed, contact_sealed,
             contact_blind, created_at_ms)
         SELECT $1, person_id, '{agent}', name_sealed, contact_sealed, contact_blind, 0
         FROM membership WHERE company_id = $2";
    sqlx::query(joined)
        .bind(b.0)
        .bind(a.0)
        .execute(&mut owner)
        .await
        .unwrap();
    let two = sign_in(&site, "clerk@example.com", PASSWORD).await;
    assert_eq!(two.json["company"], json!(null));
    assert_eq!(two.json["companies"].as_array().unwrap().len(), 2);
    let token = two.text("access_token");
    assert_eq!(site.get_as(&token, "/nodes").await.status, 403);
    let chosen = send_as(
        &site,
        &token,
        ("POST", "/auth/switch"),
        Some(json!({ "company": b.0 })),
    );
    let chosen = chosen.await;
    assert_eq!(chosen.json["roles"], json!(["customer", "agent"]));
    let token = chosen.text("access_token");
    assert_eq!(site.get_as(&token, "/nodes").await.status, 403);
    assert_eq!(site.get_as(&token, "/tickets").await.status, 200);
    // What was chosen stays chosen when the tokens are refreshed.
    let body = json!({ "refresh_token": two.text("refresh_token") });
    let next = post(&site, "/auth/refresh", body).await;
    assert_eq!(next.json["company"], b.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bcrypt_hash_lets_in_once_and_is_argon2id_afterwards() {
    let site = Site::new().await;
    account(&site, "old@example.com", Role::Customer, None).await;
    let old = bcrypt::hash(PASSWORD, 4).unwrap();
    let mut owner = site.db.owner().await.unwrap();
    let set = sqlx::query("UPDATE person SET password_hash = $1").bind(&old);
    set.execute(&mut owner).await.unwrap();
    let wrong = sign_in(&site, "old@example.com", "wrong horse battery").await;
    assert_eq!(wrong.status, 401);
    let bcrypts = "SELECT count(*) FROM person WHERE password_hash LIKE '$2%'";
    let argons = "SELECT count(*) FROM person WHERE password_hash LIKE '$argon2id$v=19$m=19456%'";
    assert_eq!(count(&site, bcrypts).await, 1);
    assert_eq!(
        sign_in(&site, "old@example.com", PASSWORD).await.status,
        201
    );
    assert_eq!(
        (count(&site, bcrypts).await, count(&site, argons).await),
        (0, 1)
    );
    assert_eq!(
        sign_in(&site, "old@example.com", PASSWORD).await.status,
        201
    );
    assert_eq!(sign_in(&site, "old@example.com", &old).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_with_what_to_do() {
    let site = Site::new().await;
    let long = "x".repeat(600);
    for (body, status) in [
        (json!({ "identifier": "nobody", "password": "x" }), 422),
        (json!({ "identifier": "a@b.cd", "password": long }), 422),
        (json!({ "identifier": "a@b.cd" }), 422),
        (
            json!({ "identifier": "a@b.cd", "password": "x", "admin": true }),
            422,
        ),
        (
            json!({ "identifier": "a@b.cd", "password": "x", "totp": long }),
            422,
        ),
        (
            json!({ "identifier": "a@b.cd", "password": "x", "transport": "pigeon" }),
            422,
        ),
    ] {
        let refused = post(&site, "/auth/sessions", body.clone()).await;
        assert_eq!(refused.problem(), (status, "unprocessable"), "{body}");
    }
}
