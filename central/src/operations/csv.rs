//! Weekly rules as CSV.

use domain::time::Instant;

use super::schedules::{Change, Schedule, ScheduleException};
use crate::audit::Actor;
use crate::company::records::{all, put_all};
use crate::csvio::{Column, CsvList, Fault, Fields, Tally, word};
use crate::db::DbError;
use crate::tenant::TenantTx;

pub(crate) struct ScheduleList;

fn cell(fields: &Fields<'_>, column: &str) -> Option<String> {
    let text = fields.text(column);
    (!text.is_empty()).then(|| text.to_owned())
}

/// `2026-12-25 removed; 2026-12-26 added 08:00`.
fn exceptions_text(exceptions: &[ScheduleException]) -> String {
    let one = |e: &ScheduleException| {
        let at = e.departs.as_ref().map(|at| format!(" {at}"));
        format!("{} {}{}", e.date, e.change.as_str(), at.unwrap_or_default())
    };
    exceptions.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn exception_of(text: &str) -> Option<ScheduleException> {
    let mut words = text.split_whitespace();
    let date = words.next()?.to_owned();
    let change = match words.next()? {
        "added" => Change::Added,
        "removed" => Change::Removed,
        "moved" => Change::Moved,
        _ => return None,
    };
    let departs = words.next().map(str::to_owned);
    words.next().is_none().then_some(ScheduleException {
        date,
        change,
        departs,
    })
}

impl CsvList for ScheduleList {
    type Row = Schedule;
    const NAME: &'static str = "schedules";
    const COLUMNS: &'static [Column] = &[
        Column::needed("code", "1 to 64 characters; never changes"),
        Column::needed("route", "the route's code"),
        Column::needed("run", "what the run is called, every day the same"),
        Column::optional("headsign", "the last stop's name when empty"),
        Column::needed("departs", "from the first stop, on its clock, like 06:30"),
        Column::needed(
            "weekdays",
            "1 for Monday to 7 for Sunday, with blanks between",
        ),
        Column::optional("valid_from", "first service day, like 2026-12-01"),
        Column::optional("valid_until", "last service day"),
        Column::optional("layout", "a seat layout other than the route's"),
        Column::optional("bus", "by registration; its layout counts"),
        Column::optional("active", "yes (when empty) or no"),
        Column::optional(
            "exceptions",
            "like 2026-12-25 removed; 2026-12-26 added 08:00; 2026-12-31 moved 05:00",
        ),
    ];

    async fn export(tx: &mut TenantTx) -> Result<Vec<Vec<String>>, DbError> {
        let row = |s: Schedule| {
            let days: Vec<String> = s.weekdays.iter().map(ToString::to_string).collect();
            let exceptions = exceptions_text(&s.exceptions);
            vec![
                s.code,
                s.route,
                s.run,
                s.headsign,
                s.departs,
                days.join(" "),
                s.valid_from.unwrap_or_default(),
                s.valid_until.unwrap_or_default(),
                s.layout.unwrap_or_default(),
                s.bus.unwrap_or_default(),
                word(s.active),
                exceptions,
            ]
        };
        Ok(all::<Schedule>(tx).await?.into_values().map(row).collect())
    }

    fn parse(fields: &Fields<'_>) -> Result<Schedule, Fault> {
        let days = fields.needed("weekdays")?.split_whitespace();
        let weekdays: Result<Vec<u8>, _> = days.map(str::parse).collect();
        let weekdays = weekdays.map_err(|_| {
            let remedy = "write 1 for Monday to 7 for Sunday, with blanks between";
            Fault::new("weekdays", "a day cannot be read", remedy)
        })?;
        let listed = fields.text("exceptions").split(';').map(str::trim);
        let listed = listed.filter(|text| !text.is_empty());
        let exceptions: Option<Vec<_>> = listed.map(exception_of).collect();
        let exceptions = exceptions.ok_or_else(|| {
            let remedy = "write like 2026-12-25 removed; 2026-12-26 added 08:00";
            Fault::new("exceptions", "one of them cannot be read", remedy)
        })?;
        Ok(Schedule {
            code: fields.needed("code")?.to_owned(),
            route: fields.needed("route")?.to_owned(),
            run: fields.needed("run")?.to_owned(),
            headsign: fields.text("headsign").to_owned(),
            departs: fields.needed("departs")?.to_owned(),
            weekdays,
            valid_from: cell(fields, "valid_from"),
            valid_until: cell(fields, "valid_until"),
            layout: cell(fields, "layout"),
            bus: cell(fields, "bus"),
            active: fields.yes_no("active", true)?,
            exceptions,
        })
    }

    async fn apply(
        tx: &mut TenantTx,
        rows: Vec<(usize, Schedule)>,
        tally: &mut Tally,
        by: Actor,
        now: Instant,
    ) -> Result<(), DbError> {
        let known = all(tx).await?;
        put_all(tx, known, rows, tally, (by, now)).await
    }
}
