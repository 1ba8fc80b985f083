//! Cases, settlements and statements over HTTP: what is answered to whom, and in what form.

use std::io::{Cursor, Read as _};

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::Till;
use crate::access::Role;
use crate::clock;
use crate::http::{Api, router};
use crate::ledger::commission::agent_party;
use crate::testing::{FARE, TestCompany, token_for};
use crate::vault::Vault;
use domain::time::Instant;

const DAY_MS: i64 = 86_400_000;

/// A company's books, and who may look into them.
struct Books {
    till: Till,
    api: Api,
    clerk: String,
    /// May sign.
    admin: String,
    /// Sells, and sees no books.
    agent: String,
    /// May do everything, in another company.
    foreign: String,
}

struct Answer {
    status: u16,
    etag: String,
    kind: String,
    bytes: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    #[track_caller]
    fn good(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    #[track_caller]
    fn refused(&self, status: u16, word: &str) {
        let kind = self.json()["type"].as_str().unwrap_or_default().to_owned();
        let said = kind.trim_start_matches("urn:mwimule:problem:");
        assert_eq!((self.status, said), (status, word), "{}", self.text());
    }

    /// The rows of a CSV, each by its column's name.
    fn rows(&self) -> Vec<Vec<(String, String)>> {
        assert_eq!(self.kind, "text/csv; charset=utf-8");
        let mut read = csv::Reader::from_reader(&self.bytes[..]);
        let names = read.headers().unwrap().clone();
        let row = |cells: csv::StringRecord| {
            let named = names.iter().zip(cells.iter());
            named.map(|(n, c)| (n.to_owned(), c.to_owned())).collect()
        };
        read.records().map(|r| row(r.unwrap())).collect()
    }

    /// How many rows the first sheet of a workbook has, its header included.
    fn sheet_rows(&self) -> usize {
        let mut book = zip::ZipArchive::new(Cursor::new(&self.bytes)).unwrap();
        let mut sheet = String::new();
        let mut file = book.by_name("xl/worksheets/sheet1.xml").unwrap();
        file.read_to_string(&mut sheet).unwrap();
        sheet.matches("<row ").count()
    }
}

impl Books {
    async fn new() -> Self {
        let mut till = Till::new().await;
        let other = TestCompany::new(&till.test.db, 2).await.unwrap();
        let keys = till.company.keys.clone();
        let api = Api::new(till.test.db.clone(), keys, Vault::from_bytes([9; 32]));
        // Days that are over by the clock of the routes.
        till.node.at = Instant(clock::now().0 - 3 * DAY_MS);
        let token = async |company, role| token_for(&api, company, role).await.unwrap();
        let id = till.company.id;
        Self {
            clerk: token(id, Role::Clerk).await,
            admin: token(id, Role::CompanyAdmin).await,
            agent: token(id, Role::Agent).await,
            foreign: token(other.id, Role::CompanyAdmin).await,
            till,
            api,
        }
    }

    async fn ask(
        &self,
        (token, method, path): (&str, Method, &str),
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |b| Body::from(b.to_string()));
        let request = request.body(body).unwrap();
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

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask((token, Method::GET, path), &[], None).await
    }

    /// Posts under a key.
    async fn post(&self, token: &str, path: &str, key: &str, body: &Value) -> Answer {
        let headers = [("idempotency-key", key)];
        let body = Some(body.clone());
        self.ask((token, Method::POST, path), &headers, body).await
    }

    /// Asks for a change of what was read.
    async fn change(
        &self,
        (token, method, path): (&str, Method, &str),
        etag: &str,
        body: Option<Value>,
    ) -> Answer {
        let headers = [("if-match", etag)];
        self.ask((token, method, path), &headers, body).await
    }

    /// Every list comes as CSV and XLSX with as many rows as in JSON, for the clerk; the agent
    /// may not see it, and another company sees none of it.
    async fn check_list(&self, path: &str, rows: usize) {
        let with = |format: &str| {
            let join = if path.contains('?') { '&' } else { '?' };
            format!("{path}{join}format={format}")
        };
        let json = self.get(&self.clerk, path).await.good(200).json();
        assert_eq!(json["items"].as_array().unwrap().len(), rows, "{json}");
        let csv = self.get(&self.clerk, &with("csv")).await.good(200);
        assert_eq!(csv.rows().len(), rows, "{}", csv.text());
        let xlsx = self.get(&self.clerk, &with("xlsx")).await.good(200);
        // A list of nothing has no columns either.
        let header = usize::from(rows > 0);
        assert_eq!(xlsx.sheet_rows(), header + rows);
        self.get(&self.clerk, &with("pdf"))
            .await
            .refused(400, "bad-request");
        self.get(&self.agent, path).await.refused(403, "forbidden");
        let theirs = self.get(&self.foreign, path).await;
        if theirs.status == 200 {
            assert_eq!(theirs.json()["items"], json!([]), "{path}");
        } else {
            theirs.refused(404, "not-found");
        }
    }
}

