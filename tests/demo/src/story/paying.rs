//! Money on its way: mobile money, cards, refunds.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::customer::Booked;
use crate::http::{list, number, text};
use crate::hub::Booking;
use crate::voice::{Who, count, money};
use crate::world::World;

/// How long an operator and the hub may take over one payment.
const PAID_DEADLINE: Duration = Duration::from_secs(30);
/// What real cards decline with, in Stripe's tests.
const DECLINED: &str = "pm_card_visa_chargeDeclinedInsufficientFunds";

/// Pays by mobile money.
pub fn by_mobile_money(world: &mut World, booked: &Booked) -> Result<()> {
    let payment = pay(world, booked, &momo(booked))?;
    captured(&payment)?;
    world.tally.paid_by_mobile_money += 1;
    let tickets = ticketed(world, booked)?;
    world.voice.tell(
        Who::Bank,
        &format!(
            "{} kwacha by mobile money; {} issued",
            money(booked.booking.total_minor),
            count(tickets, "ticket")
        ),
    );
    Ok(())
}

/// Pays by mobile money; the operator takes the money and its word to the hub is lost.
pub fn by_mobile_money_unheard(world: &mut World, booked: &Booked) -> Result<()> {
    let payment = pay(world, booked, &momo(booked))?;
    captured(&payment)?;
    let asked = number(&payment, "asked")?;
    if !world.operators.callback_is_lost()? || asked < 2 {
        bail!("the callback was not lost: {payment}");
    }
    world.tally.paid_by_mobile_money += 1;
    world.tally.lost_callbacks_recovered += 1;
    let tickets = ticketed(world, booked)?;
    world.voice.tell(
        Who::Bank,
        &format!(
            "{} kwacha by mobile money, and the operator's word to the hub is lost",
            money(booked.booking.total_minor)
        ),
    );
    world.voice.aside(&format!(
        "the hub asked by itself, {asked} calls in all: paid once, {} issued",
        count(tickets, "ticket")
    ));
    Ok(())
}

/// Pays with a card.
pub fn by_card(world: &mut World, booked: &Booked) -> Result<()> {
    let payment = pay(world, booked, &card(booked, "pm_card_visa"))?;
    captured(&payment)?;
    world.tally.paid_by_card += 1;
    let tickets = ticketed(world, booked)?;
    world.voice.tell(
        Who::Bank,
        &format!(
            "{} kwacha by card; {} issued",
            money(booked.booking.total_minor),
            count(tickets, "ticket")
        ),
    );
    Ok(())
}

/// Tries to pay with a card that the bank refuses: no money, no tickets, and the seats stay held.
pub fn by_refused_card(world: &mut World, booked: &Booked) -> Result<()> {
    let payment = pay(world, booked, &card(booked, DECLINED))?;
    if text(&payment, "state")? != "failed" {
        bail!("a refused card paid: {payment}");
    }
    let booking = shown(world, booked)?;
    if booking.state != "awaiting_payment" || !booking.tickets.is_empty() {
        bail!("a refused card got {}", booking.state);
    }
    world.tally.cards_refused += 1;
    world.voice.tell(
        Who::Bank,
        &format!(
            "the card is refused: {}",
            text(&payment, "reason")?.replace('_', " ")
        ),
    );
    world
        .voice
        .aside("no money, no tickets; the seats are still held, so another way to pay will do");
    Ok(())
}

/// Waits until a refund is carried out by the operator.
pub fn money_back(world: &mut World, refund: &str) -> Result<()> {
    let path = format!("/refunds/{refund}");
    let row = world
        .patience
        .until("the money to go back", PAID_DEADLINE, || {
            let row = world.hub.fetch(&path)?;
            Ok(match row["state"].as_str() {
                Some("done") => Ok(row),
                Some("failed") => bail!("the refund failed: {row}"),
                _ => Err(format!("{row}")),
            })
        })?;
    world.tally.refunds_done += 1;
    world.voice.tell(
        Who::Bank,
        &format!(
            "{} kwacha are back on the phone they came from",
            money(number(&row, "amount_minor")?)
        ),
    );
    Ok(())
}

fn momo(booked: &Booked) -> Value {
    json!({ "provider": "momo", "phone": booked.party.home_phone() })
}

fn card(booked: &Booked, token: &str) -> Value {
    json!({ "provider": "card", "card": token, "contact_phone": booked.party.home_phone() })
}

/// Begins a payment, asks again with the same key as phones do, and waits for its end.
fn pay(world: &mut World, booked: &Booked, wish: &Value) -> Result<Value> {
    let reference = &booked.booking.reference;
    let path = format!("/bookings/{reference}/payments");
    let key = world.dice.uuid().to_string();
    let begun = world.hub.post(&key, &path, wish)?;
    if world.hub.post(&key, &path, wish)? != begun {
        bail!("the same wish to pay had two answers");
    }
    let payment = text(&begun, "payment")?;
    let path = format!("{path}?phone={}", booked.party.home_phone());
    world
        .patience
        .until("the payment's end", PAID_DEADLINE, || {
            let page = world.hub.look(&path)?;
            let own = |row: &&Value| row["payment"] == payment.as_str();
            let row = list(&page, "items")?.iter().find(own);
            let row = row.context("the hub has forgotten a payment")?;
            Ok(match row["state"].as_str() {
                Some("intent" | "pending") => Err(format!("{row}")),
                _ => Ok(row.clone()),
            })
        })
}

fn captured(payment: &Value) -> Result<()> {
    if payment["state"] != "captured" || payment["outcome"] != "issued" {
        bail!("the payment came to nothing: {payment}");
    }
    Ok(())
}

/// The booking as its customer sees it.
fn shown(world: &World, booked: &Booked) -> Result<Booking> {
    let reference = &booked.booking.reference;
    let phone = booked.party.home_phone();
    let row = world
        .hub
        .look(&format!("/bookings/{reference}?phone={phone}"))?;
    Booking::of(&row)
}

/// Counts the tickets of a booking that was paid.
fn ticketed(world: &mut World, booked: &Booked) -> Result<usize> {
    let booking = shown(world, booked)?;
    let tickets = booking.tickets.len();
    if booking.state != "confirmed" || tickets != booked.party.len() {
        bail!("{tickets} tickets, {} wanted", booked.party.len());
    }
    world.tally.acknowledged_sales += 1;
    world.tally.tickets_booked_online += tickets;
    world
        .tally
        .readers
        .are_owed_tickets(&booking.reference, &booked.party);
    Ok(tickets)
}
