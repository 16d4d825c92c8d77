//! Converts texts of another program to titles and descriptions.

use crate::todos::{DESCRIPTION_CHARACTERS_MAX, Description, TITLE_CHARACTERS_MAX, Title};

/// Decodes bytes as UTF-8, or else as ISO 8859-1. Returns whether the bytes are UTF-8.
pub(super) fn decode(bytes: &[u8]) -> (String, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), true),
        Err(_) => (bytes.iter().copied().map(char::from).collect(), false),
    }
}

/// Replaces the control characters that a description cannot hold by their hexadecimal numbers.
pub(super) fn escape_controls(text: &str) -> String {
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

/// Shortens a text to the length of a title. Three dots mark a shortened text.
pub(super) fn shorten_title(text: &str) -> String {
    shorten(text, TITLE_CHARACTERS_MAX)
}

/// Shortens a text to `characters_max`. Three dots mark a shortened text.
pub(super) fn shorten(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(characters_max - 1).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// The title of the todo with the given part of a long description.
pub(super) fn part_title(title: &Title, part: u32) -> Title {
    if part == 1 {
        return title.clone();
    }
    let number = format!(" ({part})");
    let title_max = TITLE_CHARACTERS_MAX - number.chars().count();
    valid_title(&(shorten(title.as_str(), title_max) + &number))
}

/// Makes a title of a text that is known to be valid.
pub(super) fn valid_title(text: &str) -> Title {
    // The callers pass texts that are not empty, not too long, and without control characters. There is no other error.
    Title::new(text).unwrap_or_else(|error| unreachable!("`{text}` {error}"))
}

/// Splits a text into descriptions of at most the allowed length. There is at least one description.
pub(super) fn split_description(text: &str) -> Vec<Description> {
    let mut parts = Vec::new();
    let mut remaining = text;
    loop {
        let end = remaining
            .char_indices()
            .nth(DESCRIPTION_CHARACTERS_MAX)
            .map_or(remaining.len(), |(at, _)| at);
        let (piece, after) = remaining.split_at(end);
        // The text has no control characters, and the piece is short enough.
        let piece = Description::new(piece);
        parts.push(piece.unwrap_or_else(|error| unreachable!("a part {error}")));
        remaining = after;
        if remaining.is_empty() {
            return parts;
        }
    }
}
