//! The six answers, large and clear.

use edge_node::api::Scanned;

/// How wide a banner is, in characters.
const WIDTH: usize = 46;

/// What is shown above the reason: two words at most, and a sign that needs no reading.
fn headline(answer: &str) -> (&'static str, char) {
    match answer {
        "valid" => ("OK - LET ON", '='),
        "good_but_unlisted" => ("OK, NOT LISTED - LET ON", '='),
        "already_used" => ("STOP - ALREADY USED", 'X'),
        "wrong_trip" => ("STOP - WRONG TRIP", 'X'),
        "seat_conflict" => ("STOP - SEAT CONFLICT", 'X'),
        _ => ("STOP - INVALID", 'X'),
    }
}

fn centred(text: &str) -> String {
    let room = WIDTH.saturating_sub(text.chars().count());
    format!("{}{text}", " ".repeat(room / 2))
}

/// An answer as the driver's terminal shows it.
pub fn banner(scan: &Scanned) -> String {
    let (headline, sign) = headline(&scan.answer);
    let rule = sign.to_string().repeat(WIDTH);
    let mut lines = vec![rule.clone(), centred(headline)];
    if let Some(seat) = scan.seat_label.as_ref().filter(|_| scan.lets_on) {
        let spaced: Vec<String> = seat.chars().map(String::from).collect();
        lines.push(String::new());
        lines.push(centred(&format!("S E A T   {}", spaced.join(" "))));
        lines.push(String::new());
    } else if let Some(seat) = &scan.seat_label {
        lines.push(centred(&format!("ticket for seat {seat}")));
    }
    if let (Some(from), Some(to)) = (&scan.from_name, &scan.to_name) {
        lines.push(centred(&format!("{from} to {to}")));
    }
    lines.push(centred(&scan.reason));
    lines.push(rule);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use domain::scan::ScanAnswer;

    use super::*;

    #[test]
    fn who_boards_sees_ok_and_a_seat_and_who_does_not_sees_stop() {
        for answer in ScanAnswer::ALL {
            let text = banner(&Scanned {
                answer: answer.as_str().to_owned(),
                lets_on: answer.lets_on(),
                reason: "because".to_owned(),
                trip: 1,
                seat: Some(12),
                seat_label: Some("12A".to_owned()),
                ticket: None,
                from_name: None,
                to_name: None,
                at: String::new(),
            });
            assert_eq!(text.contains("LET ON"), answer.lets_on(), "{text}");
            assert_eq!(text.contains("S E A T   1 2 A"), answer.lets_on(), "{text}");
            assert_eq!(text.contains("STOP"), !answer.lets_on(), "{text}");
            assert!(text.contains("because"));
        }
    }
}
