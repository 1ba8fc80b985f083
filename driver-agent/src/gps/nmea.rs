//! NMEA 0183 out of a file or a serial device: `RMC` says where, when, how fast and whereto.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use domain::time::Instant;
use domain::tracking::Place;
use tokio::sync::mpsc;

use super::Reading;

/// The longest line that is read, in bytes; a sentence has 82 at most.
const LINE_BYTES_MAX: u64 = 1_024;
/// How long a file that has ended rests before it is looked at again: a device goes on.
const REST: Duration = Duration::from_millis(200);
/// Centimetres a second in a knot.
const CM_S_PER_KNOT: f64 = 51.444;

/// What a sentence says of where the bus is; nothing where it is another, damaged, or has no fix.
pub fn reading(line: &str) -> Option<Reading> {
    let line = line.trim();
    let body = line.strip_prefix('$')?;
    let (body, sum) = body.split_once('*')?;
    let found = body.bytes().fold(0, |sum, byte| sum ^ byte);
    if u8::from_str_radix(sum, 16).ok()? != found {
        return None;
    }
    let fields: Vec<&str> = body.split(',').collect();
    let field = |n: usize| fields.get(n).copied().unwrap_or_default();
    // Two letters say which satellites.
    if field(0).get(2..)? != "RMC" || field(2) != "A" {
        return None;
    }
    let lat = degrees(field(3), field(4), 2)?;
    let lon = degrees(field(5), field(6), 3)?;
    let number = |n: usize| field(n).parse::<f64>().ok().filter(|v| *v >= 0.0);
    let within = |value: f64, most: f64| value.min(most).round() as u16;
    Some(Reading {
        at: moment(field(9), field(1)),
        place: Place::of_degrees(lat, lon)?,
        speed_cm_s: number(7).map(|knots| within(knots * CM_S_PER_KNOT, 65_535.0)),
        bearing_deg: number(8).map(|degrees| within(degrees, 360.0) % 360),
        accuracy_m: None,
    })
}

/// `1525.0038,S` is 15° 25.0038′ south.
fn degrees(text: &str, side: &str, whole_digits: usize) -> Option<f64> {
    let (whole, minutes) = text.split_at_checked(whole_digits)?;
    let degrees = whole.parse::<u16>().ok()?;
    let minutes: f64 = minutes.parse().ok().filter(|m| (0.0..60.0).contains(m))?;
    let value = f64::from(degrees) + minutes / 60.0;
    match side {
        "N" | "E" => Some(value),
        "S" | "W" => Some(-value),
        _ => None,
    }
}

/// `231126` and `043107.00` are 2026-11-23 04:31:07 UTC.
fn moment(date: &str, time: &str) -> Option<Instant> {
    let pair = |text: &str, at: usize| text.get(at..at + 2)?.parse::<i8>().ok();
    let year = 2000 + i16::from(pair(date, 4)?);
    let day = jiff::civil::Date::new(year, pair(date, 2)?, pair(date, 0)?).ok()?;
    let seconds: f64 = time.get(4..)?.parse().ok()?;
    let clock = jiff::civil::Time::new(pair(time, 0)?, pair(time, 2)?, 0, 0).ok()?;
    let start = day
        .to_datetime(clock)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?;
    let ms = (seconds * 1_000.0).round() as i64;
    Some(Instant(start.timestamp().as_millisecond() + ms))
}

/// Reads a file to its end and on, as it grows.
pub async fn read(path: PathBuf, readings: mpsc::Sender<Reading>) {
    let shown = path.display().to_string();
    let reader = tokio::task::spawn_blocking(move || {
        let mut file = BufReader::new(std::fs::File::open(&path)?);
        let mut line = Vec::new();
        while !readings.is_closed() {
            let part = file
                .by_ref()
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut line)?;
            if part == 0 {
                std::thread::sleep(REST);
                continue;
            }
            if !line.ends_with(b"\n") && (line.len() as u64) < LINE_BYTES_MAX {
                // The rest of the sentence is still being written.
                continue;
            }
            let said = reading(&String::from_utf8_lossy(&line));
            line.clear();
            if let Some(reading) = said
                && readings.blocking_send(reading).is_err()
            {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    });
    match reader.await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::error!(
            path = shown, %error,
            "the NMEA file cannot be read: this bus is not seen. Check the path"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With its checksum.
    fn sentence(body: &str) -> String {
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}\r\n")
    }

    #[test]
    fn a_good_sentence_is_read_and_a_damaged_one_is_not() {
        let good = sentence("GNRMC,043107.50,A,1525.0038,S,02816.9986,E,042.2,187.0,231126,,,A");
        let said = reading(&good).unwrap();
        assert_eq!(said.at, Some(Instant(1_795_408_267_500)));
        let (lat, lon) = (said.place.lat(), said.place.lon());
        assert!(
            (lat + 15.416_73).abs() < 1e-6 && (lon - 28.283_31).abs() < 1e-6,
            "{said:?}"
        );
        assert_eq!(
            (said.speed_cm_s, said.bearing_deg),
            (Some(2_171), Some(187))
        );
        let damaged = good.replace("1525", "1526");
        assert_eq!(reading(&damaged), None, "the checksum is another");
        for body in [
            "GNRMC,043107.50,V,1525.0038,S,02816.9986,E,042.2,187.0,231126,,,A",
            "GNRMC,043107.50,A,9925.0038,S,02816.9986,E,042.2,187.0,231126,,,A",
            "GNRMC,043107.50,A,15é5.0038,S,02816.9986,E,042.2,187.0,231126,,,A",
            "GNGGA,043107.50,1525.0038,S,02816.9986,E,1,08,1.0,1200.0,M,,M,,",
            "GNRMC",
            "é",
            "",
        ] {
            assert_eq!(reading(&sentence(body)), None, "{body}");
        }
        assert_eq!(reading("$*"), None);
    }
}
