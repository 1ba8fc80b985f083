//! Between a drawing of decks, rows and places and the numbered seats of a [`SeatLayout`]. Pure.

use domain::ids::LayoutVersion;
use domain::layout::{Seat, SeatAttributes, SeatLayout};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Stored;
use crate::csvio::Fault;
use crate::gtfs::attributes_by_place;

/// The most rows of all decks together.
const ROWS_MAX: usize = 100;
/// The most places of a row, gaps included.
const COLUMNS_MAX: usize = 12;
/// The most decks.
const DECKS_MAX: usize = 3;

/// What a passenger may ask of a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeatWord {
    /// Beside a window.
    Window,
    /// Beside the aisle.
    Aisle,
    /// In the first row of its deck.
    Front,
    /// A wheelchair can stand or be stowed here.
    Wheelchair,
    /// A standing place.
    Standing,
}

impl SeatWord {
    const ALL: [(Self, SeatAttributes); 5] = [
        (Self::Window, SeatAttributes::WINDOW),
        (Self::Aisle, SeatAttributes::AISLE),
        (Self::Front, SeatAttributes::FRONT),
        (Self::Wheelchair, SeatAttributes::WHEELCHAIR),
        (Self::Standing, SeatAttributes::STANDING),
    ];
}

/// A seat where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"label": "1A", "attributes": ["window", "front"]}))]
pub struct Place {
    /// What is painted on it: 1 to 8 characters without blanks and `+`.
    #[schema(max_length = 8)]
    pub label: String,
    /// What a passenger may ask of it. Left out in a wish, it follows from the place: the outermost
    /// seats stand at a window, the neighbours of a gap at the aisle, the first row at the front.
    #[schema(max_items = 5)]
    pub attributes: Option<Vec<SeatWord>>,
    /// Its number on tickets and in leases; not part of a wish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u16>,
}

/// A deck: its rows from the front, each from left to right, `null` where there is no seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"rows": [[{"label": "1A", "attributes": null}, null,
    {"label": "1B", "attributes": null}]]}))]
pub struct Deck {
    /// At most 100 rows of all decks together, of at most 12 places.
    #[schema(max_items = 100)]
    pub rows: Vec<Vec<Option<Place>>>,
}

/// Rows that are all alike: seats left and right of an aisle, labelled `1A`, `1B` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"rows": 12, "left": 2, "right": 2, "back_row": 5}))]
pub struct Generator {
    /// How many rows, the back row included: 1 to 100.
    #[schema(minimum = 1, maximum = 100)]
    pub rows: u8,
    /// Seats left of the aisle: 0 to 5.
    #[schema(maximum = 5)]
    pub left: u8,
    /// Seats right of the aisle: 0 to 5.
    #[schema(maximum = 5)]
    pub right: u8,
    /// Seats of the last row, side by side; a row like the others when left out.
    #[serde(default)]
    #[schema(maximum = 11)]
    pub back_row: u8,
    /// Standing places behind it, labelled `S1`, `S2` and so on.
    #[serde(default)]
    #[schema(maximum = 100)]
    pub standing: u8,
    /// The first seat is a wheelchair's place.
    #[serde(default)]
    pub wheelchair: bool,
}

/// How seats shall stand: drawn, or all alike.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"generate": {"rows": 12, "left": 2, "right": 2, "back_row": 5}}))]
pub struct LayoutWish {
    /// The decks from the lowest, 1 to 3.
    #[schema(max_items = 3)]
    pub decks: Option<Vec<Deck>>,
    /// Instead of `decks`.
    pub generate: Option<Generator>,
}

/// A version of a layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"id": "VAN-3", "version": 1, "seat_count": 3, "columns": 3,
    "aisles": [2], "decks": [{"rows": [
        [{"label": "1A", "attributes": ["window", "aisle", "front"], "number": 1}, null,
         {"label": "1B", "attributes": ["window", "aisle", "front"], "number": 2}],
        [{"label": "2A", "attributes": ["window", "aisle"], "number": 3}, null, null]]}]}))]
