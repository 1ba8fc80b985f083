//! A property-based tester makes requests out of the API's document, good and bad ones, and finds
//! no failure of the hub and no answer that the document does not know.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use system_tests::{Hub, Ran, is_fast, python, story};

/// From PyPI.
const TESTER: &str = "schemathesis>=4,<5";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance";
/// How much of its findings a failed test shows, in lines.
const SHOWN_LINES: usize = 150;

/// The document without encrypted bodies, which the tester cannot make; `jose_elsewhere` does.
fn plain(hub: &Hub) -> Result<Value> {
    let mut document = hub.office().fetch("/openapi.json")?;
    let paths = document["paths"].as_object_mut().context("no paths")?;
    for operation in paths.values_mut().filter_map(Value::as_object_mut) {
        for operation in operation.values_mut() {
            let body = operation.get_mut("requestBody");
            let content = body.and_then(|b| b["content"].as_object_mut());
            content.map(|c| c.remove("application/jose"));
        }
    }
    Ok(document)
}

#[test]
fn requests_made_from_the_document_meet_no_failure_and_no_undocumented_answer() -> Result<()> {
    story(|place| {
        let library = python::library(place, "python-schemathesis-4", TESTER)?;
        let hub = Hub::found_with(place, "hub", &["--no-rate-limits"])?;
        let (phases, examples) = if is_fast() {
            ("examples", "1")
        } else {
            ("examples,coverage,fuzzing", "15")
        };
        let document = place.path("openapi.json");
        std::fs::write(&document, plain(&hub)?.to_string())?;
        let mut tester = Command::new("python3");
        tester
            .env("PYTHONPATH", library)
            .current_dir(hub.data())
            .args(["-B", "-m", "schemathesis.cli", "run"])
            .args(["--phases", phases, "--max-examples", examples])
            .args(["--checks", CHECKS, "--seed", "1", "--workers", "1"])
            .args([
                "--request-timeout",
                "30",
                "--no-shrink",
                "--continue-on-failure",
            ])
            .args(["--suppress-health-check", "all", "--warnings", "off"])
            .args(["--generation-database", "none"])
            .arg("--header")
            .arg(format!("Authorization: Bearer {}", hub.token()))
            .args(["--url", hub.base()])
            .arg(&document);
        let ran = Ran::of(&mut tester)?;
        let lines: Vec<&str> = ran.stdout.lines().collect();
        let end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        ensure!(ran.status.success(), "{end}\n{}", ran.stderr);
        ensure!(ran.stdout.contains("Test cases"), "{end}");
        Ok(())
    })
}
