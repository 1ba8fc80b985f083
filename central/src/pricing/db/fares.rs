//! Fares and the tables that nodes sell at.

use domain::codec::{from_cbor, to_cbor};
use domain::fare::{FareRow, FareTable};
use domain::ids::StopCode;
use domain::money::{Currency, Minor};
use domain::time::{ServiceDate, Zone};

use super::{class_of, currency_of, day_of, day_text, validity_of};
use crate::db::DbError;
use crate::pricing::fares::Fare;
use crate::pricing::rules::{DatedFare, Validity};
use crate::tenant::TenantTx;

/// What one stop pair costs, and what else a price asks of the database.
pub(in crate::pricing) struct PairFares {
    pub(in crate::pricing) zone: Zone,
    pub(in crate::pricing) route_code: String,
    /// Of the company's prices.
    pub(in crate::pricing) price_version: i64,
    /// The fares of the pair; none where the table is not adopted.
    pub(in crate::pricing) fares: Vec<DatedFare>,
    /// Whether the rows are the truth, not the table's body.
    pub(in crate::pricing) adopted: bool,
}

pub(in crate::pricing) async fn of_pair(
    tx: &mut TenantTx,
    trip: &domain::trip::Trip,
    from: &StopCode,
    to: &StopCode,
) -> Result<PairFares, DbError> {
    let row = sqlx::query!(
        r#"SELECT c.zone,
               coalesce((SELECT t.route_code FROM trip t
                         WHERE t.company_id = c.company_id AND t.trip_id = $2), '') AS "route!",
               coalesce((SELECT t.adopted FROM fare_table t
                         WHERE t.company_id = c.company_id AND t.fare_table_id = $3), false)
                   AS "adopted!",
               coalesce((SELECT p.version FROM price_version p
                         WHERE p.company_id = c.company_id), 0) AS "price_version!",
               array_agg(f.class) FILTER (WHERE f.class IS NOT NULL) AS classes,
               array_agg(f.fare_minor) FILTER (WHERE f.class IS NOT NULL) AS fares,
               array_agg(coalesce(f.valid_from::text, '')) FILTER (WHERE f.class IS NOT NULL)
                   AS froms,
               array_agg(coalesce(f.valid_until::text, '')) FILTER (WHERE f.class IS NOT NULL)
                   AS untils
           FROM company c
           LEFT JOIN fare f ON f.company_id = c.company_id AND f.fare_table_id = $3
               AND f.from_stop = $4 AND f.to_stop = $5
           WHERE c.company_id = $1
           GROUP BY c.company_id, c.zone"#,
        tx.company().0,
        trip.id.0 as i64,
        trip.fare_table,
        from.0,
        to.0
    )
    .fetch_one(tx.conn())
    .await?;
    let columns = row
        .classes
        .unwrap_or_default()
        .into_iter()
        .zip(row.fares.unwrap_or_default())
        .zip(row.froms.unwrap_or_default())
        .zip(row.untils.unwrap_or_default());
    let day = |text: String| day_of(Some(text).filter(|t| !t.is_empty()));
    let fares: Result<Vec<DatedFare>, DbError> = columns
        .map(|(((class, fare), from), until)| {
            Ok(DatedFare {
                class: class_of(class)?,
                fare_minor: Minor(fare),
                valid: Validity {
                    from: day(from)?,
                    until: day(until)?,
                },
            })
        })
        .collect();
    let zone = row.zone.parse();
    Ok(PairFares {
        zone: zone.map_err(|_| DbError::damaged(format!("the time zone {}", row.zone)))?,
        route_code: row.route,
        price_version: row.price_version,
        fares: fares?,
        adopted: row.adopted,
    })
}

/// A table's row, locked to the end of the transaction.
pub(in crate::pricing) struct StoredTable {
    pub(in crate::pricing) currency: Currency,
    pub(in crate::pricing) body: Vec<u8>,
    pub(in crate::pricing) adopted: bool,
    pub(in crate::pricing) published_on: Option<ServiceDate>,
}

