//! The network comes back; everything that happened alone arrives, and the drawers are counted.

use anyhow::{Result, bail};

use crate::http::{number, text};
use crate::report::ShiftLine;
use crate::voice::{Who, count, money};
use crate::world::{NEWS_DEADLINE, Town, World};

/// The relay forwards again; waits until the hub has every event of every device.
pub fn mend(world: &mut World) -> Result<()> {
    world.voice.chapter("The network is back");
    let voice = world.voice;
    let [lusaka, kabwe, bus, _] = world.unsynced()?;
    let swallowed = world.relay.swallowed()?;
    if lusaka == 0 || kabwe == 0 || bus == 0 || swallowed == 0 {
        bail!("the devices were not alone: something got through");
    }
    world.relay.mend()?;
    voice.tell(
        Who::Network,
        &format!("the relay forwards again; {swallowed} datagrams knocked in vain meanwhile"),
    );
    voice.aside(&format!(
        "events that wait on the devices: Lusaka {lusaka}, Kabwe {kabwe}, the bus {bus}"
    ));
    world.cut_off = false;
    let mut waiting = [
        (Who::Lusaka, lusaka),
        (Who::Kabwe, kabwe),
        (Who::Driver, bus),
    ];
    world.drain(|left| {
        for ((who, events), left) in waiting.iter_mut().zip(left) {
            if left == 0 && *events > 0 {
                voice.tell(*who, &format!("all {events} events have reached the hub"));
                *events = 0;
            }
        }
    })
}

/// The counters hand back what they did not sell, and the hub's pool grows by it.
pub fn hand_back(world: &mut World) -> Result<()> {
    let trips = [world.trip.id, world.other_trip.id];
    let free_before = world.hub.free_seat_legs(&trips)?;
    for town in [Town::Lusaka, Town::Kabwe] {
        let mut unsold = 0;
        for lease in world.station(town).leases()? {
            let command = world.dice.uuid().to_string();
            world.station(town).surrender(&command, &lease)?;
            unsold += lease.seats_left;
        }
        let who = world.station(town).who;
        let unsold = match unsold {
            0 => "every seat of them sold".to_owned(),
            n => format!("{} unsold", count(n, "seat")),
        };
        let line = format!("hands back its leases, {unsold}");
        world.voice.tell(who, &line);
    }
    world
        .patience
        .until("the leases to be closed at the hub", NEWS_DEADLINE, || {
            let leases = world.hub.rows("/leases")?;
            let open = leases.iter().filter(|l| l["status"] != "closed").count();
            Ok(if open == 0 {
                Ok(())
            } else {
                Err(format!("{open} of {} are open", leases.len()))
            })
        })?;
    let free = world.hub.free_seat_legs(&trips)?;
    world.voice.tell(
        Who::Hub,
        &format!("its own pool on the two buses grows from {free_before} seat-legs to {free}"),
    );
    world
        .voice
        .aside("also the rest of the way of seats that were sold for a part of it");
    if free <= free_before {
        bail!("the hub got nothing back");
    }
    Ok(())
}

/// The agents count their drawers and close; Kabwe's is short. Gives the shifts as the hub has
/// them.
pub fn close_shifts(world: &mut World) -> Result<Vec<ShiftLine>> {
    world.voice.chapter("The drawers are counted");
    let short_minor = world.dice.between(1, 4) as i64 * 500;
    let mut expected = vec![];
    for (town, missing_minor) in [(Town::Lusaka, 0), (Town::Kabwe, short_minor)] {
        let command = world.dice.uuid().to_string();
        let station = world.station(town);
        let content_minor = station.drawer.content_minor();
        let declared_minor = content_minor - missing_minor;
        station.close_shift(&command, declared_minor)?;
        let (who, agent) = (station.who, station.agent.clone());
        let remark = match missing_minor {
            0 => "to the coin".to_owned(),
            short => format!("{} short", money(short)),
        };
        let amount = money(declared_minor);
        world
            .voice
            .tell(who, &format!("{agent} counts {amount} kwacha: {remark}"));
        expected.push((station_node(world, town), content_minor, declared_minor));
    }
    world.drain(|_| {})?;
    let shifts = world
        .patience
        .until("the closed shifts at the hub", NEWS_DEADLINE, || {
            let shifts = world.hub.rows("/reconciliation/shifts")?;
            let open = shifts
                .iter()
                .filter(|s| s["declared_minor"].is_null())
                .count();
            Ok(if open == 0 && shifts.len() == expected.len() {
                Ok(shifts)
            } else {
                Err(format!("{} shifts, {open} of them open", shifts.len()))
            })
        })?;
    let mut lines = vec![];
    for (node, content_minor, declared_minor) in expected {
        let Some(shift) = shifts.iter().find(|s| s["node"] == node.as_str()) else {
            bail!("the hub knows no shift of {node}");
        };
        let line = ShiftLine {
            station: text(shift, "node_name")?,
            agent: text(shift, "agent")?,
            expected_minor: number(shift, "expected_minor")?,
            declared_minor: number(shift, "declared_minor")?,
        };
        if line.expected_minor != content_minor || line.declared_minor != declared_minor {
            bail!(
                "{}: the hub expects {} and heard {}, the agent had {} and counted {}",
                line.station,
                money(line.expected_minor),
                money(line.declared_minor),
                money(content_minor),
                money(declared_minor)
            );
        }
        lines.push(line);
    }
    Ok(lines)
}

fn station_node(world: &mut World, town: Town) -> String {
    world.station(town).node.clone()
}
