//! What the API's document promises of itself.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::super::openapi;
use super::site::Site;
use crate::access::Permission;

/// Method, path and what the document says of it.
pub fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if ["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                all.push((method.clone(), path.clone(), operation.clone()));
            }
        }
    }
    all
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

#[test]
fn every_area_stands_in_the_guide() {
    let guide = include_str!("../../../../docs/api.md");
    let rows: Vec<&str> = guide.lines().filter(|l| l.starts_with("| `")).collect();
    let mut missing = BTreeSet::new();
    for (_, _, operation) in operations(&openapi()) {
        let tag = operation["tags"][0].as_str().unwrap().to_owned();
        let cell = |row: &&str| {
            let tags = row.split(" | ").next().unwrap_or_default();
            tags.contains(&format!("`{tag}`"))
        };
        if !rows.iter().any(cell) {
            missing.insert(tag);
        }
    }
    assert!(missing.is_empty(), "add to docs/api.md: {missing:?}");
}

#[test]
fn every_operation_says_what_it_is_takes_and_answers() {
    let document = openapi();
    assert_eq!(document["openapi"].as_str().map(|v| &v[..3]), Some("3.1"));
    let (mut ids, mut wrong) = (BTreeSet::new(), vec![]);
    for (method, path, operation) in operations(&document) {
        let mut claim = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{method} {path}: {what}"));
            }
        };
        let id = operation["operationId"].as_str().unwrap_or_default();
        claim(
            ids.insert(id.to_owned()) && !id.is_empty(),
            "its operationId is not its own",
        );
        claim(is_text(&operation["tags"][0]), "no tag");
        let summary = &operation["summary"];
        claim(is_text(summary), "no summary: write a doc comment");
        let responses = operation["responses"].as_object().unwrap();
        let good = responses
            .keys()
            .filter(|s| s.starts_with('2') || s.starts_with('3'));
        claim(good.count() > 0, "no 2xx answer");
        for (status, response) in responses {
            if response.get("$ref").is_some() {
                continue;
            }
            claim(
                is_text(&response["description"]),
                &format!("{status} without description"),
            );
            for (kind, medium) in response["content"].as_object().into_iter().flatten() {
                let example = medium.get("example").or_else(|| medium.get("examples"));
                let shown = example.is_some_and(|e| !e.is_null());
                claim(
                    shown || !status.starts_with('2'),
                    &format!("{status} {kind} without example"),
                );
                let json = kind == "application/json" && !status.starts_with('2');
                claim(!json, &format!("{status} is no problem document"));
            }
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = &parameter["name"];
            let shown = parameter.get("example").is_some() || parameter.get("examples").is_some();
            claim(shown, &format!("parameter {name} without example"));
        }
        for scheme in operation["security"].as_array().into_iter().flatten() {
            for scope in scheme
                .as_object()
                .into_iter()
                .flatten()
                .flat_map(|(_, s)| s.as_array().unwrap())
            {
                let scope = scope.as_str().unwrap();
                claim(
                    scope.parse::<Permission>().is_ok(),
                    &format!("there is no permission {scope}"),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ids.len() >= 15);
}

/// Routes that no program is meant to call.
const NOT_OF_THE_API: [&str; 2] = ["\"/openapi.json\"", "\"/\""];

#[test]
fn no_route_is_added_past_the_document() {
    let mut found = vec![];
    look_into(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &mut found,
    );
    assert!(found.is_empty(), "use utoipa_axum's routes!: {found:#?}");
}

fn look_into(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("tests"))
        {
            continue;
        }
        if path.is_dir() {
            look_into(&path, found);
            continue;
        }
        // A port of its own, which no program outside reaches.
        if path.ends_with("http/internal.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let bare: String = text.split_whitespace().collect();
        for word in [".route(", ".route_service(", ".nest(", ".nest_service("] {
            for rest in bare.split(word).skip(1) {
                if !NOT_OF_THE_API.iter().any(|r| rest.starts_with(r)) {
                    found.push(format!("{}: {word}{rest:.30}", path.display()));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_viewer_is_served_by_the_hub_itself() {
    let site = Site::new().await;
    let page = site.get("/docs/").await;
    assert_eq!(
        (page.status, page.content_type.as_str()),
        (200, "text/html")
    );
    assert!(page.text.contains("swagger-ui-bundle.js"), "{}", page.text);
    assert!(
        !page.text.contains("https://"),
        "it loads nothing from elsewhere: {}",
        page.text
    );
    let script = site.get("/docs/swagger-initializer.js").await;
    assert!(script.text.contains("/openapi.json"), "{}", script.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_its_guards() {
    let site = Site::new().await;
    for path in [
        "/livez",
        "/openapi.json",
        "/nodes",
        "/nowhere",
        "/",
        "/docs/",
    ] {
        let headers = site.headers(path).await;
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
        };
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert!(
            header("content-security-policy").contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(header("x-request-id").len(), 32, "{path}");
        assert!(
            headers.get("strict-transport-security").is_none(),
            "not behind HTTPS"
        );
    }
}
