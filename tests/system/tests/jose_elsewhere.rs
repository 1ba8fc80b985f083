//! Encrypted bodies and tokens, by a JOSE library of another language from the public page alone.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use system_tests::{Hub, Place, python, story};

/// What `docs/jose/client.py` needs, from PyPI.
const LIBRARY: &str = "joserfc>=1.6,<2";

fn client(place: &Place, arguments: &[&str], input: &str) -> Result<Value> {
    let library = python::library(place, "python-joserfc-1", LIBRARY)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/jose/client.py");
    let mut child = Command::new("python3")
        .env("PYTHONPATH", library)
        .arg("-B")
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut keyboard = child.stdin.take().context("its input is piped")?;
    keyboard.write_all(input.as_bytes())?;
    drop(keyboard);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn a_booking_is_made_and_answered_in_bodies_that_only_hub_and_client_can_read() -> Result<()> {
    story(|place| {
        let hub = Hub::found(place, "hub")?;
        let trip = hub.trips_from("LUN")?.remove(0);
        let wish = json!({
            "trip": trip.id, "from": "LUN", "to": trip.stops[1], "passengers": ["adult"],
            "contact": {"name": "Chanda", "phone": "+260970000001"},
        })
        .to_string();
        let post = |key: &str, body: &str| {
            let key = format!("Idempotency-Key:{key}");
            client(place, &[hub.base(), "/bookings", &key], body)
        };
        let booked = post("one", &wish)?;
        ensure!(booked["status"] == 201, "{booked}");
        ensure!(booked["encrypted"] == true, "{booked}");
        ensure!(booked["type"] == "application/json", "{booked}");
        ensure!(booked["body"]["reference"].is_string(), "{booked}");
        // Encrypted anew it is the same wish: the hub judges the plaintext.
        let again = post("one", &wish)?;
        ensure!(again["body"] == booked["body"], "{again}");
        // A problem is nobody else's business either.
        let refused = post("two", "{\"trip\": 1}")?;
        ensure!(refused["status"] == 422, "{refused}");
        ensure!(refused["encrypted"] == true, "{refused}");
        ensure!(refused["type"] == "application/problem+json", "{refused}");
        Ok(())
    })
}

#[test]
fn an_access_token_is_checked_by_whoever_has_the_hubs_key_set_and_a_changed_one_is_not()
-> Result<()> {
    story(|place| {
        let hub = Hub::found(place, "hub")?;
        let contact = "mulenga@example.com";
        let words = ["person", "create", "--email", contact, "--name", "Mulenga"];
        let made = hub.command(&[&words[..], &["--role", "customer"]].concat())?;
        let password = made["password"].as_str().context("a password was made")?;
        let wish = json!({ "identifier": contact, "password": password });
        let opened = hub.public().send("/auth/sessions", &wish)?;
        let token = opened["access_token"].as_str().context("an access token")?;
        let said = client(place, &["--verify", hub.base()], token)?;
        ensure!(said["claims"]["sub"] == made["person"], "{said}");
        ensure!(said["header"]["alg"] == "EdDSA", "{said}");
        let elsewhere = client(place, &["--verify", hub.base(), "urn:another:api"], token);
        ensure!(
            elsewhere.is_err(),
            "a token for us was taken as one for another"
        );
        // Another subject under the same signature.
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            anyhow::bail!("no compact JWS: {token}");
        };
        let (head, tail) = claims.split_at(claims.len() / 2);
        let other = if tail.starts_with('A') { "B" } else { "A" };
        let forged = format!("{header}.{head}{other}{}.{signature}", &tail[1..]);
        let forged = client(place, &["--verify", hub.base()], &forged);
        ensure!(forged.is_err(), "a forged token was taken");
        Ok(())
    })
}
