//! MTN MoMo: Collections takes money, Disbursements gives it back.
//!
//! The status GET answers 200 for failed payments too: only `status` counts.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::wire::{self, Answer};
use super::{Charge, Provider, Reply, Return, Said};
use crate::config::{MomoConfig, MomoProductConfig};
use crate::payment::rules::Heard;

/// A token is renewed so long before its end.
const TOKEN_MARGIN: Duration = Duration::from_mins(1);
/// The longest message to a payer, in characters.
const NOTE_CHARS_MAX: usize = 160;

/// Mobile money over MTN's open API.
#[derive(Debug)]
pub struct Momo {
    client: Client,
    base: String,
    environment: String,
    collection: Product,
    disbursement: Option<Product>,
}

/// One product: its own credentials, its own token.
#[derive(Debug)]
struct Product {
    name: &'static str,
    keys: MomoProductConfig,
    token: Mutex<Option<(String, Instant)>>,
}

impl Product {
    fn new(name: &'static str, keys: &MomoProductConfig) -> Self {
        Self {
            name,
            keys: keys.clone(),
            token: Mutex::new(None),
        }
    }
}

impl Momo {
    /// From the hub's settings.
    pub fn new(client: Client, config: &MomoConfig) -> Self {
        let disbursement = config.disbursement.as_ref();
        Self {
            client,
            base: config.url.trim_end_matches('/').to_owned(),
            environment: config.target_environment.clone(),
            collection: Product::new("collection", &config.collection),
            disbursement: disbursement.map(|keys| Product::new("disbursement", keys)),
        }
    }

    async fn token(&self, product: &Product) -> Result<String, String> {
        let mut token = product.token.lock().await;
        if let Some((text, until)) = token.as_ref()
            && Instant::now() < *until
        {
            return Ok(text.clone());
        }
        let url = format!("{}/{}/token/", self.base, product.name);
        let request = self
            .client
            .post(url)
            .basic_auth(&product.keys.api_user, Some(product.keys.api_key.reveal()))
            .header(
                "Ocp-Apim-Subscription-Key",
                product.keys.subscription_key.reveal(),
            )
            .header("Content-Length", "0");
        let answer = wire::send(request).await?;
        let fresh = answer.text("/access_token").filter(|t| !t.is_empty());
        let Some(fresh) = fresh.filter(|_| answer.status.is_success()) else {
            return Err(format!("the token was refused with {}", answer.status));
        };
        let seconds = answer.body["expires_in"].as_u64().unwrap_or(60);
        let lasts = Duration::from_secs(seconds).saturating_sub(TOKEN_MARGIN);
        *token = Some((fresh.to_owned(), Instant::now() + lasts));
        Ok(fresh.to_owned())
    }

    /// Sends with a token; a token that is not taken any more is renewed once.
    async fn call(
        &self,
        product: &Product,
        build: impl Fn(&Client, &str) -> RequestBuilder + Send + Sync,
    ) -> Result<Answer, String> {
        let mut renewed = false;
        loop {
            let token = self.token(product).await?;
            let base = format!("{}/{}/v1_0", self.base, product.name);
            let request = build(&self.client, &base)
                .bearer_auth(token)
                .header("X-Target-Environment", &self.environment)
                .header(
                    "Ocp-Apim-Subscription-Key",
                    product.keys.subscription_key.reveal(),
                );
            let answer = wire::send(request).await?;
            if answer.status == StatusCode::UNAUTHORIZED && !renewed {
                renewed = true;
                *product.token.lock().await = None;
                continue;
            }
            return Ok(answer);
        }
    }

    async fn post(
        &self,
        product: &Product,
        resource: &str,
        reference: Uuid,
        callback: Option<&str>,
        body: &Value,
    ) -> Said {
        let sent = self.call(product, |client, base| {
            let request = client
                .request(Method::POST, format!("{base}/{resource}"))
                .header("X-Reference-Id", reference.to_string())
                .header("Content-Type", "application/json")
                .body(body.to_string());
            match callback {
                Some(url) => request.header("X-Callback-Url", url),
                None => request,
            }
        });
        match sent.await {
            Ok(answer) => taken(&answer),
            Err(why) => Said::new(Heard::NoWord, why),
        }
    }

