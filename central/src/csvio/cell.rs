//! Cells that a spreadsheet would take for a formula.

/// Whether a spreadsheet would calculate instead of show: the text begins with `=`, `+`, `-`, `@`,
/// tab or return, apostrophes before it aside.
fn is_formula_like(text: &str) -> bool {
    text.trim_start_matches('\'')
        .starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// Whether it is a plain negative number, which every spreadsheet shows as such.
fn is_negative_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('-') else {
        return false;
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    all(whole) && all(fraction)
}

/// A cell as it is written: what could be a formula gets an apostrophe in front.
pub fn neutralised(text: &str) -> String {
    if is_formula_like(text) && !is_negative_number(text) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

/// The cell that [`neutralised`] wrote.
pub fn restored(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(inner) if is_formula_like(inner) => inner,
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_formula_is_shown_instead_of_calculated() {
        for (cell, written) in [
            ("=HYPERLINK(\"http://x\")", "'=HYPERLINK(\"http://x\")"),
            ("+260970000001", "'+260970000001"),
            ("-1+2", "'-1+2"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("'=1", "''=1"),
            ("-15.419", "-15.419"),
            ("-", "'-"),
            ("N'Dola", "N'Dola"),
            ("'quoted'", "'quoted'"),
            ("", ""),
        ] {
            assert_eq!(neutralised(cell), written);
            assert_eq!(restored(written), cell);
        }
    }

    proptest! {
        #[test]
        fn every_cell_comes_back_and_none_begins_like_a_formula(
            cell in "['=+@\\-\t\r0-9.a]{0,6}"
        ) {
            let written = neutralised(&cell);
            prop_assert_eq!(restored(&written), cell.as_str());
            let first = written.chars().next();
            let harmless = !matches!(first, Some('=' | '+' | '@' | '\t' | '\r' | '-'));
            prop_assert!(harmless || is_negative_number(&written));
        }
    }
}
