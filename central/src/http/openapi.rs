//! The API's document: what the routes say of themselves, completed by what holds for all.
//!
//! A route names its own answers and scopes. What follows from its shape is added here, so that it
//! is said once and never forgotten: the statuses that its parameters, body and scopes can lead
//! to, the media type of problems, and an example wherever the schema gives one.

mod example;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::jose;
use super::problem::PROBLEM_JSON;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
const JSON: &str = "application/json";

/// A problem that many routes may answer: status, name of the shared answer, kind, and when.
type Shared = (&'static str, &'static str, &'static str, &'static str);

const SHARED: [Shared; 13] = [
    (
        "400",
        "BadRequest",
        "bad-request",
        "A parameter, a header or the body cannot be read.",
    ),
    (
        "401",
        "Unauthorized",
        "unauthorized",
        "No token, or one that opens nothing.",
    ),
    (
        "403",
        "Forbidden",
        "forbidden",
        "The caller lacks the permission that `permission` names.",
    ),
    (
        "404",
        "NotFound",
        "not-found",
        "Nothing is there, or it is another company's.",
    ),
    (
        "409",
        "Conflict",
        "in-flight",
        "It clashes with how things stand; `type` says how.",
    ),
    (
        "412",
        "Changed",
        "changed",
        "It was changed since the caller read it.",
    ),
    (
        "413",
        "TooLarge",
        "too-large",
        "The body is larger than this route takes.",
    ),
    (
        "415",
        "UnsupportedMediaType",
        "unsupported-media-type",
        "The body has another type.",
    ),
    (
        "422",
        "Unprocessable",
        "unprocessable",
        "It can be read, but says what cannot be done.",
    ),
    (
        "428",
        "IfMatchNeeded",
        "if-match-needed",
        "`If-Match` is missing.",
    ),
    (
        "429",
        "TooManyRequests",
        "too-many-requests",
        "Asked too often; `Retry-After` says how long to wait.",
    ),
    (
        "503",
        "Unavailable",
        "unavailable",
        "The database is away, or too slow: ask again.",
    ),
    (
        "default",
        "Problem",
        "bad-request",
        "Whatever else is wrong.",
    ),
];

/// Lets the parts of a schema that is put together stand beside each other: each of them alone
/// may refuse unknown members, but each has to bear the others'.
fn open_parts(value: &mut Value, schemas: &Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Array(parts)) = object.get_mut("allOf") {
                for part in parts {
                    let named = part["$ref"].as_str().and_then(|r| r.rsplit('/').next());
                    let whole = named.map(|name| schemas[name].clone());
                    if let Some(whole) = whole.filter(|w| w["additionalProperties"] == false) {
                        *part = whole;
                    }
                    if let Some(part) = part.as_object_mut() {
                        part.retain(|name, v| name != "additionalProperties" || *v != false);
                    }
                }
            }
            object.values_mut().for_each(|v| open_parts(v, schemas));
        }
        Value::Array(items) => items.iter_mut().for_each(|v| open_parts(v, schemas)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Completes the document.
pub fn complete(document: &mut Value) {
    let written = document["components"]["schemas"].clone();
    open_parts(document, &written);
    let schemas = document["components"]["schemas"].clone();
    let mut ids = BTreeMap::new();
    let Some(paths) = document["paths"].as_object_mut() else {
        return;
    };
    for (path, item) in paths.iter_mut() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) {
                name(operation, method, path, &mut ids);
                parameters(operation, &schemas);
                request(operation, path, &schemas);
                answers(operation, path, &schemas);
            }
        }
    }
    let shared: Map<String, Value> = SHARED.iter().map(shared_answer).collect();
    document["components"]["responses"] = Value::Object(shared);
}

fn shared_answer((status, name, kind, when): &Shared) -> (String, Value) {
    let number: u16 = status.parse().unwrap_or(400);
    let mut answer = json!({
        "description": when,
        "content": { PROBLEM_JSON: {
            "schema": { "$ref": "#/components/schemas/Problem" },
            "example": {
                "type": format!("urn:mwimule:problem:{kind}"),
                "title": name, "status": number, "detail": when,
            },
        }},
    });
    if *status == "429" {
        answer["headers"] = json!({ "Retry-After": {
            "description": "Seconds to wait.",
            "schema": { "type": "integer", "minimum": 1 },
        }});
    }
    ((*name).to_owned(), answer)
}

/// An id that is unique, and a summary of one line.
fn name(
    operation: &mut Map<String, Value>,
    method: &str,
    path: &str,
    ids: &mut BTreeMap<String, u32>,
) {
    let tag = operation["tags"][0]
        .as_str()
        .unwrap_or("hub")
        .replace([' ', '-'], "_");
    let said = operation.get("operationId").and_then(Value::as_str);
    let said = said.map_or_else(
        || format!("{method}{}", path.replace(['/', '{', '}'], "_")),
        str::to_owned,
    );
    let mut id = if said.starts_with(&tag) {
        said
    } else {
        format!("{tag}_{said}")
    };
    let seen = ids.entry(id.clone()).or_default();
    *seen += 1;
    if *seen > 1 {
        id = format!("{id}_{seen}");
    }
    operation.insert("operationId".to_owned(), id.into());
    for words in ["summary", "description"] {
        if let Some(Value::String(text)) = operation.get_mut(words) {
            *text = text
                .split('\n')
                .map(str::trim)
                .collect::<Vec<_>>()
                .join(" ");
        }
    }
}

