//! Splits a body into lines while the body arrives.

use std::str;

use memchr::{memchr, memchr_iter, memrchr};

/// The longest line, and the longest item of an array. The limit keeps an endless line from filling memory.
pub(super) const ITEM_BYTES_MAX: usize = 256 * 1024;

/// A line without its line break, or the reason why the line has no text.
pub(super) enum Line<'a> {
    Text(&'a str),
    NotUtf8,
    TooLong,
}

/// Passes complete lines on, and holds the bytes of the incomplete line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    /// Whether the incomplete line is longer than the limit.
    too_long: bool,
    /// The number of complete lines so far.
    count: u64,
}

impl Lines {
    /// A splitter after `count` lines.
    pub(super) fn after(count: u64) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Calls `each` with the number of each line that ends in `chunk`, counted from 1.
    pub(super) fn push(&mut self, chunk: &[u8], mut each: impl FnMut(u64, Line<'_>)) {
        let mut rest = chunk;
        if !self.partial.is_empty() || self.too_long {
            let Some(end) = memchr(b'\n', rest) else {
                self.keep(rest);
                return;
            };
            self.keep(&rest[..end]);
            rest = &rest[end + 1..];
            self.end_partial(&mut each);
        }
        let Some(last) = memrchr(b'\n', rest) else {
            self.keep(rest);
            return;
        };
        let (complete, next) = rest.split_at(last + 1);
        // A single UTF-8 check of the whole piece is much faster than a check of each line.
        let text = str::from_utf8(complete).ok();
        let mut start = 0;
        for end in memchr_iter(b'\n', complete) {
            self.count += 1;
            let line = match text {
                _ if end - start > ITEM_BYTES_MAX => Line::TooLong,
                Some(text) => Line::Text(&text[start..end]),
                None => line(&complete[start..end]),
            };
            each(self.count, line);
            start = end + 1;
        }
        self.keep(next);
    }

    /// Passes on the last line if the body does not end with a line break.
    pub(super) fn finish(&mut self, mut each: impl FnMut(u64, Line<'_>)) {
        if !self.partial.is_empty() || self.too_long {
            self.end_partial(&mut each);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.partial.len() + bytes.len() > ITEM_BYTES_MAX {
            self.too_long = true;
        } else if !self.too_long {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn end_partial(&mut self, each: &mut impl FnMut(u64, Line<'_>)) {
        self.count += 1;
        if self.too_long {
            each(self.count, Line::TooLong);
        } else {
            each(self.count, line(&self.partial));
        }
        self.partial.clear();
        self.too_long = false;
    }
}

fn line(bytes: &[u8]) -> Line<'_> {
    match str::from_utf8(bytes) {
        Ok(text) => Line::Text(text),
        Err(_) => Line::NotUtf8,
    }
}
