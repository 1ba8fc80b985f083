//! The files of a feed.

use std::collections::{BTreeMap, BTreeSet};

use domain::codec::to_hex;
use domain::fare::FareTable;
use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;
use domain::time::ServiceDate;
use sha2::{Digest as _, Sha256};

use super::calendar::{Rhythm, rhythm};
use super::shapes::Drawn;
use super::trips::grouped;
use super::{Agency, Group, Network, Services};
use crate::gtfs::layout::as_rows;
use crate::gtfs::value::time_text;

/// What stands for a web address that GTFS needs and the company has not.
const NO_WEBSITE: &str = "https://company.invalid/";
/// How much of a feed's hash is its version, in bytes.
const VERSION_BYTES: usize = 8;

/// A file of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedFile {
    /// Its name inside the feed.
    pub name: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

pub(super) fn file<R: AsRef<[String]>>(
    name: &'static str,
    columns: &[&str],
    rows: impl IntoIterator<Item = R>,
) -> FeedFile {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(vec![]);
    // Writing into memory does not fail.
    let _ = writer.write_record(columns);
    for row in rows {
        let _ = writer.write_record(row.as_ref());
    }
    let bytes = writer.into_inner().unwrap_or_default();
    FeedFile { name, bytes }
}

fn date_text(day: ServiceDate) -> String {
    day.to_string().replace('-', "")
}

fn flag(on: bool) -> String {
    u8::from(on).to_string()
}

fn website(agency: &Agency) -> String {
    if agency.website.is_empty() {
        NO_WEBSITE.to_owned()
    } else {
        agency.website.clone()
    }
}

/// Every file of the feed, in a fixed order.
pub fn files(network: &Network) -> Vec<FeedFile> {
    let (groups, services) = grouped(&network.trips, &network.agency.zone);
    let mut files = vec![agency(&network.agency), stops(network), routes(network)];
    let drawn = Drawn::of(network, &groups);
    files.extend(trips(&groups, &drawn));
    files.extend(drawn.file());
    files.extend(calendars(&services));
    files.extend(fares(network));
    files.extend(layouts(network));
    files.extend(own_routes(network, &drawn));
    let info = feed_info(&network.agency, &services, &files);
    files.push(info);
    files
}

fn agency(agency: &Agency) -> FeedFile {
    let columns = [
        "agency_id",
        "agency_name",
        "agency_url",
        "agency_timezone",
        "agency_lang",
        "agency_phone",
        "agency_email",
    ];
    let row = [
        agency.id.clone(),
        agency.name.clone(),
        website(agency),
        agency.zone.as_str().to_owned(),
        agency.language.clone(),
        agency.phone.clone(),
        agency.email.clone(),
    ];
    file("agency.txt", &columns, [row])
}

fn stops(network: &Network) -> FeedFile {
    let columns = [
        "stop_id",
        "stop_name",
        "stop_lat",
        "stop_lon",
        "zone_id",
        "stop_timezone",
    ];
    let degrees = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    let rows = network.stops.iter().map(|s| {
        [
            s.code.clone(),
            s.name.clone(),
            degrees(s.lat),
            degrees(s.lon),
            s.fare_zone.clone(),
            s.zone.clone(),
        ]
    });
    file("stops.txt", &columns, rows)
}

fn routes(network: &Network) -> FeedFile {
    let columns = [
        "route_id",
        "agency_id",
        "route_short_name",
        "route_long_name",
        "route_type",
        "route_color",
    ];
    let rows = network.routes.iter().map(|r| {
        [
            r.code.clone(),
            network.agency.id.clone(),
            r.short_name.clone(),
            r.name.clone(),
            r.gtfs_type.to_string(),
            r.colour.clone().unwrap_or_default(),
        ]
    });
    file("routes.txt", &columns, rows)
}

