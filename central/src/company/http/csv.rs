//! Lists in and out as CSV.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Caller;
use crate::clock;
use crate::company::csv::{LISTS, list_named, list_names};
use crate::csvio::{self, AnyList, CsvError, Tally};
use crate::http::extract::{Asked, Named};
use crate::http::{Api, Problem};

const CSV: &str = "text/csv; charset=utf-8";

/// A file may be larger than other bodies.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(lists))
        .routes(routes!(export, import))
        .layer(DefaultBodyLimit::max(csvio::BYTES_MAX))
}

/// A list and its columns.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"list": "stops", "read": "company:read", "write": "company:write",
    "columns": [{"name": "code", "needed": true, "what": "1 to 64 characters; never changes"}]}))]
pub struct ListView {
    /// Its name in the address.
    list: &'static str,
    /// The permission to export it.
    read: &'static str,
    /// The permission to import it.
    write: &'static str,
    /// In the order of an export.
    columns: Vec<ColumnView>,
}

/// A column of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ColumnView {
    /// Its name in the header.
    name: &'static str,
    /// A file without it is refused.
    needed: bool,
    /// What stands in it.
    what: &'static str,
}

/// What to do with a file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportAsked {
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// What a file did, or would do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"list": "stops", "written": true, "created": 3, "updated": 1,
    "unchanged": 40, "faults": [], "faults_not_listed": 0}))]
pub struct ImportView {
    /// Which list.
    list: &'static str,
    /// Whether anything was written: no after a dry run.
    written: bool,
    /// Counts and faults.
    #[serde(flatten)]
    tally: Tally,
}

fn known(name: &str) -> Result<&'static dyn AnyList, Problem> {
    list_named(name).ok_or_else(|| {
        let detail = format!("there is no such list; the lists are {}", list_names());
        Problem::not_found(detail)
    })
}

/// The lists that come and go as CSV, and their columns.
#[utoipa::path(get, path = "/csv", operation_id = "csv_lists", tag = "csv", security(()),
    responses((status = 200, body = Vec<ListView>), (status = "default", body = Problem)))]
pub async fn lists() -> Json<Vec<ListView>> {
    let view = |list: &&'static dyn AnyList| ListView {
        list: list.name(),
        read: list.read_permission().as_str(),
        write: list.write_permission().as_str(),
        columns: list
            .columns()
            .iter()
            .map(|c| ColumnView {
                name: c.name,
                needed: c.needed,
                what: c.what,
            })
            .collect(),
    };
    Json(LISTS.iter().map(view).collect())
}

/// A list as CSV: comma separated, UTF-8, CRLF; what could be a formula has an apostrophe in front.
/// Some lists ask for another permission, which `/csv` names.
#[utoipa::path(get, path = "/csv/{list}", operation_id = "csv_export", tag = "csv",
    params(("list" = String, Path, description = "A name out of `/csv`.", example = "stops")),
    security(("bearer" = ["company:read"])),
    responses((status = 200, content_type = "text/csv", body = String,
            example = json!("code,name,lat,lon,fare_zone,zone\r\nLUN,Lusaka,-15.419,28.279,LUN,Africa/Lusaka\r\n")),
        (status = 404, body = Problem), (status = "default", body = Problem)))]
pub async fn export(
    State(api): State<Api>,
    caller: Caller,
    Named(name): Named<String>,
) -> Result<([(HeaderName, String); 2], Vec<u8>), Problem> {
    let Ok(list) = known(&name) else {
        caller.may(crate::access::Permission::CompanyRead)?;
        return Err(Problem::not_found(format!(
            "the lists are {}",
            list_names()
        )));
    };
    let staff = caller.may(list.read_permission())?;
    let mut tx = api.db.tenant(staff.company).await?;
    let bytes = csvio::export(list, &mut tx).await?;
    let name = format!("attachment; filename=\"{}.csv\"", list.name());
    let headers = [
        (header::CONTENT_TYPE, CSV.to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, bytes))
}

/// Brings a list in, whole or not at all. Comma or semicolon, UTF-8 with or without byte order
/// mark, at most 4 MiB and 20,000 rows. Rows that are there are changed, none is deleted; the same
/// file again changes nothing. Some lists ask for another permission, which `/csv` names.
#[utoipa::path(post, path = "/csv/{list}", operation_id = "csv_import", tag = "csv",
    params(("list" = String, Path, description = "A name out of `/csv`.", example = "stops"),
        ImportAsked),
    request_body(content = String, content_type = "text/csv",
        example = json!("code,name,zone\nLUN,Lusaka,Africa/Lusaka\n")),
    security(("bearer" = ["company:write"])),
    responses((status = 200, body = ImportView, description = "Written, or what a dry run found."),
        (status = 404, body = Problem),
        (status = 413, body = Problem, description = "More than 4 MiB."),
        (status = 415, body = Problem, description = "Not text/csv."),
        (status = 422, body = Problem, description = "No such file, or rows with faults: nothing was written."),
        (status = "default", body = Problem)))]
pub async fn import(
    State(api): State<Api>,
    caller: Caller,
    Named(name): Named<String>,
    Asked(asked): Asked<ImportAsked>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ImportView>, Problem> {
    let Ok(list) = known(&name) else {
        caller.may(crate::access::Permission::CompanyWrite)?;
        return Err(Problem::not_found(format!(
            "the lists are {}",
            list_names()
        )));
    };
    let staff = caller.may(list.write_permission())?;
    if !is_csv(&headers) {
        let detail = "send the file as text/csv";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(
            status,
            "unsupported-media-type",
            "Not CSV",
            detail,
        ));
    }
    let bytes = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
        _ => Problem::bad_request("the body ended early"),
    })?;
    let mut tx = api.db.tenant(staff.company).await?;
    let by = staff.identity.into();
    let tally = csvio::import(list, &mut tx, &bytes, by, clock::now()).await?;
    let written = !asked.dry_run && tally.is_clean();
    if written {
        tx.commit().await?;
    } else {
        tx.rollback().await?;
    }
    if !written && !asked.dry_run {
        return Err(faulty(list.name(), &tally));
    }
    Ok(Json(ImportView {
        list: list.name(),
        written,
        tally,
    }))
}

fn is_csv(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("text/csv")
}

fn faulty(list: &str, tally: &Tally) -> Problem {
    let count = tally.faults.len() + tally.faults_not_listed;
    let detail = format!("{count} faults: mend the rows and send the whole file again");
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::new(status, "csv-rows", "Rows with faults", detail)
        .with("list", list)
        .with("faults", json!(tally.faults))
        .with("faults_not_listed", json!(tally.faults_not_listed))
}

impl From<CsvError> for Problem {
    fn from(error: CsvError) -> Self {
        match error {
            CsvError::Sheet(error) => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Self::new(status, "csv-file", "Not such a file", error.to_string())
            }
            CsvError::Db(error) => error.into(),
        }
    }
}
