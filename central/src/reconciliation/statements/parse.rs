//! Reading a statement: columns, dates and amounts as a mapping says. No IO.

use std::collections::BTreeMap;

use domain::time::{Instant, Zone};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

/// The most lines of a statement.
pub const LINES_MAX: usize = 20_000;
/// The longest cell, in bytes.
const CELL_BYTES_MAX: usize = 1_000;
/// The most faults that are told at once.
const FAULTS_MAX: usize = 50;

/// How a file is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"skip_rows": 0, "delimiter": ",", "date": "Date",
    "date_format": "%d/%m/%Y", "reference": "Reference", "credit": "Credit", "debit": "Debit",
    "decimal_comma": false}))]
pub struct Mapping {
    /// Rows before the one with the columns' names.
    #[serde(default)]
    #[schema(maximum = 100)]
    pub skip_rows: u8,
    /// Between cells: `,`, `;` or a tab.
    #[serde(default = "comma")]
    #[schema(max_length = 1)]
    pub delimiter: String,
    /// The column of the day or time.
    #[schema(max_length = 80)]
    pub date: String,
    /// As strptime writes it: `%Y-%m-%d %H:%M:%S`.
    #[schema(max_length = 40)]
    pub date_format: String,
    /// The column of their reference.
    #[schema(max_length = 80)]
    pub reference: Option<String>,
    /// The column of what we had told them.
    #[schema(max_length = 80)]
    pub our_reference: Option<String>,
    /// The column of a signed amount; or `credit` and `debit`.
    #[schema(max_length = 80)]
    pub amount: Option<String>,
    /// The column of what came to us.
    #[schema(max_length = 80)]
    pub credit: Option<String>,
    /// The column of what left us.
    #[schema(max_length = 80)]
    pub debit: Option<String>,
    /// The amounts' signs are the other way round.
    #[serde(default)]
    pub negate: bool,
    /// `1.234,50` instead of `1,234.50`.
    #[serde(default)]
    pub decimal_comma: bool,
    /// The column of what they kept.
    #[schema(max_length = 80)]
    pub fee: Option<String>,
    /// The column of the payer's phone number.
    #[schema(max_length = 80)]
    pub phone: Option<String>,
    /// The column that says what a line is.
    #[schema(max_length = 80)]
    pub kind: Option<String>,
    /// Its words: `payment`, `refund`, `fee`, `payout` or `other` for each. Without a word the
    /// sign decides.
    #[serde(default)]
    pub kinds: BTreeMap<String, String>,
    /// The column of a state; lines whose state is another word than `done` are left out.
    #[schema(max_length = 80)]
    pub status: Option<String>,
    /// The word of a finished line.
    #[schema(max_length = 80)]
    pub done: Option<String>,
}

fn comma() -> String {
    ",".to_owned()
}

/// The mappings that every company has.
pub fn preset(name: &str) -> Option<Mapping> {
    let named = |n: &str| Some(n.to_owned());
    let kinds = |all: &[(&str, &str)]| {
        let all = all.iter();
        all.map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    };
    let bank = Mapping {
        skip_rows: 0,
        delimiter: comma(),
        date: "Date".to_owned(),
        date_format: "%d/%m/%Y".to_owned(),
        reference: named("Reference"),
        our_reference: named("Description"),
        amount: None,
        credit: named("Credit"),
        debit: named("Debit"),
        negate: false,
        decimal_comma: false,
        fee: None,
        phone: None,
        kind: None,
        kinds: BTreeMap::new(),
        status: None,
        done: None,
    };
    match name {
        "bank" => Some(bank),
        "mtn-momo" => Some(Mapping {
            date: "Date".to_owned(),
            date_format: "%Y-%m-%d %H:%M:%S".to_owned(),
            reference: named("Id"),
            our_reference: named("External Transaction Id"),
            amount: named("Amount"),
            credit: None,
            debit: None,
            fee: named("Fee"),
            phone: named("From"),
            kind: named("Type"),
            kinds: kinds(&[
                ("Payment", "payment"),
                ("Debit", "payment"),
                ("Refund", "refund"),
                ("Transfer", "payout"),
                ("Cash Out", "payout"),
                ("Fee", "fee"),
            ]),
            status: named("Status"),
            done: named("Successful"),
            ..bank
        }),
        _ => None,
    }
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineKind {
    /// A customer paid.
    Payment,
    /// A customer was paid back.
    Refund,
    /// They kept something.
    Fee,
    /// They paid us out.
    Payout,
    /// Anything else; a person looks.
    Other,
}

impl LineKind {
    const ALL: [Self; 5] = [
        Self::Payment,
        Self::Refund,
        Self::Fee,
        Self::Payout,
        Self::Other,
    ];

    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Fee => "fee",
            Self::Payout => "payout",
            Self::Other => "other",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == word)
    }
}