fn trips(groups: &[Group], drawn: &Drawn<'_>) -> Vec<FeedFile> {
    let trips = groups.iter().map(|g| {
        let mut row = vec![
            g.route.clone(),
            g.service.clone(),
            g.trip_id.clone(),
            g.headsign.clone(),
        ];
        row.extend(drawn.trip_cell(g));
        row
    });
    let mut columns = vec!["route_id", "service_id", "trip_id", "trip_headsign"];
    columns.extend(drawn.column("shape_id"));
    let trips = file("trips.txt", &columns, trips);
    let times = groups.iter().flat_map(|g| {
        (1_u32..)
            .zip(&g.calls)
            .map(|(no, (stop, arrives_s, departs_s, board))| {
                let mut row = vec![
                    g.trip_id.clone(),
                    time_text(*arrives_s),
                    time_text(*departs_s),
                    stop.clone(),
                    no.to_string(),
                    flag(!board),
                ];
                row.extend(drawn.call_cell(g, no));
                row
            })
    });
    let mut columns = vec![
        "trip_id",
        "arrival_time",
        "departure_time",
        "stop_id",
        "stop_sequence",
        "pickup_type",
    ];
    columns.extend(drawn.column("shape_dist_traveled"));
    let times = file("stop_times.txt", &columns, times);
    let mut files = vec![trips, times];
    let mut renamed = groups.iter().filter(|g| g.trip_id != g.run).peekable();
    if renamed.peek().is_some() {
        let rows = renamed.map(|g| [g.trip_id.clone(), g.run.clone()]);
        files.push(file("mwimule_trips.txt", &["trip_id", "run"], rows));
    }
    files
}

fn calendars(services: &Services) -> [FeedFile; 2] {
    let rhythms: Vec<(&String, Rhythm)> = services
        .iter()
        .filter_map(|(id, days)| rhythm(days).map(|r| (id, r)))
        .collect();
    let weekly = rhythms.iter().filter(|(_, r)| r.days.contains(&true));
    let weekly = weekly.map(|(id, r)| {
        let mut row = vec![(*id).clone()];
        row.extend(r.days.map(flag));
        row.extend([date_text(r.first), date_text(r.last)]);
        row
    });
    let columns = [
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
    ];
    let calendar = file("calendar.txt", &columns, weekly);
    let exceptions = rhythms.iter().flat_map(|(id, r)| {
        let added = r.added.iter().map(|day| (*day, "1"));
        let removed = r.removed.iter().map(|day| (*day, "2"));
        added
            .chain(removed)
            .map(|(day, kind)| [(*id).clone(), date_text(day), kind.to_owned()])
    });
    let columns = ["service_id", "date", "exception_type"];
    [calendar, file("calendar_dates.txt", &columns, exceptions)]
}

/// An adult's fares as GTFS knows them: by route, from zone to zone, the lowest where stops of one
/// zone differ. The exact tables follow in a file of our own.
fn fares(network: &Network) -> [FeedFile; 3] {
    let zones: BTreeMap<&str, &str> = network
        .stops
        .iter()
        .map(|s| (s.code.as_str(), s.fare_zone.as_str()))
        .collect();
    let zone = |code: &str| zones.get(code).map(|z| (*z).to_owned());
    let used: BTreeSet<&str> = network
        .routes
        .iter()
        .map(|r| r.fare_table.as_str())
        .collect();
    let tables: BTreeMap<&str, &FareTable> = network
        .fare_tables
        .iter()
        .filter(|t| used.contains(t.id.as_str()))
        .map(|t| (t.id.as_str(), t))
        .collect();
    let mut prices: BTreeSet<(Currency, Minor)> = BTreeSet::new();
    let mut rules: BTreeMap<[String; 3], (Currency, Minor)> = BTreeMap::new();
    for route in &network.routes {
        let Some(table) = tables.get(route.fare_table.as_str()) else {
            continue;
        };
        let adult = |r: &&domain::fare::FareRow| r.class == PassengerClass::Adult;
        for row in table.rows.iter().filter(adult) {
            if let (Some(from), Some(to)) = (zone(&row.from.0), zone(&row.to.0)) {
                let price = (table.currency, row.fare_minor);
                let known = rules.entry([route.code.clone(), from, to]).or_insert(price);
                *known = (*known).min(price);
            }
        }
    }
    prices.extend(rules.values());
    let id =
        |(currency, price): (Currency, Minor)| format!("{currency}{}", price.display(currency));
    let attributes = prices.into_iter().map(|fare| {
        let (currency, price) = fare;
        let price = price.display(currency);
        [
            id(fare),
            price,
            currency.to_string(),
            "1".to_owned(),
            "0".to_owned(),
        ]
    });
    let columns = [
        "fare_id",
        "price",
        "currency_type",
        "payment_method",
        "transfers",
    ];
    let attributes = file("fare_attributes.txt", &columns, attributes);
    let rules = rules
        .into_iter()
        .map(|([route, from, to], fare)| [id(fare), route, from, to]);
    let columns = ["fare_id", "route_id", "origin_id", "destination_id"];
    let rules = file("fare_rules.txt", &columns, rules);
    let exact = tables.values().flat_map(|table| {
        table.rows.iter().map(|row| {
            [
                table.id.clone(),
                row.from.0.clone(),
                row.to.0.clone(),
                row.class.as_str().to_owned(),
                row.fare_minor.display(table.currency),
                table.currency.to_string(),
            ]
        })
    });
    let columns = [
        "fare_table",
        "from_stop",
        "to_stop",
        "class",
        "price",
        "currency",
    ];
    let exact = file("mwimule_fare_tables.txt", &columns, exact);
    [attributes, rules, exact]
}

