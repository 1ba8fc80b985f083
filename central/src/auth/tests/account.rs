//! Accounts: made, found again, changed.

use serde_json::json;

use super::client::{PASSWORD, account, code_for, count, post, send_as, sign_in};
use crate::access::Role;
use crate::http::tests::site::Site;

const PHONE: &str = "+260970000001";

#[tokio::test(flavor = "multi_thread")]
async fn an_account_exists_once_its_code_was_shown_and_only_then() {
    let site = Site::new().await;
    let asked = json!({ "name": "Mutale Banda", "identifier": "+260 97 000 0001",
        "password": PASSWORD });
    let sent = post(&site, "/auth/registrations", asked).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    let confirm = format!("/auth/registrations/{}/confirm", sent.text("request"));
    assert_eq!(count(&site, "SELECT count(*) FROM person").await, 0);
    assert_eq!(sign_in(&site, PHONE, PASSWORD).await.status, 401);
    let delivery = code_for(&site.api, PHONE).await.unwrap();
    assert_eq!(
        (delivery.purpose.as_str(), delivery.channel.as_str()),
        ("register", "phone")
    );
    assert!(!format!("{delivery:?}").contains(&delivery.code));
    let wrong = post(&site, &confirm, json!({ "code": "00000000" })).await;
    assert_eq!(wrong.problem(), (422, "wrong-code"));
    let begun = post(&site, &confirm, json!({ "code": delivery.code })).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    assert_eq!(begun.json["roles"], json!(["customer"]));
    let shown = site
        .get_as(&begun.text("access_token"), "/auth/session")
        .await
        .json();
    assert_eq!(
        (&shown["name"], &shown["phone"]),
        (&json!("Mutale Banda"), &json!(PHONE))
    );
    let twice = post(&site, &confirm, json!({ "code": delivery.code })).await;
    assert_eq!(twice.problem(), (422, "wrong-code"));
    assert_eq!(sign_in(&site, PHONE, PASSWORD).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_and_resetting_never_tell_who_has_an_account() {
    let site = Site::new().await;
    account(&site, "known@example.com", Role::Customer, None).await;
    for path in ["/auth/registrations", "/auth/password-resets"] {
        let mut answers = vec![];
        for who in ["known@example.com", "nobody@example.com"] {
            let mut body = json!({ "identifier": who });
            if path.ends_with("registrations") {
                body["name"] = json!("Mutale");
                body["password"] = json!(PASSWORD);
            }
            let sent = post(&site, path, body).await;
            let members: Vec<String> = sent.json.as_object().unwrap().keys().cloned().collect();
            answers.push((sent.status, members));
        }
        assert_eq!(answers[0], answers[1], "{path}");
    }
    // Whoever has the code owns the address, and may hear that it has an account.
    let code = code_for(&site.api, "known@example.com").await.unwrap();
    assert_eq!(code.purpose, "register");
    let codes = "SELECT count(*) FROM one_use_code WHERE purpose = 'reset'";
    let silent = "SELECT count(*) FROM one_use_code
                  WHERE purpose = 'reset' AND delivery_sealed IS NULL";
    assert_eq!(
        (count(&site, codes).await, count(&site, silent).await),
        (2, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_sets_the_password_ends_every_session_and_unlocks() {
    let site = Site::new().await;
    account(&site, "one@example.com", Role::Customer, None).await;
    let begun = sign_in(&site, "one@example.com", PASSWORD).await;
    for _ in 0..10 {
        sign_in(&site, "one@example.com", "wrong horse battery").await;
    }
    let asked = json!({ "identifier": "ONE@example.com" });
    let sent = post(&site, "/auth/password-resets", asked).await;
    let confirm = format!("/auth/password-resets/{}/confirm", sent.text("request"));
    let code = code_for(&site.api, "one@example.com").await.unwrap().code;
    let weak = post(
        &site,
        &confirm,
        json!({ "code": code, "password": "short" }),
    )
    .await;
    assert_eq!(weak.problem(), (422, "unprocessable"));
    let next = "zebra lamp nine";
    let spaced = format!("{} {}", &code[..4], &code[4..]);
    let done = post(&site, &confirm, json!({ "code": spaced, "password": next })).await;
    assert_eq!(done.status, 204, "{done:?}");
    assert_eq!(
        site.get_as(&begun.text("access_token"), "/auth/session")
            .await
            .status,
        401
    );
    assert_eq!(
        sign_in(&site, "one@example.com", PASSWORD).await.status,
        401
    );
    assert_eq!(sign_in(&site, "one@example.com", next).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_tries_end_a_code_and_codes_are_sent_five_times_an_hour() {
    let site = Site::new().await;
    account(&site, "one@example.com", Role::Customer, None).await;
    let asked = json!({ "identifier": "one@example.com" });
    let sent = post(&site, "/auth/password-resets", asked.clone()).await;
    let confirm = format!("/auth/password-resets/{}/confirm", sent.text("request"));
    let code = code_for(&site.api, "one@example.com").await.unwrap().code;
    let wrong = if code == "12345678" {
        "87654321"
    } else {
        "12345678"
    };
    for _ in 0..5 {
        let body = json!({ "code": wrong, "password": "zebra lamp nine" });
        assert_eq!(
            post(&site, &confirm, body).await.problem(),
            (422, "wrong-code")
        );
    }
    let body = json!({ "code": code, "password": "zebra lamp nine" });
    assert_eq!(
        post(&site, &confirm, body).await.problem(),
        (422, "wrong-code")
    );
    for _ in 0..4 {
        let more = post(&site, "/auth/password-resets", asked.clone()).await;
        assert_eq!(more.status, 202);
    }
    let sixth = post(&site, "/auth/password-resets", asked).await;
    assert_eq!(sixth.problem(), (429, "too-many-tries"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_on_the_present_one_and_other_devices_are_out() {
    let site = Site::new().await;
    account(&site, "one@example.com", Role::Customer, None).await;
    let here = sign_in(&site, "one@example.com", PASSWORD).await;
    let there = sign_in(&site, "one@example.com", PASSWORD).await;
    let token = here.text("access_token");
    let asked = |present: &str| json!({ "present": present, "password": "zebra lamp nine" });
    let put = ("PUT", "/auth/password");
    let wrong = send_as(&site, &token, put, Some(asked("wrong horse"))).await;
    assert_eq!(wrong.problem(), (401, "wrong-credentials"));
    assert_eq!(
        send_as(&site, &token, put, Some(asked(PASSWORD)))
            .await
            .status,
        204
    );
    // The access token names rights of before; the session goes on.
    assert_eq!(site.get_as(&token, "/auth/session").await.status, 401);
    let body = json!({ "refresh_token": here.text("refresh_token") });
    assert_eq!(post(&site, "/auth/refresh", body).await.status, 200);
    let body = json!({ "refresh_token": there.text("refresh_token") });
    assert_eq!(post(&site, "/auth/refresh", body).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_contact_signs_in_once_it_was_shown_to_be_ones_own() {
    let site = Site::new().await;
    account(&site, "one@example.com", Role::Customer, None).await;
    account(&site, "two@example.com", Role::Customer, None).await;
    let token = sign_in(&site, "one@example.com", PASSWORD)
        .await
        .text("access_token");
    let asked = json!({ "identifier": PHONE, "password": PASSWORD });
    let sent = send_as(&site, &token, ("POST", "/auth/contacts"), Some(asked)).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    assert_eq!(sign_in(&site, PHONE, PASSWORD).await.status, 401);
    let confirm = format!("/auth/contacts/{}/confirm", sent.text("request"));
    let code = json!({ "code": code_for(&site.api, PHONE).await.unwrap().code });
    let other = sign_in(&site, "two@example.com", PASSWORD)
        .await
        .text("access_token");
    let refused = send_as(&site, &other, ("POST", &confirm), Some(code.clone())).await;
    assert_eq!(refused.problem(), (422, "wrong-code"));
    let done = send_as(&site, &token, ("POST", &confirm), Some(code)).await;
    assert_eq!(done.status, 204, "{done:?}");
    assert_eq!(sign_in(&site, PHONE, PASSWORD).await.status, 201);
    let taken = json!({ "identifier": "two@example.com", "password": PASSWORD });
    let sent = send_as(&site, &token, ("POST", "/auth/contacts"), Some(taken)).await;
    let confirm = format!("/auth/contacts/{}/confirm", sent.text("request"));
    let code = json!({ "code": code_for(&site.api, "two@example.com").await.unwrap().code });
    let clash = send_as(&site, &token, ("POST", &confirm), Some(code)).await;
    assert_eq!(clash.problem(), (409, "contact-taken"));
    let log = site.get_as(&token, "/auth/log?limit=2").await.json();
    assert_eq!(log["items"][1]["action"], "person.contact");
    assert!(log["next"].is_string(), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_sessions_are_listed_and_ended_one_by_one() {
    let site = Site::new().await;
    account(&site, "one@example.com", Role::Customer, None).await;
    account(&site, "two@example.com", Role::Customer, None).await;
    let here = sign_in(&site, "one@example.com", PASSWORD).await;
    let there = sign_in(&site, "one@example.com", PASSWORD).await;
    let stranger = sign_in(&site, "two@example.com", PASSWORD).await;
    let token = here.text("access_token");
    let listed = site.get_as(&token, "/auth/sessions").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    for (session, wanted) in [(&there, 204), (&stranger, 404)] {
        let path = format!("/auth/sessions/{}", session.text("session"));
        assert_eq!(
            send_as(&site, &token, ("DELETE", &path), None).await.status,
            wanted
        );
    }
    assert_eq!(
        site.get_as(&there.text("access_token"), "/auth/session")
            .await
            .status,
        401
    );
    assert_eq!(
        site.get_as(&stranger.text("access_token"), "/auth/session")
            .await
            .status,
        200
    );
}
