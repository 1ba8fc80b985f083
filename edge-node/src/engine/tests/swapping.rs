//! A swap of the bus, as a station and a validator live through it on their own disks.

use domain::ids::{LayoutVersion, SeatNo};
use domain::layout::{Seat, SeatAttributes, SeatLayout};
use domain::scan::ScanAnswer;
use domain::swap::{SeatMoves, SeatSwap};
use domain::ticket::parse_qr;
use sync_protocol::frame::{BucketId, Item};

use super::fixture::*;
use crate::engine::{Command, Engine, EngineError, NoEffects, Outcome, ScanOutcome};
use crate::store::Disk;

/// The trip in a bus of three seats, `B1` to `B3`: seat 1 is its third, seat 2 its first, seat 3
/// has no place.
fn swapped(undone: bool) -> Vec<Item> {
    let seats = (1..=3)
        .map(|n| Seat {
            label: format!("B{n}"),
            row: n,
            column: 1,
            attributes: SeatAttributes::default(),
        })
        .collect();
    let layout = SeatLayout::new("tiny", LayoutVersion(1), seats).unwrap();
    let to = [Some(SeatNo(3)), Some(SeatNo(1)), None, Some(SeatNo(2))];
    let moves = SeatMoves::new(&to).unwrap();
    let mut items = company_items();
    let Some(Item::Trip(trip)) = items.last_mut() else {
        panic!("the fixture's last item is its trip");
    };
    let swap = SeatSwap {
        numbering: LayoutVersion(2),
        layout: "small".to_owned(),
        layout_version: LayoutVersion(1),
        moves: moves.clone(),
        undoes: None,
    };
    trip.swaps.push(swap).unwrap();
    if undone {
        let back = SeatSwap {
            numbering: LayoutVersion(3),
            layout: "tiny".to_owned(),
            layout_version: LayoutVersion(1),
            moves: moves.inverse(3),
            undoes: Some(LayoutVersion(2)),
        };
        trip.swaps.push(back).unwrap();
    } else {
        trip.layout = "tiny".to_owned();
        trip.seat_count = 3;
    }
    items.push(Item::Layout(layout));
    items
}

fn scan(engine: &mut Engine, n: u128, text: &str) -> ScanOutcome {
    let scan = Command::Scan {
        trip: TRIP,
        text: text.to_owned(),
    };
    let outcome = engine.execute(command(n), scan, NOW, &mut NoEffects);
    let Ok(Outcome::Scanned(outcome)) = outcome else {
        panic!("a scan led to {outcome:?}");
    };
    outcome
}

fn bus_on(disk: &Disk) -> Engine {
    let mut engine = Engine::open(disk, config(bus())).unwrap();
    let mut facts = company_items();
    facts.push(station_key());
    facts.push(Item::Grant(signed(&grant(1, 1..=3))));
    let trip = cursor(BucketId::Trip(TRIP), 1);
    engine.apply_bucket(&trip, &facts, NOW).unwrap();
    engine
}

#[test]
fn a_station_sells_from_its_lease_in_its_own_numbers_and_prints_the_label_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = station_on(&disk);
    open_shift(&mut engine, 1).unwrap();
    let dark = sell(&mut engine, 2, order("LUN", "NDO", &[Some("1A")])).unwrap();
    assert_eq!(dark.tickets[0].seat_label, "1A");
    let company = cursor(BucketId::Company, 4);
    engine.apply_bucket(&company, &swapped(false), NOW).unwrap();

    let unknown = sell(&mut engine, 3, order("LUN", "NDO", &[Some("2A")]));
    assert!(
        matches!(unknown, Err(EngineError::Refused(_))),
        "{unknown:?}"
    );
    let told = sell(&mut engine, 4, order("LUN", "NDO", &[Some("B1")])).unwrap();
    assert_eq!(told.tickets[0].seat_label, "B1");
    let claim = parse_qr(&told.tickets[0].qr).unwrap().claim;
    assert_eq!(
        (claim.seat, claim.layout_version),
        (SeatNo(2), LayoutVersion(1))
    );
    // The third seat of the lease has no place: nobody sells it.
    let dry = sell(&mut engine, 5, order("LUN", "NDO", &[None]));
    assert!(matches!(dry, Err(EngineError::Refused(_))), "{dry:?}");

    drop(engine);
    let mut engine = Engine::open(&disk, config(station())).unwrap();
    let shown = engine.ticket(dark.tickets[0].id).unwrap().unwrap();
    assert_eq!(
        shown.seat_label, "B3",
        "shown again, it says the seat of today"
    );
    let listed = crate::api::tickets(&engine);
    let id = dark.tickets[0].id.to_string();
    let line = listed.iter().find(|line| line.id == id).unwrap();
    assert_eq!(line.seat_label, "B3", "so does the list");
    let company = cursor(BucketId::Company, 5);
    engine.apply_bucket(&company, &swapped(true), NOW).unwrap();
    let last = sell(&mut engine, 6, order("LUN", "NDO", &[None])).unwrap();
    assert_eq!(last.tickets[0].seat_label, "3A");
}

#[test]
fn a_validator_shows_and_compares_the_seats_of_today() {
    let folder = tempfile::tempdir().unwrap();
    let mut station = station_on(&Disk::in_folder(folder.path()));
    open_shift(&mut station, 1).unwrap();
    let wishes = [Some("1A"), Some("2A"), Some("3A")];
    let sold = sell(&mut station, 2, order("LUN", "NDO", &wishes)).unwrap();
    let tickets = &sold.tickets;

    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::in_folder(folder.path());
    let mut engine = bus_on(&disk);
    let first = scan(&mut engine, 1, &tickets[0].qr);
    assert_eq!(first.answer, ScanAnswer::GoodButUnlisted);
    assert_eq!(first.seat_label.as_deref(), Some("1A"));
    let trip = cursor(BucketId::Trip(TRIP), 2);
    engine.apply_bucket(&trip, &swapped(false), NOW).unwrap();
    drop(engine);

    let mut engine = Engine::open(&disk, config(bus())).unwrap();
    let used = scan(&mut engine, 2, &tickets[0].qr);
    assert_eq!(used.answer, ScanAnswer::AlreadyUsed);
    assert_eq!(used.seat_label.as_deref(), Some("B3"));
    let second = scan(&mut engine, 3, &tickets[1].qr);
    assert_eq!(second.answer, ScanAnswer::GoodButUnlisted);
    assert_eq!(second.seat_label.as_deref(), Some("B1"));
    let third = scan(&mut engine, 4, &tickets[2].qr);
    assert_eq!(third.answer, ScanAnswer::SeatConflict);
    assert_eq!(third.seat_label, None);
    assert!(third.reason.contains("no place"), "{}", third.reason);

    let trip = cursor(BucketId::Trip(TRIP), 4);
    engine.apply_bucket(&trip, &swapped(true), NOW).unwrap();
    let third = scan(&mut engine, 5, &tickets[2].qr);
    assert_eq!(third.answer, ScanAnswer::GoodButUnlisted);
    assert_eq!(third.seat_label.as_deref(), Some("3A"));
    let again = scan(&mut engine, 6, &tickets[0].qr);
    assert_eq!(again.seat_label.as_deref(), Some("1A"));
}