fn layouts(network: &Network) -> [FeedFile; 2] {
    let rows = network.layouts.iter().flat_map(|(layout, deck_rows)| {
        let rows = as_rows(layout, deck_rows).unwrap_or_default();
        (1u16..).zip(rows).map(|(no, seats)| {
            let deck = 1 + deck_rows.iter().filter(|first| **first <= no).count();
            [
                layout.id.clone(),
                layout.version.to_string(),
                no.to_string(),
                seats,
                deck.to_string(),
            ]
        })
    });
    let columns = ["layout_id", "version", "row", "seats", "deck"];
    let layouts = file("mwimule_layouts.txt", &columns, rows);
    let rows = network.routes.iter();
    let rows = rows.map(|r| [r.code.clone(), r.layout.clone()]);
    let columns = ["route_id", "layout_id"];
    [layouts, file("mwimule_route_layouts.txt", &columns, rows)]
}

fn own_routes(network: &Network, drawn: &Drawn<'_>) -> [FeedFile; 2] {
    let rows = network.routes.iter().map(|r| {
        let mut row = vec![r.code.clone(), r.fare_table.clone()];
        row.extend(drawn.route_cell(r));
        row
    });
    let mut columns = vec!["route_id", "fare_table"];
    columns.extend(drawn.column("shape_id"));
    let routes = file("mwimule_routes.txt", &columns, rows);
    let rows = network.routes.iter().flat_map(|r| {
        (1..).zip(&r.stops).map(|(no, s)| {
            let no: u32 = no;
            let time = |secs: i32| time_text(u32::try_from(secs).unwrap_or(0));
            [
                r.code.clone(),
                no.to_string(),
                s.stop.clone(),
                time(s.arrives_s),
                time(s.departs_s),
                flag(!s.board),
            ]
        })
    });
    let columns = [
        "route_id",
        "stop_sequence",
        "stop_id",
        "arrives_after",
        "departs_after",
        "pickup_type",
    ];
    [routes, file("mwimule_route_stops.txt", &columns, rows)]
}

fn feed_info(agency: &Agency, services: &Services, files: &[FeedFile]) -> FeedFile {
    let mut hash = Sha256::new();
    for file in files {
        hash.update((file.bytes.len() as u64).to_be_bytes());
        hash.update(&file.bytes);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let version = to_hex(digest.get(..VERSION_BYTES).unwrap_or_default());
    let days = || services.values().flatten().copied();
    let text = |day: Option<ServiceDate>| day.map(date_text).unwrap_or_default();
    let columns = [
        "feed_publisher_name",
        "feed_publisher_url",
        "feed_lang",
        "feed_start_date",
        "feed_end_date",
        "feed_version",
    ];
    let row = [
        agency.name.clone(),
        website(agency),
        agency.language.clone(),
        text(days().min()),
        text(days().max()),
        version,
    ];
    file("feed_info.txt", &columns, [row])
}
