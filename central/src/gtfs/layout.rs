//! Seat layouts of a feed: `mwimule_layouts.txt` and `mwimule_route_layouts.txt`.

use std::collections::BTreeMap;
use std::fmt::Write;

use domain::ids::LayoutVersion;
use domain::layout::{Seat, SeatAttributes, SeatLayout};

use super::error::GtfsError;
use super::report::{Note, Recorder, quote};
use super::source::Source;
use super::table::{FileSpec, Table};

/// The layout of routes that neither the feed nor the operator gives one: 49 seats, 2 + 2.
pub const BUILT_IN_LAYOUT: &str = "COACH-49";

/// The longest layout id, in characters.
const LAYOUT_ID_CHARS_MAX: usize = 64;
/// The most rows of seats.
const SEAT_ROWS_MAX: u16 = 100;

const LAYOUTS: FileSpec = FileSpec {
    name: "mwimule_layouts.txt",
    required: &["layout_id", "version", "row", "seats"],
    optional: &["deck"],
};

const ROUTE_LAYOUTS: FileSpec = FileSpec {
    name: "mwimule_route_layouts.txt",
    required: &["route_id", "layout_id"],
    optional: &[],
};

/// Layouts by id, and which route uses which.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    pub(super) by_id: BTreeMap<String, SeatLayout>,
    pub(super) by_route: BTreeMap<String, String>,
    /// The first rows of upper decks, by layout.
    pub(super) deck_rows: BTreeMap<String, Vec<u16>>,
}

/// Reads both extension files and adds the built-in layout unless the feed has one of its name.
pub(super) fn read(source: &mut Source, recorder: &mut Recorder) -> Result<Layouts, GtfsError> {
    let mut layouts = Layouts::default();
    if let Some(table) = Table::optional(source, &LAYOUTS, recorder)? {
        (layouts.by_id, layouts.deck_rows) = read_layouts(&table, recorder);
    }
    if !layouts.by_id.contains_key(BUILT_IN_LAYOUT)
        && let Ok(layout) = built_in()
    {
        layouts.by_id.insert(BUILT_IN_LAYOUT.to_owned(), layout);
    }
    if let Some(table) = Table::optional(source, &ROUTE_LAYOUTS, recorder)? {
        for row in table.rows() {
            let (route, layout) = (row.get("route_id"), row.get("layout_id"));
            if !layouts.by_id.contains_key(layout) {
                let text = format!(
                    "there is no usable layout {}; the route takes the default",
                    quote(layout)
                );
                recorder.refused(
                    ROUTE_LAYOUTS.name,
                    row.line,
                    Note::new("unknown_layout", text),
                );
            } else if layouts.by_route.contains_key(route) {
                let text = format!(
                    "route {} has a layout already; the first one stays",
                    quote(route)
                );
                recorder.refused(
                    ROUTE_LAYOUTS.name,
                    row.line,
                    Note::new("duplicate_id", text),
                );
            } else {
                layouts.by_route.insert(route.to_owned(), layout.to_owned());
            }
        }
    }
    Ok(layouts)
}

struct Draft<'t> {
    first_line: u64,
    version: u16,
    /// The deck and the seats of each row.
    rows: BTreeMap<u16, (u16, &'t str)>,
}

/// Layouts by id, and the first rows of their upper decks.
type Read = (BTreeMap<String, SeatLayout>, BTreeMap<String, Vec<u16>>);

fn read_layouts(table: &Table, recorder: &mut Recorder) -> Read {
    let mut drafts: BTreeMap<&str, Result<Draft<'_>, ()>> = BTreeMap::new();
    for row in table.rows() {
        let id = row.get("layout_id");
        let version = row.get("version").parse::<u16>().ok().filter(|v| *v > 0);
        let number = row
            .get("row")
            .parse::<u16>()
            .ok()
            .filter(|n| (1..=SEAT_ROWS_MAX).contains(n));
        let fits = !id.is_empty() && id.chars().count() <= LAYOUT_ID_CHARS_MAX;
        let (Some(version), Some(number), true) = (version, number, fits) else {
            let text = format!(
                "layout_id needs 1 to {LAYOUT_ID_CHARS_MAX} characters, version a number from 1, row a number from 1 to {SEAT_ROWS_MAX}; the layout is not used"
            );
            recorder.refused(LAYOUTS.name, row.line, Note::new("bad_layout_row", text));
            drafts.insert(id, Err(()));
            continue;
        };
        let draft = drafts.entry(id).or_insert(Ok(Draft {
            first_line: row.line,
            version,
            rows: BTreeMap::new(),
        }));
        let Ok(known) = draft else { continue };
        let deck = row.get("deck").parse().unwrap_or(1);
        let place = (deck, row.get("seats"));
        if known.version != version || known.rows.insert(number, place).is_some() {
            let text = format!(
                "layout {} has two versions or two rows {number}; it is not used",
                quote(id)
            );
            recorder.refused(LAYOUTS.name, row.line, Note::new("bad_layout_row", text));
            *draft = Err(());
        }
    }
    let (mut layouts, mut decks) = (BTreeMap::new(), BTreeMap::new());
    for (id, draft) in drafts {
        let Ok(draft) = draft else { continue };
        let in_order: Vec<(u16, &str)> = draft.rows.into_values().collect();
        let rows: Vec<&str> = in_order.iter().map(|(_, seats)| *seats).collect();
        let begins = |pair: &[(u16, &str)]| matches!(pair, [a, b] if a.0 != b.0);
        let deck_rows: Vec<u16> = (2u16..)
            .zip(in_order.windows(2))
            .filter(|(_, pair)| begins(pair))
            .map(|(row, _)| row)
            .collect();
        match parse(id, LayoutVersion(draft.version.into()), &rows, &deck_rows) {
            Ok(layout) => {
                if !deck_rows.is_empty() {
                    decks.insert(id.to_owned(), deck_rows);
                }
                layouts.insert(id.to_owned(), layout);
            }
            Err(text) => {
                let text = format!("layout {} is not used: {text}", quote(id));
                recorder.refused(
                    LAYOUTS.name,
                    draft.first_line,
                    Note::new("bad_layout", text),
                );
            }
        }
    }
    (layouts, decks)
}

