//! On which days a service runs: `calendar.txt` and `calendar_dates.txt`.

use std::collections::{BTreeMap, BTreeSet};

use domain::time::ServiceDate;

use super::error::GtfsError;
use super::report::{Note, Recorder, quote};
use super::source::Source;
use super::table::{FileSpec, Row, Table};
use super::value::{self, DateForm};

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

const CALENDAR: FileSpec = FileSpec {
    name: "calendar.txt",
    required: &[
        "service_id",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "start_date",
        "end_date",
    ],
    optional: &[],
};

const CALENDAR_DATES: FileSpec = FileSpec {
    name: "calendar_dates.txt",
    required: &["service_id", "date", "exception_type"],
    optional: &[],
};

/// A weekly rhythm between two days, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Weekly {
    /// Monday first.
    days: [bool; 7],
    first: ServiceDate,
    last: ServiceDate,
}

/// A service: its weekly rhythm, the days added and the days taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Service {
    weekly: Option<Weekly>,
    added: BTreeSet<ServiceDate>,
    removed: BTreeSet<ServiceDate>,
    /// Repairs of its lines; its trips inherit them.
    pub(super) mends: Vec<Note>,
    /// Why it cannot be relied on; its trips are refused.
    pub(super) fault: Option<Note>,
}

impl Service {
    /// Whether it runs on this day.
    pub(super) fn runs_on(&self, day: ServiceDate) -> bool {
        if self.removed.contains(&day) {
            return false;
        }
        let weekday = day.0.weekday().to_monday_zero_offset() as usize;
        self.added.contains(&day)
            || self
                .weekly
                .as_ref()
                .is_some_and(|w| w.days[weekday] && (w.first..=w.last).contains(&day))
    }

    /// Whether any day is ever served, as far as a weekly rhythm and its exceptions tell.
    pub(super) fn ever_runs(&self) -> bool {
        self.weekly.as_ref().is_some_and(|w| w.days.contains(&true))
            || self.added.iter().any(|day| !self.removed.contains(day))
    }
}

/// Reads both calendar files; one of them must be there.
pub(super) fn read(
    source: &mut Source,
    recorder: &mut Recorder,
) -> Result<BTreeMap<String, Service>, GtfsError> {
    let weekly = Table::optional(source, &CALENDAR, recorder)?;
    let dates = Table::optional(source, &CALENDAR_DATES, recorder)?;
    if weekly.is_none() && dates.is_none() {
        return Err(GtfsError::MissingFile {
            file: "calendar.txt (or calendar_dates.txt)".to_owned(),
        });
    }
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    for row in weekly.iter().flat_map(Table::rows) {
        read_weekly(&row, &mut services, recorder);
    }
    for row in dates.iter().flat_map(Table::rows) {
        read_exception(&row, &mut services, recorder);
    }
    Ok(services)
}

fn read_weekly(row: &Row<'_>, services: &mut BTreeMap<String, Service>, recorder: &mut Recorder) {
    let id = row.get("service_id");
    let mut mends = Vec::new();
    let weekly = weekly_of(row, &mut mends);
    for note in &mends {
        recorder.mended(CALENDAR.name, row.line, note.clone());
    }
    let service = services.entry(id.to_owned()).or_default();
    match weekly {
        Ok(weekly) => {
            if service.weekly.as_ref().is_some_and(|seen| *seen != weekly) {
                let text = format!(
                    "service {} has another row that differs; no trip can rely on it",
                    quote(id)
                );
                let note = Note::new("service_twice", text);
                recorder.refused(CALENDAR.name, row.line, note.clone());
                service.fault = Some(note);
                return;
            }
            if service.weekly.is_some() {
                let text = "the row repeats an earlier one and was dropped";
                recorder.mended(CALENDAR.name, row.line, Note::new("duplicate_row", text));
            }
            service.weekly = Some(weekly);
            service.mends.extend(mends);
        }
        Err(note) => {
            recorder.refused(CALENDAR.name, row.line, note.clone());
            service.fault = Some(note);
        }
    }
}

fn weekly_of(row: &Row<'_>, mends: &mut Vec<Note>) -> Result<Weekly, Note> {
    let mut days = [false; 7];
    for (on, column) in days.iter_mut().zip(WEEKDAYS) {
        *on = match row.get(column) {
            "1" => true,
            "0" => false,
            other => {
                let text = format!("{column} is {}; it must be 0 or 1", quote(other));
                return Err(Note::new("bad_weekday", text));
            }
        };
    }
    let first = date_of(row, "start_date", mends)?;
    let last = date_of(row, "end_date", mends)?;
    if last < first {
        let text = format!("the service ends on {last}, before it starts on {first}");
        return Err(Note::new("ends_before_start", text));
    }
    Ok(Weekly { days, first, last })
}

fn read_exception(
    row: &Row<'_>,
    services: &mut BTreeMap<String, Service>,
    recorder: &mut Recorder,
) {
    let id = row.get("service_id");
    let mut mends = Vec::new();
    let day = date_of(row, "date", &mut mends);
    let service = services.entry(id.to_owned()).or_default();
    let refusal = match (day, row.get("exception_type")) {
        (Ok(day), "1") => {
            service.added.insert(day);
            None
        }
        (Ok(day), "2") => {
            service.removed.insert(day);
            None
        }
        (Ok(_), other) => {
            let text = format!(
                "exception_type is {}; it must be 1 (added) or 2 (removed)",
                quote(other)
            );
            Some(Note::new("bad_exception_type", text))
        }
        (Err(note), _) => Some(note),
    };
    for note in &mends {
        recorder.mended(CALENDAR_DATES.name, row.line, note.clone());
    }
    if let Some(note) = refusal {
        recorder.refused(CALENDAR_DATES.name, row.line, note.clone());
        // A day wrongly on sale is worse than a trip not on sale.
        service.fault = Some(note);
    } else {
        service.mends.extend(mends);
    }
}

fn date_of(row: &Row<'_>, column: &str, mends: &mut Vec<Note>) -> Result<ServiceDate, Note> {
    let text = row.get(column);
    let (day, form) = value::date(text).ok_or_else(|| {
        let text = format!(
            "{column} is {}; a date like 20261122 is needed",
            quote(text)
        );
        Note::new("bad_date", text)
    })?;
    match form {
        DateForm::Proper => {}
        DateForm::DayFirst => mends.push(Note::new(
            "date_day_first",
            format!("{column} {} was read day first, as {day}", quote(text)),
        )),
        DateForm::Separated => mends.push(Note::new(
            "date_with_separators",
            format!("{column} {} was read as {day}", quote(text)),
        )),
    }
    Ok(day)
}
