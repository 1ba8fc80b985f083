//! A company's own row.

use domain::money::Currency;

use crate::company::settings::Settings;
use crate::db::DbError;
use crate::tenant::TenantTx;

/// The company's settings and their version, locked.
pub(in crate::company) async fn lock(tx: &mut TenantTx) -> Result<(i32, Settings), DbError> {
    let row = sqlx::query!(
        "SELECT name, zone, currency, language, contact_email, contact_phone, address, website,
                version
         FROM company WHERE company_id = $1 FOR NO KEY UPDATE",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    let settings = Settings {
        company: tx.company().0,
        name: row.name,
        zone: row.zone,
        currency: row.currency,
        language: row.language,
        contact_email: row.contact_email,
        contact_phone: row.contact_phone,
        address: row.address,
        website: row.website,
    };
    Ok((row.version, settings))
}

pub(in crate::company) async fn update(
    tx: &mut TenantTx,
    settings: &Settings,
) -> Result<i32, DbError> {
    let version = sqlx::query_scalar!(
        "UPDATE company
         SET name = $2, zone = $3, currency = $4, language = $5, contact_email = $6,
             contact_phone = $7, address = $8, website = $9, version = version + 1
         WHERE company_id = $1 RETURNING version",
        tx.company().0,
        settings.name,
        settings.zone,
        settings.currency,
        settings.language,
        settings.contact_email,
        settings.contact_phone,
        settings.address,
        settings.website
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(version)
}

/// Whether anything was ever priced, sold or booked in the company's currency.
pub(in crate::company) async fn has_money(tx: &mut TenantTx) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT (EXISTS (SELECT FROM ledger_account WHERE company_id = $1)
                OR EXISTS (SELECT FROM booking WHERE company_id = $1)
                OR EXISTS (SELECT FROM ticket WHERE company_id = $1)
                OR EXISTS (SELECT FROM fare_table WHERE company_id = $1)) AS "money!""#,
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?)
}

/// What the company is paid in.
pub(in crate::company) async fn currency(tx: &mut TenantTx) -> Result<Currency, DbError> {
    let code = sqlx::query_scalar!(
        "SELECT currency FROM company WHERE company_id = $1",
        tx.company().0
    )
    .fetch_one(tx.conn())
    .await?;
    let company = tx.company();
    code.parse()
        .map_err(|_| DbError::damaged(format!("company {company}")))
}

pub(in crate::company) async fn set_timetable_zone(
    tx: &mut TenantTx,
    zone: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        "UPDATE company SET timetable_zone = $2
         WHERE company_id = $1 AND timetable_zone IS DISTINCT FROM $2",
        tx.company().0,
        zone
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
