//! Two companies behind one router, and what their people ask.

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, header};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::company;
use crate::http::{Api, router};
use crate::keys::HubKeys;
use crate::testing::{TestCompany, TestDb};
use crate::vault::Vault;
use domain::time::Instant;

pub struct Desk {
    pub db: TestDb,
    pub company: TestCompany,
    /// May do what the company may.
    pub token: String,
    /// Of another company.
    pub foreign: String,
    /// May look only.
    pub reader: String,
    api: Api,
}

pub struct Answer {
    pub status: u16,
    pub etag: String,
    pub kind: String,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The status and the word at the end of a problem's type.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.kind, "application/problem+json", "{}", self.text());
        let json = self.json();
        let kind = json["type"].as_str().unwrap_or_default();
        let word = kind.trim_start_matches("urn:mwimule:problem:").to_owned();
        (self.status, word)
    }
}

impl Desk {
    pub async fn new() -> Self {
        let db = TestDb::new().await.unwrap();
        let company = TestCompany::new(&db.db, 1).await.unwrap();
        let other = TestCompany::new(&db.db, 2).await.unwrap();
        let token = |id| company::create_token(&db.db, id, "office", Instant(0));
        let (own, foreign) = (
            token(company.id).await.unwrap(),
            token(other.id).await.unwrap(),
        );
        let reader = token(company.id).await.unwrap();
        let mut tx = db.db.tenant(company.id).await.unwrap();
        sqlx::query(
            "UPDATE api_token SET scopes = '{company:read}'
             WHERE token_hash = sha256(convert_to($1, 'UTF8'))",
        )
        .bind(&reader.token)
        .execute(tx.conn())
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let keys = HubKeys::from_bytes(&[7; 32], [8; 32]);
        let api = Api::new(db.db.clone(), keys, Vault::from_bytes([9; 32]));
        Self {
            token: own.token,
            foreign: foreign.token,
            reader: reader.token,
            company,
            db,
            api,
        }
    }

    /// Asks with headers and a body of a media type.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = router(self.api.clone()).oneshot(request).await.unwrap();
        let header = |name| {
            let value = response.headers().get(name);
            let value = value.and_then(|v| v.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Answer {
            status: response.status().as_u16(),
            etag: header(header::ETAG),
            kind: header(header::CONTENT_TYPE),
            bytes: to_bytes(response.into_body(), usize::MAX)
                .await
                .unwrap()
                .to_vec(),
        }
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        let auth = format!("Bearer {token}");
        let headers = [("authorization", auth.as_str())];
        self.ask(Method::GET, path, &headers, Body::empty()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.get_as(&self.token, path).await
    }

    /// Sends JSON, with `If-Match` where there is one.
    pub async fn send_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: &Value,
    ) -> Answer {
        let auth = format!("Bearer {token}");
        let mut headers = vec![
            ("authorization", auth.as_str()),
            ("content-type", "application/json"),
        ];
        headers.extend(if_match.map(|tag| ("if-match", tag)));
        self.ask(method, path, &headers, body.to_string()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_as(&self.token, Method::POST, path, None, body)
            .await
    }

    pub async fn put(&self, path: &str, etag: &str, body: &Value) -> Answer {
        let token = &self.token;
        self.send_as(token, Method::PUT, path, Some(etag), body)
            .await
    }

    pub async fn delete(&self, path: &str, etag: &str) -> Answer {
        let auth = format!("Bearer {}", self.token);
        let headers = [("authorization", auth.as_str()), ("if-match", etag)];
        self.ask(Method::DELETE, path, &headers, Body::empty())
            .await
    }

    pub async fn send_csv(&self, path: &str, file: &str) -> Answer {
        let auth = format!("Bearer {}", self.token);
        let headers = [
            ("authorization", auth.as_str()),
            ("content-type", "text/csv"),
        ];
        self.ask(Method::POST, path, &headers, file.to_owned())
            .await
    }

    /// How many entries of the audit log name this action.
    pub async fn audited(&self, action: &str) -> i64 {
        let mut owner = self.db.owner().await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM audit_log WHERE action = $1")
            .bind(action)
            .fetch_one(&mut owner)
            .await
            .unwrap()
    }
}