pub struct LayoutView {
    /// Its id.
    pub id: String,
    /// Which numbering this is; also the `ETag` of the newest.
    pub version: u32,
    /// How many seats.
    pub seat_count: u16,
    /// Places of the widest row, gaps included.
    pub columns: u8,
    /// Columns, counted from 1, in which no seat stands.
    pub aisles: Vec<u8>,
    /// From the lowest.
    pub decks: Vec<Deck>,
}

/// A version of a layout in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"id": "COACH-49", "version": 2, "seat_count": 49, "decks": 1}))]
pub struct VersionView {
    /// The layout's id.
    pub id: String,
    /// Which numbering.
    pub version: u32,
    /// How many seats.
    pub seat_count: u16,
    /// How many decks.
    pub decks: usize,
}

fn generated(wish: Generator) -> Result<Vec<Deck>, Fault> {
    let fault = |wrong: &str, remedy: &str| Err(Fault::new("generate", wrong, remedy));
    if wish.rows == 0 || usize::from(wish.rows) > ROWS_MAX {
        return fault("a layout has 1 to 100 rows", "change `rows`");
    }
    if wish.left + wish.right == 0 || wish.left > 5 || wish.right > 5 {
        let remedy = "give 1 to 5 seats on one side at least";
        return fault("there are too few or too many seats in a row", remedy);
    }
    if wish.back_row > 11 || wish.standing > 100 {
        let remedy = "a back row has at most 11 seats, and at most 100 people stand";
        return fault("there are too many places at the back", remedy);
    }
    let seat = |label: String| {
        Some(Place {
            label,
            attributes: None,
            number: None,
        })
    };
    let mut rows = vec![];
    for row in 1..=wish.rows {
        let last = row == wish.rows && wish.back_row > 0;
        let count = if last {
            wish.back_row
        } else {
            wish.left + wish.right
        };
        let labels = (b'A'..).take(usize::from(count));
        let mut places: Vec<_> = labels
            .map(|letter| seat(format!("{row}{}", char::from(letter))))
            .collect();
        if !last && wish.left > 0 && wish.right > 0 {
            places.insert(usize::from(wish.left), None);
        }
        rows.push(places);
    }
    if wish.wheelchair
        && let Some(row) = rows.first_mut()
    {
        let taken: Vec<bool> = row.iter().map(Option::is_some).collect();
        let attributes = attributes_by_place(&taken, 0, true).with(SeatAttributes::WHEELCHAIR);
        if let Some(Some(place)) = row.first_mut() {
            place.attributes = Some(words(attributes));
        }
    }
    let width = rows.iter().map(Vec::len).max().unwrap_or(1);
    let standing: Vec<u8> = (1..=wish.standing).collect();
    rows.extend(standing.chunks(width).map(|row| {
        let place = |n: &u8| {
            Some(Place {
                label: format!("S{n}"),
                attributes: Some(vec![SeatWord::Standing]),
                number: None,
            })
        };
        row.iter().map(place).collect()
    }));
    Ok(vec![Deck { rows }])
}

