//! A calendar entry per journey (RFC 5545).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use domain::time::{Instant, ServiceDate, Zone};

use super::{Papers, Printed};

/// The most bytes of a line, without its end.
const LINE_BYTES_MAX: usize = 75;

/// Text as a value: what would end or split it is escaped, what nobody can read is left out.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => {
                safe.push('\\');
                safe.push(c);
            }
            '\n' => safe.push_str("\\n"),
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    safe
}

/// Writes a line, folded between characters.
fn line(file: &mut String, text: &str) {
    let mut used = 0;
    for c in text.chars() {
        if used + c.len_utf8() > LINE_BYTES_MAX {
            file.push_str("\r\n ");
            used = 1;
        }
        file.push(c);
        used += c.len_utf8();
    }
    file.push_str("\r\n");
}

/// `20261122T120500Z`.
fn utc(at: Instant) -> String {
    let Ok(zone) = "UTC".parse::<Zone>() else {
        return String::new();
    };
    let day = at
        .local_date(&zone)
        .unwrap_or(ServiceDate(jiff::civil::Date::MIN));
    let seconds = at.as_secs().rem_euclid(86_400);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        day.0.year(),
        day.0.month(),
        day.0.day(),
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn event(file: &mut String, papers: &Papers, seats: &[&Printed]) {
    let Some(first) = seats.first() else { return };
    let claim = first.ticket.claim;
    let labels: Vec<&str> = seats.iter().map(|s| s.seat_label.as_str()).collect();
    let (from, to) = (&first.from, &first.to);
    let mut about = format!(
        "Booking {}\nSeats {}\nDeparts {} ({})\nArrives {} ({})",
        papers.reference,
        labels.join(" "),
        from.local(),
        from.zone.as_str(),
        to.local(),
        to.zone.as_str()
    );
    if claim.test {
        about.push_str("\nTEST");
    }
    line(file, "BEGIN:VEVENT");
    let place = format!("{}-{}-{}", claim.trip, claim.from.0, claim.to.0);
    line(file, &format!("UID:{}-{place}@mwimule", papers.booking));
    line(file, &format!("DTSTAMP:{}", utc(papers.created_at)));
    line(file, &format!("DTSTART:{}", utc(from.time)));
    // The same moment twice is no period.
    let ends = to.time.max(from.time.plus_ms(60_000));
    line(file, &format!("DTEND:{}", utc(ends)));
    let title = format!("{}: {} - {}", papers.company, from.stop, to.stop);
    line(file, &format!("SUMMARY:{}", escaped(&title)));
    line(file, &format!("LOCATION:{}", escaped(&from.stop)));
    line(file, &format!("DESCRIPTION:{}", escaped(&about)));
    line(file, "TRANSP:OPAQUE");
    line(file, "END:VEVENT");
}

/// The journeys of a booking, one entry each, whatever the number of seats.
pub fn ics(papers: &Papers) -> String {
    let mut journeys: BTreeMap<(Instant, u64, u8, u8), Vec<&Printed>> = BTreeMap::new();
    for ticket in &papers.tickets {
        let claim = ticket.ticket.claim;
        let key = (ticket.from.time, claim.trip.0, claim.from.0, claim.to.0);
        journeys.entry(key).or_default().push(ticket);
    }
    let mut file = String::new();
    let mut head = String::new();
    let _ = write!(
        head,
        "PRODID:-//Mwimule//Hub {}//EN",
        env!("CARGO_PKG_VERSION")
    );
    for text in [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        &head,
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
    ] {
        line(&mut file, text);
    }
    for seats in journeys.values() {
        event(&mut file, papers, seats);
    }
    line(&mut file, "END:VCALENDAR");
    file
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_instant_reads_as_utc() {
        assert_eq!(utc(Instant(1_795_349_100_000)), "20261122T120500Z");
    }

    proptest! {
        #[test]
        fn folded_lines_are_short_and_unfold_to_what_they_were(text in "\\PC{0,400}") {
            let mut file = String::new();
            line(&mut file, &text);
            let whole = file.strip_suffix("\r\n").unwrap();
            prop_assert!(whole.split("\r\n").all(|l| l.len() <= LINE_BYTES_MAX));
            prop_assert_eq!(whole.replace("\r\n ", ""), text);
        }

        #[test]
        fn no_text_ends_its_line_or_value(text in any::<String>()) {
            let safe = escaped(&text);
            prop_assert!(!safe.chars().any(char::is_control));
            let bare = safe.replace("\\\\", "").replace("\\;", "").replace("\\,", "");
            prop_assert!(!bare.contains([';', ',']));
        }
    }
}
