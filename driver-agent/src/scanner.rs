//! A keyboard-wedge scanner: what it reads arrives as a typed line.

use domain::ids::TripId;

/// The longest line that is looked at, in bytes; what follows is skipped.
pub const LINE_BYTES_MAX: usize = 4096;

/// What a line means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Nothing was typed.
    Empty,
    /// The driver names the trip that is boarding.
    Trip(TripId),
    /// A code was scanned.
    Code(String),
}

/// Reads a line; `trip 17` names the trip, everything else is a code.
pub fn read_line(line: &str) -> Line {
    // A code may end in a space: only the line end is the scanner's own.
    let line = line.trim_end_matches(['\r', '\n']);
    if line.trim().is_empty() {
        return Line::Empty;
    }
    let named = line.trim().strip_prefix("trip ");
    match named.and_then(|number| number.trim().parse().ok()) {
        Some(trip) => Line::Trip(trip),
        None => Line::Code(line[..line.floor_char_boundary(LINE_BYTES_MAX)].to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_code_unless_it_names_a_trip() {
        assert_eq!(read_line("  \r\n"), Line::Empty);
        assert_eq!(read_line("trip 17\n"), Line::Trip(TripId(17)));
        assert_eq!(read_line("MW1:AB \r\n"), Line::Code("MW1:AB ".to_owned()));
        assert_eq!(read_line("trip x"), Line::Code("trip x".to_owned()));
        let Line::Code(cut) = read_line(&"é".repeat(LINE_BYTES_MAX)) else {
            panic!("not a code");
        };
        assert_eq!(cut.len(), LINE_BYTES_MAX);
    }
}
