//! A whole body of readings, fed piece by piece.

use super::ItemError;
use super::collector::{Gathering, Parsed, PositionKind};
use super::csv::Csv;
use super::json::JsonArray;
use super::ndjson::Ndjson;
use crate::readings::RecordMode;

/// How the readings of a body are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON array of objects.
    JsonArray,
    /// An object of JSON on each line.
    Ndjson,
    /// Comma-separated values with a header.
    Csv,
    /// Nobody said, or said what programs say of everything: an opening bracket begins an array, a brace lines of JSON, and a header
    /// CSV.
    Undeclared,
}

/// What a client can do about a body that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyErrorKind {
    /// More bytes than are accepted, counted after decompression.
    TooLarge,
    /// It does not parse: not JSON, not gzip, cut short.
    Unreadable,
    /// It parses, but is not what is wanted.
    Invalid,
    /// Nobody said what it is, and it does not show.
    Unrecognized,
}

/// Why a body as a whole is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BodyError {
    /// What a client can do about it.
    pub kind: BodyErrorKind,
    /// Where it is wrong, and what that counts.
    pub position: Option<(PositionKind, u64)>,
    /// The field that is wrong.
    pub field: Option<&'static str>,
    /// What is wrong: a sentence, or with a position words that follow the name of the field or item.
    pub reason: String,
}

impl BodyError {
    pub(super) fn unreadable(reason: impl Into<String>) -> Self {
        Self {
            kind: BodyErrorKind::Unreadable,
            position: None,
            field: None,
            reason: reason.into(),
        }
    }

    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self {
            kind: BodyErrorKind::Invalid,
            ..Self::unreadable(reason)
        }
    }

    pub(super) fn too_large(bytes_max: usize) -> Self {
        Self {
            kind: BodyErrorKind::TooLarge,
            ..Self::unreadable(format!(
                "the body is larger than {bytes_max} bytes once decompressed; send it in smaller batches"
            ))
        }
    }

    /// An item that spoils the whole body.
    pub(super) fn at(position_kind: PositionKind, position: u64, error: &ItemError) -> Self {
        Self {
            kind: if error.is_syntax() {
                BodyErrorKind::Unreadable
            } else {
                BodyErrorKind::Invalid
            },
            position: Some((position_kind, position)),
            field: error.field(),
            reason: error.reason().to_owned(),
        }
    }
}

/// Parses a body while it arrives. Each complete item is parsed at once; what is held is the readings and at most one
/// item that is not complete.
#[derive(Debug)]
pub struct BatchParser {
    input: Input,
    gathering: Gathering,
    bytes: usize,
    bytes_max: usize,
    /// How much of a byte order mark has been seen at the start; `None` once the start is over.
    mark: Option<usize>,
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
    /// CSV if it turns out to have a header.
    PerhapsCsv(Csv),
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl BatchParser {
    /// A parser of at most `bytes_max` bytes. With [`RecordMode::AllOrNothing`] the batch is empty as soon as one item is
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
            gathering: Gathering::new(mode, position_kind),
            bytes: 0,
            bytes_max,
            mark: Some(0),
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`BodyError`] when the body as a whole cannot be taken; nothing more may be pushed then.
    pub fn push(&mut self, mut chunk: &[u8]) -> Result<(), BodyError> {
        self.bytes = self.bytes.saturating_add(chunk.len());
        if self.bytes > self.bytes_max {
            return Err(BodyError::too_large(self.bytes_max));
        }
        while let (Some(seen), Some((&byte, rest))) = (self.mark, chunk.split_first()) {
            if BYTE_ORDER_MARK.get(seen) == Some(&byte) {
                chunk = rest;
                self.mark = (seen + 1 < BYTE_ORDER_MARK.len()).then_some(seen + 1);
            } else {
                self.mark = None;
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
                self.gathering.count_lines();
            }
            chunk = start;
        }
        match &mut self.input {
            Input::JsonArray(array) => array.push(chunk, &mut self.gathering),
            Input::Ndjson(lines) => {
                lines.push(chunk, &mut self.gathering);
                Ok(())
            }
            Input::Csv(rows) => rows.push(chunk, &mut self.gathering),
            Input::PerhapsCsv(rows) => rows
                .push(chunk, &mut self.gathering)
                .map_err(|error| unless_csv(rows, error)),
            // Left above, unless all so far was blank.
            Input::Undeclared { .. } => Ok(()),
        }
    }

    /// Bytes taken so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory held, about.
    pub fn memory_bytes(&self) -> usize {
        let held = match &self.input {
            Input::JsonArray(array) => array.memory_bytes(),
            Input::Ndjson(lines) => lines.memory_bytes(),
            Input::Csv(rows) | Input::PerhapsCsv(rows) => rows.memory_bytes(),
            Input::Undeclared { .. } => 0,
        };
        held + self.gathering.memory_bytes()
    }

    /// Ends the body.
    ///
    /// # Errors
    /// [`BodyError`] when it ends too early.
    pub fn finish(mut self) -> Result<Parsed, BodyError> {
        match &mut self.input {
            Input::JsonArray(array) => array.finish()?,
            Input::Ndjson(lines) => lines.finish(&mut self.gathering),
            Input::Csv(rows) => rows.finish(&mut self.gathering)?,
            Input::PerhapsCsv(rows) => rows
                .finish(&mut self.gathering)
                .map_err(|error| unless_csv(rows, error))?,
            Input::Undeclared { .. } => {
                return Err(BodyError::unreadable(
                    "the body is empty; send a JSON array of readings, lines of JSON, or CSV with a header",
                ));
            }
        }
        Ok(self.gathering.finish())
    }
}

/// What is wrong with CSV, unless it is none: then nobody knows what it is.
fn unless_csv(rows: &Csv, error: BodyError) -> BodyError {
    if rows.has_header() {
        return error;
    }
    let kind = match error.kind {
        BodyErrorKind::Unreadable => BodyErrorKind::Unreadable,
        _ => BodyErrorKind::Unrecognized,
    };
    BodyError { kind, ..error }
}