#[tokio::test]
async fn a_case_is_shown_and_decided_once_by_who_may() {
    let mut books = Books::new().await;
    let (first, second, case) = books.till.double_sale().await;
    books
        .check_list("/reconciliation/conflicts?state=open", 1)
        .await;
    books
        .check_list("/reconciliation/conflicts?state=settled", 0)
        .await;
    let path = format!("/reconciliation/conflicts/{case}");
    let shown = books.get(&books.clerk, &path).await.good(200).json();
    assert_eq!(shown["proposed_winner"], first.0.to_string(), "{shown}");
    assert_eq!(shown["evidence"].as_array().unwrap().len(), 2);
    books
        .get(&books.foreign, &path)
        .await
        .refused(404, "not-found");
    let decision = format!("{path}/decision");
    let good = json!({"winner": first.0, "consequence": "refund", "reason": "was there first"});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (token, key, body, status, word) in [
        (&books.agent, "a", good.clone(), 403, "forbidden"),
        (&books.foreign, "b", good.clone(), 404, "not-found"),
        (
            &books.clerk,
            "c",
            with("consequence", "pardon".into()),
            422,
            "unprocessable",
        ),
        (
            &books.clerk,
            "d",
            with("winner", json!(Uuid::nil())),
            422,
            "unprocessable",
        ),
        (
            &books.clerk,
            "e",
            with("reason", "?".into()),
            422,
            "unprocessable",
        ),
        (
            &books.clerk,
            "f",
            with("surprise", true.into()),
            422,
            "unprocessable",
        ),
    ] {
        books
            .post(token, &decision, key, &body)
            .await
            .refused(status, word);
    }
    let unkeyed = (books.clerk.as_str(), Method::POST, decision.as_str());
    let unkeyed = books.ask(unkeyed, &[], Some(good.clone())).await;
    unkeyed.refused(400, "bad-request");
    let done = books
        .post(&books.clerk, &decision, "k", &good)
        .await
        .good(200);
    assert_eq!(done.json()["case"], case);
    assert!(done.json()["entry"].is_string(), "{}", done.text());
    let again = books.post(&books.clerk, &decision, "k", &good).await;
    assert_eq!(again.bytes, done.bytes);
    let late = with("winner", json!(second.0));
    let late = books.post(&books.clerk, &decision, "l", &late).await;
    late.refused(409, "case-closed");
    let shown = books.get(&books.clerk, &path).await.good(200).json();
    assert_eq!(shown["state"], "decided");
    books.till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn a_settlement_goes_from_draft_to_paid_by_two_people_and_comes_on_paper() {
    let mut books = Books::new().await;
    books.till.pay_commission().await;
    books.till.sell(1).await;
    books.till.sell(2).await;
    books.till.recognise(books.till.node.at).await;
    let yesterday = clock::now().plus_ms(-DAY_MS);
    let yesterday = yesterday
        .local_date(&"Africa/Lusaka".parse().unwrap())
        .unwrap();
    let agent = agent_party(books.till.company.id, "mutinta");
    let wish = json!({"party": agent.0, "from": "2020-01-01", "to": yesterday.to_string(),
        "currency": "ZMW"});
    let (clerk, admin) = (books.clerk.as_str(), books.admin.as_str());
    let draft = async |token: &str, body: &Value| {
        let asked = (token, Method::POST, "/settlements");
        books.ask(asked, &[], Some(body.clone())).await
    };
    draft(&books.agent, &wish).await.refused(403, "forbidden");
    draft(&books.foreign, &wish)
        .await
        .refused(422, "unprocessable");
    for (name, value) in [
        ("from", "soon"),
        ("to", "2999-01-01"),
        ("currency", "kwacha"),
    ] {
        let mut wrong = wish.clone();
        wrong[name] = value.into();
        draft(clerk, &wrong).await.refused(422, "unprocessable");
    }
    let made = draft(clerk, &wish).await.good(201);
    assert_eq!(made.json()["net_minor"], FARE.0 / 10);
    draft(clerk, &wish).await.refused(422, "unprocessable");
    let path = format!(
        "/settlements/{}",
        made.json()["settlement"].as_str().unwrap()
    );
    let at = |step: &str| format!("{path}/{step}");
    books.check_list("/settlements", 1).await;
    books.check_list(&at("lines"), 1).await;
    books
        .get(&books.foreign, &path)
        .await
        .refused(404, "not-found");
    let shown = books.get(clerk, &path).await.good(200);
    assert_eq!(shown.etag, made.etag);

    let proposal = at("proposal");
    let propose = (clerk, Method::POST, proposal.as_str());
    books
        .ask(propose.clone(), &[], None)
        .await
        .refused(428, "if-match-needed");
    books
        .change(propose.clone(), "\"99\"", None)
        .await
        .refused(412, "changed");
    let theirs = (books.foreign.as_str(), Method::POST, proposal.as_str());
    books
        .change(theirs, &made.etag, None)
        .await
        .refused(404, "not-found");
    let proposed = books
        .change(propose.clone(), &made.etag, None)
        .await
        .good(200);
    assert_eq!(proposed.json()["state"], "proposed");
    books
        .change(propose, &proposed.etag, None)
        .await
        .refused(409, "wrong-state");
    let gone = (clerk, Method::DELETE, path.as_str());
    books
        .change(gone, &proposed.etag, None)
        .await
        .refused(409, "wrong-state");

    let signature = at("signature");
    let yes = Some(json!({"accept_provisional": true}));
    let sign = |token| (token, Method::POST, signature.as_str());
    books
        .change(sign(clerk), &proposed.etag, yes.clone())
        .await
        .refused(403, "forbidden");
    let signed = books
        .change(sign(admin), &proposed.etag, yes)
        .await
        .good(200);
    assert_eq!(signed.json()["state"], "signed_off");
    let (payment, money) = (at("payment"), json!({"reference": "TRF-1"}));
    let paid = books.post(admin, &payment, "p", &money).await.good(200);
    assert_eq!(paid.json()["state"], "paid");
    let again = books.post(admin, &payment, "p", &money).await;
    assert_eq!(again.bytes, paid.bytes);
    books
        .post(admin, &payment, "q", &money)
        .await
        .refused(409, "wrong-state");
    assert_eq!(books.till.balance("bank").await, -FARE.0 / 10);

    let pdf = books.get(clerk, &at("pdf")).await.good(200);
    assert_eq!(pdf.kind, "application/pdf");
    assert!(pdf.bytes.starts_with(b"%PDF-") && pdf.text().contains("startxref"));
    books
        .get(&books.foreign, &at("pdf"))
        .await
        .refused(404, "not-found");
    books.till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn whoever_proposed_a_settlement_does_not_sign_it_and_a_draft_is_given_up() {
    let mut books = Books::new().await;
    books.till.sell(1).await;
    books.till.recognise(books.till.node.at).await;
    let day = |days: i64| {
        let day = clock::now().plus_ms(days * DAY_MS);
        day.local_date(&"Africa/Lusaka".parse().unwrap())
            .unwrap()
            .to_string()
    };
    let wish = json!({"from": "2020-01-01", "to": day(-1), "currency": "ZMW"});
    let admin = books.admin.as_str();
    let ask = async |method: Method, path: &str, etag: &str, body: Option<Value>| {
        books.change((admin, method, path), etag, body).await
    };
    let made = ask(Method::POST, "/settlements", "", Some(wish.clone()))
        .await
        .good(201);
    let path = format!(
        "/settlements/{}",
        made.json()["settlement"].as_str().unwrap()
    );
    let gone = (admin, Method::DELETE, path.as_str());
    books
        .ask(gone, &[], None)
        .await
        .refused(428, "if-match-needed");
    ask(Method::DELETE, &path, &made.etag, None).await.good(204);
    books.get(admin, &path).await.refused(404, "not-found");
    let made = ask(Method::POST, "/settlements", "", Some(wish))
        .await
        .good(201);
    let path = format!(
        "/settlements/{}",
        made.json()["settlement"].as_str().unwrap()
    );
    let (proposal, signature) = (format!("{path}/proposal"), format!("{path}/signature"));
    let proposed = ask(Method::POST, &proposal, &made.etag, None)
        .await
        .good(200);
    let same = ask(Method::POST, &signature, &proposed.etag, Some(json!({}))).await;
    same.refused(409, "second-person-needed");
}

const MOMO: &str = "Id,External Transaction Id,Date,Status,Type,From,Amount,Fee\n\
    771,00000000-0000-0000-0000-000000000051,2026-11-20 10:15:00,Successful,Payment,260970000001,150.00,1.50\n\
    772,unknown,2026-11-20 11:15:00,Successful,Payment,260970000002,99.00,\n";

#[tokio::test]
async fn a_statement_is_taken_in_shown_paired_and_parted() {
    let books = Books::new().await;
    books.till.captured(0x51, 15_000).await;
    books.till.captured(0x52, 7_000).await;
    let clerk = books.clerk.as_str();
    let file = json!({"account": "mobile_money_clearing", "mapping": "mtn-momo",
        "file_name": "november.csv", "currency": "ZMW", "csv": MOMO});
    let path = "/reconciliation/statements";
    let with = |name: &str, value: &str| {
        let mut body = file.clone();
        body[name] = value.into();
        body
    };
    for (key, body) in [
        ("a", with("account", "pocket")),
        ("b", with("mapping", "nobody's")),
        ("c", with("currency", "kwacha")),
        ("d", with("csv", &MOMO.replace("99.00", "ninety"))),
    ] {
        books
            .post(clerk, path, key, &body)
            .await
            .refused(422, "unprocessable");
    }
    books
        .post(&books.agent, path, "e", &file)
        .await
        .refused(403, "forbidden");
    let taken = books.post(clerk, path, "k", &file).await.good(201);
    assert_eq!(
        (&taken.json()["lines"], &taken.json()["matched"]),
        (&json!(2), &json!(1))
    );
    let again = books.post(clerk, path, "k", &file).await;
    assert_eq!(again.bytes, taken.bytes);
    books.check_list("/reconciliation/statement-lines", 2).await;
    books
        .check_list("/reconciliation/statement-lines?state=unmatched", 1)
        .await;
    let unstated = "/reconciliation/unstated?account=mobile_money_clearing&currency=ZMW";
    books.check_list(unstated, 1).await;

    let lines = "/reconciliation/statement-lines?state=unmatched";
    let lines = books.get(clerk, lines).await.good(200).json();
    let line = lines["items"][0]["line"].as_str().unwrap();
    let path = format!("/reconciliation/statement-lines/{line}/match");
    let pair = json!({"kind": "payment", "id": Uuid::from_u128(0x52)});
    let put = async |token: &str, path: &str, body: &Value| {
        let asked = (token, Method::PUT, path);
        books.ask(asked, &[], Some(body.clone())).await
    };
    let part = async || books.ask((clerk, Method::DELETE, &path), &[], None).await;
    put(&books.foreign, &path, &pair)
        .await
        .refused(404, "not-found");
    let stranger = json!({"kind": "payment", "id": Uuid::nil()});
    put(clerk, &path, &stranger)
        .await
        .refused(422, "unprocessable");
    put(clerk, &path, &pair).await.good(204);
    put(clerk, &path, &pair).await.refused(409, "wrong-state");
    books.check_list(unstated, 0).await;
    part().await.good(204);
    part().await.refused(409, "wrong-state");
    books.check_list(unstated, 1).await;
    books.till.every_entry_sums_to_zero().await;
}

#[tokio::test]
async fn how_a_statement_is_read_is_changed_by_who_has_read_it() {
    let books = Books::new().await;
    let clerk = books.clerk.as_str();
    let path = "/reconciliation/statement-mappings/ours";
    books.get(clerk, path).await.refused(404, "not-found");
    let preset = "/reconciliation/statement-mappings/bank";
    let mapping = books.get(clerk, preset).await.good(200).json();
    let put = (clerk, Method::PUT, path);
    let unread = books.ask(put.clone(), &[], Some(mapping.clone())).await;
    unread.refused(428, "if-match-needed");
    let first = books
        .change(put.clone(), "*", Some(mapping.clone()))
        .await
        .good(200);
    let stale = books
        .change(put.clone(), "\"77\"", Some(mapping.clone()))
        .await;
    stale.refused(412, "changed");
    let second = books
        .change(put.clone(), &first.etag, Some(mapping.clone()))
        .await
        .good(200);
    assert_ne!(second.etag, first.etag);
    let shown = books.get(clerk, path).await.good(200);
    assert_eq!(
        (shown.etag.as_str(), shown.json()),
        (second.etag.as_str(), mapping)
    );
    books
        .get(&books.foreign, path)
        .await
        .refused(404, "not-found");
    books
        .get(&books.agent, path)
        .await
        .refused(403, "forbidden");
    let broken = books
        .change(put, &second.etag, Some(json!({"delimiter": "ab"})))
        .await;
    broken.refused(422, "unprocessable");
}
