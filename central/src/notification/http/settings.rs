//! How long a company keeps what it told.

use axum::extract::State;

use crate::access::{Caller, Permission};
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::Body;
use crate::http::settings::settings_routes;
use crate::http::{Api, Problem};
use crate::notification::{Settings, db};

fn checked(settings: Settings) -> Result<Settings, Problem> {
    settings.checked()
}

settings_routes! {
    "notifications", "/notifications/settings", Settings, "notifications.settings",
    show: "notifications_settings_show"
        "For how long messages, told events and deliveries of webhooks are kept.",
    change: "notifications_settings_change" "Changes that; what is older goes within the hour.",
}
