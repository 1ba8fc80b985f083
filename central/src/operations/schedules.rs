//! Weekly rules as people keep them.

use std::collections::{BTreeMap, BTreeSet};

use domain::time::{Instant, ServiceDate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::calendar::{Exception, Rule, clock_seconds, clock_text};
use super::db::schedules as rows;
use crate::company::Use;
use crate::company::records::Record;
use crate::csvio::Fault;
use crate::db::DbError;
use crate::pricing::Validity;
use crate::tenant::TenantTx;

/// The longest code or run, in characters.
pub(super) const CODE_CHARS_MAX: usize = 64;
/// The longest headsign, in characters.
const HEADSIGN_CHARS_MAX: usize = 120;
/// The most days that one rule has exceptions for.
const EXCEPTIONS_MAX: usize = 400;

/// What a rule does on one day instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It runs although it would not.
    Added,
    /// It does not run.
    Removed,
    /// Where it runs, it leaves at another time.
    Moved,
}

impl Change {
    /// The word it is stored under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Moved => "moved",
        }
    }
}

/// A day on which a rule does something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"date": "2026-12-25", "change": "removed"}))]
pub struct ScheduleException {
    /// The service day, YYYY-MM-DD.
    #[schema(max_length = 10)]
    pub date: String,
    /// What is different.
    pub change: Change,
    /// When it leaves, HH:MM on the clock of the first stop; of `moved`, and of `added` where it
    /// differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 8)]
    pub departs: Option<String>,
}

fn all_active() -> bool {
    true
}

/// A weekly rule. A departure that the clock does not show on a day moves forward by the gap; of
/// one that it shows twice the first counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "LUN-LVI-0600", "route": "LUN-LVI", "run": "0600",
    "departs": "06:00", "weekdays": [1, 2, 3, 4, 5], "valid_from": "2026-11-01",
    "bus": "BAE 1234",
    "exceptions": [{"date": "2026-12-25", "change": "removed"},
        {"date": "2026-12-26", "change": "added", "departs": "08:00"}]}))]
pub struct Schedule {
    /// The company's word for it; never changes.
    #[schema(max_length = 64)]
    pub code: String,
    /// The route's code.
    #[schema(max_length = 64)]
    pub route: String,
    /// What the run is called, every day the same.
    #[schema(max_length = 64)]
    pub run: String,
    /// Where the bus says it goes; empty for the last stop's name.
    #[serde(default)]
    #[schema(max_length = 120)]
    pub headsign: String,
    /// From the first stop, HH:MM on its clock.
    #[schema(max_length = 8)]
    pub departs: String,
    /// On which days, 1 Monday to 7 Sunday.
    #[schema(max_items = 7)]
    pub weekdays: Vec<u8>,
    /// The first service day, YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    pub valid_from: Option<String>,
    /// The last service day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    pub valid_until: Option<String>,
    /// A seat layout other than the route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    pub layout: Option<String>,
    /// The bus that runs it, by registration; its layout counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 16)]
    pub bus: Option<String>,
    /// Whether it makes trips.
    #[serde(default = "all_active")]
    pub active: bool,
    /// Days on which it does something else, at most 400.
    #[serde(default)]
    #[schema(max_items = 400)]
    pub exceptions: Vec<ScheduleException>,
}

fn name(column: &str, text: &str, chars_max: usize) -> Result<String, Fault> {
    let text = text.trim();
    let fits = !text.is_empty()
        && text.chars().count() <= chars_max
        && !text.chars().any(char::is_control);
    if fits {
        return Ok(text.to_owned());
    }
    let remedy = format!("write 1 to {chars_max} characters on one line");
    Err(Fault::new(column, "it is empty or too long", remedy))
}

fn optional(column: &str, text: Option<String>, max: usize) -> Result<Option<String>, Fault> {
    text.filter(|t| !t.trim().is_empty())
        .map(|t| name(column, &t, max))
        .transpose()
}

/// A day as it is written.
pub(crate) fn date(column: &str, text: &str) -> Result<ServiceDate, Fault> {
    text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(20).collect();
        let wrong = format!("{shown:?} is no date");
        Fault::new(column, wrong, "write a date like 2026-12-25")
    })
}

fn clock(column: &str, text: &str) -> Result<i32, Fault> {
    clock_seconds(text.trim()).ok_or_else(|| {
        let shown: String = text.chars().take(20).collect();
        let wrong = format!("{shown:?} is no time of day");
        Fault::new(column, wrong, "write a time like 06:30")
    })
}

fn days(from: Option<&str>, until: Option<&str>) -> Result<Validity, Fault> {
    let valid = Validity {
        from: from.map(|text| date("valid_from", text)).transpose()?,
        until: until.map(|text| date("valid_until", text)).transpose()?,
    };
    if !valid.is_ordered() {
        let wrong = "the last day is before the first";
        return Err(Fault::new("valid_until", wrong, "swap the two dates"));
    }
    Ok(valid)
}

impl ScheduleException {
    fn read(&self) -> Result<(ServiceDate, Exception), Fault> {
        let day = date("exceptions", &self.date)?;
        let at = self.departs.as_deref();
        let at = at.map(|text| clock("exceptions", text)).transpose()?;
        let exception = match (self.change, at) {
            (Change::Added, at) => Exception::Added(at),
            (Change::Removed, None) => Exception::Removed,
            (Change::Moved, Some(at)) => Exception::Moved(at),
            (Change::Removed, Some(_)) => {
                let wrong = format!("a run removed on {day} leaves at no time");
                return Err(Fault::new("exceptions", wrong, "leave `departs` out"));
            }
            (Change::Moved, None) => {
                let wrong = format!("the run moved on {day} has no time");
                return Err(Fault::new("exceptions", wrong, "say when it `departs`"));
            }
        };
        Ok((day, exception))
    }

