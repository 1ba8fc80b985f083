//! An SMS gateway that speaks Africa's Talking's documented HTTP.
//!
//! Its interface has no key by which a client could ask for one message only once, so a message
//! whose answer was lost may go out twice. `Idempotency-Key` is sent all the same, for gateways
//! and proxies that heed it.

use std::pin::Pin;

use reqwest::Client;
use serde::Deserialize;

use super::{Letter, Outlet};
use crate::config::SmsConfig;
use crate::notification::rules::Outcome;
use crate::payment::provider::{client, wire};

/// A gateway's longest identifier that is kept, in characters.
const ID_CHARS_MAX: usize = 200;

/// The gateway.
#[derive(Debug)]
pub struct Gateway {
    client: Client,
    config: SmsConfig,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "SMSMessageData")]
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(rename = "Message", default)]
    message: String,
    #[serde(rename = "Recipients", default)]
    recipients: Vec<To>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct To {
    status_code: i64,
    #[serde(default)]
    status: String,
    #[serde(default)]
    message_id: String,
}

impl Gateway {
    /// From the hub's settings.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(config: &SmsConfig) -> Result<Self, String> {
        if !config.url.starts_with("https://") && !config.url.starts_with("http://") {
            return Err(format!("`url` is no web address: {:?}", config.url));
        }
        let client = client(config.answer_within_s).map_err(|e| e.to_string())?;
        Ok(Self {
            client,
            config: config.clone(),
        })
    }

    async fn call(&self, letter: &Letter) -> Outcome {
        let base = self.config.url.trim_end_matches('/');
        let mut form = vec![
            ("username", self.config.username.as_str()),
            ("to", &letter.to),
            ("message", &letter.text),
        ];
        if let Some(from) = &self.config.from {
            form.push(("from", from));
        }
        let request = self
            .client
            .post(format!("{base}/version1/messaging"))
            .header("apiKey", self.config.api_key.reveal())
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("idempotency-key", &letter.key)
            .body(encoded(&form));
        let answer = match wire::send(request).await {
            Ok(answer) => answer,
            Err(why) => return Outcome::Unknown(why),
        };
        if !answer.status.is_success() {
            return Outcome::Unknown(format!("the gateway answered {}", answer.status));
        }
        match serde_json::from_value::<Answer>(answer.body) {
            Ok(said) => judged(said.data),
            Err(_) => Outcome::Unknown("the gateway's answer cannot be read".to_owned()),
        }
    }
}

/// What the gateway says of its one recipient, by its documented codes.
fn judged(data: Data) -> Outcome {
    let Some(to) = data.recipients.into_iter().next() else {
        return Outcome::Unknown(data.message);
    };
    let why = format!("{} {}", to.status_code, to.status);
    match to.status_code {
        100..=102 => {
            let id: String = to.message_id.chars().take(ID_CHARS_MAX).collect();
            Outcome::Sent {
                id: (!id.is_empty() && id != "None").then_some(id),
            }
        }
        // The number: invalid, of a kind that gets none, on a black list, not to be disturbed;
        // and what the network rejects.
        403 | 404 | 406 | 409 | 502 => Outcome::Refused(why),
        // The account: held, without a sender or money; no route; errors of its own.
        _ => Outcome::Unknown(why),
    }
}

/// A form's body.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    out
}

impl Outlet for Gateway {
    fn send<'a>(
        &'a self,
        letter: &'a Letter,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        Box::pin(self.call(letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_carries_every_character() {
        let form = encoded(&[("to", "+260970000001"), ("message", "Place 12A, é & co")]);
        assert_eq!(
            form,
            "to=%2B260970000001&message=Place%2012A%2C%20%C3%A9%20%26%20co"
        );
    }

    #[test]
    fn codes_of_the_number_are_final_and_those_of_the_account_are_not() {
        let said = |code: i64| {
            judged(Data {
                message: String::new(),
                recipients: vec![To {
                    status_code: code,
                    status: "X".to_owned(),
                    message_id: "ATXid_1".to_owned(),
                }],
            })
        };
        let id = Some("ATXid_1".to_owned());
        assert_eq!(said(101), Outcome::Sent { id });
        assert!(matches!(said(403), Outcome::Refused(_)));
        assert!(matches!(said(405), Outcome::Unknown(_)));
        assert!(matches!(said(500), Outcome::Unknown(_)));
    }
}
