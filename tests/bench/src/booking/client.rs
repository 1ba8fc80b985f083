//! As little HTTP as it takes: what is measured is the hub.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// A connection that stays open.
pub struct Client {
    stream: BufReader<TcpStream>,
    host: String,
    token: String,
}

impl Client {
    /// Connects; with a token it is the office.
    pub async fn connect(host: &str, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let bearer = format!("authorization: Bearer {token}\r\n");
        Ok(Self {
            stream: BufReader::new(stream),
            host: host.to_owned(),
            token: if token.is_empty() {
                String::new()
            } else {
                bearer
            },
        })
    }

    /// GET that must succeed.
    pub async fn get(&mut self, path: &str) -> Result<Value> {
        let body = self.get_bytes(path).await?;
        serde_json::from_slice(&body).with_context(|| path.to_owned())
    }

    /// The same without a look at what has come.
    pub async fn get_bytes(&mut self, path: &str) -> Result<Vec<u8>> {
        let (host, token) = (&self.host, &self.token);
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{token}\r\n");
        self.send(path, &request).await
    }

    /// POST that must succeed.
    pub async fn post(&mut self, path: &str, key: &str, body: &Value) -> Result<Value> {
        let (host, token, body) = (&self.host, &self.token, body.to_string());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\n{token}idempotency-key: {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let body = self.send(path, &request).await?;
        serde_json::from_slice(&body).with_context(|| path.to_owned())
    }

    async fn send(&mut self, path: &str, request: &str) -> Result<Vec<u8>> {
        self.stream.get_mut().write_all(request.as_bytes()).await?;
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).context("no status")?.to_owned();
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim().split_once(':') else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        if !status.starts_with('2') {
            bail!("{path}: {status} {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}
