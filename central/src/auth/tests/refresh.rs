//! Refresh tokens: each counts once, and a second use ends the family.

use std::collections::BTreeSet;

use serde_json::json;
use tokio::task::JoinSet;

use super::client::{PASSWORD, Reply, account, call, count, post, sign_in};
use crate::access::Role;
use crate::http::tests::site::Site;

async fn refresh(site: &Site, token: &str) -> Reply {
    post(site, "/auth/refresh", json!({ "refresh_token": token })).await
}

/// As if so many seconds had passed since any refresh token was used.
async fn later(site: &Site, seconds: i64) {
    let mut owner = site.db.owner().await.unwrap();
    let moved = sqlx::query("UPDATE refresh_token SET used_at_ms = used_at_ms - $1");
    moved
        .bind(seconds * 1000)
        .execute(&mut owner)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_given_again_and_a_late_second_use_ends_the_session() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    account(&site, "clerk@example.com", Role::Clerk, Some(company)).await;
    let begun = sign_in(&site, "clerk@example.com", PASSWORD).await;
    let first = begun.text("refresh_token");
    let second = refresh(&site, &first).await;
    assert_eq!(second.status, 200);
    let again = refresh(&site, &first).await;
    assert_eq!(again.text("refresh_token"), second.text("refresh_token"));
    assert_ne!(again.text("access_token"), second.text("access_token"));
    let token = second.text("access_token");
    assert_eq!(site.get_as(&token, "/nodes").await.status, 200);
    later(&site, 31).await;
    assert_eq!(
        refresh(&site, &first).await.problem(),
        (401, "refresh-refused")
    );
    // The thief and the owner are both out.
    let third = refresh(&site, &second.text("refresh_token")).await;
    assert_eq!(third.problem(), (401, "refresh-refused"));
    assert_eq!(site.get_as(&token, "/nodes").await.status, 401);
    let noted = "SELECT count(*) FROM audit_log WHERE action = 'session.reuse'
                     AND actor_kind = 'anonymous'";
    assert_eq!(count(&site, noted).await, 1);
    let own = "SELECT count(*) FROM person_log WHERE action = 'session.reuse'";
    assert_eq!(count(&site, own).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_successor_was_used_ends_the_session_at_once() {
    let site = Site::new().await;
    account(&site, "one@example.com", Role::Customer, None).await;
    let first = sign_in(&site, "one@example.com", PASSWORD)
        .await
        .text("refresh_token");
    let second = refresh(&site, &first).await.text("refresh_token");
    let third = refresh(&site, &second).await.text("refresh_token");
    assert_eq!(refresh(&site, &first).await.status, 401);
    assert_eq!(refresh(&site, &third).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn rotations_side_by_side_lead_to_one_successor() {
    let site = Site::new().await;
    account(&site, "one@example.com", Role::Customer, None).await;
    let first = sign_in(&site, "one@example.com", PASSWORD)
        .await
        .text("refresh_token");
    let mut asking = JoinSet::new();
    for _ in 0..12 {
        let (base, body) = (site.base.clone(), json!({ "refresh_token": first }));
        asking.spawn(async move { call(&base, ("POST", "/auth/refresh"), &[], Some(body)).await });
    }
    let answers = asking.join_all().await;
    let next: BTreeSet<String> = answers.iter().map(|a| a.text("refresh_token")).collect();
    assert_eq!(next.len(), 1);
    let unused = "SELECT count(*) FROM refresh_token WHERE used_at_ms IS NULL";
    assert_eq!(count(&site, unused).await, 1);
    let only = next.into_iter().next().unwrap();
    assert_eq!(refresh(&site, &only).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_session_stands_in_the_database() {
    let site = Site::new().await;
    account(&site, "one@example.com", Role::Customer, None).await;
    let begun = sign_in(&site, "one@example.com", PASSWORD).await;
    let secret = begun.text("refresh_token");
    let mut owner = site.db.owner().await.unwrap();
    for table in ["session", "refresh_token", "person", "person_log"] {
        let sql =
            format!("SELECT count(*) FROM {table} AS t WHERE t::text LIKE $1 OR t::text LIKE $2");
        let found: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(format!("%{}%", &secret[4..]))
            .bind("%one@example%")
            .fetch_one(&mut owner)
            .await
            .unwrap();
        assert_eq!(found, 0, "{table}");
    }
}
