//! Who asks: read off a request before its handler runs.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use utoipa::Modify;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use super::Api;
use super::problem::Problem;
use crate::access::{Caller, Identity, Permission, Permissions};
use crate::company;

/// Nobody in particular without an `Authorization` header; with a wrong one an error, so that
/// nobody is misled.
impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
            return Ok(Self::ANONYMOUS);
        };
        let token = header
            .to_str()
            .ok()
            .and_then(|h| h.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(Problem::unauthorized)?;
        key_holder(api, token).await
    }
}

/// Who holds a company's API key. A key without scopes may do what a company's admin may.
async fn key_holder(api: &Api, token: &str) -> Result<Caller, Problem> {
    let known = company::caller_of_token(&api.db, token).await?;
    let (company, id, scopes) = known.ok_or_else(Problem::unauthorized)?;
    let all: Permissions = Permission::ALL
        .into_iter()
        .filter(|p| *p != Permission::Hub)
        .collect();
    let permissions = scopes.map_or(all, |scopes| {
        let named = scopes.iter().filter_map(|s| s.parse::<Permission>().ok());
        named.collect::<Permissions>().and(all)
    });
    Ok(Caller {
        identity: Identity::Key(id),
        company: Some(company),
        permissions,
    })
}

/// Tells the OpenAPI document how to authenticate.
pub struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("bearer", scheme);
    }
}
