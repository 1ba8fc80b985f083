//! What the members of the office's rows may be. Pure.

use domain::time::Zone;

use crate::csvio::Fault;

/// The longest code of a stop, station, route or layout, in characters.
pub(super) const CODE_CHARS_MAX: usize = 64;
/// The longest name, in characters.
pub(super) const NAME_CHARS_MAX: usize = 120;
/// The longest address, in characters.
pub(super) const ADDRESS_CHARS_MAX: usize = 300;

/// Text without blanks around it and without control characters, of at most so many characters.
pub(super) fn text(field: &str, value: &str, chars_max: usize) -> Result<String, Fault> {
    let value = value.trim();
    if value.chars().any(char::is_control) {
        let wrong = "it has a line break or another control character";
        return Err(Fault::new(field, wrong, "write it on one line"));
    }
    if value.chars().count() > chars_max {
        let wrong = format!("it has more than {chars_max} characters");
        return Err(Fault::new(field, wrong, "shorten it"));
    }
    Ok(value.to_owned())
}

/// Text that may not be empty.
pub(super) fn name(field: &str, value: &str, chars_max: usize) -> Result<String, Fault> {
    let value = text(field, value, chars_max)?;
    if value.is_empty() {
        let remedy = format!("write 1 to {chars_max} characters");
        return Err(Fault::new(field, "it is empty", remedy));
    }
    Ok(value)
}

/// A code: a name that fits into an address and a file.
pub(super) fn code(field: &str, value: &str) -> Result<String, Fault> {
    name(field, value, CODE_CHARS_MAX)
}

/// A zone by its proper name.
pub(super) fn zone(field: &str, value: &str) -> Result<String, Fault> {
    let zone = value.trim().parse::<Zone>().ok();
    let rules = zone.as_ref().and_then(Zone::time_zone);
    let proper = rules.as_ref().and_then(|z| z.iana_name());
    proper.map(str::to_owned).ok_or_else(|| {
        let shown: String = value.chars().take(60).collect();
        let wrong = format!("{shown:?} is no time zone");
        Fault::new(field, wrong, "write a name like Africa/Lusaka")
    })
}

/// A phone number in E.164, blanks and dashes taken out; empty when there is none.
pub(super) fn phone(field: &str, value: &str) -> Result<String, Fault> {
    let bare: String = value
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/'))
        .collect();
    if bare.is_empty() {
        return Ok(bare);
    }
    let digits = bare.strip_prefix('+').unwrap_or_default();
    let fits = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if fits && !digits.starts_with('0') {
        return Ok(bare);
    }
    let remedy = "write it with the country's code, like +260970000001";
    Err(Fault::new(field, "it is no phone number", remedy))
}

/// An e-mail address as far as a machine can tell; empty when there is none.
pub(super) fn email(field: &str, value: &str) -> Result<String, Fault> {
    let value = text(field, value, 254)?;
    let parts = value.split_once('@');
    let fits = parts.is_some_and(|(who, host)| {
        !who.is_empty() && host.contains('.') && !host.contains('@') && !host.starts_with('.')
    });
    if value.is_empty() || (fits && !value.contains(char::is_whitespace)) {
        return Ok(value);
    }
    let remedy = "write it like office@example.com";
    Err(Fault::new(field, "it is no e-mail address", remedy))
}

/// A web address; empty when there is none.
pub(super) fn website(field: &str, value: &str) -> Result<String, Fault> {
    let value = text(field, value, 200)?;
    let rest = value
        .strip_prefix("https://")
        .or_else(|| value.strip_prefix("http://"));
    let fits = rest.is_some_and(|r| !r.is_empty() && !r.contains(char::is_whitespace));
    if value.is_empty() || fits {
        return Ok(value);
    }
    let remedy = "write it like https://www.example.com";
    Err(Fault::new(field, "it is no web address", remedy))
}

/// A language as in BCP 47: letters, digits and dashes.
pub(super) fn language(field: &str, value: &str) -> Result<String, Fault> {
    let value = value.trim();
    let mut parts = value.split('-');
    let first = parts.next().unwrap_or_default();
    let fits = (2..=3).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && value.len() <= 35
        && parts
            .all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
    if fits {
        return Ok(value.to_owned());
    }
    let remedy = "write a code like en, fr or pt-MZ";
    Err(Fault::new(field, "it is no language code", remedy))
}

/// A registration plate: capitals, digits, dashes, single blanks.
pub(super) fn registration(field: &str, value: &str) -> Result<String, Fault> {
    let parts: Vec<String> = value.split_whitespace().map(str::to_uppercase).collect();
    let plate = parts.join(" ");
    let known = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-');
    if (1..=16).contains(&plate.chars().count()) && plate.chars().all(known) {
        return Ok(plate);
    }
    let wrong = "a registration has 1 to 16 letters, digits, blanks and dashes";
    Err(Fault::new(
        field,
        wrong,
        "write it as on the plate, like BAE 1234",
    ))
}

/// Six hexadecimal digits in capitals.
pub(super) fn colour(field: &str, value: &str) -> Result<String, Fault> {
    let digits = value.trim().trim_start_matches('#');
    if digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_uppercase());
    }
    let wrong = "it is no colour";
    Err(Fault::new(
        field,
        wrong,
        "write six hexadecimal digits, like 0B7A75",
    ))
}

const DAYS: [&str; 7] = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"];

