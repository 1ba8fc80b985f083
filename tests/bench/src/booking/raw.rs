//! The same three transactions as raw SQL, by pgbench, as the hub's own role.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use system_tests::Place;
use system_tests::load::{Loaded, SEATS};

use crate::report::rounded;

/// The seats of a trip that are free.
const FREE: u16 = 29;

/// Bookings a second.
pub fn measure(
    place: &Place,
    url: &str,
    loaded: &Loaded,
    lasts: Duration,
    clients: usize,
) -> Result<f64> {
    let file = place.path("booking.sql");
    let first = loaded.raw.first().context("no trips")?.id;
    let script = SCRIPT
        .replace("COMPANY", &loaded.company.to_string())
        .replace("FIRST_TRIP", &first.to_string())
        .replace("TRIPS", &loaded.raw.len().to_string())
        .replace("FIRST_SEAT", &(SEATS - FREE).to_string())
        .replace("FREE", &FREE.to_string());
    std::fs::write(&file, script)?;
    let grant = "CREATE SEQUENCE IF NOT EXISTS bench_seq MINVALUE 0; GRANT USAGE ON bench_seq TO mwimule_app";
    let made = Command::new("psql")
        .args(["-X", "-q", "-c", grant, url])
        .status()?;
    ensure!(made.success(), "psql failed");
    let seconds = lasts.as_secs().max(1).to_string();
    let output = Command::new(pgbench())
        .args(["-n", "-M", "prepared", "-j", "2", "-T", &seconds])
        .args(["-c", &clients.to_string(), "-f"])
        .arg(&file)
        .arg(url)
        .env("PGOPTIONS", "-c role=mwimule_app -c jit=off")
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "pgbench failed: {errors}");
    let tps = said.lines().find_map(|line| {
        let rest = line.strip_prefix("tps = ")?;
        rest.split(' ').next()?.parse::<f64>().ok()
    });
    tps.map(|tps| rounded(tps, 1))
        .with_context(|| format!("pgbench says no rate: {said} {errors}"))
}

fn pgbench() -> PathBuf {
    let output = Command::new("pg_config").arg("--bindir").output();
    let beside = output.ok().filter(|o| o.status.success()).map(|o| {
        let folder = String::from_utf8_lossy(&o.stdout).trim().to_owned();
        PathBuf::from(folder).join("pgbench")
    });
    let found = beside.into_iter().chain(
        (12..30)
            .rev()
            .map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin/pgbench"))),
    );
    let mut found = found.filter(|path| path.is_file());
    found.next().unwrap_or_else(|| PathBuf::from("pgbench"))
}

const SCRIPT: &str = r"
SELECT nextval('bench_seq') AS n \gset
\set trip FIRST_TRIP + :n % TRIPS
\set slot :n / TRIPS
\set seat FIRST_SEAT + :slot % FREE
\set leg :slot / FREE

BEGIN;
SELECT set_config('mwimule.company', 'COMPANY', true);
SELECT pg_try_advisory_xact_lock(:n);
SELECT fingerprint, response FROM idempotency
    WHERE company_id = 'COMPANY' AND scope = 'raw' AND key = 'h' || :n::text;
SELECT body FROM trip WHERE company_id = 'COMPANY' AND trip_id = :trip FOR UPDATE;
SELECT seat, legs FROM claim WHERE company_id = 'COMPANY' AND trip_id = :trip
    UNION ALL SELECT seat, legs FROM ticket
    WHERE company_id = 'COMPANY' AND trip_id = :trip AND state = 0;
INSERT INTO booking (company_id, booking_id, reference, trip_id, total_minor, currency,
        created_at_ms, state, secret_hash, expires_at_ms, expires_last_ms)
    VALUES ('COMPANY', md5('b' || :n::text)::uuid, 'R' || :n::text, :trip, 12500, 'ZMW', 1, 'held',
        sha256('x'), 4000000000000, 4000000000000);
INSERT INTO coupon (company_id, booking_id, coupon_no, trip_id, seat, legs, class, fare_minor)
    VALUES ('COMPANY', md5('b' || :n::text)::uuid, 1, :trip, :seat, int4range(:leg, :leg + 1), 0, 12500);
INSERT INTO claim (company_id, trip_id, seat, legs, kind, booking_id)
    VALUES ('COMPANY', :trip, :seat, int4range(:leg, :leg + 1), 'hold', md5('b' || :n::text)::uuid);
INSERT INTO idempotency (company_id, scope, key, fingerprint, status, content_type, response,
        created_at_ms)
    VALUES ('COMPANY', 'raw', 'h' || :n::text, sha256('x'), 201, 'application/json',
        convert_to(repeat('x', 500), 'UTF8'), 1);
