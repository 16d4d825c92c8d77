//! Pages of long lists, so that the work per request is bounded. A page begins after the last item of the page before, and not at a number
//! of items. So an addition or a removal between two pages neither repeats nor hides another item.

use super::{Problem, Query};

/// The most items in a page.
pub const LIMIT_MAX: usize = 1000;
const LIMIT_DEFAULT: usize = 100;

/// The requested page: at most `limit` items, from a cursor.
#[derive(Debug)]
pub struct Page<'a> {
    /// The most items of the page, 1 to [`LIMIT_MAX`].
    pub limit: usize,
    cursor: Option<&'a str>,
}

impl<'a> Page<'a> {
    /// Reads `limit` and `cursor`.
    ///
    /// # Errors
    /// 400 when the limit is not 1 to [`LIMIT_MAX`].
    pub fn from_query(query: &'a Query) -> Result<Self, Problem> {
        Self::from_query_or(query, LIMIT_DEFAULT)
    }

    /// As [`Page::from_query`], with another default for `limit`.
    ///
    /// # Errors
    /// As [`Page::from_query`].
    pub fn from_query_or(query: &'a Query, limit_default: usize) -> Result<Self, Problem> {
        Ok(Self {
            limit: query.number("limit", 1, LIMIT_MAX, limit_default)?,
            cursor: query.get("cursor"),
        })
    }

    /// The position of the page, from a text of [`cursor`]; `None` for the first page.
    ///
    /// # Errors
    /// 400 when the cursor is not from this list.
    pub fn start<T>(
        &self,
        kind: char,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(cursor) = self.cursor else {
            return Ok(None);
        };
        let position = cursor
            .strip_prefix(kind)
            .and_then(|text| String::from_utf8(hex::decode(text).ok()?).ok())
            .and_then(|position| read(&position));
        match position {
            Some(position) => Ok(Some(position)),
            None => Err(Problem::parameter(
                "cursor",
                "is not one that this list gave out; leave it out to begin anew",
            )),
        }
    }
}

/// An opaque text for a position in a list. `kind` keeps cursors of different lists apart.
pub fn cursor(kind: char, position: &str) -> String {
    format!("{kind}{}", hex::encode(position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_position() {
        for position in ["", "a", "sensor é 💡", "../%2e\"&="] {
            let text = cursor('s', position);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let page = Page {
                limit: 1,
                cursor: Some(&text),
            };
            let start = page.start('s', |text| Some(text.to_owned())).unwrap();
            assert_eq!(start.as_deref(), Some(position));
            assert!(page.start('t', |_| Some(())).is_err());
        }
        for bad in ["", "s0", "szz", "sff", "x00"] {
            let page = Page {
                limit: 1,
                cursor: Some(bad),
            };
            assert!(page.start('s', |_| Some(())).is_err(), "{bad}");
        }
    }
}
