//! A company's people, and the log of who changed what.

use serde_json::{Value, json};

use super::client::{PASSWORD, Reply, account, call, code_for, post, send_as, sign_in};
use crate::access::Role;
use crate::http::tests::site::Site;
use crate::testing::token_for;

async fn change(site: &Site, token: &str, person: &str, etag: &str, body: Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let path = format!("/people/{person}");
    let mut headers = vec![("authorization", bearer.as_str())];
    if !etag.is_empty() {
        headers.push(("if-match", etag));
    }
    call(&site.base, ("PATCH", &path), &headers, Some(body)).await
}

async fn invite(site: &Site, token: &str, who: &str, roles: &[&str]) -> Reply {
    let body = json!({ "name": "Chanda Mwale", "identifier": who, "roles": roles });
    send_as(site, token, ("POST", "/people"), Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_invited_chooses_a_password_and_works() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    let admin = token_for(&site.api, company, Role::CompanyAdmin)
        .await
        .unwrap();
    let invited = invite(&site, &admin, "chanda@example.com", &["clerk"]).await;
    assert_eq!(invited.status, 201, "{invited:?}");
    assert_eq!(invited.json["joined"], false);
    assert_eq!(
        sign_in(&site, "chanda@example.com", "anything at all")
            .await
            .status,
        401
    );
    let again = invite(&site, &admin, "chanda@example.com", &["agent"]).await;
    assert_eq!(again.problem(), (409, "already-member"));
    let delivery = code_for(&site.api, "chanda@example.com").await.unwrap();
    assert_eq!(delivery.purpose, "invite");
    let path = format!("/auth/password-resets/{}/confirm", delivery.request);
    let done = post(
        &site,
        &path,
        json!({ "code": delivery.code, "password": PASSWORD }),
    )
    .await;
    assert_eq!(done.status, 204, "{done:?}");
    let token = sign_in(&site, "chanda@example.com", PASSWORD)
        .await
        .text("access_token");
    assert_eq!(site.get_as(&token, "/nodes").await.status, 200);
    let listed = site
        .get_as(&admin, "/people?role=clerk&contact=Chanda%40example.com")
        .await;
    let listed = listed.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["items"][0]["name"], "Chanda Mwale");
    assert_eq!(listed["items"][0]["joined"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_given_and_taken_at_once_by_those_who_have_them() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    account(&site, "agent@example.com", Role::Agent, Some(company)).await;
    let admin = token_for(&site.api, company, Role::CompanyAdmin)
        .await
        .unwrap();
    let signed_in = sign_in(&site, "agent@example.com", PASSWORD).await;
    let (person, agent) = (signed_in.text("person"), signed_in.text("access_token"));
    assert_eq!(site.get_as(&agent, "/nodes").await.status, 403);
    let body = json!({ "roles": ["agent", "clerk"] });
    assert_eq!(
        change(&site, &admin, &person, "", body.clone())
            .await
            .status,
        428
    );
    assert_eq!(
        change(&site, &admin, &person, "\"7\"", body.clone())
            .await
            .status,
        412
    );
    let clerk = token_for(&site.api, company, Role::Clerk).await.unwrap();
    assert_eq!(
        change(&site, &clerk, &person, "\"1\"", body.clone())
            .await
            .status,
        403
    );
    let done = change(&site, &admin, &person, "\"1\"", body).await;
    assert_eq!(
        (done.status, &done.json["version"]),
        (200, &json!(2)),
        "{done:?}"
    );
    assert_eq!(done.headers["etag"], "\"2\"");
    // The old token names old rights; the next one has the new role.
    assert_eq!(site.get_as(&agent, "/nodes").await.status, 401);
    let body = json!({ "refresh_token": signed_in.text("refresh_token") });
    let next = post(&site, "/auth/refresh", body).await;
    assert_eq!(
        site.get_as(&next.text("access_token"), "/nodes")
            .await
            .status,
        200
    );
    let off = change(&site, &admin, &person, "\"2\"", json!({ "disabled": true })).await;
    assert_eq!(off.status, 200);
    let body = json!({ "refresh_token": next.text("refresh_token") });
    let outside = post(&site, "/auth/refresh", body).await;
    assert_eq!(
        (&outside.json["company"], &outside.json["companies"]),
        (&Value::Null, &json!([]))
    );
    for roles in [json!(["super_admin"]), json!(["customer"]), json!(["king"])] {
        let refused = change(&site, &admin, &person, "\"3\"", json!({ "roles": roles })).await;
        assert_eq!(refused.problem(), (422, "unprocessable"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_more_than_they_have_and_somebody_is_left_to_answer() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    account(&site, "boss@example.com", Role::CompanyAdmin, Some(company)).await;
    let admin = token_for(&site.api, company, Role::CompanyAdmin)
        .await
        .unwrap();
    let wish = json!({ "name": "hr", "scopes": ["people:write", "people:read"] });
    let key = send_as(&site, &admin, ("POST", "/api-keys"), Some(wish))
        .await
        .text("token");
    let beyond = invite(&site, &key, "x@example.com", &["clerk"]).await;
    assert_eq!(beyond.problem(), (403, "beyond-yours"));
    let admins = site
        .get_as(&admin, "/people?role=company_admin")
        .await
        .json();
    let ids: Vec<&str> = admins["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["person"].as_str())
        .collect();
    assert_eq!(ids.len(), 2);
    let taken = change(&site, &key, ids[0], "*", json!({ "disabled": true })).await;
    assert_eq!(taken.problem(), (403, "beyond-yours"));
    let (one, two) = tokio::join!(
        change(&site, &admin, ids[0], "*", json!({ "roles": ["clerk"] })),
        change(&site, &admin, ids[1], "*", json!({ "disabled": true })),
    );
    let mut both = [one.status, two.status];
    both.sort_unstable();
    // Whichever came first may have taken the other's rights with it.
    assert!(both == [200, 409] || both == [200, 401], "{one:?} {two:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_companys_people_do_not_exist() {
    let site = Site::new().await;
    let (a, _) = site.company("A").await;
    let (b, _) = site.company("B").await;
    account(&site, "clerk@example.com", Role::Clerk, Some(a)).await;
    let person = sign_in(&site, "clerk@example.com", PASSWORD)
        .await
        .text("person");
    let stranger = token_for(&site.api, b, Role::CompanyAdmin).await.unwrap();
    let path = format!("/people/{person}");
    assert_eq!(site.get_as(&stranger, &path).await.status, 404);
    let body = json!({ "disabled": true });
    assert_eq!(
        change(&site, &stranger, &person, "*", body).await.status,
        404
    );
    let listed = site.get_as(&stranger, "/people").await.json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    // The same person may work for both, under another name.
    let joined = invite(&site, &stranger, "clerk@example.com", &["agent"]).await;
    assert_eq!((joined.status, joined.text("person")), (201, person));
    assert_eq!(joined.json["name"], "Chanda Mwale");
    assert_eq!(joined.json["joined"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_in_the_audit_log_with_before_and_after() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    let admin = token_for(&site.api, company, Role::CompanyAdmin)
        .await
        .unwrap();
    let invited = invite(&site, &admin, "chanda@example.com", &["agent"]).await;
    let person = invited.text("person");
    change(
        &site,
        &admin,
        &person,
        "\"1\"",
        json!({ "roles": ["driver"] }),
    )
    .await;
    let path = format!("/audit?subject=person:{person}");
    let log = site.get_as(&admin, &path).await.json();
    let items = log["items"].as_array().unwrap();
    let actions: Vec<&str> = items.iter().filter_map(|e| e["action"].as_str()).collect();
    assert_eq!(actions, ["person.change", "person.invite"]);
    assert_eq!(items[0]["before"]["roles"], json!(["agent"]));
    assert_eq!(items[0]["after"]["roles"], json!(["driver"]));
    assert_eq!(items[0]["actor_kind"], "person");
    let actor = items[0]["actor"].as_str().unwrap();
    for (query, wanted) in [
        ("action=person", 2),
        ("action=person.invite", 1),
        ("action=pers", 0),
        ("actor_kind=key", 0),
        ("from=2034-05-02T00:00:00Z", 0),
        ("to=2034-05-02T00:00:00Z", 2),
        ("limit=1", 1),
        (&format!("actor={actor}"), 2),
        (&format!("actor={person}"), 0),
    ] {
        let found = site.get_as(&admin, &format!("/audit?{query}")).await.json();
        assert_eq!(found["items"].as_array().unwrap().len(), wanted, "{query}");
    }
    let first = site.get_as(&admin, "/audit?limit=1").await.json();
    let next = first["next"].as_str().unwrap();
    let second = site
        .get_as(&admin, &format!("/audit?limit=1&after={next}"))
        .await
        .json();
    assert_eq!(second["items"][0]["action"], "person.invite");
    for bad in ["from=yesterday", "actor=me", "colour=red", "after=x'--"] {
        let answer = site.get_as(&admin, &format!("/audit?{bad}")).await;
        assert!(matches!(answer.status, 200 | 400), "{bad} {answer:?}");
    }
    let text = log.to_string();
    assert!(
        !text.contains("chanda@") && !text.contains("Chanda"),
        "{text}"
    );
}
