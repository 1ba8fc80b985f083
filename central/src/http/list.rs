//! Lists whose rows have a text for a key: where a page begins, how long it is, and what its
//! filters may say.

use super::problem::Problem;
use crate::views::ROWS_MAX;

/// How many rows a page has when nobody says.
const ROWS_DEFAULT: usize = 100;
/// The longest key or filter, in bytes.
const TEXT_BYTES_MAX: usize = 400;

/// Which page of a list ordered by a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPage {
    /// Rows behind this one; empty for the first page.
    pub after: String,
    /// At most so many rows.
    pub limit: usize,
}

impl KeyPage {
    /// Reads `after` and `limit` of a query.
    ///
    /// # Errors
    /// 400 for what is no key.
    pub fn new(after: Option<String>, limit: Option<usize>) -> Result<Self, Problem> {
        Ok(Self {
            after: filter("after", after)?.unwrap_or_default(),
            limit: limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX),
        })
    }

    /// Rows to ask for: one more than shown says whether there is another page.
    pub fn fetch(&self) -> i64 {
        self.limit as i64 + 1
    }
}

/// A text of the query; an empty one is as good as none.
///
/// # Errors
/// 400 for one that is too long or has control characters, which no row can have.
pub fn filter(name: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if !is_plain(&text) => Err(Problem::bad_request(format!(
            "`{name}` is too long or has control characters"
        ))),
        text => Ok(text.filter(|t| !t.is_empty())),
    }
}

/// Whether a text can be a key at all; one of the path that cannot is not found.
pub fn is_plain(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_bounds_and_begins_behind_a_key() {
        let page = KeyPage::new(Some("LUN".to_owned()), Some(9_999)).unwrap();
        assert_eq!((page.after.as_str(), page.limit), ("LUN", ROWS_MAX));
        let page = KeyPage::new(None, Some(0)).unwrap();
        assert_eq!((page.after.as_str(), page.fetch()), ("", 2));
        for bad in ["a\0b".to_owned(), "x".repeat(401)] {
            let problem = KeyPage::new(Some(bad), None).unwrap_err();
            assert_eq!(problem.status, 400);
        }
    }
}