/// A line of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// In the file, from 1.
    pub number: usize,
    /// What it is.
    pub kind: LineKind,
    /// When, by the statement.
    pub at: Instant,
    /// Theirs.
    pub reference: String,
    /// What we had told them.
    pub our_reference: String,
    /// To us positive, in minor units.
    pub amount_minor: i64,
    /// Kept, positive.
    pub fee_minor: i64,
    /// The payer's phone number, digits only.
    pub phone: Option<String>,
    /// The same line in another file has the same.
    pub fingerprint: [u8; 32],
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LineFault {
    /// In the file, from 1, the header not counted; 0 is the header.
    pub line: usize,
    /// What is wrong, and what to do.
    pub wrong: String,
}

impl Mapping {
    /// Whether it can be used at all.
    pub fn check(&self) -> Result<(), String> {
        let texts = [&self.date, &self.date_format, &self.delimiter];
        if texts.iter().any(|t| t.is_empty() || t.len() > 80) {
            return Err(
                "`date`, `date_format` and `delimiter` are needed, 80 bytes at most".into(),
            );
        }
        if ![",", ";", "\t"].contains(&self.delimiter.as_str()) {
            return Err("`delimiter` is a comma, a semicolon or a tab".into());
        }
        if self.amount.is_some() == (self.credit.is_some() || self.debit.is_some()) {
            return Err("name either `amount`, or `credit` and `debit`".into());
        }
        if self.kinds.len() > 50 || self.kinds.values().any(|k| LineKind::named(k).is_none()) {
            return Err("`kinds` are payment, refund, fee, payout or other, for 50 words".into());
        }
        Ok(())
    }
}

/// Reads a file; every line or none.
pub fn parse(
    text: &[u8],
    mapping: &Mapping,
    exponent: u32,
    zone: &Zone,
) -> Result<Vec<Line>, Vec<LineFault>> {
    let fault = |line, wrong: String| LineFault { line, wrong };
    let delimiter = mapping.delimiter.bytes().next().unwrap_or(b',');
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let mut read = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(text);
    let mut records = read.records().skip(usize::from(mapping.skip_rows));
    let header = match records.next() {
        Some(Ok(header)) => header,
        Some(Err(error)) => return Err(vec![fault(0, error.to_string())]),
        None => return Err(vec![fault(0, "the file has no header".to_owned())]),
    };
    let columns = Columns::find(&header, mapping).map_err(|wrong| vec![fault(0, wrong)])?;
    let (mut lines, mut faults) = (vec![], vec![]);
    let mut seen: BTreeMap<[u8; 32], u32> = BTreeMap::new();
    for (index, record) in records.enumerate() {
        let number = index + 1;
        if number > LINES_MAX {
            faults.push(fault(
                number,
                format!("more than {LINES_MAX} lines: split the file"),
            ));
            break;
        }
        let read = record.map_err(|e| e.to_string()).and_then(|record| {
            if record.iter().all(str::is_empty) {
                return Ok(None);
            }
            columns.line(&record, mapping, exponent, zone, number)
        });
        match read {
            Ok(Some(mut line)) => {
                // Two like lines of one file are two; the same file again has the same two.
                let copies = seen.entry(line.fingerprint).or_default();
                line.fingerprint = again(&line.fingerprint, *copies);
                *copies += 1;
                lines.push(line);
            }
            Ok(None) => {}
            Err(wrong) => faults.push(fault(number, wrong)),
        }
        if faults.len() >= FAULTS_MAX {
            break;
        }
    }
    if faults.is_empty() {
        Ok(lines)
    } else {
        Err(faults)
    }
}

fn again(fingerprint: &[u8; 32], copies: u32) -> [u8; 32] {
    let hash = Sha256::new().chain_update(fingerprint);
    hash.chain_update(copies.to_be_bytes()).finalize().into()
}

