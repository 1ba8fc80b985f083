//! What a tax office or regulator gets: the ledger of a month, in a form that shows any change.
//!
//! [`FiscalExport`] is what an authority's form has to do; [`SignedLines`] is the first:
//! JSON lines, each chained to the one before by SHA-256 and signed by the hub. `docs/fiscal.md`
//! describes it so that a stranger can check a file.

use std::collections::BTreeMap;

use domain::codec::{from_hex, to_hex};
use domain::time::{Instant, ServiceDate};
use domain::typ;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::db::DbError;
use crate::tenant::TenantTx;
use crate::views::time;

/// Entries that are read at once.
const ENTRIES_AT_ONCE: i64 = 1_000;
/// What a signature of a line begins with.
const DOMAIN: &[u8] = b"mwimule fiscal line v1";
/// The longest line that a check reads, in bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum FiscalError {
    /// The file could not be written.
    #[error("the export could not be written: {0}")]
    Write(#[from] std::io::Error),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// One entry of the ledger, as authorities get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiscalEntry {
    /// Its number.
    pub entry: Uuid,
    /// Why it was made.
    pub kind: String,
    /// ISO 4217.
    pub currency: String,
    /// The day it counts to.
    pub business_date: String,
    /// The day whose period it is in.
    pub posting_date: String,
    /// When.
    pub posted_at: Instant,
    /// Account, amount, ticket; they sum to zero.
    pub lines: Vec<(String, i64, Option<Uuid>)>,
}

/// Of whom and when an export is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiscalHead {
    /// The company's id.
    pub company: Uuid,
    /// Its name.
    pub name: String,
    /// First posting day.
    pub from: ServiceDate,
    /// Last posting day.
    pub to: ServiceDate,
}

/// A form in which an authority takes the ledger.
pub trait FiscalExport {
    /// The beginning of the file.
    fn begin(&mut self, head: &FiscalHead) -> std::io::Result<()>;
    /// One entry, in the order of posting.
    fn entry(&mut self, entry: &FiscalEntry) -> std::io::Result<()>;
    /// The end of the file.
    fn end(&mut self) -> std::io::Result<()>;
}

/// Writes the entries whose posting day is within the span; gives how many.
pub async fn export(
    tx: &mut TenantTx,
    span: (ServiceDate, ServiceDate),
    to: &mut (dyn FiscalExport + Send),
) -> Result<u64, FiscalError> {
    let company = tx.company().0;
    let name = sqlx::query_scalar!("SELECT name FROM company WHERE company_id = $1", company);
    let name = name.fetch_one(tx.conn()).await.map_err(DbError::from)?;
    to.begin(&FiscalHead {
        company,
        name,
        from: span.0,
        to: span.1,
    })?;
    let mut after = (i64::MIN, Uuid::nil());
    let mut count = 0;
    loop {
        let entries = entries_after(tx, span, after).await?;
        let Some(last) = entries.last() else { break };
        after = (last.posted_at.0, last.entry);
        count += entries.len() as u64;
        for entry in &entries {
            to.entry(entry)?;
        }
    }
    to.end()?;
    Ok(count)
}

async fn entries_after(
    tx: &mut TenantTx,
    (from, to): (ServiceDate, ServiceDate),
    after: (i64, Uuid),
) -> Result<Vec<FiscalEntry>, DbError> {
    let rows = sqlx::query!(
        r#"WITH next AS MATERIALIZED (
               SELECT entry_id, kind, currency, business_date, posting_date, posted_at_ms
               FROM ledger_entry
               WHERE company_id = $1 AND posting_date BETWEEN $2::text::date AND $3::text::date
                 AND (posted_at_ms, entry_id) > ($4, $5)
               ORDER BY posted_at_ms, entry_id LIMIT $6)
           SELECT e.entry_id, e.kind, e.currency, e.business_date::text AS "business_date!",
                  e.posting_date::text AS "posting_date!", e.posted_at_ms, a.kind AS account,
                  p.amount_minor, p.ticket_id
           FROM next e
           JOIN ledger_posting p ON p.company_id = $1 AND p.entry_id = e.entry_id
           JOIN ledger_account a ON a.company_id = $1 AND a.account_id = p.account_id
           ORDER BY e.posted_at_ms, e.entry_id, p.line"#,
        tx.company().0,
        from.to_string(),
        to.to_string(),
        after.0,
        after.1,
        ENTRIES_AT_ONCE
    )
    .fetch_all(tx.conn())
    .await?;
    let mut entries: Vec<FiscalEntry> = vec![];
    for r in rows {
        let line = (r.account, r.amount_minor, r.ticket_id);
        match entries.last_mut() {
            Some(last) if last.entry == r.entry_id => last.lines.push(line),
            _ => entries.push(FiscalEntry {
                entry: r.entry_id,
                kind: r.kind,
                currency: r.currency,
                business_date: r.business_date,
                posting_date: r.posting_date,
                posted_at: Instant(r.posted_at_ms),
                lines: vec![line],
            }),
        }
    }
    Ok(entries)
}

