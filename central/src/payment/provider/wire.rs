//! HTTP towards providers: time-outs, bounded answers, no redirects.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use serde_json::Value;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for a provider. One that takes longer to answer is asked later what it did.
///
/// # Errors
/// When the TLS roots cannot be loaded.
pub fn client(answer_within_s: u32) -> Result<Client, reqwest::Error> {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(Duration::from_secs(answer_within_s.max(1).into()))
        .redirect(redirect::Policy::none())
        .user_agent(concat!("mwimule-hub/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// An answer that arrived whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Null where it is no JSON.
    pub(crate) body: Value,
}

/// Sends and reads; an error is what to write in the log.
pub(crate) async fn send(request: RequestBuilder) -> Result<Answer, String> {
    let mut response = request.send().await.map_err(|error| plain(&error))?;
    let mut bytes = vec![];
    while let Some(chunk) = response.chunk().await.map_err(|error| plain(&error))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err("the answer is too large".to_owned());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: response.status(),
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    })
}

/// Without the address, which may hold a name or number.
fn plain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "no answer in time".to_owned()
    } else if error.is_connect() {
        "cannot connect".to_owned()
    } else {
        "the connection broke".to_owned()
    }
}

impl Answer {
    /// A text member, by a JSON pointer.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer).and_then(Value::as_str)
    }
}
