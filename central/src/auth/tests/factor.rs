//! The second factor.

use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};

use super::client::{PASSWORD, Reply, account, count, post, send_as, sign_in};
use crate::access::Role;
use crate::auth::totp::code_now;
use crate::clock;
use crate::http::tests::site::Site;

const ADMIN: &str = "admin@example.com";

async fn proved(site: &Site, code: (&str, &str)) -> Reply {
    let mut body = json!({ "identifier": ADMIN, "password": PASSWORD });
    body[code.0] = json!(code.1);
    post(site, "/auth/sessions", body).await
}

/// An admin with a second factor: its secret, and what the confirmation answered.
async fn enrolled(site: &Site) -> (Vec<u8>, Reply) {
    let begun = sign_in(site, ADMIN, PASSWORD).await;
    assert_eq!(begun.json["second_factor"], "enrol", "{begun:?}");
    let token = begun.text("access_token");
    let made = send_as(site, &token, ("POST", "/auth/second-factor"), None).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert!(made.text("uri").contains(&made.text("secret")));
    let secret = BASE32_NOPAD.decode(made.text("secret").as_bytes()).unwrap();
    let wrong = json!({ "code": "000000" });
    let confirm = ("POST", "/auth/second-factor/confirm");
    let refused = send_as(site, &token, confirm, Some(wrong)).await;
    assert_eq!(refused.problem(), (422, "wrong-code"));
    let right = json!({ "code": code_now(&secret, clock::now()) });
    let done = send_as(site, &token, confirm, Some(right)).await;
    assert_eq!(done.status, 200, "{done:?}");
    (secret, done)
}

/// As if the codes of this moment had not been used.
async fn next_step(site: &Site) {
    let mut owner = site.db.owner().await.unwrap();
    let back = sqlx::query("UPDATE person SET totp_last_step = totp_last_step - 10");
    back.execute(&mut owner).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_role_counts_once_a_second_factor_was_proved() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    account(&site, ADMIN, Role::CompanyAdmin, Some(company)).await;
    let limited = sign_in(&site, ADMIN, PASSWORD).await;
    assert_eq!(limited.json["roles"], json!(["customer"]));
    let token = limited.text("access_token");
    assert_eq!(site.get_as(&token, "/audit").await.status, 403);
    let (secret, done) = enrolled(&site).await;
    let session = &done.json["session"];
    assert_eq!(session["roles"], json!(["customer", "company_admin"]));
    let token = session["access_token"].as_str().unwrap();
    assert_eq!(site.get_as(token, "/audit").await.status, 200);
    // From now on the password alone is not enough, and says so only when it is right.
    assert_eq!(
        sign_in(&site, ADMIN, PASSWORD).await.problem(),
        (401, "second-factor-needed")
    );
    let wrong = sign_in(&site, ADMIN, "wrong horse battery").await;
    assert_eq!(wrong.problem(), (401, "wrong-credentials"));
    next_step(&site).await;
    let code = code_now(&secret, clock::now());
    let opened = proved(&site, ("totp", &code)).await;
    assert_eq!(opened.json["second_factor"], "proved", "{opened:?}");
    // A session that began without one does not gain it.
    let token = limited.text("access_token");
    assert_eq!(site.get_as(&token, "/audit").await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_opens_once_and_guesses_are_counted() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    account(&site, ADMIN, Role::CompanyAdmin, Some(company)).await;
    let (secret, done) = enrolled(&site).await;
    // The code that confirmed it is used up.
    let code = code_now(&secret, clock::now());
    assert_eq!(
        proved(&site, ("totp", &code)).await.problem(),
        (401, "wrong-credentials")
    );
    next_step(&site).await;
    let code = code_now(&secret, clock::now());
    let (one, two) = tokio::join!(
        proved(&site, ("totp", &code)),
        proved(&site, ("totp", &code))
    );
    let mut both = [one.status, two.status];
    both.sort_unstable();
    assert_eq!(both, [201, 401]);
    let recovery: Vec<String> = done.json["recovery_codes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    assert_eq!(recovery.len(), 10);
    let typed = recovery[0].to_lowercase().replace('-', " ");
    assert_eq!(proved(&site, ("recovery_code", &typed)).await.status, 201);
    let twice = proved(&site, ("recovery_code", &recovery[0])).await;
    assert_eq!(twice.problem(), (401, "wrong-credentials"));
    let noted = "SELECT count(*) FROM person_log WHERE action = 'second_factor.recovery'";
    assert_eq!(count(&site, noted).await, 1);
    let mut last = 0;
    for _ in 0..11 {
        last = proved(&site, ("totp", "000000")).await.status;
    }
    assert_eq!(last, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_second_factor_an_admin_is_limited_again() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    account(&site, ADMIN, Role::CompanyAdmin, Some(company)).await;
    let (_, done) = enrolled(&site).await;
    let token = done.json["session"]["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let code = done.json["recovery_codes"][3].as_str().unwrap();
    let remove = ("POST", "/auth/second-factor/remove");
    let wrong = json!({ "password": "wrong horse battery", "code": code });
    assert_eq!(
        send_as(&site, &token, remove, Some(wrong)).await.status,
        401
    );
    let right = json!({ "password": PASSWORD, "code": code });
    assert_eq!(
        send_as(&site, &token, remove, Some(right)).await.status,
        204
    );
    assert_eq!(site.get_as(&token, "/audit").await.status, 401);
    let again = sign_in(&site, ADMIN, PASSWORD).await;
    assert_eq!(again.json["roles"], json!(["customer"]));
    assert_eq!(again.json["second_factor"], "enrol");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_super_admin_may_choose_any_company() {
    let site = Site::new().await;
    let (a, _) = site.company("A").await;
    let (b, _) = site.company("B").await;
    account(&site, ADMIN, Role::SuperAdmin, None).await;
    let (_, done) = enrolled(&site).await;
    let mut token = done.json["session"]["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        done.json["session"]["companies"].as_array().unwrap().len(),
        2
    );
    for company in [a, b] {
        let body = json!({ "company": company.0 });
        let chosen = send_as(&site, &token, ("POST", "/auth/switch"), Some(body)).await;
        assert_eq!(
            chosen.json["roles"],
            json!(["customer", "super_admin"]),
            "{chosen:?}"
        );
        token = chosen.text("access_token");
        assert_eq!(site.get_as(&token, "/audit").await.status, 200);
    }
    let nowhere = json!({ "company": "00000000-0000-4000-8000-000000000000" });
    let refused = send_as(&site, &token, ("POST", "/auth/switch"), Some(nowhere)).await;
    assert_eq!(refused.problem(), (403, "not-your-company"));
}