/// Opening hours in the words of OpenStreetMap: `Mo-Fr 06:00-20:00; Sa,Su 07:00-13:00`, `24/7`;
/// empty when nobody said.
pub(super) fn opening_hours(field: &str, value: &str) -> Result<String, Fault> {
    let value = text(field, value, 200)?;
    if value.is_empty() || value == "24/7" {
        return Ok(value);
    }
    let rules: Option<Vec<String>> = value.split(';').map(|r| opening_rule(r.trim())).collect();
    rules.map(|r| r.join("; ")).ok_or_else(|| {
        let remedy = "write them like Mo-Fr 06:00-20:00; Sa,Su 07:00-13:00, or 24/7";
        Fault::new(field, "they cannot be read", remedy)
    })
}

fn opening_rule(rule: &str) -> Option<String> {
    let (days, hours) = rule.split_once(' ')?;
    let day = |d: &str| DAYS.iter().find(|known| known.eq_ignore_ascii_case(d));
    let days: Option<Vec<String>> = days
        .split(',')
        .map(|part| match part.split_once('-') {
            Some((a, b)) => Some(format!("{}-{}", day(a)?, day(b)?)),
            None => day(part).map(|d| (*d).to_owned()),
        })
        .collect();
    let hours: Option<Vec<String>> = hours
        .split(',')
        .map(|span| {
            let (from, to) = span.trim().split_once('-')?;
            let (from, to) = (minute(from)?, minute(to)?);
            (from < to).then(|| format!("{}-{}", clock(from), clock(to)))
        })
        .collect();
    Some(format!("{} {}", days?.join(","), hours?.join(",")))
}

/// Minutes after midnight, up to 24:00.
fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |t: &str, digits: std::ops::RangeInclusive<usize>| {
        let fits = digits.contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| t.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
    let at = hours * 60 + minutes;
    (minutes < 60 && at <= 24 * 60).then_some(at)
}

fn clock(minute: u32) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// A run time: seconds from `6:30`, `06:30` or `06:30:15`, up to ten days.
pub(super) fn run_time_s(text: &str) -> Option<i32> {
    let mut parts = text.trim().split(':');
    let (hours, minutes) = (parts.next()?, parts.next()?);
    let seconds = parts.next().unwrap_or("00");
    let number = |t: &str, digits: std::ops::RangeInclusive<usize>| {
        let fits = digits.contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| t.parse::<i32>().ok()).flatten()
    };
    let hours = number(hours, 1..=3).filter(|h| *h <= 240)?;
    let minutes = number(minutes, 2..=2).filter(|m| *m < 60)?;
    let seconds = number(seconds, 2..=2).filter(|s| *s < 60)?;
    parts
        .next()
        .is_none()
        .then_some(hours * 3600 + minutes * 60 + seconds)
}

/// What [`run_time_s`] reads.
pub(super) fn run_time(secs: i32) -> String {
    format!("{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(name("name", " Ndola ", 5).unwrap(), "Ndola");
        for bad in ["", "  ", "Lusaka", "a\nb"] {
            assert_eq!(name("name", bad, 5).unwrap_err().column, "name", "{bad}");
        }
    }

    #[test]
    fn a_zone_is_stored_under_its_proper_name() {
        assert_eq!(zone("zone", "africa/lusaka").unwrap(), "Africa/Lusaka");
        let fault = zone("zone", "Lusaka").unwrap_err();
        assert!(fault.remedy.contains("Africa/Lusaka"));
    }

    #[test]
    fn phones_mails_and_plates_take_their_normal_form() {
        assert_eq!(phone("p", "+260 97 000-0001").unwrap(), "+260970000001");
        assert_eq!(phone("p", " ").unwrap(), "");
        assert!(phone("p", "0970000001").is_err());
        assert!(phone("p", "+0970000001").is_err());
        assert_eq!(email("e", "a@b.zm").unwrap(), "a@b.zm");
        for bad in ["a", "@b.zm", "a@b", "a b@c.zm", "a@b@c.zm"] {
            assert!(email("e", bad).is_err(), "{bad}");
        }
        assert_eq!(registration("r", " bae  1234 ").unwrap(), "BAE 1234");
        assert!(registration("r", "BAE_1").is_err());
        assert_eq!(colour("c", "#0b7a75").unwrap(), "0B7A75");
        assert!(language("l", "pt-MZ").is_ok() && language("l", "english!").is_err());
        assert!(website("w", "www.example.com").is_err());
    }

    #[test]
    fn opening_hours_read_like_those_of_a_map() {
        for (said, kept) in [
            (
                "mo-fr 6:00-20:00;sa,su 07:00-13:00",
                "Mo-Fr 06:00-20:00; Sa,Su 07:00-13:00",
            ),
            ("Mo 06:00-12:00,14:00-24:00", "Mo 06:00-12:00,14:00-24:00"),
            ("24/7", "24/7"),
            ("", ""),
        ] {
            assert_eq!(opening_hours("o", said).unwrap(), kept);
        }
        for bad in [
            "always",
            "Mo",
            "Mo 6-20",
            "Mo 20:00-06:00",
            "Xx 06:00-07:00",
            "Mo 06:00-24:01",
        ] {
            assert!(opening_hours("o", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn run_times_read_back() {
        assert_eq!(run_time_s("6:05"), Some(21_900));
        assert_eq!(run_time_s(&run_time(90_061)), Some(90_061));
        for bad in [
            "",
            "6",
            "6:5",
            "6:60",
            "6:00:60",
            "1:00:00:00",
            "-1:00",
            "999:00",
        ] {
            assert_eq!(run_time_s(bad), None, "{bad}");
        }
    }
}
