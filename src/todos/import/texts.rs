//! Texts of another program as titles and descriptions hold them.

use crate::todos::{DESCRIPTION_CHARACTERS_MAX, Description, TITLE_CHARACTERS_MAX, Title};

/// Bytes as text, and whether they are UTF-8.
pub(super) fn decode(bytes: &[u8]) -> (String, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), true),
        Err(_) => (bytes.iter().copied().map(char::from).collect(), false),
    }
}

/// A text with its control characters made visible, as descriptions may hold them.
pub(super) fn written(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !matches!(c, '\t' | '\n' | '\r') {
            out.push_str(&format!("\\x{:02x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// As much of a text as a title holds; three dots say that there is more.
pub(super) fn shortened(text: &str) -> String {
    cut(text, TITLE_CHARACTERS_MAX)
}

pub(super) fn cut(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(characters_max - 1).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// The title of a todo that a description goes on in.
pub(super) fn part_title(title: &Title, part: u32) -> Title {
    if part == 1 {
        return title.clone();
    }
    let number = format!(" ({part})");
    let room = TITLE_CHARACTERS_MAX - number.chars().count();
    known(&(cut(title.as_str(), room) + &number))
}

/// A title of which it is known that it is one.
pub(super) fn known(text: &str) -> Title {
    // What is neither empty, nor too long, nor has control characters is a title: there is no other error.
    Title::new(text).unwrap_or_else(|error| unreachable!("`{text}` {error}"))
}

/// A description in pieces that each fit, one at least.
pub(super) fn parts(text: &str) -> Vec<Description> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let end = rest
            .char_indices()
            .nth(DESCRIPTION_CHARACTERS_MAX)
            .map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        // Control characters are written out, and there are no more characters than there may be.
        let piece = Description::new(piece);
        parts.push(piece.unwrap_or_else(|error| unreachable!("a part {error}")));
        rest = after;
        if rest.is_empty() {
            return parts;
        }
    }
}
