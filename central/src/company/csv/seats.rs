//! Seat layouts, a line per row of seats.

use std::collections::BTreeMap;

use domain::ids::LayoutVersion;
use domain::time::Instant;

use crate::audit::Actor;
use crate::company::layouts::{Stored, put};
use crate::company::{db, rules};
use crate::csvio::{Column, CsvList, Fault, Fields, Tally};
use crate::db::DbError;
use crate::gtfs::{layout_rows, read_layout};
use crate::tenant::TenantTx;

pub(super) struct LayoutList;

/// One row of seats.
pub(super) struct SeatRow {
    layout: String,
    deck: u8,
    row: u16,
    seats: String,
}

/// What stands in a row: its deck and its seats in words.
type Rows = BTreeMap<u16, (u8, String)>;

impl CsvList for LayoutList {
    type Row = SeatRow;
    const NAME: &'static str = "layouts";
    const COLUMNS: &'static [Column] = &[
        Column::needed("layout", "id of the layout, 1 to 64 characters"),
        Column::optional("deck", "1 (when empty) is the lowest"),
        Column::needed("row", "counted from 1 at the front, on over all decks"),
        Column::needed(
            "seats",
            "labels from left to right, _ for a gap; +w behind a wheelchair's place, \
             +=wafcs to state window, aisle, front, wheelchair (c) and standing",
        ),
    ];

    /// The newest version of each; one that cannot be written in this form is left out.
    async fn export(tx: &mut TenantTx) -> Result<Vec<Vec<String>>, DbError> {
        let mut rows = vec![];
        for stored in db::layouts::newest_of_all(tx, None, "", i64::MAX).await? {
            let written = layout_rows(&stored.layout, &stored.deck_rows).unwrap_or_default();
            for (no, seats) in (1u16..).zip(written) {
                let deck = 1 + stored
                    .deck_rows
                    .iter()
                    .filter(|first| **first <= no)
                    .count();
                let id = stored.layout.id.clone();
                rows.push(vec![id, deck.to_string(), no.to_string(), seats]);
            }
        }
        Ok(rows)
    }

    fn parse(fields: &Fields<'_>) -> Result<SeatRow, Fault> {
        let remedy = "write a number from 1 to 100";
        let row: u16 = fields.parsed("row", remedy)?;
        let deck = fields.optional("deck", "write 1, 2 or 3")?.unwrap_or(1);
        if !(1..=100).contains(&row) || !(1..=3).contains(&deck) {
            return Err(Fault::new("row", "there is no such row or deck", remedy));
        }
        Ok(SeatRow {
            layout: rules::code("layout", fields.needed("layout")?)?,
            deck,
            row,
            seats: fields.needed("seats")?.to_owned(),
        })
    }

    /// A layout whose seats have changed gets a new version.
    async fn apply(
        tx: &mut TenantTx,
        rows: Vec<(usize, SeatRow)>,
        tally: &mut Tally,
        by: Actor,
        now: Instant,
    ) -> Result<(), DbError> {
        db::lock_company(tx).await?;
        let mut wanted: BTreeMap<String, (usize, Rows)> = BTreeMap::new();
        for (no, row) in rows {
            let (_, layout) = wanted.entry(row.layout).or_insert((no, Rows::new()));
            if layout.insert(row.row, (row.deck, row.seats)).is_some() {
                let wrong = format!("row {} of the layout stands twice", row.row);
                tally.fault(no, Fault::new("row", wrong, "delete one of the two"));
            }
        }
        for (id, (no, rows)) in wanted {
            match read(&id, &rows) {
                Ok(fresh) => match put(tx, fresh, by, now).await? {
                    (true, _) => tally.created += 1,
                    (false, true) => tally.updated += 1,
                    (false, false) => tally.unchanged += 1,
                },
                Err(fault) => tally.fault(no, fault),
            }
        }
        Ok(())
    }
}

fn read(id: &str, rows: &Rows) -> Result<Stored, Fault> {
    let fault = |wrong: String| Err(Fault::new("seats", wrong, "see docs/csv.md for the form"));
    let last = rows.keys().max().copied().unwrap_or(0);
    if usize::from(last) != rows.len() {
        return fault(format!(
            "the layout has rows up to {last}, but not all of them"
        ));
    }
    let mut deck_rows = vec![];
    let mut deck = 1;
    for (no, (on, _)) in rows {
        if *on == deck + 1 && *no > 1 {
            deck_rows.push(*no);
        } else if *on != deck {
            return fault(format!(
                "row {no} stands on deck {on} after one on deck {deck}"
            ));
        }
        deck = *on;
    }
    let texts: Vec<&str> = rows.values().map(|(_, seats)| seats.as_str()).collect();
    match read_layout(id, LayoutVersion(1), &texts, &deck_rows) {
        Ok(layout) => Ok(Stored { layout, deck_rows }),
        Err(wrong) => fault(wrong),
    }
}
