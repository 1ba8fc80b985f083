//! How a company runs its day.

use axum::extract::State;

use crate::access::{Caller, Permission};
use crate::company::OfficeError;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::Body;
use crate::http::settings::settings_routes;
use crate::http::{Api, Problem};
use crate::operations::Settings;
use crate::operations::db;

fn checked(settings: Settings) -> Result<Settings, Problem> {
    Ok(settings.checked().map_err(OfficeError::from)?)
}

settings_routes! {
    "operations", "/operations/settings", Settings, "operations.settings",
    show: "operations_settings_show"
        "Driving hours, how far ahead schedules become trips, when a trip departs by itself.",
    change: "operations_settings_change" "Changes them.",
}
