//! HTTP as people's programs speak it to hub and nodes.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const ANSWER_DEADLINE: Duration = Duration::from_secs(40);
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A caller of one program.
#[derive(Debug, Clone)]
pub struct Caller {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null when it is not JSON.
    pub body: Value,
}

/// A request that was sent whole and whose answer has not been read.
#[derive(Debug)]
pub struct Sent {
    stream: TcpStream,
}

impl Caller {
    /// A caller of the program at `base`, as `http://127.0.0.1:80`.
    pub fn new(base: &str, token: Option<&str>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_DEADLINE))
            .build();
        Self {
            agent: config.into(),
            base: base.trim_end_matches('/').to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// A caller by HTTPS that trusts one certificate, as PEM.
    pub fn secure(base: &str, token: Option<&str>, certificate: &str) -> Result<Self> {
        let certificate = Certificate::from_pem(certificate.as_bytes())?;
        let roots = RootCerts::Specific(Arc::new(vec![certificate]));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(ANSWER_DEADLINE))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        Ok(Self {
            agent: config.into(),
            ..Self::new(base, token)
        })
    }

    /// GET whose answer is wanted with its headers.
    pub fn raw(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<ureq::http::Response<String>> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, mut body) = request.call()?.into_parts();
        let text = body
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()?;
        Ok(ureq::http::Response::from_parts(head, text))
    }

    /// GET whose answer is read as it comes.
    pub fn stream(&self, path: &str) -> Result<impl std::io::BufRead + use<>> {
        let response = self.agent.get(format!("{}{path}", self.base)).call()?;
        Ok(std::io::BufReader::new(response.into_body().into_reader()))
    }

    /// GET.
    pub fn get(&self, path: &str) -> Result<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.call();
        Self::answer(response).with_context(|| format!("GET {path}"))
    }

    /// GET that must succeed.
    pub fn fetch(&self, path: &str) -> Result<Value> {
        self.get(path)?.good().with_context(|| path.to_owned())
    }

    /// POST.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.post_with(path, &[], body)
    }

    /// POST with further headers.
    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Answer> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        let named = headers.iter().any(|(name, _)| *name == "authorization");
        if let Some(token) = self.token.as_ref().filter(|_| !named) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send_json(body);
        Self::answer(response).with_context(|| format!("POST {path}"))
    }

    /// DELETE with further headers.
    pub fn delete_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Self::answer(request.call()).with_context(|| format!("DELETE {path}"))
    }

    /// POST that must succeed.
    pub fn send(&self, path: &str, body: &Value) -> Result<Value> {
        self.post(path, body)?
            .good()
            .with_context(|| path.to_owned())
    }

    fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer> {
        let mut response = response?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let text = body.read_to_string()?;
        Ok(Answer {
            status: response.status().as_u16(),
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
        })
    }

    /// Opens a connection of its own, so that sending takes no time later.
    pub fn open(&self) -> Result<TcpStream> {
        let host = self.base.trim_start_matches("http://");
        let stream = TcpStream::connect(host).with_context(|| format!("no way to {host}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
        Ok(stream)
    }

    /// Sends a POST whole, and does not wait for its answer.
    pub fn send_only(&self, mut stream: TcpStream, path: &str, body: &Value) -> Result<Sent> {
        let host = self.base.trim_start_matches("http://");
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        Ok(Sent { stream })
    }
}

impl Sent {
    /// The answer, if it came whole. A reset connection is what a killed program leaves behind.
    pub fn answer(self) -> Option<Answer> {
        let mut bytes = vec![];
        let _ = self.stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        let text = std::str::from_utf8(&bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some(Answer {
            status: head.split_whitespace().nth(1)?.parse().ok()?,
            body: serde_json::from_str(body).ok()?,
        })
    }
}

impl Answer {
    /// The body of an answer with status 2xx.
    pub fn good(self) -> Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "answered {}: {}",
            self.status,
            self.body
        );
        Ok(self.body)
    }

    /// Fails unless it is a problem document of this status whose detail has all these words.
    pub fn must_refuse(&self, status: u16, words: &[&str]) -> Result<()> {
        ensure!(
            self.status == status,
            "answered {} instead of {status}: {}",
            self.status,
            self.body
        );
        let detail = text(&self.body, "detail")?;
        for word in words {
            ensure!(detail.contains(word), "no {word:?} in {detail:?}");
        }
        Ok(())
    }
}

/// A text that must be there.
pub fn text(value: &Value, name: &str) -> Result<String> {
    let found = value[name].as_str();
    Ok(found
        .with_context(|| format!("no text {name:?} in {value}"))?
        .to_owned())
}

/// A whole number that must be there.
pub fn number(value: &Value, name: &str) -> Result<i64> {
    value[name]
        .as_i64()
        .with_context(|| format!("no number {name:?} in {value}"))
}

/// A list that must be there.
pub fn list<'v>(value: &'v Value, name: &str) -> Result<&'v [Value]> {
    let found = value[name].as_array();
    Ok(found.with_context(|| format!("no list {name:?} in {value}"))?)
}
