//! HTTP as the callers of the hub and of the nodes speak it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// How long an answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A caller of one program's HTTP API.
#[derive(Debug, Clone)]
pub struct Caller {
    agent: ureq::Agent,
    /// `http://host:port`, without a final slash.
    base: String,
    /// Behind `Authorization: Bearer`.
    token: Option<String>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null when it is empty or not JSON.
    pub body: Value,
}

impl Caller {
    /// A caller of the program at `base`.
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

    /// Where the program is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// GET; any status.
    pub fn get(&self, path: &str) -> Result<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = request.call();
        self.answer("GET", path, response)
    }

    /// POST with further headers; any status.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Answer> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send_json(body);
        self.answer("POST", path, response)
    }

    /// PUT with further headers; any status.
    pub fn put(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Answer> {
        let mut request = self.agent.put(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send_json(body);
        self.answer("PUT", path, response)
    }

    /// GET that must succeed.
    pub fn fetch(&self, path: &str) -> Result<Value> {
        self.get(path)?.good("GET", path)
    }

    /// POST that must succeed.
    pub fn send(&self, path: &str, body: &Value) -> Result<Value> {
        self.post(path, &[], body)?.good("POST", path)
    }

    fn answer(
        &self,
        method: &str,
        path: &str,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer> {
        let mut response =
            response.with_context(|| format!("{method} {}{path} got no answer", self.base))?;
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .with_context(|| format!("{method} {}{path} broke off", self.base))?;
        Ok(Answer {
            status: response.status().as_u16(),
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
        })
    }

    /// Sends a POST and, in between sending and reading, does something drastic to the program.
    /// Gives the answer if one came all the same.
    pub fn post_and(
        &self,
        path: &str,
        body: &Value,
        drastic: impl FnOnce() -> Result<()>,
    ) -> Result<Option<Answer>> {
        let host = self.base.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).with_context(|| format!("no way to {host}"))?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        drastic()?;
        let mut bytes = vec![];
        // A reset connection is what a killed program leaves behind.
        let _ = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        Ok(whole_answer(&bytes))
    }
}

/// An answer that arrived whole; half a one is none.
fn whole_answer(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    let body = serde_json::from_str(body).ok()?;
    Some(Answer { status, body })
}

impl Answer {
    /// Whether the status is 2xx.
    pub fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body of a 2xx answer.
    pub fn good(self, method: &str, path: &str) -> Result<Value> {
        if !self.is_good() {
            bail!(
                "{method} {path} answered {}: {}",
                self.status,
                self.reason()
            );
        }
        Ok(self.body)
    }

    /// Why it was refused, in the program's words.
    pub fn reason(&self) -> String {
        ["detail", "title", "error", "message"]
            .iter()
            .find_map(|key| self.body[*key].as_str())
            .map_or_else(|| self.body.to_string(), str::to_owned)
    }
}

/// A member that must be there, by a path such as `a.b`.
pub fn member<'v>(value: &'v Value, path: &str) -> Result<&'v Value> {
    let mut here = value;
    for name in path.split('.') {
        here = &here[name];
    }
    if here.is_null() {
        bail!("an answer has no {path}: {}", shortened(value));
    }
    Ok(here)
}

/// A text that must be there.
pub fn text(value: &Value, path: &str) -> Result<String> {
    let found = member(value, path)?;
    let found = found.as_str();
    Ok(found
        .with_context(|| format!("{path} is no text: {}", shortened(value)))?
        .to_owned())
}

/// A whole number that must be there.
pub fn number(value: &Value, path: &str) -> Result<i64> {
    let found = member(value, path)?;
    found
        .as_i64()
        .with_context(|| format!("{path} is no whole number: {}", shortened(value)))
}

/// A list that must be there.
pub fn list<'v>(value: &'v Value, path: &str) -> Result<&'v Vec<Value>> {
    let found = member(value, path)?.as_array();
    found.with_context(|| format!("{path} is no list: {}", shortened(value)))
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::net::TcpListener;

    use super::*;

    /// Answers one connection with these bytes once the whole request is there.
    fn serve_once(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = std::io::BufReader::new(stream);
            let mut len = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(n) = line.to_lowercase().strip_prefix("content-length: ") {
                    len = n.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            reader.read_exact(&mut vec![0; len]).unwrap();
            reader.into_inner().write_all(answer.as_bytes()).unwrap();
        });
        base
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_its_problem_document() {
        let base = serve_once(
            "HTTP/1.1 409 Conflict\r\ncontent-length: 38\r\n\r\n{\"title\":\"no\",\"detail\":\"sold out now\"}\n",
        );
        let error = Caller::new(&base, None)
            .send("/bookings", &Value::Null)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "POST /bookings answered 409: sold out now"
        );
    }

    #[test]
    fn half_an_answer_is_no_answer() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"a\": 1}";
        let base = serve_once(whole);
        let caller = Caller::new(&base, None);
        let answer = caller
            .post_and("/sell", &Value::Null, || Ok(()))
            .unwrap()
            .unwrap();
        assert_eq!(
            (answer.status, number(&answer.body, "a").unwrap()),
            (200, 1)
        );
        let base = serve_once(&whole[..whole.len() - 1]);
        let caller = Caller::new(&base, None);
        assert!(
            caller
                .post_and("/sell", &Value::Null, || Ok(()))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_missing_member_is_named() {
        let value = serde_json::json!({"a": {"b": "x"}});
        assert_eq!(text(&value, "a.b").unwrap(), "x");
        assert!(
            text(&value, "a.c")
                .unwrap_err()
                .to_string()
                .contains("has no a.c")
        );
    }
}
