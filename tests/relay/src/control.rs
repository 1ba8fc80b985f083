//! The control protocol: one command per line over TCP, one line in answer.
//!
//! `stop`, `go`, `stop ADDR`, `go ADDR` answer `ok`; `stats` answers with one line of JSON;
//! anything else answers `error: ...`.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::forward::Forwarder;

/// The longest command line, in bytes.
const LINE_BYTES_MAX: u64 = 256;

/// Control connections at once; more wait.
const CONNECTIONS_MAX: usize = 16;

pub(crate) async fn serve(listener: TcpListener, forwarder: Arc<Forwarder>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut talks = tokio::task::JoinSet::new();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        while talks.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let forwarder = Arc::clone(&forwarder);
        talks.spawn(async move {
            // A control connection that breaks concerns nobody else.
            let _ = talk(stream, &forwarder).await;
            drop(place);
        });
    }
}

async fn talk(stream: TcpStream, forwarder: &Forwarder) -> std::io::Result<()> {
    let (receive, mut send) = stream.into_split();
    let mut receive = BufReader::new(receive);
    loop {
        let mut line = Vec::new();
        let read = (&mut receive)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
            .await?;
        if read == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && read as u64 == LINE_BYTES_MAX {
            let answer = format!("error: a line has at most {LINE_BYTES_MAX} bytes\n");
            return send.write_all(answer.as_bytes()).await;
        }
        let mut answer = obey(&String::from_utf8_lossy(&line), forwarder);
        answer.push('\n');
        send.write_all(answer.as_bytes()).await?;
    }
}

fn obey(line: &str, forwarder: &Forwarder) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["stop"] => forwarder.set_stopped(true),
        ["go"] => forwarder.set_stopped(false),
        ["stats"] => {
            return serde_json::to_string(&forwarder.stats())
                .unwrap_or_else(|error| format!("error: {error}"));
        }
        [command @ ("stop" | "go"), address] => {
            let Ok(client) = address.parse::<SocketAddr>() else {
                return format!("error: {address:?} is not an address like 127.0.0.1:4000");
            };
            if !forwarder.set_client_stopped(client, *command == "stop") {
                return "error: too many clients are stopped".to_owned();
            }
        }
        _ => return "error: say stop, go, stop ADDR, go ADDR or stats".to_owned(),
    }
    "ok".to_owned()
}
