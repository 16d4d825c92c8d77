//! The parser of a whole body of readings, fed piece by piece.

use super::collector::{Collector, Parsed};
use super::csv::Csv;
use super::error::{BodyError, BodyErrorKind, PositionKind};
use super::json::JsonArray;
use super::ndjson::Ndjson;
use crate::readings::RecordMode;

/// The format of a body of readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON array of objects.
    JsonArray,
    /// An object of JSON on each line.
    Ndjson,
    /// Comma-separated values with a header.
    Csv,
    /// No format, or a type that programs send by default. The first character decides: `[` begins an array, `{` begins lines of JSON,
    /// and any other character begins the header of CSV.
    Undeclared,
}

/// Parses a body during its arrival. Each complete item is parsed at once. The parser holds the readings and at most one
/// incomplete item.
#[derive(Debug)]
pub struct BatchParser {
    input: Input,
    collector: Collector,
    bytes: usize,
    bytes_max: usize,
    /// The number of bytes of a byte order mark seen at the start; `None` after the start.
    byte_order_mark: Option<usize>,
}

#[derive(Debug)]
enum Input {
    JsonArray(JsonArray),
    Ndjson(Ndjson),
    Csv(Csv),
    Undeclared {
        /// Line ends before the first character that is not white space.
        line_ends: u64,
    },
    /// CSV if the first line is a header.
    PerhapsCsv(Csv),
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl BatchParser {
    /// A parser of at most `bytes_max` bytes. With [`RecordMode::AllOrNothing`] the batch is empty as soon as an item is
    /// rejected.
    pub fn new(format: Format, mode: RecordMode, bytes_max: usize) -> Self {
        let (input, position_kind) = match format {
            Format::JsonArray => (Input::JsonArray(JsonArray::default()), PositionKind::Index),
            Format::Ndjson => (Input::Ndjson(Ndjson::default()), PositionKind::Line),
            Format::Csv => (Input::Csv(Csv::default()), PositionKind::Line),
            Format::Undeclared => (Input::Undeclared { line_ends: 0 }, PositionKind::Index),
        };
        Self {
            input,
            collector: Collector::new(mode, position_kind),
            bytes: 0,
            bytes_max,
            byte_order_mark: Some(0),
        }
    }

    /// Parses the next piece.
    ///
    /// # Errors
    /// [`BodyError`] when the whole body is refused; no more pieces may be pushed after an error.
    pub fn push(&mut self, mut chunk: &[u8]) -> Result<(), BodyError> {
        self.bytes = self.bytes.saturating_add(chunk.len());
        if self.bytes > self.bytes_max {
            return Err(BodyError::too_large(self.bytes_max));
        }
        while let (Some(seen), Some((&byte, rest))) = (self.byte_order_mark, chunk.split_first()) {
            if BYTE_ORDER_MARK.get(seen) == Some(&byte) {
                chunk = rest;
                self.byte_order_mark = (seen + 1 < BYTE_ORDER_MARK.len()).then_some(seen + 1);
            } else {
                self.byte_order_mark = None;
                self.parse(&BYTE_ORDER_MARK[..seen])?;
            }
        }
        self.parse(chunk)
    }

    fn parse(&mut self, mut chunk: &[u8]) -> Result<(), BodyError> {
        if let Input::Undeclared { line_ends } = &mut self.input {
            let start = chunk.trim_ascii_start();
            let blank = &chunk[..chunk.len() - start.len()];
            *line_ends += memchr::memchr_iter(b'\n', blank).count() as u64;
            let Some(first) = start.first() else {
                return Ok(());
            };
            self.input = match first {
                b'[' => Input::JsonArray(JsonArray::default()),
                b'{' => Input::Ndjson(Ndjson::after_blank_lines(*line_ends)),
                _ => Input::PerhapsCsv(Csv::after_blank_lines(*line_ends)),
            };
            if *first != b'[' {
                self.collector.count_lines();
            }
            chunk = start;
        }
        match &mut self.input {
            Input::JsonArray(array) => array.push(chunk, &mut self.collector),
            Input::Ndjson(lines) => {
                lines.push(chunk, &mut self.collector);
                Ok(())
            }
            Input::Csv(rows) => rows.push(chunk, &mut self.collector),
            Input::PerhapsCsv(rows) => rows
                .push(chunk, &mut self.collector)
                .map_err(|error| csv_error(rows, error)),
            // Only blanks so far.
            Input::Undeclared { .. } => Ok(()),
        }
    }

    /// The number of bytes parsed so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The approximate memory in use, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let held = match &self.input {
            Input::JsonArray(array) => array.memory_bytes(),
            Input::Ndjson(lines) => lines.memory_bytes(),
            Input::Csv(rows) | Input::PerhapsCsv(rows) => rows.memory_bytes(),
            Input::Undeclared { .. } => 0,
        };
        held + self.collector.memory_bytes()
    }

    /// Ends the body.
    ///
    /// # Errors
    /// [`BodyError`] when the body is incomplete.
    pub fn finish(mut self) -> Result<Parsed, BodyError> {
        match &mut self.input {
            Input::JsonArray(array) => array.finish()?,
            Input::Ndjson(lines) => lines.finish(&mut self.collector),
            Input::Csv(rows) => rows.finish(&mut self.collector)?,
            Input::PerhapsCsv(rows) => rows
                .finish(&mut self.collector)
                .map_err(|error| csv_error(rows, error))?,
            Input::Undeclared { .. } => {
                return Err(BodyError::unreadable(
                    "the body is empty; send a JSON array of readings, lines of JSON, or CSV with a header",
                ));
            }
        }
        Ok(self.collector.finish())
    }
}

/// The error of CSV without a declared format: the format is unrecognized until a header was parsed.
fn csv_error(rows: &Csv, error: BodyError) -> BodyError {
    if rows.has_header() {
        return error;
    }
    let kind = match error.kind {
        BodyErrorKind::Unreadable => BodyErrorKind::Unreadable,
        _ => BodyErrorKind::Unrecognized,
    };
    BodyError { kind, ..error }
}
