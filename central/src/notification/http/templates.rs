//! What messages say, before anybody is told.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::{Caller, Permission};
use crate::http::Problem;
use crate::http::extract::{Asked, Named};
use crate::notification::Kind;
use crate::notification::template::{Language, examples, is_checked, render};

/// A language and whether its texts can be relied on.
#[derive(Debug, Serialize, ToSchema)]
pub struct LanguageView {
    /// `en`, `fr`, `sw` or `bem`.
    language: &'static str,
    /// Whether a speaker of the language has read its texts.
    checked: bool,
}

/// Every template.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "kinds": ["ticket_sold", "trip_delayed"],
    "languages": [{ "language": "en", "checked": true }, { "language": "bem", "checked": false }] }))]
pub struct TemplatesView {
    /// Their names.
    kinds: Vec<&'static str>,
    /// What they are written in.
    languages: Vec<LanguageView>,
}

/// Which kinds of messages there are, and in which languages.
#[utoipa::path(get, path = "/notification-templates", tag = "notifications",
    operation_id = "templates_list", security(("bearer" = ["company:read"])),
    responses((status = 200, body = TemplatesView), (status = "default", body = Problem)))]
pub async fn list(caller: Caller) -> Result<Json<TemplatesView>, Problem> {
    caller.may(Permission::CompanyRead)?;
    let languages = Language::ALL.map(|language| LanguageView {
        language: language.as_str(),
        checked: is_checked(language),
    });
    Ok(Json(TemplatesView {
        kinds: Kind::ALL.iter().map(|kind| kind.as_str()).collect(),
        languages: languages.into(),
    }))
}

/// In which language.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TemplatePreviewAsked {
    /// `en`, `fr`, `sw` or `bem`; `en` unless told.
    #[param(max_length = 10, example = "bem")]
    language: Option<String>,
}

/// A message as it would read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "kind": "node_back", "language": "en", "checked": true,
    "title": "Lusaka 1 is back", "short": "Mwimule Coaches: Lusaka 1 is back after 25 hours.",
    "long": "Lusaka 1 is back after 25 hours; what it sold meanwhile is coming in.",
    "short_chars": 49 }))]
pub struct TemplatePreviewView {
    /// Its template.
    kind: &'static str,
    /// In which language.
    language: &'static str,
    /// Whether a speaker of the language has read it. Have one read it before you rely on it.
    checked: bool,
    /// One line, of an e-mail and in the inbox.
    title: String,
    /// For a phone.
    short: String,
    /// For a mailbox.
    long: String,
    /// How long the short text is: an SMS carries 160, each part of a longer one 153.
    short_chars: usize,
}

/// A template filled with made-up facts.
#[utoipa::path(get, path = "/notification-templates/{template}", tag = "notifications",
    operation_id = "templates_preview",
    params(("template" = String, Path, example = "ticket_sold"), TemplatePreviewAsked),
    security(("bearer" = ["company:read"])),
    responses((status = 200, body = TemplatePreviewView), (status = 404, body = Problem),
        (status = "default", body = Problem)))]
pub async fn preview(
    caller: Caller,
    Named(template): Named<String>,
    Asked(asked): Asked<TemplatePreviewAsked>,
) -> Result<Json<TemplatePreviewView>, Problem> {
    caller.may(Permission::CompanyRead)?;
    let kind = Kind::of_word(&template);
    let kind = kind.ok_or_else(|| Problem::not_found("there is no such template"))?;
    let tag = asked.language.as_deref().unwrap_or("en");
    let language = Language::of_tag(tag);
    let language =
        language.ok_or_else(|| Problem::bad_request("`language` is en, fr, sw or bem"))?;
    let text = render(kind, language, &examples(kind));
    Ok(Json(TemplatePreviewView {
        kind: kind.as_str(),
        language: language.as_str(),
        checked: is_checked(language),
        short_chars: text.short.chars().count(),
        title: text.title,
        short: text.short,
        long: text.long,
    }))
}
