//! What the import did with every file, every faulty line and every trip.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Options, Plan};

/// The most faulty lines listed one by one; the rest are counted.
const LINES_MAX: usize = 20_000;
/// The longest quotation from the feed, in characters.
const QUOTE_CHARS_MAX: usize = 80;

/// What became of a line or a trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Used as it stands.
    Taken,
    /// Used after a repair that the notes name.
    Mended,
    /// Not used, for the reason the notes name.
    Refused,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// Every line was used as it stands.
    Taken,
    /// At least one line was mended, none refused.
    Mended,
    /// At least one line was refused; the others were used.
    PartlyRefused,
    /// An optional file that the feed does not have.
    Absent,
    /// A file of the feed that this importer does not read.
    NotRead,
}

/// One reason, for machines and for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// A stable word that `docs/gtfs.md` explains.
    pub code: &'static str,
    /// One sentence.
    pub text: String,
}

impl Note {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

/// Cuts a value of the feed so that it can be quoted in a message.
pub(super) fn quote(text: &str) -> String {
    let cut: String = text.chars().take(QUOTE_CHARS_MAX).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("\"{cut}{more}\"")
}

/// The outcome of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileOutcome {
    /// The name inside the feed.
    pub file: String,
    /// What became of it.
    pub outcome: FileState,
    /// Lines after the header, blank ones not counted.
    pub rows: u64,
    /// How many of them were mended.
    pub rows_mended: u64,
    /// How many of them were refused.
    pub rows_refused: u64,
    /// Columns that this importer does not read.
    pub columns_not_read: Vec<String>,
    /// Remarks on the file as a whole.
    pub notes: Vec<Note>,
}

/// The outcome of one line that had a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineOutcome {
    /// The file.
    pub file: String,
    /// The line, counted from 1, the header included.
    pub line: u64,
    /// Mended or refused.
    pub outcome: Outcome,
    /// How or why.
    #[serde(flatten)]
    pub note: Note,
}

/// The outcome of one row of `trips.txt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TripOutcome {
    /// Its `trip_id`.
    pub trip_id: String,
    /// Its `route_id`.
    pub route_id: String,
    /// Its line in `trips.txt`.
    pub line: u64,
    /// Taken, mended or refused.
    pub outcome: Outcome,
    /// How it was mended or why it was refused; empty when taken.
    pub notes: Vec<Note>,
    /// What a person should know although nothing was changed.
    pub remarks: Vec<Note>,
    /// How many departures were planned in the window.
    pub departures: u64,
}

/// How many trips met which outcome; the three add up to `in_feed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TripCounts {
    /// Rows of `trips.txt`.
    pub in_feed: u64,
    /// Used as they stand.
    pub taken: u64,
    /// Used after a repair.
    pub mended: u64,
    /// Not used.
    pub refused: u64,
}

/// How much was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PlanSize {
    /// Stops.
    pub stops: usize,
    /// Routes.
    pub routes: usize,
    /// Distinct stop sequences.
    pub patterns: usize,
    /// Stop sequences whose road is known.
    pub shapes: usize,
    /// Departures with a service date inside the window.
    pub departures: usize,
    /// Prices: one per fare table, stop pair and passenger class.
    pub fares: usize,
    /// Seat layouts.
    pub layouts: usize,
}

/// Everything the import did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The name of the folder or zip file.
    pub source: String,
    /// `feed_version` of `feed_info.txt`.
    pub feed_version: Option<String>,
    /// First day of the window.
    pub from: String,
    /// Length of the window, in days.
    pub days: u16,
    /// Trips by outcome.
    pub trip_counts: TripCounts,
    /// The plan's size.
    pub planned: PlanSize,
    /// How often each code was noted on a trip.
    pub trip_notes: BTreeMap<&'static str, u64>,
    /// One entry per file, in the order of reading.
    pub files: Vec<FileOutcome>,
    /// One entry per fault of a line.
    pub lines: Vec<LineOutcome>,
    /// Faults beyond the cap of the list.
    pub lines_not_listed: u64,
    /// One entry per row of `trips.txt`, in the order of the file.
    pub trips: Vec<TripOutcome>,
}

/// Gathers outcomes while a feed is read and planned.
#[derive(Default)]
pub(super) struct Recorder {
    files: Vec<FileOutcome>,
    lines: Vec<LineOutcome>,
    lines_not_listed: u64,
    trips: Vec<TripOutcome>,
    /// The worst outcome so far of each faulty line.
    worst: BTreeMap<(String, u64), Outcome>,
}

impl Recorder {
    pub(super) fn file(&mut self, file: &str, outcome: FileState, rows: u64) -> &mut FileOutcome {
        self.files.push(FileOutcome {
            file: file.to_owned(),
            outcome,
            rows,
            rows_mended: 0,
            rows_refused: 0,
            columns_not_read: Vec::new(),
            notes: Vec::new(),
        });
        let last = self.files.len() - 1;
        &mut self.files[last]
    }

    pub(super) fn knows(&self, file: &str) -> bool {
        self.files.iter().any(|f| f.file == file)
    }

    pub(super) fn file_note(&mut self, file: &str, note: Note) {
        if let Some(entry) = self.files.iter_mut().find(|f| f.file == file) {
            entry.notes.push(note);
        }
    }

    pub(super) fn mended(&mut self, file: &str, line: u64, note: Note) {
        self.line(file, line, Outcome::Mended, note);
    }

    pub(super) fn refused(&mut self, file: &str, line: u64, note: Note) {
        self.line(file, line, Outcome::Refused, note);
    }

    fn line(&mut self, file: &str, line: u64, outcome: Outcome, note: Note) {
        let worst = self.worst.entry((file.to_owned(), line)).or_insert(outcome);
        *worst = (*worst).max(outcome);
        if self.lines.len() < LINES_MAX {
            self.lines.push(LineOutcome {
                file: file.to_owned(),
                line,
                outcome,
                note,
            });
        } else {
            self.lines_not_listed += 1;
        }
    }

    pub(super) fn trip(&mut self, outcome: TripOutcome) {
        self.trips.push(outcome);
    }

    pub(super) fn finish(
        mut self,
        source: &str,
        feed_version: Option<String>,
        options: &Options,
        plan: &Plan,
    ) -> Report {
        for ((file, _), outcome) in &self.worst {
            if let Some(entry) = self.files.iter_mut().find(|f| &f.file == file) {
                match outcome {
                    Outcome::Taken => {}
                    Outcome::Mended => entry.rows_mended += 1,
                    Outcome::Refused => entry.rows_refused += 1,
                }
            }
        }
        for entry in &mut self.files {
            if entry.rows_refused > 0 {
                entry.outcome = FileState::PartlyRefused;
            } else if entry.rows_mended > 0 {
                entry.outcome = FileState::Mended;
            }
        }
        let mut counts = TripCounts::default();
        let mut trip_notes = BTreeMap::new();
        for trip in &self.trips {
            counts.in_feed += 1;
            match trip.outcome {
                Outcome::Taken => counts.taken += 1,
                Outcome::Mended => counts.mended += 1,
                Outcome::Refused => counts.refused += 1,
            }
            for note in trip.notes.iter().chain(&trip.remarks) {
                *trip_notes.entry(note.code).or_insert(0) += 1;
            }
        }
        Report {
            source: source.to_owned(),
            feed_version,
            from: options.from.to_string(),
            days: options.days,
            trip_counts: counts,
            planned: plan.size(),
            trip_notes,
            files: self.files,
            lines: self.lines,
            lines_not_listed: self.lines_not_listed,
            trips: self.trips,
        }
    }
}