/// JSON lines, each with the hash of the one before and a signature.
pub struct SignedLines<W> {
    out: W,
    key: SigningKey,
    prev: [u8; 32],
    written: u64,
}

/// A member of a line; sorted, so that a line has one form (RFC 8785 for these values).
type Members = BTreeMap<&'static str, Value>;

impl<W: std::io::Write> SignedLines<W> {
    /// Writes to `out`, signed by the hub's key.
    pub fn new(out: W, key: SigningKey) -> Self {
        Self {
            out,
            key,
            prev: [0; 32],
            written: 0,
        }
    }

    fn line(&mut self, mut members: Members) -> std::io::Result<()> {
        self.written += 1;
        members.insert("seq", self.written.into());
        members.insert("prev", to_hex(&self.prev).into());
        let unsigned = serde_json::to_vec(&members)?;
        let hash: [u8; 32] = Sha256::digest(&unsigned).into();
        let signature = self.key.sign(&signed_bytes(&hash));
        members.insert("sig", to_hex(&signature.to_bytes()).into());
        let mut line = serde_json::to_vec(&members)?;
        line.push(b'\n');
        self.prev = hash;
        self.out.write_all(&line)
    }
}

fn signed_bytes(hash: &[u8; 32]) -> Vec<u8> {
    [DOMAIN, &typ::FISCAL_LINE.to_be_bytes()[..], &hash[..]].concat()
}

impl<W: std::io::Write> FiscalExport for SignedLines<W> {
    fn begin(&mut self, head: &FiscalHead) -> std::io::Result<()> {
        let key = self.key.verifying_key();
        self.line(Members::from([
            ("type", "begin".into()),
            ("format", "mwimule-fiscal-1".into()),
            ("company", head.company.to_string().into()),
            ("name", head.name.clone().into()),
            ("from", head.from.to_string().into()),
            ("to", head.to.to_string().into()),
            ("key", to_hex(key.as_bytes()).into()),
        ]))
    }

    fn entry(&mut self, entry: &FiscalEntry) -> std::io::Result<()> {
        let line = |(account, amount, ticket): &(String, i64, Option<Uuid>)| {
            let parts = BTreeMap::from([
                ("account", json!(account)),
                ("amount_minor", json!(amount)),
                ("ticket", json!(ticket)),
            ]);
            json!(parts)
        };
        self.line(Members::from([
            ("type", "entry".into()),
            ("entry", entry.entry.to_string().into()),
            ("kind", entry.kind.clone().into()),
            ("currency", entry.currency.clone().into()),
            ("business_date", entry.business_date.clone().into()),
            ("posting_date", entry.posting_date.clone().into()),
            ("posted_at", time(entry.posted_at.0).into()),
            ("lines", entry.lines.iter().map(line).collect()),
        ]))
    }

