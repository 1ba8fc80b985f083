//! How a company follows its buses.

use axum::extract::State;

use crate::access::{Caller, Permission};
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::Body;
use crate::http::settings::settings_routes;
use crate::http::{Api, Problem};
use crate::tracking::{Settings, db};

fn checked(settings: Settings) -> Result<Settings, Problem> {
    settings.checked()
}

settings_routes! {
    "tracking", "/tracking/settings", Settings, "tracking.settings",
    show: "tracking_settings_show"
        "From when buses are followed, how long fixes are kept, whether fixes move trips and \
         whether everybody sees vehicles.",
    change: "tracking_settings_change" "Changes them; they count within seconds.",
}