/// What a seat's place in its row says of it: outermost seats stand at a window, neighbours of a
/// gap at the aisle, and the first row is the front. `row` says where there are seats.
pub(crate) fn attributes_by_place(row: &[bool], at: usize, is_first_row: bool) -> SeatAttributes {
    let first = row.iter().position(|seat| *seat);
    let last = row.iter().rposition(|seat| *seat);
    let gap = |i: Option<usize>| i.and_then(|i| row.get(i)).is_some_and(|seat| !seat);
    [
        (
            Some(at) == first || Some(at) == last,
            SeatAttributes::WINDOW,
        ),
        (
            gap(at.checked_sub(1)) || gap(at.checked_add(1)),
            SeatAttributes::AISLE,
        ),
        (is_first_row, SeatAttributes::FRONT),
    ]
    .into_iter()
    .filter(|(holds, _)| *holds)
    .fold(SeatAttributes::default(), |set, (_, one)| set.with(one))
}

/// The letters of a mark that states every attribute: `+=wafcs`.
const ATTRIBUTE_LETTERS: [(char, SeatAttributes); 5] = [
    ('w', SeatAttributes::WINDOW),
    ('a', SeatAttributes::AISLE),
    ('f', SeatAttributes::FRONT),
    ('c', SeatAttributes::WHEELCHAIR),
    ('s', SeatAttributes::STANDING),
];

/// The attributes of a seat with the mark behind its `+`, if there is one.
fn marked(mark: Option<&str>, by_place: SeatAttributes) -> Option<SeatAttributes> {
    let Some(mark) = mark else {
        return Some(by_place);
    };
    if mark == "w" {
        return Some(by_place.with(SeatAttributes::WHEELCHAIR));
    }
    let letters = mark.strip_prefix('=')?;
    letters
        .chars()
        .try_fold(SeatAttributes::default(), |set, letter| {
            let known = ATTRIBUTE_LETTERS.iter().find(|(l, _)| *l == letter);
            known.map(|(_, one)| set.with(*one))
        })
}

/// The mark that [`marked`] reads, with its `+`; nothing where the place says all.
fn mark_of(attributes: SeatAttributes, by_place: SeatAttributes) -> String {
    if attributes == by_place {
        return String::new();
    }
    if attributes == by_place.with(SeatAttributes::WHEELCHAIR) {
        return "+w".to_owned();
    }
    let letters = ATTRIBUTE_LETTERS.iter();
    let letters = letters.filter(|(_, one)| attributes.has(*one));
    format!("+={}", letters.map(|(l, _)| l).collect::<String>())
}

/// Reads rows from front to back: labels and `_` (no seat here) separated by blanks. The place
/// says what a seat is, `+w` behind its label marks a wheelchair place, and `+=wafcs` states every
/// attribute instead. Rows in `deck_rows` begin another deck.
pub(crate) fn parse(
    id: &str,
    version: LayoutVersion,
    rows: &[&str],
    deck_rows: &[u16],
) -> Result<SeatLayout, String> {
    let mut seats = Vec::new();
    for (row_no, row) in (1u16..).zip(rows) {
        let places: Vec<&str> = row.split_whitespace().collect();
        if places.len() > usize::from(u8::MAX) {
            return Err(format!("row {row_no} has {} places", places.len()));
        }
        let taken: Vec<bool> = places.iter().map(|p| *p != "_").collect();
        let is_first_row = row_no == 1 || deck_rows.contains(&row_no);
        for (i, place) in places.iter().enumerate().filter(|(_, p)| **p != "_") {
            let (label, mark) = match place.split_once('+') {
                None => (*place, None),
                Some((label, mark)) => (label, Some(mark)),
            };
            let by_place = attributes_by_place(&taken, i, is_first_row);
            let attributes = marked(mark, by_place).ok_or_else(|| {
                let mark = mark.unwrap_or_default();
                format!("row {row_no}: unknown mark \"+{mark}\"; only +w and +=wafcs are known")
            })?;
            seats.push(Seat {
                label: label.to_owned(),
                row: row_no,
                column: i as u8 + 1,
                attributes,
            });
        }
    }
    SeatLayout::new(id, version, seats).map_err(|e| e.to_string())
}

