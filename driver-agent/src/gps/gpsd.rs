//! gpsd's JSON protocol over TCP: `?WATCH` once, then a `TPV` report for each fix.

use std::time::Duration;

use domain::time::Instant;
use domain::tracking::Place;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Reading;

/// The port that gpsd listens on unless it is told otherwise.
pub const PORT: &str = "2947";
const WATCH: &[u8] = b"?WATCH={\"enable\":true,\"json\":true};\n";
/// The longest report that is read, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// How long to wait before gpsd is called again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// gpsd says something at least so often while a receiver works.
const SILENCE_MAX: Duration = Duration::from_mins(1);

/// What a report says of where the bus is; nothing where it has no fix.
pub fn reading(line: &str) -> Option<Reading> {
    let report: Value = serde_json::from_str(line).ok()?;
    let mode = report["mode"].as_i64().unwrap_or(0);
    if report["class"] != "TPV" || mode < 2 {
        return None;
    }
    let number = |name: &str| report[name].as_f64().filter(|n| n.is_finite());
    let place = Place::of_degrees(number("lat")?, number("lon")?)?;
    let at = report["time"].as_str().and_then(|text| {
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(Instant(at.as_millisecond()))
    });
    let within = |value: f64, most: f64| value.clamp(0.0, most).round() as u16;
    let error = number("eph").or_else(|| Some(number("epx")?.hypot(number("epy")?)));
    Some(Reading {
        at,
        place,
        speed_cm_s: number("speed").map(|m_s| within(m_s * 100.0, 65_535.0)),
        bearing_deg: number("track").map(|degrees| within(degrees, 360.0) % 360),
        accuracy_m: error.map(|metres| within(metres, 65_535.0)),
    })
}

/// Reads gpsd, and calls it again whenever it goes.
pub async fn read(address: String, readings: mpsc::Sender<Reading>) {
    loop {
        match read_once(&address, &readings).await {
            Ok(()) => tracing::info!(address, "gpsd has gone; trying again"),
            Err(error) => tracing::warn!(address, %error, "no gpsd; trying again"),
        }
        if readings.is_closed() {
            return;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

async fn read_once(address: &str, readings: &mpsc::Sender<Reading>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(WATCH).await?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut line);
        let count = tokio::time::timeout(SILENCE_MAX, read)
            .await
            .map_err(|_| std::io::Error::other("it said nothing for a minute"))??;
        if count == 0 {
            return Ok(());
        }
        if !line.ends_with(b"\n") && count as u64 == LINE_BYTES_MAX {
            return Err(std::io::Error::other("a report has no end"));
        }
        if let Some(reading) = reading(&String::from_utf8_lossy(&line))
            && readings.send(reading).await.is_err()
        {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_with_a_fix_is_read_and_any_other_is_not() {
        let line = r#"{"class":"TPV","device":"/dev/pts/1","mode":3,"time":"2026-11-23T04:31:07.000Z","lat":-15.41673,"lon":28.28331,"track":187.2,"speed":21.7,"eph":6.4}"#;
        let said = reading(line).unwrap();
        assert_eq!(said.place, Place::of_degrees(-15.41673, 28.28331).unwrap());
        assert_eq!(said.at, Some(Instant(1_795_408_267_000)));
        assert_eq!(
            (said.speed_cm_s, said.bearing_deg, said.accuracy_m),
            (Some(2_170), Some(187), Some(6))
        );
        for other in [
            r#"{"class":"TPV","mode":1,"lat":1,"lon":1}"#,
            r#"{"class":"TPV","mode":3,"lat":91,"lon":1}"#,
            r#"{"class":"SKY","mode":3,"lat":1,"lon":1}"#,
            r#"{"class":"TPV","mode":3}"#,
            "VERSION",
            "",
        ] {
            assert_eq!(reading(other), None, "{other}");
        }
    }
}