    fn of(day: ServiceDate, exception: Exception) -> Self {
        let (change, at) = match exception {
            Exception::Added(at) => (Change::Added, at),
            Exception::Removed => (Change::Removed, None),
            Exception::Moved(at) => (Change::Moved, Some(at)),
        };
        Self {
            date: day.to_string(),
            change,
            departs: at.map(clock_text),
        }
    }
}

impl Schedule {
    /// When it runs, or what is wrong with it.
    pub fn rule(&self) -> Result<Rule, Fault> {
        let weekdays: BTreeSet<u8> = self.weekdays.iter().copied().collect();
        if weekdays.len() != self.weekdays.len() || weekdays.iter().any(|d| !(1..=7).contains(d)) {
            let wrong = "a day is no weekday, or stands twice";
            let remedy = "write each day once, 1 for Monday to 7 for Sunday";
            return Err(Fault::new("weekdays", wrong, remedy));
        }
        if self.exceptions.len() > EXCEPTIONS_MAX {
            let wrong = format!("there are more than {EXCEPTIONS_MAX} exceptions");
            return Err(Fault::new(
                "exceptions",
                wrong,
                "delete those that are past",
            ));
        }
        let mut exceptions = BTreeMap::new();
        for exception in &self.exceptions {
            let (day, exception) = exception.read()?;
            if exceptions.insert(day, exception).is_some() {
                let wrong = format!("{day} stands twice");
                return Err(Fault::new("exceptions", wrong, "keep one of the two"));
            }
        }
        Ok(Rule {
            departs_s: clock("departs", &self.departs)?,
            weekdays: weekdays.into_iter().collect(),
            valid: days(self.valid_from.as_deref(), self.valid_until.as_deref())?,
            exceptions,
        })
    }

    /// Its normal form, or what is wrong with it. Looks at nothing else.
    pub fn checked(self) -> Result<Self, Fault> {
        let rule = self.rule()?;
        let headsign = optional("headsign", Some(self.headsign), HEADSIGN_CHARS_MAX)?;
        let exceptions = rule.exceptions.iter();
        Ok(Self {
            code: name("code", &self.code, CODE_CHARS_MAX)?,
            route: name("route", &self.route, CODE_CHARS_MAX)?,
            run: name("run", &self.run, CODE_CHARS_MAX)?,
            headsign: headsign.unwrap_or_default(),
            departs: clock_text(rule.departs_s),
            weekdays: rule.weekdays,
            valid_from: rule.valid.from.map(|d| d.to_string()),
            valid_until: rule.valid.until.map(|d| d.to_string()),
            layout: optional("layout", self.layout, CODE_CHARS_MAX)?,
            bus: optional("bus", self.bus, CODE_CHARS_MAX)?,
            active: self.active,
            exceptions: exceptions
                .map(|(day, e)| ScheduleException::of(*day, *e))
                .collect(),
        })
    }
}

/// Which rules a list shows.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScheduleFilter {
    /// Of one route.
    pub(crate) route: Option<String>,
    /// Whether they make trips.
    pub(crate) active: Option<bool>,
}

impl Record for Schedule {
    const KIND: &'static str = "schedule";
    type Filter = ScheduleFilter;

    fn key(&self) -> String {
        self.code.clone()
    }

    fn checked(self) -> Result<Self, Fault> {
        Self::checked(self)
    }

    async fn list(
        tx: &mut TenantTx,
        filter: &ScheduleFilter,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(i32, Self)>, DbError> {
        rows::list(tx, filter, after, limit).await
    }

    async fn lock(tx: &mut TenantTx, key: &str) -> Result<Option<(i32, Self)>, DbError> {
        rows::lock(tx, key).await
    }

    async fn refers(&self, tx: &mut TenantTx) -> Result<Option<Fault>, DbError> {
        let (layout, bus) = (self.layout.as_deref(), self.bus.as_deref());
        let (has_route, has_layout, has_bus) = rows::knows(tx, &self.route, layout, bus).await?;
        let missing = |column: &str, name: &str| {
            let wrong = format!("there is no {column} {name:?}");
            Some(Fault::new(
                column,
                wrong,
                format!("make the {column} first"),
            ))
        };
        Ok(match (has_route, has_layout, has_bus) {
            (false, _, _) => missing("route", &self.route),
            (_, false, _) => missing("layout", layout.unwrap_or_default()),
            (_, _, false) => missing("bus", bus.unwrap_or_default()),
            (true, true, true) => None,
        })
    }

    async fn insert(&self, tx: &mut TenantTx) -> Result<(), DbError> {
        rows::insert(tx, self).await?;
        self.update(tx).await.map(|_| ())
    }

    async fn update(&self, tx: &mut TenantTx) -> Result<i32, DbError> {
        let rule = self.rule();
        let rule = rule.map_err(|_| DbError::damaged(format!("schedule {}", self.code)))?;
        rows::put(tx, self, &rule).await
    }

    async fn uses(_: &mut TenantTx, _: &str, _: Instant) -> Result<Vec<Use>, DbError> {
        Ok(vec![])
    }

    async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
        rows::delete(tx, key).await
    }
}
