//! Browsers: cookies that scripts cannot read, and changes that other sites cannot cause.

use serde_json::{Value, json};

use super::client::{PASSWORD, Reply, account, call, post};
use crate::access::Role;
use crate::http::tests::site::Site;

struct Browser {
    cookie: String,
    csrf: String,
    begun: Reply,
}

async fn browser(site: &Site, who: &str) -> Browser {
    let body = json!({ "identifier": who, "password": PASSWORD, "transport": "cookie" });
    let begun = post(site, "/auth/sessions", body).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let set = begun.headers["set-cookie"].to_str().unwrap();
    let cookie = set.split(';').next().unwrap().to_owned();
    Browser {
        cookie,
        csrf: begun.text("csrf_token"),
        begun,
    }
}

async fn ask(site: &Site, asked: (&str, &str), headers: &[(&str, &str)]) -> Reply {
    let body: Option<Value> = (asked.0 == "PATCH").then(|| json!({ "name": "Chanda" }));
    call(&site.base, asked, headers, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_the_hosts_own_and_no_scripts() {
    let site = Site::new().await;
    account(&site, "one@example.com", Role::Customer, None).await;
    let browser = browser(&site, "one@example.com").await;
    let set = browser.begun.headers["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("__Host-mwimule="), "{set}");
    let flags: Vec<&str> = set.split("; ").skip(1).collect();
    for flag in ["Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(flags.contains(&flag), "{set}");
    }
    assert!(!set.contains("Domain"), "{set}");
    assert_eq!(browser.begun.headers["cache-control"], "no-store");
    for token in ["access_token", "refresh_token"] {
        assert!(browser.begun.json.get(token).is_none(), "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_cookie_takes_its_own_csrf_token() {
    let site = Site::new().await;
    account(&site, "one@example.com", Role::Customer, None).await;
    account(&site, "two@example.com", Role::Customer, None).await;
    let one = browser(&site, "one@example.com").await;
    let two = browser(&site, "two@example.com").await;
    let cookie = ("cookie", one.cookie.as_str());
    let shown = ask(&site, ("GET", "/auth/session"), &[cookie]).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.json["session"]["csrf_token"], one.csrf.as_str());
    let rename = ("PATCH", "/auth/me");
    let refused = [
        vec![cookie],
        vec![cookie, ("x-csrf-token", "")],
        vec![cookie, ("x-csrf-token", "AAAAAAAAAAAAAAAAAAAAAA")],
        vec![cookie, ("x-csrf-token", two.csrf.as_str())],
        vec![cookie, ("origin", "https://evil.example")],
    ];
    for headers in refused {
        let answer = ask(&site, rename, &headers).await;
        assert_eq!(answer.problem(), (403, "csrf"), "{headers:?}");
    }
    let allowed = ask(&site, rename, &[cookie, ("x-csrf-token", &one.csrf)]).await;
    assert_eq!(allowed.status, 204);
    let shown = ask(&site, ("GET", "/auth/session"), &[cookie]).await;
    assert_eq!(shown.json["name"], "Chanda");
    // Other cookies beside it do not matter; another value is nobody.
    let among = format!("theme=dark; {}; lang=bem", one.cookie);
    assert_eq!(
        ask(&site, ("GET", "/auth/session"), &[("cookie", &among)])
            .await
            .status,
        200
    );
    let wrong = [("cookie", "__Host-mwimule=guess")];
    assert_eq!(
        ask(&site, ("GET", "/auth/session"), &wrong).await.status,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_and_takes_the_cookie() {
    let site = Site::new().await;
    let (company, _) = site.company("A").await;
    account(&site, "clerk@example.com", Role::Clerk, Some(company)).await;
    let clerk = browser(&site, "clerk@example.com").await;
    let cookie = ("cookie", clerk.cookie.as_str());
    assert_eq!(ask(&site, ("GET", "/nodes"), &[cookie]).await.status, 200);
    let csrf = ("x-csrf-token", clerk.csrf.as_str());
    let out = ask(&site, ("DELETE", "/auth/session"), &[cookie, csrf]).await;
    assert_eq!(out.status, 204);
    assert!(
        out.headers["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(ask(&site, ("GET", "/nodes"), &[cookie]).await.status, 401);
}
