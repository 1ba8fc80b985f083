//! What the simulated operators share: a script of faults, a ledger, a state file, and the way
//! they start. Nothing here knows the rest of the project.

pub mod control;
pub mod faults;
pub mod ledger;
mod serve;
mod state;

pub use control::control_routes;
pub use faults::{Fault, Faults, Planned};
pub use ledger::{Ledger, Line};
pub use serve::{Args, Running, listen, run, run_saying};
pub use state::{StateFile, Stored};

/// So many random characters of 0-9 and a-f, twice as many as bytes.
pub fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    if getrandom::fill(&mut random).is_err() {
        random.fill(0);
    }
    hex(&random)
}

/// Two characters of 0-9 and a-f for each byte.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// The pairs of a form or query, percent-decoded.
pub fn pairs(text: &[u8]) -> Vec<(String, String)> {
    let decoded = |part: &[u8]| {
        let mut out = Vec::with_capacity(part.len());
        let mut rest = part.iter().copied();
        while let Some(byte) = rest.next() {
            out.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                    let hex = std::str::from_utf8(&digits).unwrap_or("00");
                    u8::from_str_radix(hex, 16).unwrap_or(b'?')
                }
                other => other,
            });
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    text.split(|b| *b == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = pair.iter().position(|b| *b == b'=');
            let (name, value) = at.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// Posts a form, once, and does not care whether it arrived.
pub async fn post_form(url: &str, form: String) {
    let client = reqwest::Client::builder()
        .timeout(std::time::Duration::from_secs(10))
        .build();
    let Ok(client) = client else { return };
    let request = client
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    if let Err(error) = request.send().await {
        eprintln!("a report did not arrive: {error}");
    }
}

/// Sends a callback, once, and does not care whether it arrived.
pub async fn call_back(put: bool, url: &str, headers: &[(&str, String)], body: String) {
    let Ok(client) = reqwest::Client::builder()
        .timeout(std::time::Duration::from_secs(10))
        .build()
    else {
        return;
    };
    let request = if put {
        client.put(url)
    } else {
        client.post(url)
    };
    let request = headers
        .iter()
        .fold(request.body(body), |r, (name, value)| {
            r.header(*name, value)
        })
        .header("content-type", "application/json");
    if let Err(error) = request.send().await {
        eprintln!("a callback did not arrive: {error}");
    }
}