COMMIT;

BEGIN;
SELECT set_config('mwimule.company', 'COMPANY', true);
SELECT pg_try_advisory_xact_lock(-1 - :n);
SELECT fingerprint, response FROM idempotency
    WHERE company_id = 'COMPANY' AND scope = 'raw' AND key = 'b' || :n::text;
SELECT state, total_minor FROM booking
    WHERE company_id = 'COMPANY' AND booking_id = md5('b' || :n::text)::uuid FOR UPDATE;
SELECT * FROM coupon WHERE company_id = 'COMPANY' AND booking_id = md5('b' || :n::text)::uuid;
SELECT body FROM trip WHERE company_id = 'COMPANY' AND trip_id = :trip FOR UPDATE;
SELECT max(ordinal) FROM ticket
    WHERE company_id = 'COMPANY' AND trip_id = :trip AND seat = :seat AND issuer_node IS NULL;
INSERT INTO bucket (company_id, name, last_change) VALUES ('COMPANY', 'trip:' || :trip::text, 1)
    ON CONFLICT (company_id, name) DO UPDATE SET last_change = bucket.last_change + 1
    RETURNING last_change \gset
INSERT INTO ticket (company_id, ticket_id, trip_id, seat, legs, class, ordinal, layout_version,
        issued_at_ms, kid, suite, tag, fare_minor, currency, booking_id, state, change_no)
    VALUES ('COMPANY', md5('t' || :n::text)::uuid, :trip, :seat, int4range(:leg, :leg + 1), 0, 1, 1, 1,
        '\x00000000', 0, decode(repeat('ab', 64), 'hex'), 12500, 'ZMW', md5('b' || :n::text)::uuid, 0,
        :last_change);
DELETE FROM claim WHERE company_id = 'COMPANY' AND booking_id = md5('b' || :n::text)::uuid;
UPDATE coupon SET state = 'issued', ticket_id = md5('t' || :n::text)::uuid
    WHERE company_id = 'COMPANY' AND booking_id = md5('b' || :n::text)::uuid;
UPDATE booking SET state = 'confirmed', contact_sealed = sha256('x') || sha256('y'),
        phone_blind = '\x00112233445566778899aabbccddeeff', expires_at_ms = NULL, paid_minor = 12500,
        name_blind = '\x00112233445566778899aabbccddeeff', version = 2
    WHERE company_id = 'COMPANY' AND booking_id = md5('b' || :n::text)::uuid;
INSERT INTO ledger_account (company_id, kind, trip_id, currency)
    VALUES ('COMPANY', 'deferred_revenue', :trip, 'ZMW')
    ON CONFLICT ON CONSTRAINT ledger_account_once DO UPDATE SET kind = EXCLUDED.kind
    RETURNING account_id \gset
INSERT INTO ledger_entry (company_id, entry_id, kind, currency, business_date, posting_date,
        posted_at_ms)
    VALUES ('COMPANY', md5('b' || :n::text)::uuid, 'sale', 'ZMW', '2026-01-01', '2026-01-01', 1);
INSERT INTO ledger_posting (company_id, entry_id, line, account_id, amount_minor, ticket_id, kind)
    VALUES ('COMPANY', md5('b' || :n::text)::uuid, 0, :account_id, -12500, md5('t' || :n::text)::uuid, 'sale'),
        ('COMPANY', md5('b' || :n::text)::uuid, 1, :account_id, 12500, NULL, 'sale');
INSERT INTO outbox (company_id, event_id, kind, subject, body, at_ms)
    VALUES ('COMPANY', md5('o' || :n::text)::uuid, 'booking.confirmed', 'booking-R' || :n::text, '{}', 1);
INSERT INTO audit_log (company_id, at_ms, actor_kind, action, subject)
    VALUES ('COMPANY', 1, 'key', 'booking.create', 'booking-R' || :n::text);
INSERT INTO idempotency (company_id, scope, key, fingerprint, status, content_type, response,
        created_at_ms)
    VALUES ('COMPANY', 'raw', 'b' || :n::text, sha256('x'), 201, 'application/json',
        convert_to(repeat('x', 900), 'UTF8'), 1);
COMMIT;

BEGIN;
SELECT set_config('mwimule.company', 'COMPANY', true);
SELECT * FROM booking WHERE company_id = 'COMPANY' AND booking_id = md5('b' || :n::text)::uuid;
SELECT * FROM coupon c JOIN ticket t USING (company_id, ticket_id)
    WHERE c.company_id = 'COMPANY' AND c.booking_id = md5('b' || :n::text)::uuid;
COMMIT;
";
