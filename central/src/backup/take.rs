//! `restore`.

use std::path::{Path, PathBuf};

use domain::ids::HubIncarnation;
use domain::restore::FIRST;
use domain::time::Instant;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::files::{copy, remove, rename, unfinished};
use super::manifest::Manifest;
use super::program::{Contents, JOBS, contents, run};
use super::{BackupError, Tell};
use crate::clock;
use crate::db::{Db, DbError};
use crate::keys::HubKeys;
use crate::postgres::{EmbeddedPostgres, Purpose};
use crate::restore::{Begun, begin_after};

/// How much memory an index may take while it is built.
const SETTINGS: &str = "-c maintenance_work_mem=256MB -c synchronous_commit=off";

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The data folder: it is made, with keys and certificates, and the database where no other
    /// one is named.
    pub folder: PathBuf,
    /// An empty database of somebody else's Postgres, as its owner.
    pub database_url: Option<String>,
    /// The highest installation of the hub that a device has met; a later one begins.
    pub after: Option<HubIncarnation>,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What the backup said of itself.
    pub manifest: Manifest,
    /// The installation that began.
    pub begun: Begun,
}

/// Restores a backup into a place that is empty, and begins another installation of the hub with
/// the pools of open trips frozen. What was begun and not finished is begun anew.
pub async fn take(from: &Path, target: &Target, tell: Tell<'_>) -> Result<Taken, BackupError> {
    let manifest = Manifest::read(from)?;
    let ours = Db::newest_migration();
    if manifest.schema > ours {
        let theirs = manifest.schema;
        return Err(BackupError::TooNew { theirs, ours });
    }
    tell("checking the backup's files");
    manifest.check(from)?;
    let is_empty = std::fs::read_dir(&target.folder).is_ok_and(|mut all| all.next().is_none());
    if target.folder.exists() && !is_empty {
        return Err(BackupError::Occupied(target.folder.clone()));
    }
    let folder = unfinished(&target.folder);
    remove(&folder)?;
    std::fs::create_dir_all(&folder).map_err(BackupError::file("cannot make", &folder))?;
    copy(&from.join("keys"), &folder.join("keys"))?;
    copy(&from.join("pki"), &folder.join("pki"))?;
    let keys = HubKeys::load_or_create(&folder.join("keys"))?;
    let begun = if let Some(url) = &target.database_url {
        fill(from, url, (&manifest, target.after), &keys, tell).await?
    } else {
        let cluster = folder.join("postgres");
        let embedded = EmbeddedPostgres::start(&cluster, Purpose::Command).await?;
        let begun = fill(
            from,
            &embedded.url(),
            (&manifest, target.after),
            &keys,
            tell,
        )
        .await;
        let stopped = tokio::task::spawn_blocking(move || embedded.stop()).await;
        let begun = begun?;
        stopped.map_err(|error| {
            BackupError::file("cannot stop", &cluster)(std::io::Error::other(error))
        })??;
        begun
    };
    if is_empty {
        remove(&target.folder)?;
    }
    rename(&folder, &target.folder)?;
    Ok(Taken { manifest, begun })
}

/// Fills a database and begins the installation. Until the end it is marked, and no hub serves it.
async fn fill(
    from: &Path,
    url: &str,
    (manifest, after): (&Manifest, Option<HubIncarnation>),
    keys: &HubKeys,
    tell: Tell<'_>,
) -> Result<Begun, BackupError> {
    prepare(url).await?;
    let database = from.join("database");
    let archive = database.to_string_lossy().into_owned();
    let Contents {
        objects: total,
        owner,
    } = contents(&archive)?;
    let stand_in = lend_role(url, owner.as_deref()).await?;
    let arguments = [
        format!("--jobs={JOBS}"),
        "--no-owner".to_owned(),
        "--exit-on-error".to_owned(),
        "--verbose".to_owned(),
        format!("--dbname={url}"),
        archive,
    ];
    let progress = |named: usize| {
        let named = named.min(total);
        format!("restoring the database: {named} of {total} objects")
    };
    tell(&progress(0));
    run("pg_restore", &arguments, SETTINGS, (tell, &progress))?;
    take_over_policies(url, stand_in).await?;
    tell("bringing the schema up to date");
    Db::migrate(url).await?;
    tell("counting");
    execute(url, "ANALYZE").await?;
    tell("beginning the new installation of the hub");
    let restore_point = Instant(manifest.restore_point_ms);
    let known = after.max(Some(HubIncarnation(manifest.hub_incarnation)));
    let known = (restore_point, known.unwrap_or(FIRST));
    let begun = begin_after(url, keys, known, clock::now()).await?;
    mark(url, false).await?;
    Ok(begun)
}

