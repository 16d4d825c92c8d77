//! Pages of longer lists: work per request is bounded, and a page begins where the one before ended, not at a number of
//! items, so that what is added or removed meanwhile neither repeats nor hides an item.

use super::{Problem, Query};

/// The most items of a page.
pub const LIMIT_MAX: usize = 1000;
const LIMIT_DEFAULT: usize = 100;

/// Which page is asked for: at most `limit` items, from a cursor.
#[derive(Debug)]
pub struct Page<'a> {
    /// How many items at most, 1 to [`LIMIT_MAX`].
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

    /// [`Page::from_query`] with another limit where none is given.
    ///
    /// # Errors
    /// As [`Page::from_query`].
    pub fn from_query_or(query: &'a Query, limit_default: usize) -> Result<Self, Problem> {
        Ok(Self {
            limit: query.number("limit", 1, LIMIT_MAX, limit_default)?,
            cursor: query.get("cursor"),
        })
    }

    /// Where the page begins, as [`cursor`] wrote it; `None` for the first page.
    ///
    /// # Errors
    /// 400 when it is not a cursor of this list.
    pub fn start<T>(
        &self,
        kind: char,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(cursor) = self.cursor else {
            return Ok(None);
        };
        let place = cursor
            .strip_prefix(kind)
            .and_then(from_hex)
            .and_then(|place| read(&place));
        match place {
            Some(place) => Ok(Some(place)),
            None => Err(Problem::parameter(
                "cursor",
                "is not one that this list gave out; leave it out to begin anew",
            )),
        }
    }
}

/// An opaque text for a place in a list. `kind` keeps cursors of different lists apart.
pub fn cursor(kind: char, place: &str) -> String {
    let mut text = String::with_capacity(1 + place.len() * 2);
    text.push(kind);
    for byte in place.bytes() {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    text
}

fn from_hex(text: &str) -> Option<String> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let bytes = digits
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        })
        .collect::<Option<Vec<u8>>>()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        for place in ["", "a", "sensor é 💡", "../%2e\"&="] {
            let text = cursor('s', place);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let page = Page {
                limit: 1,
                cursor: Some(&text),
            };
            let start = page.start('s', |place| Some(place.to_owned())).unwrap();
            assert_eq!(start.as_deref(), Some(place));
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
