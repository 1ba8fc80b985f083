//! Routes, and their stops with run times.

use std::collections::BTreeMap;

use domain::time::Instant;

use super::places::optional;
use crate::audit::Actor;
use crate::company::records::{all, put_all};
use crate::company::rules::{run_time, run_time_s};
use crate::company::{Route, RouteStop};
use crate::csvio::{Column, CsvList, Fault, Fields, Tally, word};
use crate::db::DbError;
use crate::tenant::TenantTx;

pub(super) struct RouteList;

impl CsvList for RouteList {
    type Row = Route;
    const NAME: &'static str = "routes";
    const COLUMNS: &'static [Column] = &[
        Column::needed("code", "1 to 64 characters; never changes"),
        Column::needed("name", "for people, up to 120 characters"),
        Column::optional("short_name", "on bus and ticket; the code when empty"),
        Column::needed("layout", "id of the seat layout of its trips"),
        Column::optional("fare_table", "the route's own code when empty"),
        Column::optional("colour", "six hexadecimal digits"),
        Column::optional("gtfs_type", "GTFS route type; 3, a bus, when empty"),
    ];

    async fn export(tx: &mut TenantTx) -> Result<Vec<Vec<String>>, DbError> {
        let row = |r: Route| {
            let colour = optional(r.colour.as_ref());
            let kind = r.gtfs_type.to_string();
            vec![
                r.code,
                r.name,
                r.short_name,
                r.layout,
                r.fare_table,
                colour,
                kind,
            ]
        };
        Ok(all::<Route>(tx).await?.into_values().map(row).collect())
    }

    fn parse(fields: &Fields<'_>) -> Result<Route, Fault> {
        let kind = fields.optional("gtfs_type", "write 3 for a bus")?;
        Ok(Route {
            code: fields.needed("code")?.to_owned(),
            name: fields.needed("name")?.to_owned(),
            short_name: fields.text("short_name").to_owned(),
            layout: fields.needed("layout")?.to_owned(),
            fare_table: fields.text("fare_table").to_owned(),
            colour: Some(fields.text("colour").to_owned()),
            gtfs_type: kind.unwrap_or(3),
            stops: vec![],
        })
    }

    /// The stops of a route stay: they are a list of their own.
    async fn apply(
        tx: &mut TenantTx,
        mut rows: Vec<(usize, Route)>,
        tally: &mut Tally,
        by: Actor,
        now: Instant,
    ) -> Result<(), DbError> {
        let known = all::<Route>(tx).await?;
        for (_, row) in &mut rows {
            if let Some(before) = known.get(&row.code) {
                row.stops.clone_from(&before.stops);
            }
        }
        put_all(tx, known, rows, tally, (by, now)).await
    }
}

pub(super) struct RouteStopList;

/// A stop of a route with its place in the order.
pub(super) struct Call {
    route: String,
    no: u16,
    stop: RouteStop,
}

impl CsvList for RouteStopList {
    type Row = Call;
    const NAME: &'static str = "route_stops";
    const COLUMNS: &'static [Column] = &[
        Column::needed("route", "code of the route"),
        Column::needed("no", "place in the order; gaps do not matter"),
        Column::needed("stop", "code of the stop"),
        Column::needed(
            "arrives",
            "after the departure at the first stop, like 2:20:00",
        ),
        Column::optional("departs", "the same as arrives when empty"),
        Column::optional(
            "board",
            "whether passengers may get on: yes (when empty) or no",
        ),
    ];

    async fn export(tx: &mut TenantTx) -> Result<Vec<Vec<String>>, DbError> {
        let mut rows = vec![];
        for route in all::<Route>(tx).await?.into_values() {
            for (no, stop) in (1..).zip(route.stops) {
                let no: i32 = no;
                rows.push(vec![
                    route.code.clone(),
                    no.to_string(),
                    stop.stop,
                    run_time(stop.arrives_s),
                    run_time(stop.departs_s),
                    word(stop.board),
                ]);
            }
        }
        Ok(rows)
    }

    fn parse(fields: &Fields<'_>) -> Result<Call, Fault> {
        let time = |column: &str| {
            run_time_s(fields.text(column)).ok_or_else(|| {
                let wrong = "it is no run time";
                Fault::new(column, wrong, "write hours and minutes, like 2:20")
            })
        };
        let arrives_s = time("arrives")?;
        let departs_s = match fields.text("departs") {
            "" => arrives_s,
            _ => time("departs")?,
        };
        Ok(Call {
            route: fields.needed("route")?.to_owned(),
            no: fields.parsed("no", "write 1, 2, 3 and so on")?,
            stop: RouteStop {
                stop: fields.needed("stop")?.to_owned(),
                arrives_s,
                departs_s,
                board: fields.yes_no("board", true)?,
            },
        })
    }

    /// A route in the file gets the stops of the file and no others; one that is not keeps its own.
    async fn apply(
        tx: &mut TenantTx,
        rows: Vec<(usize, Call)>,
        tally: &mut Tally,
        by: Actor,
        now: Instant,
    ) -> Result<(), DbError> {
        let known = all::<Route>(tx).await?;
        let mut wanted: BTreeMap<String, BTreeMap<u16, (usize, RouteStop)>> = BTreeMap::new();
        for (no, call) in rows {
            if !known.contains_key(&call.route) {
                let wrong = format!("there is no route {:?}", call.route);
                tally.fault(
                    no,
                    Fault::new("route", wrong, "bring in the list routes first"),
                );
                continue;
            }
            let stops = wanted.entry(call.route).or_default();
            if let Some((first, _)) = stops.insert(call.no, (no, call.stop)) {
                let wrong = format!("place {} of the route is in row {first} too", call.no);
                tally.fault(
                    no,
                    Fault::new("no", wrong, "give each stop a place of its own"),
                );
            }
        }
        let mut routes = vec![];
        for (code, stops) in wanted {
            let row = stops.values().map(|(no, _)| *no).min().unwrap_or(0);
            if let Some(before) = known.get(&code) {
                let stops = stops.into_values().map(|(_, stop)| stop).collect();
                let after = Route {
                    stops,
                    ..before.clone()
                };
                routes.push((row, after));
            }
        }
        put_all(tx, known, routes, tally, (by, now)).await
    }
}
