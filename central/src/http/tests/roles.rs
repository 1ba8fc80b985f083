//! Every operation of the document, as every role of one company, at that company's rows and at
//! another's: what opens, what is refused, and that nothing of the other company ever shows.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use domain::ids::CompanyId;
use serde_json::{Map, Value};
use sqlx::Connection as _;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::document::operations;
use super::site::Site;

use crate::access::{Permission, Role};
use crate::clock;
use crate::company;
use crate::http::{openapi, router};
use crate::tenant::tests::rows::Catalogue;
use crate::testing::token_for;

/// Stands in every text of the other company's rows.
const MARK: &str = "Zebra-of-another-company";
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A way to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Nobody,
    Person(Role),
    /// A company's API key that may only read.
    ReadingKey,
}

impl Who {
    fn all() -> Vec<Self> {
        let people = Role::ALL.into_iter().map(Self::Person);
        [Self::Nobody, Self::ReadingKey]
            .into_iter()
            .chain(people)
            .collect()
    }

    fn may(self, scope: Permission) -> bool {
        match self {
            Self::Nobody => false,
            Self::Person(role) => role.permissions().has(scope),
            Self::ReadingKey => scope.is_read(),
        }
    }
}

/// What an operation asks of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wants {
    Nothing,
    /// Somebody who signed in.
    SomePerson,
    /// Any of these.
    Scopes(Vec<Permission>),
}

impl Wants {
    fn of(operation: &Value) -> Self {
        let schemes = operation["security"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let open = schemes.is_empty() || schemes.iter().any(|s| s.as_object().unwrap().is_empty());
        if open {
            return Self::Nothing;
        }
        let scopes: Vec<Permission> = schemes
            .iter()
            .flat_map(|s| s.as_object().unwrap().values())
            .flat_map(|scopes| scopes.as_array().unwrap())
            .map(|scope| scope.as_str().unwrap().parse().unwrap())
            .collect();
        if scopes.is_empty() {
            Self::SomePerson
        } else {
            Self::Scopes(scopes)
        }
    }

    /// The status that refuses this caller, if any does.
    fn refuses(&self, who: Who) -> Option<u16> {
        match (self, who) {
            (Self::Nothing, _) | (Self::SomePerson, Who::Person(_)) => None,
            (_, Who::Nobody) | (Self::SomePerson, Who::ReadingKey) => Some(401),
            (Self::Scopes(scopes), _) => {
                let any = scopes.iter().any(|s| who.may(*s));
                (!any).then_some(403)
            }
        }
    }
}

struct World {
    site: Site,
    app: Router,
    company: CompanyId,
    tokens: BTreeMap<Who, String>,
    own: BTreeMap<String, Map<String, Value>>,
    foreign: BTreeMap<String, Map<String, Value>>,
    keys: u32,
}

impl World {
    async fn new() -> Self {
        let site = Site::new().await;
        let (company, _) = site.company("A").await;
        let (other, _) = site.company("B").await;
        for name in ["A", "B"] {
            let trip = site.trip(name).await;
            assert_eq!(site.book(trip, name, 1).await.status, 201);
        }
        for one in [company, other] {
            token_for(&site.api, one, Role::Agent).await.unwrap();
        }
        let mut owner = sqlx::PgConnection::connect(&site.db.url).await.unwrap();
        let catalogue = Catalogue::read(&mut owner).await;
        // The public's own view of the other company stays as it is: what it may see is no leak.
        let own = catalogue.found(&mut owner, company).await;
        let foreign = catalogue.fill(&mut owner, other, MARK).await.rows;
        let app = router(site.api.clone());
        let mut world = Self {
            site,
            app,
            company,
            tokens: BTreeMap::new(),
            own,
            foreign,
            keys: 0,
        };
        for who in Who::all() {
            world.sign_in(who).await;
        }
        world
    }

    async fn sign_in(&mut self, who: Who) {
        let token = match who {
            Who::Nobody => return,
            Who::Person(role) => token_for(&self.site.api, self.company, role).await.unwrap(),
            Who::ReadingKey => {
                let db = &self.site.db.db;
                let made = company::create_token(db, self.company, "reads", clock::now()).await;
                let made = made.unwrap();
                let mut owner = self.site.db.owner().await.unwrap();
                let reads = Permission::ALL.into_iter().filter(|p| p.is_read());
                let reads: Vec<&str> = reads.map(Permission::as_str).collect();
                sqlx::query(
                    "UPDATE api_token SET scopes = $1 WHERE company_id = $2 AND name = 'reads'",
                )
                .bind(&reads)
                .bind(self.company.0)
                .execute(&mut owner)
                .await
                .unwrap();
                made.token
            }
        };
        self.tokens.insert(who, token);
    }

    /// The path with rows of one side in it, whether every name was found there, and the values.
    fn path(&self, path: &str, operation: &Value, foreign: bool) -> (String, bool, Vec<String>) {
        let rows = if foreign { &self.foreign } else { &self.own };
        let (mut whole, mut certain) = (path.to_owned(), true);
        let mut said = vec![];
        let mut query = vec![];
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let example = parameter["example"].clone();
            let known = value_of(rows, path, name).filter(|v| fits(v, &parameter["schema"]));
            match parameter["in"].as_str() {
                Some("path") => {
                    certain &= known.is_some();
                    let value = text_of(&known.unwrap_or(example));
                    whole = whole.replace(&format!("{{{name}}}"), &escaped(&value));
                    said.push(value);
                }
                Some("query") if parameter["required"] == true => {
                    let value = text_of(&known.unwrap_or(example));
                    query.push(format!("{name}={}", escaped(&value)));
                    said.push(value);
                }
                _ => {}
            }
        }
        if !query.is_empty() {
            whole = format!("{whole}?{}", query.join("&"));
        }
        (whole, certain, said)
    }