/// Makes the role that the archive's policies name, where this server has none; gives its name.
async fn lend_role(url: &str, owner: Option<&str>) -> Result<Option<String>, BackupError> {
    let Some(owner) = owner else {
        return Ok(None);
    };
    let mut own = PgConnection::connect(url).await.map_err(DbError::from)?;
    let create: Option<String> = sqlx::query_scalar(
        "SELECT format('CREATE ROLE %I NOLOGIN', $1::text)
         WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)",
    )
    .bind(owner)
    .fetch_optional(&mut own)
    .await
    .map_err(DbError::from)?;
    own.close().await.map_err(DbError::from)?;
    if let Some(create) = &create {
        execute(url, create).await?;
    }
    Ok(create.map(|_| owner.to_owned()))
}

/// What the former owner might look up, the owner of this database may; a role that was made for
/// the policies alone goes.
async fn take_over_policies(url: &str, stand_in: Option<String>) -> Result<(), BackupError> {
    execute(
        url,
        "DO $$
         DECLARE
             own record;
         BEGIN
             FOR own IN SELECT tablename, policyname FROM pg_policies
                        WHERE schemaname = 'public' AND starts_with(policyname, 'owner_') LOOP
                 EXECUTE format('ALTER POLICY %I ON %I TO %I', own.policyname, own.tablename,
                     current_user);
             END LOOP;
         END
         $$",
    )
    .await?;
    if let Some(role) = stand_in {
        execute(url, &format!("DROP ROLE \"{}\"", role.replace('"', "\"\""))).await?;
    }
    Ok(())
}

/// Makes sure that the database is empty, marks it, and makes what belongs to the whole server.
async fn prepare(url: &str) -> Result<(), BackupError> {
    let mut owner = PgConnection::connect(url).await.map_err(DbError::from)?;
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
             AND c.relkind IN ('r', 'p', 'v', 'm', 'S')",
    )
    .fetch_one(&mut owner)
    .await
    .map_err(DbError::from)?;
    owner.close().await.map_err(DbError::from)?;
    if tables > 0 {
        return Err(BackupError::DatabaseNotEmpty);
    }
    mark(url, true).await?;
    execute(
        url,
        "DO $$
         BEGIN
             BEGIN
                 CREATE ROLE mwimule_app NOLOGIN NOBYPASSRLS;
             EXCEPTION WHEN duplicate_object OR unique_violation THEN
                 NULL;
             END;
             IF NOT pg_has_role(current_user, 'mwimule_app', 'MEMBER') THEN
                 EXECUTE format('GRANT mwimule_app TO %I', current_user);
             END IF;
         END
         $$",
    )
    .await
}

async fn mark(url: &str, restoring: bool) -> Result<(), BackupError> {
    let change = if restoring {
        "SET mwimule.restoring = ''yes''"
    } else {
        "RESET mwimule.restoring"
    };
    let statement = format!(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {change}', current_database()); END $$"
    );
    execute(url, &statement).await
}

async fn execute(url: &str, statement: &str) -> Result<(), BackupError> {
    let mut owner = PgConnection::connect(url).await.map_err(DbError::from)?;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut owner)
        .await
        .map_err(DbError::from)?;
    owner.close().await.map_err(DbError::from)?;
    Ok(())
}