/// The rows that [`parse`] reads into the same layout; `None` where its seats do not stand in
/// order of their rows and columns, or a label cannot be written.
pub(crate) fn as_rows(layout: &SeatLayout, deck_rows: &[u16]) -> Option<Vec<String>> {
    let width = layout.seats.iter().map(|s| s.column).max()?;
    let count = layout.seats.iter().map(|s| s.row).max()?;
    let ordered = layout
        .seats
        .is_sorted_by(|a, b| (a.row, a.column) < (b.row, b.column));
    let writable =
        |label: &str| label != "_" && !label.contains(|c: char| c == '+' || c.is_whitespace());
    let placed = |s: &Seat| s.row > 0 && s.column > 0 && writable(&s.label);
    if !ordered || count > SEAT_ROWS_MAX || !layout.seats.iter().all(placed) {
        return None;
    }
    let rows = (1..=count).map(|row_no| {
        let seat_at = |column: u8| {
            let mut seats = layout.seats.iter();
            seats.find(|s| s.row == row_no && s.column == column)
        };
        let taken: Vec<bool> = (1..=width).map(|c| seat_at(c).is_some()).collect();
        let is_first_row = row_no == 1 || deck_rows.contains(&row_no);
        let place = |column: u8| match seat_at(column) {
            None => "_".to_owned(),
            Some(seat) => {
                let at = usize::from(column) - 1;
                let by_place = attributes_by_place(&taken, at, is_first_row);
                format!("{}{}", seat.label, mark_of(seat.attributes, by_place))
            }
        };
        (1..=width).map(place).collect::<Vec<_>>().join(" ")
    });
    Some(rows.collect())
}

fn built_in() -> Result<SeatLayout, String> {
    let mut rows: Vec<String> = (1..=11).map(|n| format!("{n}A {n}B _ {n}C {n}D")).collect();
    if let Some(front) = rows.first_mut() {
        *front = front.replacen("1A", "1A+w", 1);
    }
    let mut back = String::new();
    for letter in ["A", "B", "C", "D", "E"] {
        let _ = write!(back, "12{letter} ");
    }
    rows.push(back);
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    parse(BUILT_IN_LAYOUT, LayoutVersion(1), &rows, &[])
}

#[cfg(test)]
mod tests {
    use domain::ids::SeatNo;

    use super::*;

    #[test]
    fn a_row_of_text_becomes_seats_with_their_attributes() {
        let layout = parse("M", LayoutVersion(3), &["1A+w _ 1B 1C", "2A 2B 2C 2D"], &[]).unwrap();
        assert_eq!((layout.seat_count(), layout.version), (7, LayoutVersion(3)));
        let of = |label: &str| {
            let seat = layout.seat(layout.by_label(label).unwrap()).unwrap();
            (seat.row, seat.column, seat.attributes.0)
        };
        // window 1, aisle 2, front 4, wheelchair 8
        assert_eq!(of("1A"), (1, 1, 1 + 2 + 4 + 8));
        assert_eq!(of("1B"), (1, 3, 2 + 4));
        assert_eq!(of("1C"), (1, 4, 1 + 4));
        assert_eq!(of("2B"), (2, 2, 0));
        assert_eq!(of("2D"), (2, 4, 1));
    }

    #[test]
    fn a_layout_with_a_label_twice_or_an_unknown_mark_is_refused() {
        assert!(parse("M", LayoutVersion(1), &["1 2", "2 3"], &[]).is_err());
        assert!(parse("M", LayoutVersion(1), &["1+x"], &[]).is_err());
        assert!(parse("M", LayoutVersion(1), &["_ _"], &[]).is_err());
    }

    #[test]
    fn rows_that_are_written_read_back_as_the_same_layout() {
        for rows in [
            &["1A+w 1B _ _ 1C 1D", "2A 2B _ 2C 2D 2E"][..],
            &["1A+w _ _ _", "2A 2B _ 2C"],
            &["1+=s 2+=", "_ 3", "4+=wafcs 5"],
        ] {
            let layout = parse("M", LayoutVersion(1), rows, &[3]).unwrap();
            let written = as_rows(&layout, &[3]).unwrap();
            let written: Vec<&str> = written.iter().map(String::as_str).collect();
            let back = parse("M", LayoutVersion(1), &written, &[3]).unwrap();
            assert_eq!(back, layout, "{rows:?} {written:?}");
        }
        let mut turned = built_in().unwrap();
        turned.seats.swap(0, 1);
        assert_eq!(as_rows(&turned, &[]), None);
    }

    #[test]
    fn the_built_in_layout_has_forty_nine_seats() {
        let layout = built_in().unwrap();
        assert_eq!(layout.seat_count(), 49);
        assert_eq!(layout.label(SeatNo(49)), "12E");
    }
}
