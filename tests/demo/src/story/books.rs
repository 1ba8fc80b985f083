//! The office's view: who sold which seats, what is in the drawers, what the ledger says.

use anyhow::Result;

use super::phones;
use crate::http::{list, number, text};
use crate::report::{Report, ShiftLine, TicketLine, double_sold_seat_legs};
use crate::voice::{Voice, money};
use crate::world::World;

/// Shows the reconciliation and gives the report.
pub fn reconcile(world: &mut World, seed: u64, shifts: Vec<ShiftLine>) -> Result<Report> {
    world.voice.chapter("The books, as the office sees them");
    let mut tickets = world.hub.tickets(world.trip.id)?;
    tickets.extend(world.hub.tickets(world.other_trip.id)?);
    let ledger = world.hub.fetch("/reconciliation/ledger")?;
    let conflicts = world.hub.rows("/reconciliation/conflicts")?;
    show_sellers(world, &tickets);
    show_drawers(world, &shifts);
    let voice = world.voice;
    Voice::row("");
    voice.head(&format!("{:<28}{:>14}", "ledger", "balance"));
    for account in list(&ledger, "accounts")? {
        let kind = text(account, "kind")?.replace('_', " ");
        Voice::row(&format!(
            "{kind:<28}{:>14}",
            money(number(account, "balance_minor")?)
        ));
    }
    let ledger_sum_minor = number(&ledger, "ledger_sum_minor")?;
    Voice::row(&format!("{:<28}{:>14}", "sum", money(ledger_sum_minor)));
    Voice::row("");
    voice.head(&format!("conflicts: {}", conflicts.len()));
    for conflict in &conflicts {
        Voice::row(&text(conflict, "reason")?);
    }
    phones::everything_arrives(world)?;
    let delivered = world.tally.readers.look(&world.messages)?;
    let (sms, mail) = (world.messages.sms()?, world.messages.mail()?);
    let (momo, cards) = (world.operators.mobile_money()?, world.operators.cards()?);
    let cleared = world.hub.cleared()?;
    let tally = world.tally.clone();
    Ok(Report {
        seed,
        tickets_sold_offline: tally.tickets_sold_offline,
        tickets_sold_connected: tally.tickets_sold_connected,
        tickets_booked_online: tally.tickets_booked_online,
        paid_by_mobile_money: tally.paid_by_mobile_money,
        paid_by_card: tally.paid_by_card,
        lost_callbacks_recovered: tally.lost_callbacks_recovered,
        cards_refused: tally.cards_refused,
        refunds_done: tally.refunds_done,
        captures_at_operators: momo.captures + cards.captures,
        captures_in_ledger: cleared.captures,
        refunds_at_operators: momo.refunds + cards.refunds,
        refunds_in_ledger: cleared.refunds,
        net_at_operators_minor: momo.net_minor + cards.net_minor,
        net_in_ledger_minor: cleared.net_minor,
        scans: tally.scans,
        sms_delivered: sms.len(),
        emails_delivered: mail.len(),
        bookings_ticketed: delivered.bookings,
        bookings_told_by_sms: delivered.by_sms,
        bookings_told_by_email: delivered.by_email,
        seat_changes: delivered.seat_changes,
        seat_changes_told: delivered.seat_changes_told,
        seat_changes_stray: delivered.seat_changes_stray,
        swapped_tickets: tickets
            .iter()
            .filter(|t| t.trip == world.other_trip.id && t.state == "live")
            .count(),
        swapped_tickets_scanned: tally.swapped_tickets_scanned,
        late_sales_renumbered: tally.late_sales_renumbered,
        positions_streamed: tally.bus_followed.positions,
        bus_moved_m: tally.bus_followed.moved_m(),
        position_age_ms_max: tally.bus_followed.age_ms_max,
        booked_at_second_hub: tally.booked_at_second_hub,
        asked_while_one_stopped: tally.asked_while_one_stopped,
        refused_while_one_stopped: tally.refused_while_one_stopped,
        double_sold_seat_legs: double_sold_seat_legs(&tickets),
        acknowledged_sales: tally.acknowledged_sales,
        acknowledged_tickets: tally.tickets_sold_offline
            + tally.tickets_sold_connected
            + tally.tickets_booked_online,
        sales_in_ledger: number(&ledger, "sale_entries")?,
        tickets_in_ledger: number(&ledger, "tickets_in_ledger")?,
        ledger_sum_minor,
        unsynced_after_drain: world.unsynced()?.iter().sum(),
        refused_when_lease_dry: tally.refused_when_lease_dry,
        open_conflicts: conflicts
            .iter()
            .filter(|c| c["closed_at"].is_null())
            .count(),
        shifts,
        tickets,
        key_bundle: world.hub.keys()?,
        postgres_url: world.hub.postgres_url.clone(),
        hub_url: world.hub.url(),
    })
}

fn show_sellers(world: &World, tickets: &[TicketLine]) {
    let voice = world.voice;
    voice.head(&format!(
        "{:<20}{:>8}{:>8}{:>8}{:>12}",
        "tickets", "issued", "valid", "void", "seat-legs"
    ));
    let sellers = [
        ("Lusaka counter", world.lusaka.node.as_str()),
        ("Kabwe counter", world.kabwe.node.as_str()),
        ("hub, online", "hub"),
    ];
    for (name, issuer) in sellers {
        let own = || tickets.iter().filter(|t| t.issuer == issuer);
        let live = || own().filter(|t| t.state == "live");
        Voice::row(&format!(
            "{name:<20}{:>8}{:>8}{:>8}{:>12}",
            own().count(),
            live().count(),
            own().filter(|t| t.state == "void").count(),
            live().map(|t| t.to - t.from).sum::<i64>()
        ));
    }
}

fn show_drawers(world: &World, shifts: &[ShiftLine]) {
    let voice = world.voice;
    Voice::row("");
    voice.head(&format!(
        "{:<20}{:<18}{:>12}{:>12}{:>10}",
        "drawers", "agent", "expected", "declared", "over"
    ));
    for shift in shifts {
        Voice::row(&format!(
            "{:<20}{:<18}{:>12}{:>12}{:>10}",
            shift.station,
            shift.agent,
            money(shift.expected_minor),
            money(shift.declared_minor),
            money(shift.declared_minor - shift.expected_minor)
        ));
    }
}