pub(in crate::pricing) async fn lock_table(
    tx: &mut TenantTx,
    table: &str,
) -> Result<Option<StoredTable>, DbError> {
    let row = sqlx::query!(
        "SELECT currency, body, adopted, published_on::text AS published_on FROM fare_table
         WHERE company_id = $1 AND fare_table_id = $2 FOR UPDATE",
        tx.company().0,
        table
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(|r| {
        Ok(StoredTable {
            currency: currency_of(&r.currency)?,
            body: r.body,
            adopted: r.adopted,
            published_on: day_of(r.published_on)?,
        })
    })
    .transpose()
}

/// Whether the table was not there.
pub(in crate::pricing) async fn insert_table(
    tx: &mut TenantTx,
    table: &str,
    currency: Currency,
) -> Result<bool, DbError> {
    let empty = FareTable {
        id: table.to_owned(),
        currency,
        rows: vec![],
    };
    let done = sqlx::query!(
        "INSERT INTO fare_table (company_id, fare_table_id, currency, body, adopted)
         VALUES ($1, $2, $3, $4, true) ON CONFLICT DO NOTHING",
        tx.company().0,
        table,
        currency.as_str(),
        to_cbor(&empty)
    )
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(in crate::pricing) async fn put_body(
    tx: &mut TenantTx,
    table: &FareTable,
    on: Option<ServiceDate>,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE fare_table SET currency = $3, body = $4, adopted = true,
             published_on = $5::text::date
         WHERE company_id = $1 AND fare_table_id = $2",
        tx.company().0,
        table.id,
        table.currency.as_str(),
        to_cbor(table),
        day_text(on)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Undated fares become these; dated ones stay. Gives how many rows changed.
pub(in crate::pricing) async fn replace_undated(
    tx: &mut TenantTx,
    table: &str,
    rows: &[FareRow],
) -> Result<u64, DbError> {
    let from: Vec<String> = rows.iter().map(|r| r.from.0.clone()).collect();
    let to: Vec<String> = rows.iter().map(|r| r.to.0.clone()).collect();
    let classes: Vec<i16> = rows.iter().map(|r| i16::from(r.class.code())).collect();
    let fares: Vec<i64> = rows.iter().map(|r| r.fare_minor.0).collect();
    let gone = sqlx::query!(
        "DELETE FROM fare f
         WHERE f.company_id = $1 AND f.fare_table_id = $2
             AND f.valid_from IS NULL AND f.valid_until IS NULL
             AND NOT EXISTS (SELECT FROM UNNEST($3::text[], $4::text[], $5::smallint[])
                                 AS w(a, b, class)
                             WHERE (w.a, w.b, w.class) = (f.from_stop, f.to_stop, f.class))",
        tx.company().0,
        table,
        &from,
        &to,
        &classes
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    let written = sqlx::query!(
        "INSERT INTO fare AS f (company_id, fare_id, fare_table_id, from_stop, to_stop, class,
             fare_minor)
         SELECT $1, gen_random_uuid(), $2, w.* FROM UNNEST($3::text[], $4::text[],
             $5::smallint[], $6::bigint[]) AS w
         ON CONFLICT ON CONSTRAINT fare_once DO UPDATE
         SET fare_minor = EXCLUDED.fare_minor, version = f.version + 1
         WHERE f.fare_minor <> EXCLUDED.fare_minor",
        tx.company().0,
        table,
        &from,
        &to,
        &classes,
        &fares
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    Ok(gone + written)
}

/// The fares of a table that hold on a day; without one, those that always hold.
pub(in crate::pricing) async fn in_force(
    tx: &mut TenantTx,
    table: &str,
    on: Option<ServiceDate>,
) -> Result<Vec<FareRow>, DbError> {
    let rows = sqlx::query!(
        "SELECT DISTINCT ON (from_stop, to_stop, class) from_stop, to_stop, class, fare_minor
         FROM fare
         WHERE company_id = $1 AND fare_table_id = $2
             AND (valid_from IS NULL OR valid_from <= $3::text::date)
             AND (valid_until IS NULL OR valid_until >= $3::text::date)
         ORDER BY from_stop, to_stop, class, valid_from DESC NULLS LAST",
        tx.company().0,
        table,
        day_text(on)
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter()
        .map(|r| {
            Ok(FareRow {
                from: StopCode(r.from_stop),
                to: StopCode(r.to_stop),
                class: class_of(r.class)?,
                fare_minor: Minor(r.fare_minor),
            })
        })
        .collect()
}

/// Adopted tables whose body is of another day than this.
pub(in crate::pricing) async fn stale_tables(
    tx: &mut TenantTx,
    today: ServiceDate,
) -> Result<Vec<String>, DbError> {
    let rows = sqlx::query_scalar!(
        "SELECT fare_table_id FROM fare_table
         WHERE company_id = $1 AND adopted
             AND (published_on IS NULL OR published_on < $2::text::date)
         ORDER BY fare_table_id",
        tx.company().0,
        today.to_string()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows)
}

pub(in crate::pricing) async fn tables(
    tx: &mut TenantTx,
    after: &str,
    limit: i64,
) -> Result<Vec<(String, String, i64)>, DbError> {
    let rows = sqlx::query!(
        r#"SELECT t.fare_table_id, t.currency,
               (SELECT count(*) FROM fare f WHERE f.company_id = t.company_id
                    AND f.fare_table_id = t.fare_table_id) AS "fares!"
           FROM fare_table t
           WHERE t.company_id = $1 AND t.fare_table_id > $2
           ORDER BY t.fare_table_id LIMIT $3"#,
        tx.company().0,
        after,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|r| (r.fare_table_id, r.currency, r.fares))
        .collect())
}

/// Which fares a list shows.
#[derive(Debug, Clone, Default)]
pub(in crate::pricing) struct FareFilter {
    pub(in crate::pricing) table: Option<String>,
    pub(in crate::pricing) from: Option<String>,
    pub(in crate::pricing) to: Option<String>,
    pub(in crate::pricing) class: Option<i16>,
    pub(in crate::pricing) on: Option<ServiceDate>,
}

struct FareColumns {
    fare_table_id: String,
    currency: String,
    from_stop: String,
    to_stop: String,
    class: i16,
    fare_minor: i64,
    valid_from: Option<String>,
    valid_until: Option<String>,
    version: i32,
}

impl FareColumns {
    fn read(self) -> Result<Fare, DbError> {
        Ok(Fare {
            table: self.fare_table_id,
            currency: currency_of(&self.currency)?,
            from: StopCode(self.from_stop),
            to: StopCode(self.to_stop),
            fare: DatedFare {
                class: class_of(self.class)?,
                fare_minor: Minor(self.fare_minor),
                valid: validity_of(self.valid_from, self.valid_until)?,
            },
            version: self.version,
        })
    }
}

/// Fares in the order of their keys: table, stops, class and first day with `~` between.
pub(in crate::pricing) async fn list(
    tx: &mut TenantTx,
    filter: &FareFilter,
    after: &str,
    limit: i64,
) -> Result<Vec<Fare>, DbError> {
    let rows = sqlx::query_as!(
        FareColumns,
        "SELECT f.fare_table_id, t.currency, f.from_stop, f.to_stop, f.class,
             f.fare_minor, f.valid_from::text, f.valid_until::text, f.version
         FROM fare f JOIN fare_table t USING (company_id, fare_table_id)
         WHERE f.company_id = $1
             AND concat_ws('~', f.fare_table_id, f.from_stop, f.to_stop, f.class,
                 coalesce(f.valid_from::text, 'always')) > $2
             AND ($4::text IS NULL OR f.fare_table_id = $4)
             AND ($5::text IS NULL OR f.from_stop = $5)
             AND ($6::text IS NULL OR f.to_stop = $6)
             AND ($7::smallint IS NULL OR f.class = $7)
             AND ($8::text IS NULL OR ((f.valid_from IS NULL OR f.valid_from <= $8::date)
                 AND (f.valid_until IS NULL OR f.valid_until >= $8::date)))
         ORDER BY concat_ws('~', f.fare_table_id, f.from_stop, f.to_stop, f.class,
             coalesce(f.valid_from::text, 'always')) LIMIT $3",
        tx.company().0,
        after,
        limit,
        filter.table,
        filter.from,
        filter.to,
        filter.class,
        day_text(filter.on)
    )
    .fetch_all(tx.conn())
    .await?;
    rows.into_iter().map(FareColumns::read).collect()
}

/// One, its row locked to the end of the transaction.
pub(in crate::pricing) async fn lock(
    tx: &mut TenantTx,
    key: &str,
) -> Result<Option<Fare>, DbError> {
    let row = sqlx::query_as!(
        FareColumns,
        "SELECT f.fare_table_id, t.currency, f.from_stop, f.to_stop, f.class,
             f.fare_minor, f.valid_from::text, f.valid_until::text, f.version
         FROM fare f JOIN fare_table t USING (company_id, fare_table_id)
         WHERE f.company_id = $1
             AND concat_ws('~', f.fare_table_id, f.from_stop, f.to_stop, f.class,
                 coalesce(f.valid_from::text, 'always')) = $2
         FOR UPDATE OF f",
        tx.company().0,
        key
    )
    .fetch_optional(tx.conn())
    .await?;
    row.map(FareColumns::read).transpose()
}

/// Makes one that is not there.
pub(in crate::pricing) async fn insert(tx: &mut TenantTx, fare: &Fare) -> Result<(), DbError> {
    sqlx::query!(
        "INSERT INTO fare (company_id, fare_id, fare_table_id, from_stop, to_stop, class,
             fare_minor, valid_from, valid_until)
         VALUES ($1, gen_random_uuid(), $2, $3, $4, $5, $6, $7::text::date, $8::text::date)",
        tx.company().0,
        fare.table,
        fare.from.0,
        fare.to.0,
        i16::from(fare.fare.class.code()),
        fare.fare.fare_minor.0,
        day_text(fare.fare.valid.from),
        day_text(fare.fare.valid.until)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Changes what one costs and its last day; steps its version.
pub(in crate::pricing) async fn update(tx: &mut TenantTx, fare: &Fare) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "UPDATE fare SET fare_minor = $6, valid_until = $7::text::date, version = version + 1
         WHERE company_id = $1 AND fare_table_id = $2 AND from_stop = $3 AND to_stop = $4
             AND class = $5 AND valid_from IS NOT DISTINCT FROM $8::text::date
         RETURNING version",
        tx.company().0,
        fare.table,
        fare.from.0,
        fare.to.0,
        i16::from(fare.fare.class.code()),
        fare.fare.fare_minor.0,
        day_text(fare.fare.valid.until),
        day_text(fare.fare.valid.from)
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

pub(in crate::pricing) async fn delete(tx: &mut TenantTx, key: &str) -> Result<(), DbError> {
    sqlx::query!(
        "DELETE FROM fare
         WHERE company_id = $1
             AND concat_ws('~', fare_table_id, from_stop, to_stop, class,
                 coalesce(valid_from::text, 'always')) = $2",
        tx.company().0,
        key
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The table's fares were touched: what nodes know of it is to be looked at.
pub(in crate::pricing) async fn touch(tx: &mut TenantTx, table: &str) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE fare_table SET published_on = NULL WHERE company_id = $1 AND fare_table_id = $2",
        tx.company().0,
        table
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Which of these stops the company does not have.
pub(in crate::pricing) async fn knows_stops(
    tx: &mut TenantTx,
    codes: &[String],
) -> Result<Vec<String>, DbError> {
    let known = sqlx::query_scalar!(
        "SELECT stop_code FROM stop WHERE company_id = $1 AND stop_code = ANY($2)",
        tx.company().0,
        codes
    )
    .fetch_all(tx.conn())
    .await?;
    let unknown = codes.iter().filter(|code| !known.contains(code));
    Ok(unknown.cloned().collect())
}

/// The fares of a table as its body says, in the order of the rows.
pub(in crate::pricing) fn read_body(body: &[u8]) -> Result<FareTable, DbError> {
    from_cbor(body).map_err(|_| DbError::damaged("a fare table"))
}