    async fn get(&self, product: &Product, resource: &str, reference: Uuid) -> Said {
        let sent = self.call(product, |client, base| {
            client.get(format!("{base}/{resource}/{reference}"))
        });
        match sent.await {
            Ok(answer) => status(&answer),
            Err(why) => Said::new(Heard::NoWord, why),
        }
    }
}

/// What the answer to a POST says.
fn taken(answer: &Answer) -> Said {
    let code = answer.text("/code").unwrap_or_default();
    let detail = format!("{} {code}", answer.status.as_u16());
    match answer.status {
        // 409: the reference is known; an earlier call arrived although its answer did not.
        StatusCode::ACCEPTED | StatusCode::CONFLICT => Said::new(Heard::Waiting, detail),
        StatusCode::BAD_REQUEST => {
            let reason = if code.is_empty() { "bad_request" } else { code };
            Said::no(reason, detail)
        }
        _ => Said::new(Heard::NoWord, detail),
    }
}

/// What the answer to a GET says.
fn status(answer: &Answer) -> Said {
    let told = answer.text("/status").unwrap_or_default();
    let detail = format!("{} {told}", answer.status.as_u16());
    let id = answer.text("/financialTransactionId");
    match (answer.status, told) {
        (StatusCode::OK, "SUCCESSFUL") => Said::new(Heard::Yes, detail).called(id),
        (StatusCode::OK, "FAILED" | "REJECTED" | "TIMEOUT") => {
            let reason = answer.text("/reason/code").or(answer.text("/reason"));
            Said::no(reason.unwrap_or("failed"), detail).called(id)
        }
        (StatusCode::OK, "PENDING" | "CREATED" | "ONGOING" | "DELAYED") => {
            Said::new(Heard::Waiting, detail).called(id)
        }
        (StatusCode::NOT_FOUND, _) => Said::new(Heard::NeverHeard, detail),
        _ => Said::new(Heard::NoWord, detail),
    }
}

fn note(text: &str) -> String {
    text.chars().take(NOTE_CHARS_MAX).collect()
}

impl Provider for Momo {
    fn start<'a>(&'a self, charge: &'a Charge) -> Reply<'a> {
        Box::pin(async move {
            let body = json!({
                "amount": charge.amount_minor.display(charge.currency),
                "currency": charge.currency.as_str(),
                "externalId": charge.payment.to_string(),
                "payer": {
                    "partyIdType": "MSISDN",
                    "partyId": charge.payer.trim_start_matches('+'),
                },
                "payerMessage": note(&charge.note),
                "payeeNote": note(&charge.note),
            });
            let callback = charge.callback.as_deref();
            self.post(
                &self.collection,
                "requesttopay",
                charge.reference,
                callback,
                &body,
            )
            .await
        })
    }

    fn ask<'a>(&'a self, charge: &'a Charge) -> Reply<'a> {
        Box::pin(self.get(&self.collection, "requesttopay", charge.reference))
    }

    fn refund<'a>(&'a self, back: &'a Return) -> Reply<'a> {
        Box::pin(async move {
            let Some(product) = &self.disbursement else {
                let why = "[momo.disbursement] is not configured";
                return Said::no("not_configured", why);
            };
            let body = json!({
                "amount": back.amount_minor.display(back.currency),
                "currency": back.currency.as_str(),
                "externalId": back.refund.to_string(),
                "payerMessage": note(&back.note),
                "payeeNote": note(&back.note),
                "referenceIdToRefund": back.charge_reference.to_string(),
            });
            self.post(product, "refund", back.reference, None, &body)
                .await
        })
    }

    fn ask_refund<'a>(&'a self, back: &'a Return) -> Reply<'a> {
        Box::pin(async move {
            match &self.disbursement {
                Some(product) => self.get(product, "refund", back.reference).await,
                None => Said::new(Heard::NoWord, "[momo.disbursement] is not configured"),
            }
        })
    }
}
