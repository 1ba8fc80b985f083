//! What is told of a request once it has been answered: to the metrics and to the log.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use tracing::Span;

use crate::http::Api;
use crate::metrics::Running;
use crate::telemetry::ACCESS;

/// What requests to no route are counted under.
const NOWHERE: &str = "none";

/// A request that is being worked on.
pub struct Told {
    began: Instant,
    method: &'static str,
    route: String,
    _running: Running,
}

impl Told {
    /// It begins.
    pub fn begin(api: &Api, request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        Self {
            began: Instant::now(),
            method: known(request.method()),
            route: route.map_or(NOWHERE, MatchedPath::as_str).to_owned(),
            _running: api.db.metrics().request_begins(),
        }
    }

    /// Like `GET /trips/{trip}`.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.route)
    }

    /// It has been answered.
    pub fn end(self, api: &Api, span: &Span, status: StatusCode) {
        let (status, took) = (status.as_u16(), self.began.elapsed());
        let metrics = api.db.metrics();
        metrics.answered(self.method, &self.route, status, took);
        span.record("http.response.status_code", status);
        let _inside = span.enter();
        let took_ms = took.as_secs_f64() * 1_000.0;
        tracing::info!(target: ACCESS, status, took_ms, route = self.route, "answered");
    }
}

/// A method as a label: callers may invent their own.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