fn parameters(operation: &mut Map<String, Value>, schemas: &Value) {
    let list = operation
        .get_mut("parameters")
        .and_then(Value::as_array_mut);
    for parameter in list.into_iter().flatten() {
        if parameter.get("example").is_none() && parameter.get("examples").is_none() {
            let name = parameter["name"].as_str().unwrap_or_default();
            parameter["example"] = example::of(&parameter["schema"], name, schemas);
        }
    }
}

fn request(operation: &mut Map<String, Value>, path: &str, schemas: &Value) {
    let content = operation
        .get_mut("requestBody")
        .and_then(|b| b.get_mut("content"));
    let Some(content) = content.and_then(Value::as_object_mut) else {
        return;
    };
    exemplify(content, schemas);
    if content.contains_key(JSON) && jose::is_for(path) {
        content.insert(jose::MEDIA_TYPE.to_owned(), jose_content());
    }
}

fn jose_content() -> Value {
    json!({
        "schema": { "type": "string", "description": "The JSON as a compact JWE, see docs/jose/." },
        "example": "eyJhbGciOiJFQ0RILUVTIn0..aXY.Y2lwaGVydGV4dA.dGFn",
    })
}

fn exemplify(content: &mut Map<String, Value>, schemas: &Value) {
    for (kind, medium) in content {
        let has = medium.get("example").is_some() || medium.get("examples").is_some();
        if !has {
            medium["example"] = if kind == JSON {
                example::of(&medium["schema"], "", schemas)
            } else {
                example::of_medium(kind)
            };
        }
    }
}

/// The statuses that follow from what a route takes.
fn statuses(operation: &Map<String, Value>) -> Vec<&'static str> {
    let header = |wanted: &str| {
        let list = operation.get("parameters").and_then(Value::as_array);
        list.into_iter().flatten().any(|p| {
            p["in"] == "header"
                && p["name"]
                    .as_str()
                    .is_some_and(|n| n.eq_ignore_ascii_case(wanted))
        })
    };
    let place = |place: &str| {
        let list = operation.get("parameters").and_then(Value::as_array);
        list.into_iter().flatten().any(|p| p["in"] == place)
    };
    let security = operation.get("security").and_then(Value::as_array);
    let schemes: Vec<&Value> = security.into_iter().flatten().collect();
    let credentials = schemes
        .iter()
        .any(|s| s.as_object().is_some_and(|s| !s.is_empty()));
    let open = schemes.is_empty() || schemes.contains(&&json!({}));
    let scoped = schemes.iter().any(|s| {
        s.as_object().is_some_and(|s| {
            s.values()
                .any(|v| v.as_array().is_some_and(|v| !v.is_empty()))
        })
    });
    let body = operation.contains_key("requestBody");
    let once = header("idempotency-key");
    let edits = header("if-match");
    let mut statuses = vec!["429", "503", "default"];
    let mut add = |when: bool, more: &[&'static str]| {
        if when {
            statuses.extend_from_slice(more);
        }
    };
    let takes = operation
        .get("parameters")
        .and_then(Value::as_array)
        .is_some_and(|p| !p.is_empty());
    add(takes || body, &["400"]);
    add(credentials, &["401"]);
    add(scoped && !open, &["403"]);
    add(place("path"), &["404"]);
    add(once, &["409", "422"]);
    add(edits, &["412", "428"]);
    add(body, &["413", "415", "422"]);
    statuses
}

fn answers(operation: &mut Map<String, Value>, path: &str, schemas: &Value) {
    let mut wanted = statuses(operation);
    if matches!(path, "/livez" | "/readyz") {
        wanted.retain(|s| *s != "429");
    }
    let takes_jose = operation
        .get("requestBody")
        .is_some_and(|b| b["content"].get(jose::MEDIA_TYPE).is_some());
    let Some(responses) = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    for status in wanted {
        let shared = SHARED.iter().find(|(s, ..)| *s == status);
        if let Some((_, name, ..)) = shared.filter(|_| !responses.contains_key(status)) {
            let named = json!({ "$ref": format!("#/components/responses/{name}") });
            responses.insert(status.to_owned(), named);
        }
    }
    for (status, response) in responses.iter_mut() {
        if response.get("$ref").is_some() {
            continue;
        }
        complete_answer(status, response, takes_jose, schemas);
    }
}

fn complete_answer(status: &str, response: &mut Value, takes_jose: bool, schemas: &Value) {
    let good = status.starts_with('2');
    let known = SHARED.iter().find(|(s, ..)| *s == status);
    let said = response.get("description").and_then(Value::as_str);
    if said.is_none_or(str::is_empty) {
        let when = known.map_or(if good { "Done." } else { "See `type`." }, |(.., when)| {
            when
        });
        response["description"] = when.into();
    }
    let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) else {
        return;
    };
    if !good {
        let is_problem = |m: &Value| m["schema"]["$ref"] == "#/components/schemas/Problem";
        if let Some(medium) = content.remove(JSON) {
            let kind = if is_problem(&medium) {
                PROBLEM_JSON
            } else {
                JSON
            };
            content.insert(kind.to_owned(), medium);
        }
        if let Some(medium) = content.get_mut(PROBLEM_JSON)
            && medium.get("example").is_none()
            && let Some((.., kind, when)) = known
        {
            medium["example"] = json!({
                "type": format!("urn:mwimule:problem:{kind}"), "title": when,
                "status": status.parse::<u16>().unwrap_or(400), "detail": when,
            });
        }
    }
    exemplify(content, schemas);
    if takes_jose && good && content.contains_key(JSON) {
        content.insert(jose::MEDIA_TYPE.to_owned(), jose_content());
    }
}