/// The seats of a wish, numbered deck by deck, row by row, from left to right.
pub(crate) fn seats_of(
    id: &str,
    version: LayoutVersion,
    wish: &LayoutWish,
) -> Result<Stored, Fault> {
    let decks = match (&wish.decks, &wish.generate) {
        (Some(decks), None) => decks.clone(),
        (None, Some(generator)) => generated(*generator)?,
        (Some(_), Some(_)) | (None, None) => {
            let remedy = "give either `decks` or `generate`";
            return Err(Fault::new("decks", "there has to be one drawing", remedy));
        }
    };
    let fault = |wrong: String, remedy: &str| Err(Fault::new("decks", wrong, remedy));
    let row_count: usize = decks.iter().map(|d| d.rows.len()).sum();
    if decks.is_empty() || decks.len() > DECKS_MAX || row_count > ROWS_MAX {
        let wrong = format!("there are {} decks with {row_count} rows", decks.len());
        return fault(wrong, "draw 1 to 3 decks with 1 to 100 rows together");
    }
    let (mut seats, mut deck_rows) = (vec![], vec![]);
    let mut row_no = 0u16;
    for (deck_no, deck) in decks.iter().enumerate() {
        if deck.rows.is_empty() {
            return fault(format!("deck {} has no rows", deck_no + 1), "take it away");
        }
        if deck_no > 0 {
            deck_rows.push(row_no + 1);
        }
        for (n, row) in deck.rows.iter().enumerate() {
            row_no += 1;
            if row.len() > COLUMNS_MAX {
                let wrong = format!("row {row_no} has {} places", row.len());
                return fault(wrong, "a row has at most 12 places, gaps included");
            }
            let taken: Vec<bool> = row.iter().map(Option::is_some).collect();
            for (at, place) in row.iter().enumerate() {
                let Some(place) = place else { continue };
                let by_place = attributes_by_place(&taken, at, n == 0);
                seats.push(seat_of(place, (row_no, at as u8 + 1), by_place)?);
            }
        }
    }
    match SeatLayout::new(id, version, seats) {
        Ok(layout) => Ok(Stored { layout, deck_rows }),
        Err(error) => fault(error.to_string(), "change the drawing"),
    }
}

fn seat_of(
    place: &Place,
    (row, column): (u16, u8),
    by_place: SeatAttributes,
) -> Result<Seat, Fault> {
    let label = place.label.trim();
    if label == "_" || label.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control()) {
        let wrong = format!("the label {label:?} of row {row} cannot be printed");
        return Err(Fault::new("decks", wrong, "use letters and digits"));
    }
    let stated = place.attributes.as_ref().map(|words| {
        let of = |word: &SeatWord| SeatWord::ALL.iter().find(|(w, _)| w == word);
        words
            .iter()
            .filter_map(of)
            .fold(SeatAttributes::default(), |set, (_, one)| set.with(*one))
    });
    Ok(Seat {
        label: label.to_owned(),
        row,
        column,
        attributes: stated.unwrap_or(by_place),
    })
}

fn words(attributes: SeatAttributes) -> Vec<SeatWord> {
    let all = SeatWord::ALL.into_iter();
    all.filter(|(_, one)| attributes.has(*one))
        .map(|(word, _)| word)
        .collect()
}