    async fn ask(
        &mut self,
        who: Who,
        method: &str,
        path: &str,
        operation: &Value,
    ) -> (StatusCode, String) {
        self.keys += 1;
        let mut request = Request::builder()
            .method(method.to_uppercase().as_str())
            .uri(path)
            .header("idempotency-key", format!("role-{}", self.keys))
            .header("if-match", "*");
        if let Some(token) = self.tokens.get(&who) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let content = operation["requestBody"]["content"].as_object();
        // Plain before sealed: what is sealed is opened before anybody is asked who they are.
        let plain = content.and_then(|c| c.get_key_value("application/json"));
        let body = match plain.or_else(|| content.and_then(|c| c.iter().next())) {
            Some((kind, medium)) => {
                request = request.header("content-type", kind);
                let example = &medium["example"];
                let text = example.as_str().filter(|_| kind != "application/json");
                Body::from(text.map_or_else(|| example.to_string(), str::to_owned))
            }
            None => Body::empty(),
        };
        let request = request.body(body).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = to_bytes(response.into_body(), ANSWER_BYTES_MAX)
            .await
            .unwrap();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push('%');
            out.push_str(&domain::codec::to_hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

/// What stands for a parameter in some row: a column of that name, in a table that the path names
/// if there is one.
/// Whether a value is of the kind that a parameter takes.
fn fits(value: &Value, schema: &Value) -> bool {
    let text = text_of(value);
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (_, Some("uuid")) => text.parse::<Uuid>().is_ok(),
        (Some("integer"), _) => text.parse::<i64>().is_ok(),
        _ => true,
    }
}

fn value_of(rows: &BTreeMap<String, Map<String, Value>>, path: &str, name: &str) -> Option<Value> {
    let columns = ["", "_id", "_no", "_code", "_key"].map(|end| format!("{name}{end}"));
    let in_path = |table: &str| path.contains(table.trim_end_matches('s'));
    let mut tables: Vec<&String> = rows.keys().collect();
    // A person is everybody's: only the membership says whose.
    let tenant = |table: &str| rows[table].contains_key("company_id");
    let member = |table: &str| name == "person" && table == "membership";
    tables.sort_by_key(|t| (!member(t), !tenant(t), !in_path(t), (*t).clone()));
    let found = tables.into_iter().find_map(|table| {
        let row = &rows[table];
        columns
            .iter()
            .find_map(|c| row.get(c).filter(|v| !v.is_null()))
    });
    found.cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_may_do_what_the_document_says_and_no_answer_shows_another_company() {
    let mut world = World::new().await;
    let document = openapi();
    let (mut wrong, mut asked, mut refused_early) = (vec![], 0, BTreeSet::new());
    for (method, path, operation) in operations(&document) {
        let wants = Wants::of(&operation);
        for who in Who::all() {
            for foreign in [false, true] {
                let (target, certain, said) = world.path(&path, &operation, foreign);
                let (mut status, mut text) = world.ask(who, &method, &target, &operation).await;
                let expected = wants.refuses(who);
                if status == 401 && expected != Some(401) && who != Who::Nobody {
                    // The call before may have ended the session, or changed its rights.
                    world.sign_in(who).await;
                    (status, text) = world.ask(who, &method, &target, &operation).await;
                }
                asked += 1;
                let side = if foreign { "foreign" } else { "own" };
                let mut claim = |holds: bool, what: &str| {
                    if !holds {
                        wrong.push(format!(
                            "{method} {target} as {who:?}, {side}: {what}: {status} {text:.200}"
                        ));
                    }
                };
                // What the caller said itself may be repeated to it.
                let rest = said.iter().fold(text.clone(), |t, s| t.replace(s, ""));
                claim(!rest.contains(MARK), "it shows another company's row");
                match expected {
                    Some(_) if matches!(status.as_u16(), 400 | 415 | 422) => {
                        // The body is read first; it has not been shown that it would be refused.
                        refused_early.insert(format!("{method} {path}: {text:.200}"));
                    }
                    Some(expected) => claim(status == expected, &format!("not {expected}")),
                    None if wants == Wants::Nothing => {}
                    // A wrong password or company in the body says nothing of the token.
                    None => claim(
                        !["unauthorized", "forbidden"]
                            .iter()
                            .any(|kind| text.contains(&format!("problem:{kind}\""))),
                        "refused, though the document allows it",
                    ),
                }
                if foreign && certain && path.contains('{') && matches!(wants, Wants::Scopes(_)) {
                    // A PUT under a name makes the caller's own row of that name.
                    let by_name = |value: &String| {
                        value.parse::<Uuid>().is_err() && value.parse::<i64>().is_err()
                    };
                    let own = method == "get" || method == "put" && said.iter().all(by_name);
                    let done = status.is_success();
                    claim(!done || own, "it changed another company's row");
                }
                if !foreign {
                    claim(!status.is_server_error(), "the hub failed");
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {asked}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        refused_early.is_empty(),
        "give these bodies an example that can be read (#[schema(example = …)]), so that the \
         scope is what refuses: {refused_early:#?}"
    );
    assert!(asked >= 16 * 15);
}