/// Where the columns of a mapping stand.
struct Columns {
    date: usize,
    reference: Option<usize>,
    our_reference: Option<usize>,
    amount: Option<usize>,
    credit: Option<usize>,
    debit: Option<usize>,
    fee: Option<usize>,
    phone: Option<usize>,
    kind: Option<usize>,
    status: Option<usize>,
}

impl Columns {
    fn find(header: &csv::StringRecord, mapping: &Mapping) -> Result<Self, String> {
        let place = |name: &str| {
            let at = header.iter().position(|h| h.eq_ignore_ascii_case(name));
            at.ok_or_else(|| format!("there is no column {name:?}: choose another mapping"))
        };
        let if_named = |name: &Option<String>| name.as_deref().map(place).transpose();
        Ok(Self {
            date: place(&mapping.date)?,
            reference: if_named(&mapping.reference)?,
            our_reference: if_named(&mapping.our_reference)?,
            amount: if_named(&mapping.amount)?,
            credit: if_named(&mapping.credit)?,
            debit: if_named(&mapping.debit)?,
            fee: if_named(&mapping.fee)?,
            phone: if_named(&mapping.phone)?,
            kind: if_named(&mapping.kind)?,
            status: if_named(&mapping.status)?,
        })
    }

    fn line(
        &self,
        record: &csv::StringRecord,
        mapping: &Mapping,
        exponent: u32,
        zone: &Zone,
        number: usize,
    ) -> Result<Option<Line>, String> {
        if record
            .iter()
            .any(|cell| cell.len() > CELL_BYTES_MAX || cell.contains('\0'))
        {
            return Err("a cell is longer than 1000 bytes, or holds a NUL".to_owned());
        }
        let cell = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or_default();
        if let (Some(_), Some(done)) = (self.status, &mapping.done)
            && !cell(self.status).eq_ignore_ascii_case(done)
        {
            return Ok(None);
        }
        let money = |at: Option<usize>| minor(cell(at), mapping.decimal_comma, exponent);
        let mut amount = match self.amount {
            Some(_) => money(self.amount)?,
            None => money(self.credit)?.saturating_abs() - money(self.debit)?.saturating_abs(),
        };
        if mapping.negate {
            amount = -amount;
        }
        let at = instant(cell(Some(self.date)), &mapping.date_format, zone)?;
        let word = mapping
            .kinds
            .get(cell(self.kind))
            .and_then(|w| LineKind::named(w));
        let kind = word.unwrap_or(if amount < 0 {
            LineKind::Refund
        } else {
            LineKind::Payment
        });
        // Some files write what left us without a sign.
        if matches!(kind, LineKind::Refund | LineKind::Fee | LineKind::Payout) {
            amount = -amount.saturating_abs();
        }
        let digits: String = cell(self.phone)
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        let (reference, ours) = (cell(self.reference), cell(self.our_reference));
        let mut hash = Sha256::new();
        for part in [reference, ours, kind.as_str()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(at.0.to_be_bytes());
        hash.update(amount.to_be_bytes());
        Ok(Some(Line {
            number,
            kind,
            at,
            reference: reference.to_owned(),
            our_reference: ours.to_owned(),
            amount_minor: amount,
            fee_minor: money(self.fee)?.saturating_abs(),
            phone: (!digits.is_empty()).then_some(digits),
            fingerprint: hash.finalize().into(),
        }))
    }
}

/// An amount as written: `1,234.50`, `(12.00)`, `ZMW 5`; nothing is 0.
fn minor(text: &str, decimal_comma: bool, exponent: u32) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no amount");
    let negative = text.contains('-') || (text.starts_with('(') && text.ends_with(')'));
    let (point, group) = if decimal_comma {
        (',', '.')
    } else {
        ('.', ',')
    };
    let kept: String = text
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == point || *c == group)
        .filter(|c| *c != group)
        .collect();
    if kept.is_empty() {
        return if text.is_empty() || text == "-" {
            Ok(0)
        } else {
            Err(wrong())
        };
    }
    let (whole, fraction) = kept.split_once(point).unwrap_or((&kept, ""));
    let digits = exponent as usize;
    let (fraction, rest) = fraction.split_at(fraction.len().min(digits));
    if fraction.contains(point) || rest.chars().any(|c| c != '0') {
        return Err(wrong());
    }
    let padded = format!("{whole}{fraction:0<digits$}");
    let amount: i64 = padded.parse().map_err(|_| wrong())?;
    Ok(if negative { -amount } else { amount })
}