    fn end(&mut self) -> std::io::Result<()> {
        let entries = self.written.saturating_sub(1);
        self.line(Members::from([
            ("type", "end".into()),
            ("entries", entries.into()),
        ]))?;
        self.out.flush()
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FiscalFault {
    /// The file could not be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// Not a line of this form.
    #[error("line {0} is no line of a fiscal export")]
    NotALine(u64),
    /// A line is missing, doubled or moved.
    #[error("line {0} does not follow the line before it: something was cut out or put in")]
    Broken(u64),
    /// Changed, or signed by another key.
    #[error("line {0} was changed, or signed by another key")]
    BadSignature(u64),
    /// The end is missing.
    #[error("the file ends early, after line {0}")]
    CutOff(u64),
}

/// Checks a file against a hub's key; gives how many entries it holds.
pub fn verify(mut file: impl std::io::BufRead, key: &VerifyingKey) -> Result<u64, FiscalFault> {
    let mut prev = [0_u8; 32];
    let (mut number, mut ended) = (0_u64, false);
    loop {
        let mut line = vec![];
        if take_line(&mut file, &mut line)? == 0 {
            break;
        }
        number += 1;
        if ended {
            return Err(FiscalFault::Broken(number));
        }
        let members: BTreeMap<String, Value> =
            serde_json::from_slice(&line).map_err(|_| FiscalFault::NotALine(number))?;
        ended = check_line(members, number, &mut prev, key)?;
    }
    if ended {
        Ok(number - 2)
    } else {
        Err(FiscalFault::CutOff(number))
    }
}

fn take_line(file: &mut impl std::io::BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut limited = std::io::Read::take(file, LINE_BYTES_MAX as u64);
    std::io::BufRead::read_until(&mut limited, b'\n', line)
}

/// Checks one line; says whether it is the last.
fn check_line(
    mut members: BTreeMap<String, Value>,
    number: u64,
    prev: &mut [u8; 32],
    key: &VerifyingKey,
) -> Result<bool, FiscalFault> {
    let not_a_line = || FiscalFault::NotALine(number);
    let signature = members.remove("sig").ok_or_else(not_a_line)?;
    let signature = signature.as_str().and_then(from_hex);
    let signature: [u8; 64] = signature
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(not_a_line)?;
    let follows = members.get("seq").and_then(Value::as_u64) == Some(number)
        && members.get("prev").and_then(Value::as_str) == Some(&to_hex(prev));
    if !follows {
        return Err(FiscalFault::Broken(number));
    }
    let unsigned = serde_json::to_vec(&members).map_err(|_| not_a_line())?;
    let hash: [u8; 32] = Sha256::digest(&unsigned).into();
    key.verify_strict(&signed_bytes(&hash), &Signature::from_bytes(&signature))
        .map_err(|_| FiscalFault::BadSignature(number))?;
    *prev = hash;
    let kind = members.get("type").and_then(Value::as_str);
    match (kind, number) {
        (Some("begin"), 1) | (Some("entry"), 2..) => Ok(false),
        (Some("end"), 2..) => Ok(true),
        _ => Err(not_a_line()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut file = vec![];
        let key = SigningKey::from_bytes(&[7; 32]);
        let mut export = SignedLines::new(&mut file, key);
        let day = |text: &str| text.parse().unwrap();
        export
            .begin(&FiscalHead {
                company: Uuid::from_u128(1),
                name: "Łódź \"Lines\"".to_owned(),
                from: day("2026-10-01"),
                to: day("2026-10-31"),
            })
            .unwrap();
        for n in 0..3 {
            let entry = FiscalEntry {
                entry: Uuid::from_u128(n),
                kind: "sale".to_owned(),
                currency: "ZMW".to_owned(),
                business_date: "2026-10-02".to_owned(),
                posting_date: "2026-10-02".to_owned(),
                posted_at: Instant(1_790_000_000_000),
                lines: vec![
                    ("agent_cash".to_owned(), 100, None),
                    ("revenue".to_owned(), -100, Some(Uuid::from_u128(9))),
                ],
            };
            export.entry(&entry).unwrap();
        }
        export.end().unwrap();
        file
    }

    fn check(file: &[u8]) -> Result<u64, FiscalFault> {
        verify(file, &SigningKey::from_bytes(&[7; 32]).verifying_key())
    }

    #[test]
    fn an_export_is_what_was_signed_and_no_line_is_missing() {
        let file = written();
        assert_eq!(check(&file).unwrap(), 3);
        let lines: Vec<&[u8]> = file.split_inclusive(|b| *b == b'\n').collect();
        let without = |gone: usize| {
            let kept = lines.iter().enumerate().filter(|(i, _)| *i != gone);
            kept.flat_map(|(_, line)| line.to_vec())
                .collect::<Vec<u8>>()
        };
        for gone in 0..lines.len() - 1 {
            assert!(check(&without(gone)).is_err(), "line {gone}");
        }
        assert!(matches!(check(&without(4)), Err(FiscalFault::CutOff(4))));
        let text = String::from_utf8(file.clone()).unwrap();
        let changed = text.replacen("\"amount_minor\":100", "\"amount_minor\":90", 1);
        assert!(matches!(
            check(changed.as_bytes()),
            Err(FiscalFault::BadSignature(2))
        ));
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
        assert!(matches!(
            verify(&file[..], &other),
            Err(FiscalFault::BadSignature(1))
        ));
        let twice = [&file[..], lines[4]].concat();
        assert!(check(&twice).is_err());
        assert!(check(b"").is_err());
        assert!(check(b"{}\n").is_err());
    }
}
