//! Who may see a company's rows: the holder of a bearer token.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use domain::ids::CompanyId;
use utoipa::Modify;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use super::Api;
use super::problem::Problem;
use crate::company;

/// The office of one company.
#[derive(Debug, Clone, Copy)]
pub struct Office(pub CompanyId);

async fn office_of(parts: &Parts, api: &Api) -> Result<Option<Office>, Problem> {
    let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let token = header
        .to_str()
        .ok()
        .and_then(|h| h.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let Some(token) = token else {
        return Err(Problem::unauthorized());
    };
    match company::company_of_token(&api.db, token).await? {
        Some(company) => Ok(Some(Office(company))),
        None => Err(Problem::unauthorized()),
    }
}

impl FromRequestParts<Api> for Office {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        office_of(parts, api)
            .await?
            .ok_or_else(Problem::unauthorized)
    }
}

/// Without a token the public view; with a wrong one an error, so that nobody is misled.
impl OptionalFromRequestParts<Api> for Office {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Option<Self>, Problem> {
        office_of(parts, api).await
    }
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