/// A day or a time, in the company's zone.
fn instant(text: &str, format: &str, zone: &Zone) -> Result<Instant, String> {
    let wrong = || format!("{text:?} is no date of the form {format:?}");
    let parsed = jiff::fmt::strtime::parse(format, text).map_err(|_| wrong())?;
    let time = parsed
        .to_datetime()
        .or_else(|_| parsed.to_date().map(|d| d.at(0, 0, 0, 0)))
        .map_err(|_| wrong())?;
    let zone = zone.time_zone().ok_or_else(wrong)?;
    let at = zone
        .to_ambiguous_zoned(time)
        .compatible()
        .map_err(|_| wrong())?;
    Ok(Instant(at.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Zone {
        "Africa/Lusaka".parse().unwrap()
    }

    #[test]
    fn a_momo_report_is_read_with_fees_phones_and_references() {
        let file = "Id,External Transaction Id,Date,Status,Type,From,Amount,Fee\n\
            771,ref-1,2026-11-20 10:15:00,Successful,Payment,FRI:260970000001/MSISDN,150.00,1.50\n\
            772,ref-2,2026-11-20 10:16:00,Failed,Payment,260970000002,150.00,0\n\
            773,,2026-11-21 02:00:00,Successful,Transfer,,\"1,000.00\",\n";
        let mapping = preset("mtn-momo").unwrap();
        let lines = parse(file.as_bytes(), &mapping, 2, &zone()).unwrap();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let first = &lines[0];
        assert_eq!((first.amount_minor, first.fee_minor), (15_000, 150));
        assert_eq!(
            (first.reference.as_str(), first.our_reference.as_str()),
            ("771", "ref-1")
        );
        assert_eq!(first.phone.as_deref(), Some("260970000001"));
        // 10:15 in Lusaka is 08:15 UTC.
        assert_eq!(first.at.to_string(), "2026-11-20T08:15:00Z");
        assert_eq!(
            (lines[1].kind, lines[1].amount_minor),
            (LineKind::Payout, -100_000)
        );
    }

    #[test]
    fn a_banks_file_with_decimal_commas_and_a_preamble_is_read() {
        let mapping = Mapping {
            skip_rows: 2,
            delimiter: ";".to_owned(),
            decimal_comma: true,
            date_format: "%d.%m.%Y".to_owned(),
            ..preset("bank").unwrap()
        };
        let file = "Bank\nAccount 1\nDate;Reference;Description;Debit;Credit\n\
                    20.11.2026;A1;MTN payout;;1.234,50\n20.11.2026;A2;Charge;12,00;\n";
        let lines = parse(file.as_bytes(), &mapping, 2, &zone()).unwrap();
        let amounts: Vec<i64> = lines.iter().map(|l| l.amount_minor).collect();
        assert_eq!(amounts, [123_450, -1_200]);
    }

    #[test]
    fn like_lines_of_one_file_are_two_and_the_same_in_the_next_file() {
        let file = "Date,Reference,Description,Debit,Credit\n\
                    20/11/2026,,x,,5\n20/11/2026,,x,,5\n";
        let mapping = preset("bank").unwrap();
        let read = || parse(file.as_bytes(), &mapping, 2, &zone()).unwrap();
        let (once, again) = (read(), read());
        assert_ne!(once[0].fingerprint, once[1].fingerprint);
        assert_eq!(once, again);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        let file = "Date,Reference,Description,Debit,Credit\n\
                    tomorrow,,x,,5\n20/11/2026,,x,,five\n20/11/2026,,x,,1.005\n";
        let mapping = preset("bank").unwrap();
        let faults = parse(file.as_bytes(), &mapping, 2, &zone()).unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|f| f.line).collect();
        assert_eq!(lines, [1, 2, 3], "{faults:?}");
        let header = parse(b"Day,Amount\n", &mapping, 2, &zone()).unwrap_err();
        assert!(header[0].wrong.contains("\"Date\""), "{header:?}");
        assert!(parse(b"", &mapping, 2, &zone()).is_err());
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, wanted) in [
            ("1,234.50", Some(123_450)),
            ("(12.00)", Some(-1_200)),
            ("-3", Some(-300)),
            ("ZMW 5", Some(500)),
            ("", Some(0)),
            ("0.5", Some(50)),
            ("1.2.3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(minor(text, false, 2).ok(), wanted, "{text}");
        }
    }
}
