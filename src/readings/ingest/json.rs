//! A JSON array of objects, split into items while the array arrives.

use std::str;

use memchr::memchr2;

use super::Item;
use super::collector::Collector;
use super::error::{BodyError, ItemError, PositionKind};
use super::lines::ITEM_BYTES_MAX;

/// Parses an array item by item. The parser holds only the incomplete item, whatever the length of the array, and counts nested
/// brackets instead of recursing.
#[derive(Debug, Default)]
pub(super) struct JsonArray {
    stage: Stage,
    /// The bytes of the incomplete item in earlier pieces.
    partial: Vec<u8>,
    /// Whether the incomplete item is longer than the limit; `partial` is empty then.
    too_long: bool,
    /// The number of open brackets in the incomplete item.
    depth: usize,
    in_string: bool,
    /// Whether the last byte was a backslash in a string.
    escaped: bool,
    /// The number of items so far.
    count: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Before the opening bracket.
    #[default]
    Before,
    /// The body is not an array. The bytes of the body are kept for the error message.
    NotAnArray,
    Inside,
    /// After the closing bracket.
    After,
}

impl JsonArray {
    pub(super) fn memory_bytes(&self) -> usize {
        self.partial.capacity()
    }

    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        collector: &mut Collector,
    ) -> Result<(), BodyError> {
        let mut rest = chunk;
        if self.stage == Stage::Before {
            rest = rest.trim_ascii_start();
            match rest.split_first() {
                None => return Ok(()),
                Some((b'[', after)) => {
                    self.stage = Stage::Inside;
                    rest = after;
                }
                Some(_) => self.stage = Stage::NotAnArray,
            }
        }
        if self.stage == Stage::NotAnArray {
            self.keep(rest);
            return Ok(());
        }
        while self.stage == Stage::Inside {
            let Some(end) = self.item_end(rest) else {
                self.keep(rest);
                return Ok(());
            };
            let last = rest[end] == b']';
            self.end_item(&rest[..end], last, collector)?;
            rest = &rest[end + 1..];
            if last {
                self.stage = Stage::After;
            }
        }
        if rest.trim_ascii().is_empty() {
            Ok(())
        } else {
            Err(BodyError::unreadable(
                "the body goes on after the end of the array",
            ))
        }
    }

    pub(super) fn finish(&self) -> Result<(), BodyError> {
        match self.stage {
            Stage::After => Ok(()),
            Stage::Before => Err(BodyError::unreadable(
                "the body is empty; send a JSON array of readings",
            )),
            Stage::Inside => Err(BodyError::unreadable(format!(
                "the body ends within the array, after {} complete items",
                self.count
            ))),
            Stage::NotAnArray
                if serde_json::from_slice::<serde::de::IgnoredAny>(&self.partial).is_ok() =>
            {
                Err(BodyError::invalid(
                    "the body must be a JSON array of readings; for lines of JSON send the content type application/x-ndjson",
                ))
            }
            Stage::NotAnArray => Err(BodyError::unreadable(
                "the body is not a JSON array of readings; for lines of JSON send the content type application/x-ndjson",
            )),
        }
    }

    /// The end of the incomplete item: a comma or the closing bracket of the array.
    fn item_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                } else {
                    at += memchr2(b'"', b'\\', &bytes[at..])?;
                    self.escaped = bytes[at] == b'\\';
                    self.in_string = self.escaped;
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'[' | b'{' => self.depth += 1,
                    b',' | b']' if self.depth == 0 => return Some(at),
                    b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
            at += 1;
        }
        None
    }

    fn end_item(
        &mut self,
        bytes: &[u8],
        last: bool,
        collector: &mut Collector,
    ) -> Result<(), BodyError> {
        let joined;
        let item = if self.partial.is_empty() && !self.too_long {
            bytes
        } else {
            self.keep(bytes);
            joined = std::mem::take(&mut self.partial);
            &joined
        };
        let empty = item.trim_ascii().is_empty() && !self.too_long;
        if empty && last && self.count == 0 {
            return Ok(());
        }
        let position = self.count;
        self.count += 1;
        if self.too_long || item.len() > ITEM_BYTES_MAX {
            self.too_long = false;
            collector.reject(
                position,
                &ItemError::whole(format!("is longer than {ITEM_BYTES_MAX} bytes")),
            );
            return Ok(());
        }
        let Ok(text) = str::from_utf8(item) else {
            let error = ItemError::unreadable("is not UTF-8");
            return Err(BodyError::at(PositionKind::Index, position, &error));
        };
        match Item::from_json(text.trim_ascii()) {
            // An item that is not JSON makes the array malformed, and the end of the item cannot be found.
            Err(error) if error.is_syntax() => {
                Err(BodyError::at(PositionKind::Index, position, &error))
            }
            item => {
                collector.take(position, item);
                Ok(())
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.partial.len() + bytes.len() > ITEM_BYTES_MAX {
            self.too_long = true;
            self.partial = Vec::new();
        } else if !self.too_long {
            self.partial.extend_from_slice(bytes);
        }
    }
}
