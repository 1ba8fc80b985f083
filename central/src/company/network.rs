//! A company's network on its way into a feed.

use domain::time::ServiceDate;
use domain::tracking::{Line, of_polyline};

use super::records::all;
use super::{Route, Stop, db};
use crate::db::DbError;
use crate::gtfs::export::{Network, NetworkShape};
use crate::tenant::TenantTx;

/// The network with the trips of so many service days.
pub async fn network(tx: &mut TenantTx, from: ServiceDate, days: u16) -> Result<Network, DbError> {
    let until = from.plus_days(i32::from(days) - 1).unwrap_or(from);
    let shapes = db::shapes::all(tx).await?.into_iter();
    let layouts = db::layouts::newest_of_all(tx, None, "", i64::MAX).await?;
    Ok(Network {
        agency: db::network::agency(tx).await?,
        stops: all::<Stop>(tx).await?.into_values().collect(),
        layouts: layouts
            .into_iter()
            .map(|s| (s.layout, s.deck_rows))
            .collect(),
        fare_tables: db::fare_tables(tx).await?,
        routes: all::<Route>(tx).await?.into_values().collect(),
        shapes: shapes
            .filter_map(|(pattern, (line, stops_along_m))| {
                let places = of_polyline(&line).ok()?;
                let line = Line::new(&places).ok()?;
                let shape = NetworkShape {
                    line,
                    stops_along_m,
                };
                Some((pattern, shape))
            })
            .collect(),
        trips: db::network::trips(tx, from, until).await?,
    })
}
