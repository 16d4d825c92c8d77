//! Lines of JSON, with an object in each line.

use super::Item;
use super::collector::Collector;
use super::error::ItemError;
use super::lines::{ITEM_BYTES_MAX, Line, Lines};

/// Parses lines of JSON. Blank lines are skipped.
#[derive(Debug, Default)]
pub(super) struct Ndjson {
    lines: Lines,
}

impl Ndjson {
    /// A parser after `count` blank lines.
    pub(super) fn after_blank_lines(count: u64) -> Self {
        Self {
            lines: Lines::after(count),
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.lines.memory_bytes()
    }

    pub(super) fn push(&mut self, chunk: &[u8], collector: &mut Collector) {
        self.lines
            .push(chunk, |number, line| take(number, &line, collector));
    }

    pub(super) fn finish(&mut self, collector: &mut Collector) {
        self.lines
            .finish(|number, line| take(number, &line, collector));
    }
}

fn take(number: u64, line: &Line<'_>, collector: &mut Collector) {
    match line {
        Line::Text(text) if text.trim_ascii().is_empty() => {}
        Line::Text(text) => collector.take(number, Item::from_json(text)),
        _ => collector.reject(number, &unreadable(line)),
    }
}

/// The error of a line without text.
pub(super) fn unreadable(line: &Line<'_>) -> ItemError {
    match line {
        Line::TooLong => ItemError::whole(format!("is longer than {ITEM_BYTES_MAX} bytes")),
        _ => ItemError::unreadable("is not UTF-8"),
    }
}
