//! GTFS static, the pure half: files become a [`Feed`], a feed becomes a [`Plan`] and a
//! [`Report`]; [`export`] goes the other way. Nothing here touches the database; writing a plan is idempotent elsewhere.
//!
//! Every file, every faulty line and every trip gets an outcome: taken, mended (how) or refused
//! (why). `docs/gtfs.md` lists each fault and its treatment.

mod calendar;
mod error;
pub mod export;
mod fares;
mod feed;
mod judge;
mod layout;
mod own;
mod plan;
mod report;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod trips;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use domain::money::Currency;
use domain::time::ServiceDate;

pub use error::GtfsError;
pub use feed::Feed;
pub use layout::BUILT_IN_LAYOUT;
pub(crate) use layout::{as_rows as layout_rows, attributes_by_place, parse as read_layout};
pub use plan::{
    Call, PatternKey, Plan, PlanCompany, PlanPattern, PlanRoute, PlanRun, PlanShape, PlanStop,
};
pub use report::{
    FileOutcome, FileState, LineOutcome, Note, Outcome, PlanSize, Report, TripCounts, TripOutcome,
};
pub use source::Source;

/// How many days of trips an import makes when nothing else is asked.
pub const DEFAULT_DAYS: u16 = 14;

/// How long a window may be, in days.
pub const DAYS_MAX: u16 = 400;

/// What the operator chose for one import.
#[derive(Debug, Clone)]
pub struct Options {
    /// First service day to make trips for.
    pub from: ServiceDate,
    /// Length of the window, in days, 1 to [`DAYS_MAX`].
    pub days: u16,
    /// Route types taken although they are not road transport.
    pub include_route_types: BTreeSet<u16>,
    /// Seat layout by route id; wins over the feed's own assignment.
    pub layouts: BTreeMap<String, String>,
    /// Seat layout of routes that nothing else names; the built-in one when absent.
    pub default_layout: Option<String>,
    /// What fares are paid in when the feed names no fare.
    pub currency: Currency,
    /// Takes only this agency's routes; all agencies when absent.
    pub agency: Option<String>,
}

impl Options {
    /// The usual choices for a window that begins on `from`.
    pub fn starting(from: ServiceDate) -> Self {
        Self {
            from,
            days: DEFAULT_DAYS,
            include_route_types: BTreeSet::new(),
            layouts: BTreeMap::new(),
            default_layout: None,
            currency: Currency::ZMW,
            agency: None,
        }
    }

    fn check(&self) -> Result<(), GtfsError> {
        if self.days == 0 || self.days > DAYS_MAX {
            return Err(GtfsError::Option(format!(
                "a window of {} days cannot be planned; choose 1 to {DAYS_MAX}",
                self.days
            )));
        }
        if self.from.plus_days(i32::from(self.days)).is_none() {
            return Err(GtfsError::Option(format!(
                "the window that begins on {} leaves the calendar",
                self.from
            )));
        }
        Ok(())
    }
}

/// Reads and plans a feed: a folder or a zip file.
pub fn import(path: &Path, options: &Options) -> Result<(Plan, Report), GtfsError> {
    let mut source = Source::open(path)?;
    import_from(&mut source, options)
}

/// Reads and plans a feed that is already open.
pub fn import_from(source: &mut Source, options: &Options) -> Result<(Plan, Report), GtfsError> {
    options.check()?;
    let mut recorder = report::Recorder::default();
    let feed = Feed::read(source, &mut recorder)?;
    let plan = plan::build(&feed, options, &mut recorder)?;
    let report = recorder.finish(source.name(), feed.version.clone(), options, &plan);
    Ok((plan, report))
}

/// What an import would do, without doing it.
pub fn dry_run(path: &Path, options: &Options) -> Result<Report, GtfsError> {
    import(path, options).map(|(_, report)| report)
}
