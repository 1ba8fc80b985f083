//! `backup`.

use std::path::Path;

use sqlx::{Connection as _, PgConnection};

use super::files::{bytes_under, copy, make_folder, remove, rename, unfinished};
use super::manifest::Manifest;
use super::program::{JOBS, run};
use super::{BackupError, Tell};
use crate::clock;
use crate::db::DbError;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it says of itself.
    pub manifest: Manifest,
    /// How much it is.
    pub bytes: u64,
}

/// Writes a backup of a database and of the hub's keys and certificates to `to`, which must not be
/// there. Runs beside a hub that sells: everything committed before it began is in it.
pub async fn make(
    url: &str,
    (keys, pki): (&Path, &Path),
    to: &Path,
    tell: Tell<'_>,
) -> Result<Made, BackupError> {
    if to.exists() {
        return Err(BackupError::Occupied(to.to_owned()));
    }
    let folder = unfinished(to);
    remove(&folder)?;
    make_folder(&folder)?;
    let about = about(url).await?;
    tell("writing the database");
    let database = folder.join("database");
    let arguments = [
        "--format=directory".to_owned(),
        format!("--jobs={JOBS}"),
        "--compress=1".to_owned(),
        "--verbose".to_owned(),
        "--no-owner".to_owned(),
        format!("--file={}", database.display()),
        format!("--dbname={url}"),
    ];
    let progress = |named| {
        let mega = bytes_under(&database) / 1_000_000;
        format!("writing the database: {named} tables begun, {mega} MB")
    };
    run("pg_dump", &arguments, "", (tell, &progress))?;
    // Keys are added and never taken away: those of after the snapshot do no harm.
    tell("copying keys and certificates");
    copy(keys, &folder.join("keys"))?;
    copy(pki, &folder.join("pki"))?;
    tell("adding up");
    let manifest = about.seal(&folder)?;
    let bytes = bytes_under(&folder);
    rename(&folder, to)?;
    Ok(Made { manifest, bytes })
}

/// What the backup will be of; its moment is before the snapshot.
async fn about(url: &str) -> Result<Manifest, BackupError> {
    let restore_point = clock::now();
    let mut owner = PgConnection::connect(url).await.map_err(DbError::from)?;
    let asked = async {
        let schema: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut owner)
            .await?;
        let hub: i32 = sqlx::query_scalar("SELECT incarnation FROM hub")
            .fetch_one(&mut owner)
            .await?;
        Ok::<_, sqlx::Error>((schema, hub))
    };
    let (schema, hub) = asked.await.map_err(DbError::from)?;
    owner.close().await.map_err(DbError::from)?;
    Ok(Manifest {
        format: 0,
        program: concat!("mwimule-hub ", env!("CARGO_PKG_VERSION")).to_owned(),
        schema,
        hub_incarnation: hub as u32,
        restore_point_ms: restore_point.0,
        restore_point: restore_point.to_string(),
        files: vec![],
    })
}
