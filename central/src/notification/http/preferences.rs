//! What a person wants to be told, how and when.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::auth::HUB;
use crate::http::etag::{IfMatch, Tagged};
use crate::http::extract::Body;
use crate::http::{Api, Problem};
use crate::notification::Kind;
use crate::notification::db::{self, Preference};
use crate::notification::rules::Quiet;
use crate::notification::template::Language;

/// A time of the day in which nothing but what one has just asked for comes, by the clock of the
/// company that writes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// `HH:MM`.
    #[schema(max_length = 5, example = "21:00")]
    from: String,
    /// `HH:MM`; before `from`: of the next day.
    #[schema(max_length = 5, example = "06:00")]
    to: String,
}

/// What a person wants, for every company.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "language": "bem", "sms": true, "email": false,
    "quiet_hours": { "from": "21:00", "to": "06:00" }, "muted": ["payment_received"] }))]
pub struct Preferences {
    /// `en`, `fr`, `sw` or `bem`; absent: the company's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    language: Option<String>,
    /// Whether text messages are wanted.
    sms: bool,
    /// Whether e-mail is wanted.
    email: bool,
    /// Absent: any time is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quiet_hours: Option<QuietHours>,
    /// Kinds that only the inbox gets, like `payment_received`.
    #[serde(default)]
    #[schema(max_items = 30)]
    muted: Vec<String>,
}

fn clock(minutes: i16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn minutes(text: &str) -> Result<i16, Problem> {
    let wrong = || Problem::unprocessable("`quiet_hours` are two times like 21:00");
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str, below: i16| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse::<i16>().ok()).flatten();
        number.filter(|n| (0..below).contains(n)).ok_or_else(wrong)
    };
    Ok(number(hours, 24)? * 60 + number(minutes, 60)?)
}

impl From<Preference> for Preferences {
    fn from(row: Preference) -> Self {
        Self {
            language: row.language.map(|l| l.as_str().to_owned()),
            sms: row.sms,
            email: row.email,
            quiet_hours: row.quiet.map(|quiet| QuietHours {
                from: clock(quiet.from_min),
                to: clock(quiet.to_min),
            }),
            muted: row.muted,
        }
    }
}

fn checked(asked: Preferences, version: i32) -> Result<Preference, Problem> {
    let language = asked.language.as_deref().map(|tag| {
        let wrong = || Problem::unprocessable("`language` is en, fr, sw or bem");
        Language::of_tag(tag).ok_or_else(wrong)
    });
    let quiet = asked.quiet_hours.as_ref().map(|hours| {
        Ok::<_, Problem>(Quiet {
            from_min: minutes(&hours.from)?,
            to_min: minutes(&hours.to)?,
        })
    });
    let unknown = asked
        .muted
        .iter()
        .find(|word| Kind::of_word(word).is_none());
    if unknown.is_some() {
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        let detail = format!("`muted` names kinds: {}", kinds.join(", "));
        return Err(Problem::unprocessable(detail));
    }
    let mut muted = asked.muted;
    muted.sort_unstable();
    muted.dedup();
    Ok(Preference {
        language: language.transpose()?,
        sms: asked.sms,
        email: asked.email,
        quiet: quiet.transpose()?,
        muted,
        version,
    })
}

/// What the caller wants to be told, how and when; the hub's own choice until they say something.
#[utoipa::path(get, path = "/notification-preferences", tag = "notifications",
    operation_id = "preferences_show", security(("bearer" = [])),
    responses((status = 200, body = Preferences), (status = 401, body = Problem),
        (status = "default", body = Problem)))]
pub async fn show(State(api): State<Api>, caller: Caller) -> Result<Tagged<Preferences>, Problem> {
    let person = caller.person()?;
    let mut tx = api.db.tenant(HUB).await?;
    let row = db::preference(&mut tx, person).await?;
    Ok(Tagged::ok(row.version, row.into()))
}

/// Says what the caller wants to be told, how and when.
#[utoipa::path(put, path = "/notification-preferences", tag = "notifications",
    operation_id = "preferences_change", request_body = Preferences, security(("bearer" = [])),
    params(("If-Match" = String, Header, description = "Its `ETag`")),
    responses((status = 200, body = Preferences), (status = 401, body = Problem),
        (status = 412, body = Problem), (status = 428, body = Problem),
        (status = "default", body = Problem)))]
pub async fn change(
    State(api): State<Api>,
    caller: Caller,
    matched: IfMatch,
    body: Body<Preferences>,
) -> Result<Tagged<Preferences>, Problem> {
    let person = caller.person()?;
    let mut tx = api.db.tenant(HUB).await?;
    let before = db::preference(&mut tx, person).await?;
    matched.check(before.version)?;
    let mut wanted = checked(body.value, before.version)?;
    if !db::prefer(&mut tx, person, &wanted).await? {
        let detail = "it was changed meanwhile: look at it again";
        return Err(Problem::conflict("changed", "Changed meanwhile", detail));
    }
    tx.commit().await?;
    wanted.version = before.version + 1;
    Ok(Tagged::ok(wanted.version, wanted.into()))
}

#[cfg(test)]
mod tests {
    use super::minutes;

    #[test]
    fn times_of_the_day_are_read_strictly() {
        assert_eq!(minutes("21:30").ok(), Some(21 * 60 + 30));
        for wrong in ["", "24:00", "21:60", "9:00", "-1:00", "21:3", "21", "+1:00"] {
            assert!(minutes(wrong).is_err(), "{wrong}");
        }
    }
}
