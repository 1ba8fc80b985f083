//! When a message goes out, and what follows from what a gateway said: pure.

use domain::time::{Instant, Zone};

use super::kind::Urgency;

/// Minutes of a day.
const DAY_MIN: i16 = 1_440;
/// A message about something that happens this soon after quiet hours wakes its reader.
const NOTICE_MS: i64 = 3 * 3_600_000;
/// How long a message waits between tries, in milliseconds; after the last it is given up.
pub(super) const RETRY_DELAYS_MS: [i64; 6] =
    [5_000, 30_000, 120_000, 600_000, 3_600_000, 6 * 3_600_000];

/// A time of the day in which nobody wants to be woken: minutes after local midnight. It may
/// reach over midnight; from and to the same moment it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quiet {
    pub(super) from_min: i16,
    pub(super) to_min: i16,
}

impl Quiet {
    /// What holds for who has said nothing: from nine in the evening to six in the morning.
    pub(super) const DEFAULT: Self = Self {
        from_min: 21 * 60,
        to_min: 6 * 60,
    };

    /// How long it lasts from this minute on; 0 outside of it.
    fn left_min(self, minute: i16) -> i16 {
        let inside = if self.from_min <= self.to_min {
            (self.from_min..self.to_min).contains(&minute)
        } else {
            minute >= self.from_min || minute < self.to_min
        };
        if inside {
            (self.to_min - minute).rem_euclid(DAY_MIN)
        } else {
            0
        }
    }
}

/// When a message goes out. `matters_by` is when its reader should know at the latest, like the
/// departure that it is about.
pub(super) fn send_at(
    now: Instant,
    zone: &Zone,
    quiet: Option<Quiet>,
    (urgency, matters_by): (Urgency, Option<Instant>),
) -> Instant {
    let (Some(quiet), Urgency::Daytime) = (quiet, urgency) else {
        return now;
    };
    let Some(minute) = local_minute_of_day(now, zone) else {
        return now;
    };
    let left = quiet.left_min(minute);
    if left == 0 {
        return now;
    }
    let into_minute_ms = now.0.rem_euclid(60_000);
    let ends = now.plus_ms(i64::from(left) * 60_000 - into_minute_ms);
    match matters_by {
        Some(by) if by < ends.plus_ms(NOTICE_MS) => now,
        _ => ends,
    }
}

/// Minutes after midnight on the zone's clock; the clock's own jumps move the end of quiet hours
/// by as much.
fn local_minute_of_day(at: Instant, zone: &Zone) -> Option<i16> {
    let tz = zone.time_zone()?;
    let at = jiff::Timestamp::from_millisecond(at.0).ok()?;
    let local = tz.to_datetime(at);
    Some(i16::from(local.hour()) * 60 + i16::from(local.minute()))
}

/// What a gateway said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has the message.
    Sent {
        /// What it calls it.
        id: Option<String>,
    },
    /// It will never send it.
    Refused(String),
    /// It did not, or nobody knows whether it did.
    Unknown(String),
}

/// What a try comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct After {
    pub(super) state: &'static str,
    pub(super) next_try_at: Option<Instant>,
    pub(super) gateway_id: Option<String>,
    pub(super) error: Option<String>,
}

/// What follows from the outcome of so many tries.
pub(super) fn after(outcome: Outcome, tries: i32, now: Instant) -> After {
    let given_up = |error| After {
        state: "failed",
        next_try_at: None,
        gateway_id: None,
        error: Some(error),
    };
    match outcome {
        Outcome::Sent { id } => After {
            state: "sent",
            next_try_at: None,
            gateway_id: id,
            error: None,
        },
        Outcome::Refused(why) => given_up(why),
        Outcome::Unknown(why) => {
            let at = usize::try_from(tries.saturating_sub(1)).unwrap_or_default();
            match RETRY_DELAYS_MS.get(at) {
                Some(wait) => After {
                    state: "waiting",
                    next_try_at: Some(now.plus_ms(*wait)),
                    gateway_id: None,
                    error: Some(why),
                },
                None => given_up(why),
            }
        }
    }
}

/// What a delivery report makes of a message: the state, or nothing new.
pub(super) fn reported(status: &str) -> Option<&'static str> {
    match status {
        "Success" => Some("delivered"),
        "Failed" | "Rejected" => Some("failed"),
        _ => None,
    }
}

/// The accented letters that the GSM 7-bit alphabet has (3GPP TS 23.038).
const GSM_LETTERS: &str = "èéùìòÇØøÅåÆæßÉÄÖÑÜäöñüà£¥¡¿§";

