//! What a feed is made of.

use domain::codec::from_cbor;
use domain::time::ServiceDate;
use domain::trip::Trip;

use crate::db::DbError;
use crate::gtfs::export::{Agency, NetworkTrip};
use crate::tenant::TenantTx;

/// Who runs the network; service days count in the timetable's zone, else in the office's.
pub(in crate::company) async fn agency(tx: &mut TenantTx) -> Result<Agency, DbError> {
    let company = tx.company();
    let row = sqlx::query!(
        r#"SELECT name, coalesce(timetable_zone, zone) AS "zone!", website, contact_phone,
                  contact_email, language
           FROM company WHERE company_id = $1"#,
        company.0
    )
    .fetch_one(tx.conn())
    .await?;
    let zone = row.zone.parse();
    Ok(Agency {
        id: company.to_string(),
        name: row.name,
        zone: zone.map_err(|_| DbError::damaged(format!("company {company}")))?,
        website: row.website,
        phone: row.contact_phone,
        email: row.contact_email,
        language: row.language,
    })
}

/// The trips of some service days, without the cancelled.
pub(in crate::company) async fn trips(
    tx: &mut TenantTx,
    from: ServiceDate,
    until: ServiceDate,
) -> Result<Vec<NetworkTrip>, DbError> {
    let rows = sqlx::query!(
        "SELECT trip_id, route_code, run, boarding_closes_ms, body FROM trip
         WHERE company_id = $1 AND service_date BETWEEN $2::text::date AND $3::text::date
           AND state <> 'cancelled'
         ORDER BY trip_id",
        tx.company().0,
        from.to_string(),
        until.to_string()
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            let trip: Trip =
                from_cbor(&r.body).map_err(|_| DbError::damaged(format!("trip {}", r.trip_id)))?;
            Ok(NetworkTrip {
                trip,
                route: r.route_code,
                run: r.run,
                board: r.boarding_closes_ms.iter().map(|at| *at > 0).collect(),
            })
        })
        .collect()
}
