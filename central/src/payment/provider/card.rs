//! Cards over Stripe's PaymentIntents.
//!
//! A charge is an intent that is created first, which moves nothing, and confirmed second; so an
//! answer that was lost can always be asked for, and an intent is captured once, however often it
//! is confirmed.

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::wire::{self, Answer};
use super::{Charge, Provider, Reply, Return, Said};
use crate::config::CardConfig;
use crate::payment::rules::Heard;

/// The version of the interface that this speaks.
const API_VERSION: &str = "2024-06-20";

/// Cards over Stripe's interface.
#[derive(Debug)]
pub struct Card {
    client: Client,
    config: CardConfig,
    base: String,
}

type Form<'a> = Vec<(&'a str, String)>;

impl Card {
    /// From the hub's settings.
    pub fn new(client: Client, config: &CardConfig) -> Self {
        Self {
            client,
            config: config.clone(),
            base: format!("{}/v1", config.url.trim_end_matches('/')),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        key: Option<String>,
        form: &Form<'_>,
    ) -> Result<Answer, Said> {
        let mut request = self
            .client
            .request(method.clone(), format!("{}{path}", self.base))
            .bearer_auth(self.config.secret_key.reveal())
            .header("Stripe-Version", API_VERSION);
        if method == Method::POST {
            request = request
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(encoded(form));
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let sent = wire::send(request).await;
        sent.map_err(|why| Said::new(Heard::NoWord, why))
    }

    /// The intent of a charge, created where it is not there. Creating moves no money.
    async fn intent(&self, charge: &Charge) -> Result<Answer, Said> {
        if let Some(id) = &charge.provider_id {
            let path = format!("/payment_intents/{}", path_part(id));
            return self.call(Method::GET, &path, None, &vec![]).await;
        }
        let form: Form<'_> = vec![
            ("amount", charge.amount_minor.0.to_string()),
            ("currency", charge.currency.as_str().to_ascii_lowercase()),
            ("payment_method_types[]", "card".to_owned()),
            ("description", charge.note.clone()),
            ("metadata[payment]", charge.payment.to_string()),
        ];
        let key = charge.reference.to_string();
        self.call(Method::POST, "/payment_intents", Some(key), &form)
            .await
    }

    /// The intent as it stands. A repeated creation answers as the first one did, however much
    /// has happened since.
    async fn present(&self, charge: &Charge) -> Result<Answer, Said> {
        let answer = self.intent(charge).await?;
        match id_of(&answer).filter(|_| charge.provider_id.is_none()) {
            Some(id) => {
                let path = format!("/payment_intents/{}", path_part(&id));
                self.call(Method::GET, &path, None, &vec![]).await
            }
            None => Ok(answer),
        }
    }

    async fn started(&self, charge: &Charge) -> Result<Said, Said> {
        let created = self.intent(charge).await?;
        let Some(id) = id_of(&created) else {
            return Ok(refused(&created));
        };
        if created.text("/status") != Some("requires_confirmation")
            && created.text("/status") != Some("requires_payment_method")
        {
            return Ok(standing(&created));
        }
        let mut form: Form<'_> = vec![("payment_method", charge.payer.clone())];
        if let Some(url) = &self.config.return_url {
            form.push(("return_url", url.clone()));
        }
        let path = format!("/payment_intents/{}/confirm", path_part(&id));
        match self.call(Method::POST, &path, None, &form).await {
            Ok(answer) => Ok(said(&answer).called(Some(&id))),
            Err(unknown) => Ok(unknown.called(Some(&id))),
        }
    }

    async fn closed(&self, charge: &Charge) -> Result<Said, Said> {
        let found = self.present(charge).await?;
        let Some(id) = id_of(&found) else {
            return Ok(refused(&found));
        };
        if matches!(found.text("/status"), Some("succeeded" | "canceled")) {
            return Ok(standing(&found));
        }
        let path = format!("/payment_intents/{}/cancel", path_part(&id));
        let form = vec![("cancellation_reason", "abandoned".to_owned())];
        let answer = self.call(Method::POST, &path, None, &form).await?;
        Ok(said(&answer).called(Some(&id)))
    }

    async fn found_refund(&self, back: &Return) -> Result<Said, Said> {
        if let Some(id) = &back.provider_id {
            let path = format!("/refunds/{}", path_part(id));
            return Ok(refund_said(
                &self.call(Method::GET, &path, None, &vec![]).await?,
            ));
        }
        let Some(charge) = &back.charge_provider_id else {
            return Ok(Said::no("unknown_charge", "the charge has no number"));
        };
        let path = format!("/refunds?payment_intent={}&limit=100", path_part(charge));
        let listed = self.call(Method::GET, &path, None, &vec![]).await?;
        if !listed.status.is_success() {
            return Ok(refund_said(&listed));
        }
        let ours = back.reference.to_string();
        let found = listed.body["data"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|r| r["metadata"]["refund"].as_str() == Some(&ours));
        Ok(found.map_or_else(
            || Said::new(Heard::NeverHeard, "not among the refunds of its charge"),
            |refund| {
                refund_said(&Answer {
                    status: StatusCode::OK,
                    body: refund.clone(),
                })
            },
        ))
    }
}

fn encoded(form: &Form<'_>) -> String {
    let pairs = form
        .iter()
        .map(|(name, value)| format!("{}={}", path_part(name), path_part(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Percent-encoded but for what is safe in a path and in a form.
fn path_part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
    out
}

fn id_of(answer: &Answer) -> Option<String> {
    let ok = answer.status.is_success();
    answer.text("/id").filter(|_| ok).map(str::to_owned)
}

/// What an intent's own status says.
fn standing(answer: &Answer) -> Said {
    let status = answer.text("/status").unwrap_or_default();
    let detail = format!("{} {status}", answer.status.as_u16());
    let id = answer.text("/id");
    let heard = match status {
        "succeeded" => Heard::Yes,
        "canceled" => {
            let why = answer.text("/cancellation_reason").unwrap_or("canceled");
            return Said::no(why, detail).called(id);
        }
        "requires_payment_method" if answer.body["last_payment_error"].is_object() => {
            let code = answer.text("/last_payment_error/decline_code");
            let code = code.or(answer.text("/last_payment_error/code"));
            return Said::no(code.unwrap_or("card_declined"), detail).called(id);
        }
        "requires_confirmation" | "requires_payment_method" => Heard::NeverHeard,
        "processing" | "requires_action" | "requires_capture" => Heard::Waiting,
        _ => Heard::NoWord,
    };
    let mut said = Said::new(heard, detail).called(id);
    let url = answer.text("/next_action/redirect_to_url/url");
    said.action_url = url
        .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
        .map(|url| url.chars().take(2_000).collect());
    said
}

/// What the answer to a call on an intent says.
fn said(answer: &Answer) -> Said {
    if answer.status.is_success() {
        standing(answer)
    } else {
        refused(answer)
    }
}

/// What an error says: the intent inside it where there is one.
fn refused(answer: &Answer) -> Said {
    let code = answer
        .text("/error/decline_code")
        .or(answer.text("/error/code"));
    let code = code.or(answer.text("/error/type")).unwrap_or_default();
    let detail = format!("{} {code}", answer.status.as_u16());
    let inside = answer.body["error"]["payment_intent"].clone();
    match answer.status {
        StatusCode::BAD_REQUEST if inside.is_object() => standing(&Answer {
            status: answer.status,
            body: inside,
        }),
        StatusCode::BAD_REQUEST | StatusCode::PAYMENT_REQUIRED => Said::no(code, detail),
        StatusCode::NOT_FOUND => Said::new(Heard::NeverHeard, detail),
        _ => Said::new(Heard::NoWord, detail),
    }
}

fn refund_said(answer: &Answer) -> Said {
    if !answer.status.is_success() {
        return refused(answer);
    }
    let status = answer.text("/status").unwrap_or_default();
    let detail = format!("{} {status}", answer.status.as_u16());
    let id = answer.text("/id");
    match status {
        "succeeded" => Said::new(Heard::Yes, detail).called(id),
        "pending" | "requires_action" => Said::new(Heard::Waiting, detail).called(id),
        "failed" | "canceled" => {
            let why = answer.text("/failure_reason").unwrap_or(status);
            Said::no(why, detail).called(id)
        }
        _ => Said::new(Heard::NoWord, detail),
    }
}

fn either(result: Result<Said, Said>) -> Said {
    result.unwrap_or_else(|said| said)
}

impl Provider for Card {
    fn start<'a>(&'a self, charge: &'a Charge) -> Reply<'a> {
        Box::pin(async move { either(self.started(charge).await) })
    }

    fn ask<'a>(&'a self, charge: &'a Charge) -> Reply<'a> {
        Box::pin(async move { either(self.present(charge).await.map(|answer| said(&answer))) })
    }

    fn close<'a>(&'a self, charge: &'a Charge) -> Reply<'a> {
        Box::pin(async move { either(self.closed(charge).await) })
    }

    fn refund<'a>(&'a self, back: &'a Return) -> Reply<'a> {
        Box::pin(async move {
            let Some(charge) = &back.charge_provider_id else {
                return Said::no("unknown_charge", "the charge has no number");
            };
            let form: Form<'_> = vec![
                ("payment_intent", charge.clone()),
                ("amount", back.amount_minor.0.to_string()),
                ("metadata[refund]", back.reference.to_string()),
                ("metadata[refund_id]", back.refund.to_string()),
            ];
            let key = Some(back.reference.to_string());
            match self.call(Method::POST, "/refunds", key, &form).await {
                Ok(answer) => refund_said(&answer),
                Err(unknown) => unknown,
            }
        })
    }

    fn ask_refund<'a>(&'a self, back: &'a Return) -> Reply<'a> {
        Box::pin(async move { either(self.found_refund(back).await) })
    }
}

/// The intent or refund that an event is about, by the number of ours in its metadata.
pub fn subject_of(event: &Value) -> Option<(&'static str, uuid::Uuid)> {
    let object = event.pointer("/data/object")?;
    let named = |member: &str| object["metadata"][member].as_str()?.parse().ok();
    match object["object"].as_str()? {
        "payment_intent" => Some(("payment", named("payment")?)),
        "refund" => Some(("refund", named("refund_id")?)),
        _ => None,
    }
}
