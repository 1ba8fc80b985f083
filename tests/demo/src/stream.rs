//! A listener of Server-Sent Events: reads where a bus is, line by line, and when the hub process
//! that it listens to ends, goes on at the next one, as a browser behind a gateway does.

use std::io::{BufRead as _, BufReader};
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::http::number;

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 256 * 1024;

/// What a listener notices.
#[derive(Debug)]
pub enum News {
    /// A stream is open; at which of the addresses.
    Opened(String),
    /// Where the bus is.
    Position(Value),
    /// The stream is over.
    Over,
    /// It could not be opened, and why.
    Refused(String),
}

/// A listener, in a thread of its own.
#[derive(Debug)]
pub struct Listener {
    news: Receiver<News>,
}

/// What a listener has seen of a bus.
#[derive(Debug, Clone, Default)]
pub struct Followed {
    /// How many positions came.
    pub positions: usize,
    /// How far along its route the bus was at the first of them, in metres.
    pub from_m: i64,
    /// And at the newest.
    pub to_m: i64,
    /// How old a position was at most when it came, in milliseconds.
    pub age_ms_max: i64,
}

impl Followed {
    /// Takes a position in.
    pub fn note(&mut self, position: &Value) -> Result<()> {
        let along_m = number(position, "along_m")?;
        if self.positions == 0 {
            self.from_m = along_m;
        }
        self.to_m = along_m;
        // A bus that has sent nothing yet has no age.
        self.age_ms_max = self
            .age_ms_max
            .max(position["age_ms"].as_i64().unwrap_or(0));
        self.positions += 1;
        Ok(())
    }

    /// How far the bus moved, in metres.
    pub fn moved_m(&self) -> i64 {
        self.to_m - self.from_m
    }
}

impl Listener {
    /// Begins to listen at the first of some addresses, `http://host:port`; each next one is for
    /// when the stream at the one before ends.
    pub fn open(bases: Vec<String>, path: String) -> Self {
        let (tell, news) = channel();
        std::thread::spawn(move || {
            for base in bases {
                let end = match read(&base, &path, &tell) {
                    Ok(()) => News::Over,
                    Err(error) => News::Refused(format!("{error:#}")),
                };
                if tell.send(end).is_err() {
                    return;
                }
            }
        });
        Self { news }
    }

    /// What it noticed since it was last asked, the first first.
    pub fn news(&self) -> Vec<News> {
        self.news.try_iter().collect()
    }
}

/// Reads one stream to its end.
fn read(base: &str, path: &str, tell: &Sender<News>) -> Result<()> {
    // A stream lasts as long as its bus is on the way, so no answer is too late.
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(None)
        .build();
    let agent: ureq::Agent = config.into();
    let url = format!("{base}{path}");
    let response = agent.get(&url).call();
    let response = response.with_context(|| format!("GET {url} got no answer"))?;
    if response.status() != 200 {
        bail!("GET {url} answered {}", response.status());
    }
    // Whoever asked may have gone; then nobody is told.
    let _ = tell.send(News::Opened(base.to_owned()));
    let mut reader = BufReader::new(response.into_body().into_reader());
    let mut event = Event::default();
    loop {
        let mut line = vec![];
        let mut bounded = std::io::Read::take(&mut reader, LINE_BYTES_MAX);
        match bounded.read_until(b'\n', &mut line) {
            // A process that ends cuts its streams off; both ways it is over.
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        if let Some(position) = event.take(line.trim_end_matches(['\r', '\n']))
            && tell.send(News::Position(position)).is_err()
        {
            return Ok(());
        }
    }
}

/// An event whose lines are coming in.
#[derive(Debug, Default)]
struct Event {
    kind: String,
    data: String,
}

impl Event {
    /// Takes a line; gives the position once its event is whole.
    fn take(&mut self, line: &str) -> Option<Value> {
        if line.is_empty() {
            let Self { kind, data } = std::mem::take(self);
            return (kind == "position")
                .then(|| serde_json::from_str(&data).ok())
                .flatten();
        }
        if let Some(kind) = line.strip_prefix("event:") {
            kind.trim().clone_into(&mut self.kind);
        }
        if let Some(data) = line.strip_prefix("data:") {
            self.data.push_str(data.trim_start());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_and_signs_of_life_passed_over() {
        let mut event = Event::default();
        let text = ": alive\n\nevent: position\nid: 5-1\ndata: {\"age_ms\":850,\"along_m\":40}\n\n\
                    event: ended\ndata: trip\n\nevent: position\ndata: {\"age_ms\":90,\"along_m\":340}\n\n";
        let found: Vec<Value> = text.lines().filter_map(|l| event.take(l)).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        let mut followed = Followed::default();
        for position in &found {
            followed.note(position).unwrap();
        }
        assert_eq!((followed.moved_m(), followed.age_ms_max), (300, 850));
        assert!(followed.note(&serde_json::json!({"age_ms": 1})).is_err());
    }
}
