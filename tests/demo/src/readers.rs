//! Who is owed which message, and whether each of them came once.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::messages::{Arrived, Messages};
use crate::people::Party;

/// How the SMS about another seat can be known; the seats follow.
const SEAT_CHANGED: &str = "Your seat: ";

/// Somebody on a bus whom the hub knows.
#[derive(Debug, Clone)]
pub struct Rider {
    /// Where to reach them.
    pub phone: String,
    /// Of who booked.
    pub reference: Option<String>,
    /// Of who bought at a counter: the tickets' numbers.
    pub tickets: Vec<String>,
}

/// Who waits for what.
#[derive(Debug, Clone, Default)]
pub struct Readers {
    /// By a booking's reference, whose tickets go to this phone and mailbox.
    tickets: BTreeMap<String, (String, String)>,
    /// Phones, and what each has to hear of: `11A -> 7B`, as often as it stands here.
    seats: Vec<(String, Vec<String>)>,
}

/// What came, by what was to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Bookings whose tickets were given.
    pub bookings: usize,
    /// Of these, how many heard of it by exactly one SMS.
    pub by_sms: usize,
    /// And by exactly one e-mail.
    pub by_email: usize,
    /// Messages that there had to be about another seat.
    pub seat_changes: usize,
    /// How many of them came, exactly once.
    pub seat_changes_told: usize,
    /// Messages about another seat that nobody had to get.
    pub seat_changes_stray: usize,
}

impl Delivered {
    /// Whether everything came, and nothing twice.
    pub fn is_all(self) -> bool {
        self.by_sms == self.bookings
            && self.by_email == self.bookings
            && self.seat_changes_told == self.seat_changes
            && self.seat_changes_stray == 0
    }
}

impl Readers {
    /// A booking got its tickets, so its customer hears of it.
    pub fn are_owed_tickets(&mut self, reference: &str, party: &Party) {
        let to = (party.phone.clone(), party.email.clone());
        self.tickets.insert(reference.to_owned(), to);
    }

    /// Somebody sits elsewhere, so that phone hears of it, in one message.
    pub fn is_owed_seats(&mut self, phone: &str, moves: Vec<String>) {
        self.seats.push((phone.to_owned(), moves));
    }

    /// Looks what has come.
    pub fn look(&self, messages: &Messages) -> Result<Delivered> {
        Ok(self.compare(&messages.sms()?, &messages.mail()?))
    }

    fn compare(&self, sms: &[Arrived], mail: &[Arrived]) -> Delivered {
        let once = |all: &[Arrived], to: &str, wanted: &dyn Fn(&Arrived) -> bool| {
            all.iter().filter(|m| m.to == to && wanted(m)).count() == 1
        };
        let mut delivered = Delivered {
            bookings: self.tickets.len(),
            seat_changes: self.seats.len(),
            ..Delivered::default()
        };
        for (reference, (phone, mailbox)) in &self.tickets {
            let paid = format!("booking {reference} is paid");
            let yours = format!("Your tickets, {reference}");
            let text = |m: &Arrived| m.text.contains(&paid);
            let subject = |m: &Arrived| m.subject == yours;
            delivered.by_sms += usize::from(once(sms, phone, &text));
            delivered.by_email += usize::from(once(mail, mailbox, &subject));
        }
        for (phone, moves) in &self.seats {
            let names = |m: &Arrived| is_about(m, moves);
            delivered.seat_changes_told += usize::from(once(sms, phone, &names));
        }
        let about_seats = sms.iter().filter(|m| m.text.contains(SEAT_CHANGED));
        delivered.seat_changes_stray = about_seats
            .filter(|m| {
                let mut owed = self.seats.iter();
                !owed.any(|(phone, moves)| m.to == *phone && is_about(m, moves))
            })
            .count();
        delivered
    }
}

/// Whether a message tells of these seats and no others.
fn is_about(message: &Arrived, moves: &[String]) -> bool {
    let Some((_, told)) = message.text.split_once(SEAT_CHANGED) else {
        return false;
    };
    let told = told.split_once('.').map_or(told, |(seats, _)| seats);
    let mut told: Vec<&str> = told.split(", ").collect();
    let mut wanted: Vec<&str> = moves.iter().map(String::as_str).collect();
    told.sort_unstable();
    wanted.sort_unstable();
    told == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    fn sms(to: &str, text: &str) -> Arrived {
        Arrived {
            to: to.to_owned(),
            subject: String::new(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn who_hears_nothing_twice_or_of_another_seat_is_noticed() {
        let mut readers = Readers::default();
        let moves = ["11A -> 7B", "11B -> 7A"].map(str::to_owned);
        readers.is_owed_seats("+1", moves.to_vec());
        let text = "M: another bus. Your seat: 11B -> 7A, 11A -> 7B. Your ticket stays valid.";
        let good = readers.compare(&[sms("+1", text)], &[]);
        assert_eq!((good.seat_changes, good.seat_changes_told), (1, 1));
        assert!(good.is_all());
        assert!(!readers.compare(&[], &[]).is_all());
        let twice = [sms("+1", text), sms("+1", text)];
        assert!(!readers.compare(&twice, &[]).is_all());
        let other = [sms("+1", text), sms("+2", text)];
        assert_eq!(readers.compare(&other, &[]).seat_changes_stray, 1);
    }

    #[test]
    fn tickets_have_to_come_by_sms_and_by_mail() {
        let party = Party::new(&mut Dice::new(4), 1, 0);
        let mut readers = Readers::default();
        readers.are_owed_tickets("7F3K-22QX", &party);
        let text = sms(&party.phone, "Mwimule: booking 7F3K-22QX is paid. Seat 3B");
        let mail = Arrived {
            to: party.email.clone(),
            subject: "Your tickets, 7F3K-22QX".to_owned(),
            text: String::new(),
        };
        let look = |sms: &[Arrived], mail: &[Arrived]| readers.compare(sms, mail).is_all();
        let (text, mail) = (std::slice::from_ref(&text), std::slice::from_ref(&mail));
        assert!(look(text, mail));
        assert!(!look(text, &[]) && !look(&[], mail));
    }
}
