//! API keys.

use serde_json::{Value, json};

use super::client::{Reply, count, send_as};
use crate::access::Role;
use crate::http::tests::site::Site;
use crate::testing::token_for;

async fn make(site: &Site, token: &str, wish: Value) -> Reply {
    send_as(site, token, ("POST", "/api-keys"), Some(wish)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_its_scopes_say_until_it_is_revoked() {
    let site = Site::new().await;
    let (company, office) = site.company("A").await;
    let admin = token_for(&site.api, company, Role::CompanyAdmin)
        .await
        .unwrap();
    let wish = json!({ "name": "fleet", "scopes": ["nodes:read"] });
    let made = make(&site, &admin, wish).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.text("token");
    assert_eq!(site.get_as(&token, "/nodes").await.status, 200);
    for path in ["/tickets", "/audit", "/people", "/api-keys"] {
        assert_eq!(site.get_as(&token, path).await.status, 403, "{path}");
    }
    // A key is no person.
    assert_eq!(site.get_as(&token, "/auth/session").await.status, 401);
    let listed = site.get_as(&office, "/api-keys?live=true").await;
    assert!(!listed.text.contains(&token), "{listed:?}");
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 2);
    let path = format!("/api-keys/{}", made.text("key"));
    for _ in 0..2 {
        assert_eq!(
            send_as(&site, &admin, ("DELETE", &path), None).await.status,
            204
        );
    }
    assert_eq!(site.get_as(&token, "/nodes").await.status, 401);
    let noted = "SELECT count(*) FROM audit_log WHERE action LIKE 'api_key.%'";
    assert_eq!(count(&site, noted).await, 2);
    let stored = "SELECT count(*) FROM api_token WHERE api_token::text LIKE '%mwt%'";
    assert_eq!(count(&site, stored).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_key_changes_nothing() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    let admin = token_for(&site.api, company, Role::CompanyAdmin)
        .await
        .unwrap();
    let made = make(
        &site,
        &admin,
        json!({ "name": "reports", "read_only": true }),
    )
    .await;
    let token = made.text("token");
    for path in [
        "/nodes",
        "/tickets",
        "/people",
        "/audit",
        "/reconciliation/ledger",
    ] {
        assert_eq!(site.get_as(&token, path).await.status, 200, "{path}");
    }
    let body = json!({ "name": "x", "identifier": "x@example.com", "roles": ["agent"] });
    let refused = send_as(&site, &token, ("POST", "/people"), Some(body)).await;
    assert_eq!(refused.problem(), (403, "forbidden"));
    assert_eq!(
        make(&site, &token, json!({ "name": "y" })).await.status,
        403
    );
    let wish = json!({ "name": "z", "read_only": true, "scopes": ["fares:write"] });
    assert_eq!(
        make(&site, &admin, wish).await.problem(),
        (422, "unprocessable")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_when_it_was_to_end_and_belongs_to_one_company() {
    let site = Site::new().await;
    let (a, _) = site.company("A").await;
    let (b, _) = site.company("B").await;
    let admin = token_for(&site.api, a, Role::CompanyAdmin).await.unwrap();
    let wish = json!({ "name": "for a day", "expires_at": "2030-01-01T00:00:00Z" });
    let made = make(&site, &admin, wish).await;
    let token = made.text("token");
    assert_eq!(site.get_as(&token, "/nodes").await.status, 200);
    let stranger = token_for(&site.api, b, Role::CompanyAdmin).await.unwrap();
    let path = format!("/api-keys/{}", made.text("key"));
    assert_eq!(
        send_as(&site, &stranger, ("DELETE", &path), None)
            .await
            .status,
        404
    );
    let mut owner = site.db.owner().await.unwrap();
    let ended = sqlx::query("UPDATE api_token SET expires_at_ms = 1 WHERE expires_at_ms > 1");
    ended.execute(&mut owner).await.unwrap();
    assert_eq!(site.get_as(&token, "/nodes").await.status, 401);
    for expires in ["2001-01-01T00:00:00Z", "9999-01-01T00:00:00Z", "tomorrow"] {
        let wish = json!({ "name": "x", "expires_at": expires });
        assert_eq!(make(&site, &admin, wish).await.status, 422, "{expires}");
    }
    for scopes in [json!([]), json!(["hub"]), json!(["fly"])] {
        let wish = json!({ "name": "x", "scopes": scopes });
        assert_eq!(
            make(&site, &admin, wish).await.problem(),
            (422, "unprocessable")
        );
    }
}