/// A text that a phone network carries at 160 characters a part: what its alphabet lacks loses
/// the accent, or is left out.
pub(super) fn gsm_form(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    let mut out = String::with_capacity(text.len());
    for c in text.nfc() {
        if c.is_ascii_graphic() || matches!(c, ' ' | '\n') || GSM_LETTERS.contains(c) {
            out.push(if c == '`' { '\'' } else { c });
        } else if matches!(c, '\u{2019}' | '\u{2018}') {
            out.push('\'');
        } else if matches!(c, '\u{2013}' | '\u{2014}') {
            out.push('-');
        } else {
            out.extend(core::iter::once(c).nfkd().filter(char::is_ascii_graphic));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        let at: jiff::Timestamp = text.parse().unwrap();
        Instant(at.as_millisecond())
    }

    #[track_caller]
    fn check(now: &str, quiet: Option<Quiet>, about: (Urgency, Option<&str>), wanted: &str) {
        let zone: Zone = "Africa/Lusaka".parse().unwrap();
        let about = (about.0, about.1.map(at));
        assert_eq!(send_at(at(now), &zone, quiet, about), at(wanted));
    }

    #[test]
    fn quiet_hours_are_those_of_the_companys_clock_and_reach_over_midnight() {
        let night = Some(Quiet::DEFAULT);
        let daytime = (Urgency::Daytime, None);
        // Lusaka is two hours ahead.
        check(
            "2026-11-22T18:59:59Z",
            night,
            daytime,
            "2026-11-22T18:59:59Z",
        );
        check(
            "2026-11-22T19:00:00Z",
            night,
            daytime,
            "2026-11-23T04:00:00Z",
        );
        check(
            "2026-11-23T03:59:30Z",
            night,
            daytime,
            "2026-11-23T04:00:00Z",
        );
        check(
            "2026-11-23T04:00:00Z",
            night,
            daytime,
            "2026-11-23T04:00:00Z",
        );
        check(
            "2026-11-22T23:00:00Z",
            None,
            daytime,
            "2026-11-22T23:00:00Z",
        );
        let noon = Some(Quiet {
            from_min: 12 * 60,
            to_min: 13 * 60,
        });
        check(
            "2026-11-22T10:30:00Z",
            noon,
            daytime,
            "2026-11-22T11:00:00Z",
        );
        let never = Some(Quiet {
            from_min: 60,
            to_min: 60,
        });
        check(
            "2026-11-22T23:00:00Z",
            never,
            daytime,
            "2026-11-22T23:00:00Z",
        );
    }

    #[test]
    fn what_is_of_no_use_in_the_morning_wakes_its_reader() {
        let night = Some(Quiet::DEFAULT);
        let now = "2026-11-22T22:00:00Z";
        check(now, night, (Urgency::AtOnce, None), now);
        let leaves = |text| (Urgency::Daytime, Some(text));
        check(now, night, leaves("2026-11-23T05:00:00Z"), now);
        check(
            now,
            night,
            leaves("2026-11-23T12:00:00Z"),
            "2026-11-23T04:00:00Z",
        );
    }

    #[test]
    fn a_message_is_tried_again_until_it_is_given_up_and_refused_only_once() {
        let now = Instant(1_000_000);
        let unknown = |tries| after(Outcome::Unknown("no answer".into()), tries, now);
        for (tries, wait) in (1..).zip(RETRY_DELAYS_MS) {
            let next = unknown(tries);
            assert_eq!(next.state, "waiting");
            assert_eq!(next.next_try_at, Some(now.plus_ms(wait)));
        }
        let last = unknown(RETRY_DELAYS_MS.len() as i32 + 1);
        assert_eq!((last.state, last.next_try_at), ("failed", None));
        let refused = after(Outcome::Refused("no such number".into()), 1, now);
        assert_eq!((refused.state, refused.next_try_at), ("failed", None));
        let id = Some("ATXid_1".to_owned());
        let sent = after(Outcome::Sent { id: id.clone() }, 3, now);
        assert_eq!((sent.state, sent.gateway_id), ("sent", id));
    }

    #[test]
    fn a_text_keeps_to_the_letters_of_phone_networks() {
        assert_eq!(
            gsm_form("Départ à 6h – siège 12A"),
            "Départ à 6h - siège 12A"
        );
        assert_eq!(gsm_form("Fenêtre, Noël, ŋ’oma"), "Fenetre, Noel, 'oma");
        assert_eq!(gsm_form("a\u{0}b\tc"), "abc");
    }
}
