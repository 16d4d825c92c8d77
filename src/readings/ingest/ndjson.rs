//! Lines of JSON: one object each.

use super::collector::Gathering;
use super::lines::{ITEM_BYTES_MAX, Line, Lines};
use super::{Item, ItemError};

/// Reads lines of JSON; blank ones are skipped.
#[derive(Debug, Default)]
pub(super) struct Ndjson {
    lines: Lines,
}

impl Ndjson {
    /// Lines of JSON of which the first so many were blank.
    pub(super) fn after_blank_lines(count: u64) -> Self {
        Self {
            lines: Lines::after(count),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.lines.memory_bytes()
    }

    pub(super) fn push(&mut self, chunk: &[u8], gathering: &mut Gathering) {
        self.lines
            .push(chunk, |number, line| take(number, &line, gathering));
    }

    pub(super) fn finish(&mut self, gathering: &mut Gathering) {
        self.lines
            .finish(|number, line| take(number, &line, gathering));
    }
}

fn take(number: u64, line: &Line<'_>, gathering: &mut Gathering) {
    match line {
        Line::Text(text) if text.trim_ascii().is_empty() => {}
        Line::Text(text) => gathering.take(number, Item::from_json(text)),
        _ => gathering.reject(number, &unreadable(line)),
    }
}

/// Why a line that is no text is rejected.
pub(super) fn unreadable(line: &Line<'_>) -> ItemError {
    match line {
        Line::TooLong => ItemError::whole(format!("is longer than {ITEM_BYTES_MAX} bytes")),
        _ => ItemError::unreadable("is not UTF-8"),
    }
}
