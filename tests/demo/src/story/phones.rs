//! What reaches people's phones and mailboxes.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::messages::Arrived;
use crate::voice::{Who, count};
use crate::world::World;

/// How long a message may take from what it tells of to its reader.
const DELIVERED_DEADLINE: Duration = Duration::from_mins(1);
/// How much of a message is shown, in characters.
const SHOWN_CHARS_MAX: usize = 240;

/// Waits until everybody has heard of their tickets, and shows one SMS and one e-mail.
pub fn buzz(world: &mut World) -> Result<()> {
    everything_arrives(world)?;
    let delivered = world.tally.readers.look(&world.messages)?;
    let sms = world.messages.sms()?;
    let sms = sms.iter().rev().find(|m| m.text.contains(" is paid."));
    show(world, sms.context("no SMS is about tickets")?);
    let mail = world.messages.mail()?;
    let mail = mail
        .iter()
        .rev()
        .find(|m| m.subject.starts_with("Your tickets"));
    let mail = mail.context("no e-mail is about tickets")?;
    let line = format!("e-mail to {}: {}", mail.to, mail.subject);
    world.voice.tell(Who::Phone, &line);
    world.voice.aside(&format!(
        "{}, each told once by SMS and once by e-mail",
        count(delivered.bookings, "booking")
    ));
    Ok(())
}

/// Shows an SMS.
pub fn show(world: &World, sms: &Arrived) {
    let mut text: String = sms.text.chars().take(SHOWN_CHARS_MAX).collect();
    if text.len() < sms.text.len() {
        text.push_str(" ...");
    }
    let line = format!("SMS to {}: {text}", sms.to);
    world.voice.tell(Who::Phone, &line);
}

/// Waits until all that people are owed has arrived; nothing may come twice.
pub fn everything_arrives(world: &World) -> Result<()> {
    let readers = &world.tally.readers;
    let what = "every message to reach its reader";
    world.patience.until(what, DELIVERED_DEADLINE, || {
        let now = readers.look(&world.messages)?;
        Ok(if now.is_all() {
            Ok(())
        } else if now.seat_changes_stray > 0 {
            bail!("somebody heard of a seat who was not moved: {now:?}");
        } else {
            Err(format!("{now:?}"))
        })
    })
}
