//! `fare_attributes.txt`, `fare_rules.txt`, and the extension `mwimule_fares.txt`.

use std::collections::{BTreeMap, BTreeSet};

use domain::money::{Currency, Minor};
use domain::passenger::PassengerClass;

use crate::gtfs::error::GtfsError;
use crate::gtfs::report::{Note, Recorder, quote};
use crate::gtfs::source::Source;
use crate::gtfs::table::{FileSpec, Row, Table};
use crate::gtfs::value;

use super::network::FirstWins;
use super::{Fares, GeneralFare, Route, Stop};

const FARE_ATTRIBUTES: FileSpec = FileSpec {
    name: "fare_attributes.txt",
    required: &["fare_id", "price", "currency_type"],
    optional: &[],
};

const FARE_RULES: FileSpec = FileSpec {
    name: "fare_rules.txt",
    required: &["fare_id"],
    optional: &["route_id", "origin_id", "destination_id", "contains_id"],
};

const CLASS_FARES: FileSpec = FileSpec {
    name: "mwimule_fares.txt",
    required: &["from_zone", "to_zone", "class", "price", "currency"],
    optional: &[],
};

pub(super) fn read(
    source: &mut Source,
    recorder: &mut Recorder,
    stops: &BTreeMap<String, Stop>,
    routes: &BTreeMap<String, Route>,
) -> Result<Fares, GtfsError> {
    let zones: BTreeSet<&str> = stops.values().map(|s| s.fare_zone.as_str()).collect();
    let mut fares = Fares::default();
    let attributes = Table::optional(source, &FARE_ATTRIBUTES, recorder)?;
    let rules = Table::optional(source, &FARE_RULES, recorder)?;
    let prices = attributes
        .as_ref()
        .map(|table| read_prices(table, &mut fares.currency, recorder))
        .unwrap_or_default();
    let mut ruled = BTreeSet::new();
    for row in rules.iter().flat_map(Table::rows) {
        ruled.insert(row.get("fare_id").to_owned());
        match rule(&row, &prices, &zones, routes) {
            Ok(fare) => fares.general.push(fare),
            Err(note) => recorder.refused(FARE_RULES.name, row.line, note),
        }
    }
    // GTFS: a fare without any rule holds everywhere.
    fares
        .general
        .extend(
            prices
                .iter()
                .filter(|(id, _)| !ruled.contains(**id))
                .map(|(_, price)| GeneralFare {
                    price: *price,
                    route_id: None,
                    from_zone: None,
                    to_zone: None,
                }),
        );
    if let Some(table) = Table::optional(source, &CLASS_FARES, recorder)? {
        read_class_fares(&table, &zones, &mut fares, recorder);
    }
    Ok(fares)
}

fn read_prices<'t>(
    table: &'t Table,
    currency: &mut Option<Currency>,
    recorder: &mut Recorder,
) -> BTreeMap<&'t str, Minor> {
    let mut seen = FirstWins::new();
    let mut prices = BTreeMap::new();
    for row in table.rows() {
        let id = row.get("fare_id");
        if !seen.admits(&FARE_ATTRIBUTES, id, row, recorder) {
            continue;
        }
        match price(row.get("price"), row.get("currency_type"), currency) {
            Ok(price) => {
                prices.insert(id, price);
            }
            Err(note) => recorder.refused(FARE_ATTRIBUTES.name, row.line, note),
        }
    }
    prices
}

/// Reads a price; the first currency that a feed names is the only one it may use.
fn price(text: &str, code: &str, currency: &mut Option<Currency>) -> Result<Minor, Note> {
    let named: Currency = code.parse().map_err(|_| {
        let text = format!("currency {} is not three capital letters", quote(code));
        Note::new("bad_currency", text)
    })?;
    let used = *currency.get_or_insert(named);
    if used != named {
        let text = format!(
            "the fare is in {named}, the feed's first fare in {used}; one feed has one currency"
        );
        return Err(Note::new("other_currency", text));
    }
    value::price(text, used).ok_or_else(|| {
        let text = format!(
            "price {} is not an amount of {used} with at most {} decimals",
            quote(text),
            used.exponent()
        );
        Note::new("bad_price", text)
    })
}

fn rule(
    row: &Row<'_>,
    prices: &BTreeMap<&str, Minor>,
    zones: &BTreeSet<&str>,
    routes: &BTreeMap<String, Route>,
) -> Result<GeneralFare, Note> {
    let id = row.get("fare_id");
    let price = *prices.get(id).ok_or_else(|| {
        let text = format!(
            "fare {} has no usable price in fare_attributes.txt",
            quote(id)
        );
        Note::new("unknown_fare", text)
    })?;
    if !row.get("contains_id").is_empty() {
        let text = "fares by zones passed through (contains_id) are not supported; state them by origin and destination";
        return Err(Note::new("contains_id_not_supported", text));
    }
    let zone = |column: &str| match row.get(column) {
        "" => Ok(None),
        zone if zones.contains(zone) => Ok(Some(zone.to_owned())),
        zone => {
            let text = format!("{column} {} is no stop's zone", quote(zone));
            Err(Note::new("unknown_zone", text))
        }
    };
    let route_id = match row.get("route_id") {
        "" => None,
        route if routes.contains_key(route) => Some(route.to_owned()),
        route => {
            let text = format!("route {} is not in routes.txt", quote(route));
            return Err(Note::new("unknown_route", text));
        }
    };
    Ok(GeneralFare {
        price,
        route_id,
        from_zone: zone("origin_id")?,
        to_zone: zone("destination_id")?,
    })
}

fn read_class_fares(
    table: &Table,
    zones: &BTreeSet<&str>,
    fares: &mut Fares,
    recorder: &mut Recorder,
) {
    for row in table.rows() {
        match class_fare(&row, zones, &mut fares.currency) {
            Ok((key, price)) => {
                let known = *fares.classed.entry(key).or_insert(price);
                if known != price {
                    let text =
                        "the pair has another price for this class already; the first one stays";
                    recorder.refused(CLASS_FARES.name, row.line, Note::new("duplicate_id", text));
                }
            }
            Err(note) => recorder.refused(CLASS_FARES.name, row.line, note),
        }
    }
}

type ClassKey = (String, String, PassengerClass);

fn class_fare(
    row: &Row<'_>,
    zones: &BTreeSet<&str>,
    currency: &mut Option<Currency>,
) -> Result<(ClassKey, Minor), Note> {
    let zone = |column: &str| {
        let zone = row.get(column);
        if zones.contains(zone) {
            return Ok(zone.to_owned());
        }
        let text = format!("{column} {} is no stop's zone", quote(zone));
        Err(Note::new("unknown_zone", text))
    };
    let class = row.get("class").parse().map_err(|_| {
        let text = format!(
            "class {} is not adult, child, infant or prm",
            quote(row.get("class"))
        );
        Note::new("unknown_class", text)
    })?;
    let key = (zone("from_zone")?, zone("to_zone")?, class);
    Ok((key, price(row.get("price"), row.get("currency"), currency)?))
}
