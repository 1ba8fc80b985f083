//! One attempt of one delivery.

use std::time::Duration;

use domain::ids::CompanyId;
use domain::time::Instant;
use reqwest::Client;
use serde_json::json;
use uuid::Uuid;

use super::db::{self, Attempt, Endpoint, Parcel};
use super::guard::look_up;
use super::{check_address, next_try_ms, sign};
use crate::clock;
use crate::db::DbError;
use crate::http::Api;
use crate::vault::{Place, VaultError};

/// A delivery that is under way is left alone so long, in milliseconds.
const TRY_LEASE_MS: i64 = 60_000;
/// How long a receiver has to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// An endpoint that nothing reached for so long is switched off with the delivery that is given
/// up, in milliseconds.
const SILENT_MS: i64 = 3 * 86_400_000;
/// Events fanned out in one transaction.
const FAN_OUT_MAX: i64 = 500;

/// Turns the outbox's fresh events into deliveries; whether there may be more.
pub async fn fan_out(api: &Api) -> Result<bool, DbError> {
    let mut more = false;
    for company in db::with_news(api.db.pool()).await? {
        let mut tx = api.db.tenant(CompanyId(company)).await?;
        let done = db::fan_out(&mut tx, clock::now(), FAN_OUT_MAX).await?;
        tx.commit().await?;
        more |= done == FAN_OUT_MAX as u64;
    }
    Ok(more)
}

/// Tries a delivery if it is due and nobody else is at it.
pub async fn deliver(api: &Api, company: CompanyId, delivery: i64) -> Result<(), DbError> {
    let now = clock::now();
    let mut tx = api.db.tenant(company).await?;
    let parcel = db::claim(&mut tx, delivery, now.plus_ms(TRY_LEASE_MS), now).await?;
    let Some(parcel) = parcel else {
        return Ok(());
    };
    let endpoint = db::endpoints(&mut tx, Some(parcel.endpoint), None, 1).await?;
    tx.commit().await?;
    let Some(endpoint) = endpoint.into_iter().next() else {
        return Ok(());
    };
    let sent = if endpoint.enabled {
        send(api, company, &endpoint, &parcel).await
    } else {
        Err((None, "the endpoint is switched off".to_owned()))
    };
    let (began, now) = (now, clock::now());
    let mut tx = api.db.tenant(company).await?;
    let attempt = judged(sent, &parcel, endpoint.enabled, (began, now));
    db::attempted(&mut tx, delivery, &attempt, now).await?;
    if attempt.state == "failed" && endpoint.enabled {
        let since = now.plus_ms(-SILENT_MS);
        let why = "nothing was taken for three days";
        if db::disable(&mut tx, endpoint.id, since, why).await? {
            tracing::warn!(endpoint = %endpoint.id, "a webhook endpoint was switched off");
        }
    }
    tx.commit().await
}

type Sent = Result<u16, (Option<u16>, String)>;

fn judged(sent: Sent, parcel: &Parcel, enabled: bool, (at, now): (Instant, Instant)) -> Attempt {
    let took_ms = now.0.saturating_sub(at.0).max(0);
    match sent {
        Ok(status) => Attempt {
            state: "delivered",
            next_try_at: None,
            status: Some(status.into()),
            error: None,
            at,
            took_ms,
        },
        Err((status, error)) => {
            let wait = next_try_ms(parcel.attempts).filter(|_| enabled);
            Attempt {
                state: if wait.is_some() { "waiting" } else { "failed" },
                next_try_at: wait.map(|ms| now.plus_ms(ms)),
                status: status.map(i32::from),
                error: Some(error),
                at,
                took_ms,
            }
        }
    }
}

async fn send(api: &Api, company: CompanyId, endpoint: &Endpoint, parcel: &Parcel) -> Sent {
    let without = |why: String| (None, why);
    let allow = api.payments.webhooks.allow_private;
    let url = check_address(&endpoint.url, allow).map_err(|e| without(e.to_string()))?;
    let addresses = look_up(&url, allow)
        .await
        .map_err(|e| without(e.to_string()))?;
    let host = url.host_str().unwrap_or_default();
    let client = Client::builder()
        .timeout(ANSWER_TIMEOUT)
        .connect_timeout(ANSWER_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .resolve_to_addrs(host, &addresses)
        .user_agent(concat!("mwimule-hub/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| without("the hub has no TLS roots".to_owned()))?;
    let body = json!({ "type": parcel.kind, "timestamp": parcel.at.to_string(),
        "data": parcel.body, "subject": parcel.subject })
    .to_string();
    let now = clock::now();
    let secrets = secrets(api, company, endpoint, now)
        .map_err(|_| without("the endpoint's secret does not open".to_owned()))?;
    let id = parcel.event_id.to_string();
    let signed = sign::signatures(&secrets, &id, now.as_secs(), &body);
    let sent = client
        .post(url)
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", now.as_secs().to_string())
        .header("webhook-signature", signed)
        .body(body)
        .send()
        .await;
    match sent {
        Ok(response) if response.status().is_success() => Ok(response.status().as_u16()),
        Ok(response) => {
            let status = response.status().as_u16();
            Err((Some(status), format!("the receiver answered {status}")))
        }
        Err(error) if error.is_timeout() => Err(without("no answer in time".to_owned())),
        Err(error) if error.is_connect() => Err(without("cannot connect".to_owned())),
        Err(_) => Err(without("the connection broke".to_owned())),
    }
}

/// The secrets that sign at this moment, the present one first.
fn secrets(
    api: &Api,
    company: CompanyId,
    endpoint: &Endpoint,
    now: Instant,
) -> Result<Vec<Vec<u8>>, VaultError> {
    let mut all = vec![
        api.vault
            .open(place(company, &endpoint.id), &endpoint.secret_sealed)?,
    ];
    if let Some((sealed, until)) = &endpoint.before
        && *until > now
    {
        all.push(api.vault.open(place(company, &endpoint.id), sealed)?);
    }
    Ok(all)
}

/// Where an endpoint's secrets are sealed for.
pub fn place(company: CompanyId, endpoint: &Uuid) -> Place<'_> {
    Place {
        company,
        table: "webhook_endpoint",
        row: endpoint.as_bytes(),
        column: "secret_sealed",
    }
}
