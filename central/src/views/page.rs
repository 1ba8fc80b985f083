//! Pages of a long list.

use serde::Serialize;
use utoipa::ToSchema;

/// The most rows of a page.
pub const ROWS_MAX: usize = 500;
const ROWS_DEFAULT: usize = 100;
/// A cursor of ours is shorter.
const CURSOR_BYTES_MAX: usize = 120;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows, in order.
    pub items: Vec<T>,
    /// Pass it as `after` to get the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page of at most `limit` rows out of one more than that.
    pub fn cut(mut rows: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(cursor);
        Self { items: rows, next }
    }
}

/// Where a page begins and how long it is.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    parts: Vec<String>,
    /// At most so many rows.
    pub limit: usize,
}

impl Cursor {
    /// Checks what the client sent; `None` when the cursor is none of ours.
    pub fn new(after: Option<&str>, limit: Option<usize>) -> Option<Self> {
        let text = after.unwrap_or_default();
        if text.len() > CURSOR_BYTES_MAX {
            return None;
        }
        Some(Self {
            parts: text
                .split('_')
                .filter(|p| !p.is_empty())
                .map(str::to_owned)
                .collect(),
            limit: limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX),
        })
    }

    /// The part at `index`, or what stands before every row.
    pub fn part<T: std::str::FromStr>(&self, index: usize, first: T) -> T {
        let part = self.parts.get(index).and_then(|p| p.parse().ok());
        part.unwrap_or(first)
    }

    /// Rows to ask for: one more than shown says whether there is another page.
    pub fn fetch(&self) -> i64 {
        self.limit as i64 + 1
    }
}