/// The drawing of a stored version.
pub(crate) fn drawn(stored: &Stored) -> LayoutView {
    let layout = &stored.layout;
    let columns = layout.seats.iter().map(|s| s.column).max().unwrap_or(0);
    let last_row = layout.seats.iter().map(|s| s.row).max().unwrap_or(0);
    let empty = |column: &u8| layout.seats.iter().all(|s| s.column != *column);
    let mut decks = vec![Deck { rows: vec![] }];
    for row in 1..=last_row {
        if stored.deck_rows.contains(&row) {
            decks.push(Deck { rows: vec![] });
        }
        let mut places: Vec<Option<Place>> = vec![None; usize::from(columns)];
        for (number, seat) in (1u16..).zip(&layout.seats) {
            let at = usize::from(seat.column).checked_sub(1);
            if seat.row == row
                && let Some(place) = at.and_then(|at| places.get_mut(at))
            {
                *place = Some(Place {
                    label: seat.label.clone(),
                    attributes: Some(words(seat.attributes)),
                    number: Some(number),
                });
            }
        }
        if let Some(deck) = decks.last_mut() {
            deck.rows.push(places);
        }
    }
    LayoutView {
        id: layout.id.clone(),
        version: layout.version.0,
        seat_count: layout.seat_count(),
        columns,
        aisles: (1..=columns).filter(empty).collect(),
        decks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generate(json: &str) -> Result<Stored, Fault> {
        let wish = LayoutWish {
            decks: None,
            generate: Some(serde_json::from_str(json).unwrap()),
        };
        seats_of("L", LayoutVersion(1), &wish)
    }

    #[test]
    fn a_coach_of_twelve_rows_has_forty_nine_seats_like_the_built_in_one() {
        let coach =
            generate(r#"{"rows":12,"left":2,"right":2,"back_row":5,"wheelchair":true}"#).unwrap();
        assert_eq!(coach.layout.seat_count(), 49);
        let of = |label: &str| {
            let no = coach.layout.by_label(label).unwrap();
            words(coach.layout.seat(no).unwrap().attributes)
        };
        use SeatWord::{Aisle, Front, Wheelchair, Window};
        assert_eq!(of("1A"), [Window, Front, Wheelchair]);
        assert_eq!(of("1B"), [Aisle, Front]);
        assert_eq!(of("12C"), []);
        let view = drawn(&coach);
        assert_eq!((view.columns, view.decks[0].rows.len()), (5, 12));
        let standing = generate(r#"{"rows":1,"left":1,"right":1,"standing":5}"#).unwrap();
        assert_eq!(standing.layout.seat_count(), 7);
        assert_eq!(drawn(&standing).decks[0].rows.len(), 3);
    }

    #[test]
    fn a_drawing_that_is_read_back_gives_the_same_seats() {
        let json = r#"{"decks": [
            {"rows": [[{"label":"1"}, null, {"label":"2","attributes":["wheelchair"]}]]},
            {"rows": [[{"label":"U1"}, {"label":"U2"}], [null, {"label":"U3"}]]}]}"#;
        let wish: LayoutWish = serde_json::from_str(json).unwrap();
        let stored = seats_of("D", LayoutVersion(4), &wish).unwrap();
        assert_eq!(stored.deck_rows, [2]);
        let view = drawn(&stored);
        assert_eq!((view.decks.len(), view.seat_count), (2, 5));
        let again = LayoutWish {
            decks: Some(view.decks),
            generate: None,
        };
        assert_eq!(seats_of("D", LayoutVersion(4), &again).unwrap(), stored);
        let upper = stored.layout.by_label("U1").unwrap();
        let upper = stored.layout.seat(upper).unwrap();
        assert!(upper.attributes.has(SeatAttributes::FRONT));
    }

    #[test]
    fn what_cannot_be_a_bus_is_refused() {
        for bad in [
            r#"{"rows":0,"left":2,"right":2}"#,
            r#"{"rows":101,"left":2,"right":2}"#,
            r#"{"rows":4,"left":0,"right":0}"#,
            r#"{"rows":4,"left":6,"right":0}"#,
            r#"{"rows":4,"left":1,"right":0,"back_row":12}"#,
            r#"{"rows":100,"left":1,"right":0,"standing":1,"back_row":12}"#,
        ] {
            assert!(generate(bad).is_err(), "{bad}");
        }
        for bad in [
            "{}",
            r#"{"decks": []}"#,
            r#"{"decks": [{"rows": []}]}"#,
            r#"{"decks": [{"rows": [[null]]}]}"#,
            r#"{"decks": [{"rows": [[{"label":"1"}, {"label":"1"}]]}]}"#,
            r#"{"decks": [{"rows": [[{"label":"a b"}]]}]}"#,
            r#"{"decks": [{"rows": [[null,null,null,null,null,null,null,null,null,null,null,null,null]]}]}"#,
            r#"{"decks": [{"rows": [[{"label":"1"}]]}], "generate": {"rows":1,"left":1,"right":1}}"#,
        ] {
            let wish: LayoutWish = serde_json::from_str(bad).unwrap();
            assert!(seats_of("L", LayoutVersion(1), &wish).is_err(), "{bad}");
        }
    }
}
