//! A client that sends any method and sees every header.

use domain::ids::CompanyId;
use serde_json::{Value, json};
use ureq::http::{HeaderMap, Request};

use crate::access::Role;
use crate::auth::admin::{NewAccount, create_account};
use crate::auth::codes::{Delivery, delivered, undelivered};
use crate::clock;
use crate::http::Api;
use crate::http::tests::site::Site;

pub const PASSWORD: &str = "correct horse battery";

/// An answer with its headers.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub json: Value,
}

impl Reply {
    /// The word at the end of a problem's type, beside the status.
    pub fn problem(&self) -> (u16, &str) {
        let kind = self.json["type"].as_str().unwrap_or_default();
        (self.status, kind.trim_start_matches("urn:mwimule:problem:"))
    }

    pub fn text(&self, member: &str) -> String {
        let found = self.json[member].as_str();
        found
            .unwrap_or_else(|| panic!("{member}: {self:?}"))
            .to_owned()
    }
}

/// Sends a request.
pub async fn call(
    base: &str,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Reply {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{base}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map(|b| b.to_string()).unwrap_or_default();
    let request = request.body(body).unwrap();
    let sent = tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .build()
            .into();
        let mut response = agent.run(request).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        Reply {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            json: serde_json::from_str(&text).unwrap_or(Value::Null),
        }
    });
    sent.await.unwrap()
}

/// Sends JSON.
pub async fn post(site: &Site, path: &str, body: Value) -> Reply {
    call(&site.base, ("POST", path), &[], Some(body)).await
}

/// Sends JSON as the bearer of a token.
pub async fn send_as(site: &Site, token: &str, asked: (&str, &str), body: Option<Value>) -> Reply {
    let bearer = format!("Bearer {token}");
    call(&site.base, asked, &[("authorization", &bearer)], body).await
}

/// Signs in.
pub async fn sign_in(site: &Site, identifier: &str, password: &str) -> Reply {
    let body = json!({ "identifier": identifier, "password": password });
    post(site, "/auth/sessions", body).await
}

/// An account with [`PASSWORD`].
pub async fn account(site: &Site, contact: &str, role: Role, company: Option<CompanyId>) {
    let new = NewAccount {
        name: "Mutale Banda",
        contact,
        role,
        company,
        password: Some(PASSWORD),
    };
    let api = &site.api;
    create_account(&api.db, &api.vault, &new, clock::now())
        .await
        .unwrap();
}

/// The code that waits to be sent to a contact; it is sent then.
pub async fn code_for(api: &Api, contact: &str) -> Option<Delivery> {
    let waiting = undelivered(&api.db, &api.vault, 100, clock::now())
        .await
        .unwrap();
    let (id, found) = waiting.into_iter().find(|(_, d)| d.contact == contact)?;
    delivered(&api.db, id).await.unwrap();
    Some(found)
}

/// Rows that a condition on the whole database counts.
pub async fn count(site: &Site, sql: &'static str) -> i64 {
    site.db.number(sql).await.unwrap()
}
