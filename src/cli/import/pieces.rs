//! Reads a file into batches of readings, with the line number of each reading.

use std::io;
use std::sync::Arc;

use anyhow::anyhow;

use super::columns::{ColumnChoice, Columns, SensorSource};
use super::csv_rows::{CsvRows, Row};
use super::lines::Lines;
use super::source::{Source, explain};
use crate::cli::format::Format;
use crate::cli::{Failure, FailureKind};
use crate::readings::ingest::{Item, ItemError};
use crate::readings::{Batch, BatchBuilder, Point};

/// The approximate most bytes of text in a piece. Bounds pieces with long sensor ids.
const PIECE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The bytes of a reading without its sensor id.
const READING_BYTES: usize = 80;

/// The options for reading a file.
#[derive(Clone, Debug)]
pub(super) struct ReadOptions {
    pub(super) columns: ColumnChoice,
    /// Whether the first row of CSV names the columns.
    pub(super) header: bool,
    /// The separator of CSV fields; `None` to decide by the name of the file.
    pub(super) delimiter: Option<u8>,
    /// The most readings in a piece.
    pub(super) piece_readings_max: usize,
}

impl ReadOptions {
    /// Whether an option is set that has no meaning for NDJSON.
    fn is_about_csv(&self) -> bool {
        let columns = &self.columns;
        let choices = [
            &columns.timestamp,
            &columns.temperature,
            &columns.sensor,
            &columns.sensor_id,
        ];
        !self.header || self.delimiter.is_some() || choices.iter().any(|choice| choice.is_some())
    }
}

/// Consecutive lines of a file.
#[derive(Debug)]
pub(super) struct Piece {
    /// The file's name.
    pub(super) file: Arc<str>,
    pub(super) batch: Batch,
    /// The line number of each reading of the batch.
    pub(super) lines: Vec<u64>,
    /// The lines without a valid reading.
    pub(super) rejections: Vec<Rejection>,
}

/// A line that was not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejection {
    /// The line number, from 1. For a CSV row over several lines, the first line.
    pub(super) line: u64,
    /// The invalid field; `None` for the line as a whole.
    pub(super) field: Option<String>,
    /// The reason, as words that follow the name of the field.
    pub(super) reason: String,
}

/// Reads a file and calls `emit` with each piece, until the end of the file or until `emit` returns `false`.
///
/// # Errors
/// The columns cannot be determined, or the file cannot be read. The lines before the failure are emitted.
pub(super) fn read(
    source: Source,
    options: &ReadOptions,
    emit: &mut dyn FnMut(Piece) -> bool,
) -> Result<(), Failure> {
    let name: Arc<str> = source.name.as_str().into();
    let mut builder = PieceBuilder {
        options,
        name: Arc::clone(&name),
        emit,
        wanted: true,
        builder: BatchBuilder::new(),
        bytes: 0,
        lines: Vec::new(),
        rejections: Vec::new(),
    };
    let result = match source.format {
        Format::Csv => builder.read_csv(source),
        Format::Ndjson => builder.read_ndjson(source),
    };
    builder.emit_piece();
    result
}

struct PieceBuilder<'a> {
    options: &'a ReadOptions,
    name: Arc<str>,
    emit: &'a mut dyn FnMut(Piece) -> bool,
    wanted: bool,
    builder: BatchBuilder,
    bytes: usize,
    lines: Vec<u64>,
    rejections: Vec<Rejection>,
}

impl PieceBuilder<'_> {
    fn read_ndjson(&mut self, source: Source) -> Result<(), Failure> {
        if self.options.is_about_csv() {
            let error = anyhow!(
                "{}: this is NDJSON, where every line names its own fields; --sensor-id, \
                 --…-column, --no-header and --delimiter are for CSV",
                self.name
            );
            return Err(Failure::new(FailureKind::Configuration, error));
        }
        let mut lines = Lines::new(source.input);
        while self.wanted {
            match lines.next_line() {
                Ok(None) => break,
                Ok(Some(line)) => match line.bytes.map(std::str::from_utf8) {
                    Some(Ok(text)) if text.trim_ascii().is_empty() => {}
                    Some(Ok(text)) => self.add_item(line.number, Item::from_json(text)),
                    Some(Err(_)) => self.reject(line.number, "is not UTF-8"),
                    None => self.reject(line.number, "is longer than 1 MiB"),
                },
                Err(error) => return Err(self.read_failure(lines.number(), &error)),
            }
        }
        Ok(())
    }

    fn read_csv(&mut self, source: Source) -> Result<(), Failure> {
        let delimiter = self.options.delimiter.unwrap_or(source.delimiter);
        let mut rows = CsvRows::new(source.input, delimiter);
        let columns = match rows.next_row() {
            Ok(None) => return Ok(()),
            Ok(Some(first)) => {
                let columns = self.columns(&first)?;
                if !self.options.header {
                    self.add_row(&first, &columns);
                }
                columns
            }
            Err(error) => return Err(self.read_failure(rows.line(), &error)),
        };
        while self.wanted {
            match rows.next_row() {
                Ok(None) => break,
                Ok(Some(row)) => self.add_row(&row, &columns),
                Err(error) => return Err(self.read_failure(rows.line(), &error)),
            }
        }
        Ok(())
    }

    fn columns(&self, first: &Row<'_>) -> Result<Columns, Failure> {
        let columns = match &first.error {
            Some(error) => Err(anyhow!("the first row {error}")),
            None => {
                let texts = first.texts();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let choice = &self.options.columns;
                if self.options.header {
                    Columns::from_header(choice, &texts)
                } else {
                    Columns::from_numbers(choice, &texts)
                }
            }
        };
        columns.map_err(|error| {
            Failure::new(
                FailureKind::Configuration,
                error.context(self.name.to_string()),
            )
        })
    }

    fn add_row(&mut self, row: &Row<'_>, columns: &Columns) {
        let field = |column: usize| {
            std::str::from_utf8(row.get(column).unwrap_or_default())
                .map_err(|_| format!("is not UTF-8 in column {}", column + 1))
        };
        let fields = || -> Result<_, String> {
            if let Some(error) = &row.error {
                return Err(error.clone());
            }
            // In a row with more or fewer fields than the first row, the fields are in the wrong columns.
            if row.len() != columns.count {
                return Err(format!(
                    "has {} fields, the first row {}",
                    row.len(),
                    columns.count
                ));
            }
            let sensor_id = match &columns.sensor {
                SensorSource::Fixed(id) => id.as_str(),
                SensorSource::Column(column) => field(*column)?,
            };
            Ok((
                sensor_id,
                field(columns.timestamp)?,
                field(columns.temperature)?,
            ))
        };
        match fields() {
            Ok((sensor_id, timestamp, temperature)) => {
                let item = Item::from_fields(sensor_id, Some(timestamp), temperature);
                self.add_item(row.line, item);
            }
            Err(reason) => self.reject(row.line, reason),
        }
    }

    fn add_item(&mut self, line: u64, item: Result<Item<'_>, ItemError>) {
        let added = item.and_then(|item| {
            // With the time of the import as its timestamp, the line would be a new reading at each import.
            let timestamp = item.timestamp.ok_or_else(ItemError::missing_timestamp)?;
            let point = Point {
                timestamp,
                temperature: item.temperature,
            };
            self.builder
                .push(&item.sensor_id, point)
                .map_err(|error| ItemError::sensor_id(&item.sensor_id, error))?;
            Ok(item.sensor_id.len())
        });
        match added {
            Ok(id_bytes) => {
                self.bytes += READING_BYTES + id_bytes;
                self.lines.push(line);
                self.emit_piece_when_full();
            }
            Err(error) => self.push_rejection(Rejection {
                line,
                field: error.field().map(str::to_owned),
                reason: error.reason().to_owned(),
            }),
        }
    }

    /// Rejects a line as a whole.
    fn reject(&mut self, line: u64, reason: impl Into<String>) {
        self.push_rejection(Rejection {
            line,
            field: None,
            reason: reason.into(),
        });
    }

    fn push_rejection(&mut self, rejection: Rejection) {
        self.rejections.push(rejection);
        self.emit_piece_when_full();
    }

    fn emit_piece_when_full(&mut self) {
        if self.lines.len() + self.rejections.len() >= self.options.piece_readings_max
            || self.bytes >= PIECE_BYTES_MAX
        {
            self.emit_piece();
        }
    }

    fn emit_piece(&mut self) {
        if self.lines.is_empty() && self.rejections.is_empty() {
            return;
        }
        self.bytes = 0;
        self.wanted = self.wanted
            && (self.emit)(Piece {
                file: Arc::clone(&self.name),
                batch: std::mem::take(&mut self.builder).build(),
                lines: std::mem::take(&mut self.lines),
                rejections: std::mem::take(&mut self.rejections),
            });
    }

    fn read_failure(&self, line: u64, error: &io::Error) -> Failure {
        anyhow!(
            "{}: {}. It was read up to line {line}",
            self.name,
            explain(error)
        )
        .into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(text: String, format: Format, piece_readings_max: usize) -> Vec<Piece> {
        let source = Source {
            name: "a".to_owned(),
            format,
            delimiter: b',',
            input: Box::new(io::Cursor::new(text)),
        };
        let options = ReadOptions {
            columns: ColumnChoice::default(),
            header: true,
            delimiter: None,
            piece_readings_max,
        };
        let mut pieces = Vec::new();
        let mut emit = |piece| {
            pieces.push(piece);
            true
        };
        read(source, &options, &mut emit).unwrap();
        pieces
    }

    /// A kind of line.
    #[derive(Clone, Debug)]
    enum Kind {
        Good(u8, i16),
        Bad,
        Blank,
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            5 => (any::<u8>(), any::<i16>()).prop_map(|(sensor, value)| Kind::Good(sensor, value)),
            1 => Just(Kind::Bad),
            1 => Just(Kind::Blank),
        ]
    }

    proptest! {
        #[test]
        fn every_line_is_in_one_piece_with_its_number(
            kinds in prop::collection::vec(kind(), 0..60),
            piece_readings_max in 1usize..20,
            csv in any::<bool>(),
        ) {
            let mut text = String::new();
            if csv {
                text.push_str("sensor,time,value\n");
            }
            for (number, kind) in kinds.iter().enumerate() {
                let time = format!("2026-11-20T13:00:{:02}Z", number % 60);
                text.push_str(&match (kind, csv) {
                    (Kind::Good(sensor, value), true) => format!("s{sensor},{time},{}\n", value / 256),
                    (Kind::Good(sensor, value), false) => format!(
                        "{{\"sensorId\":\"s{sensor}\",\"timestamp\":\"{time}\",\"temperature\":{}}}\n",
                        value / 256
                    ),
                    (Kind::Bad, _) => "x\n".to_owned(),
                    (Kind::Blank, _) => "\n".to_owned(),
                });
            }
            let format = if csv { Format::Csv } else { Format::Ndjson };
            let (mut found, mut rejected) = (Vec::new(), Vec::new());
            for piece in pieces(text, format, piece_readings_max) {
                prop_assert!(piece.lines.len() + piece.rejections.len() <= piece_readings_max);
                prop_assert_eq!(piece.lines.len(), piece.batch.len());
                for (line, reading) in piece.lines.iter().zip(piece.batch.readings()) {
                    let sensor = piece.batch.sensors()[reading.sensor as usize].to_string();
                    found.push((*line, sensor, reading.point.temperature.micro_degrees()));
                }
                rejected.extend(piece.rejections.iter().map(|rejection| rejection.line));
            }
            let (mut expected, mut bad) = (Vec::new(), Vec::new());
            for (line, kind) in (1 + u64::from(csv)..).zip(&kinds) {
                match kind {
                    Kind::Good(sensor, value) => {
                        expected.push((line, format!("s{sensor}"), i64::from(value / 256) * 1_000_000));
                    }
                    Kind::Bad => bad.push(line),
                    Kind::Blank => {}
                }
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(rejected, bad);
        }
    }

    #[test]
    fn long_ids_make_small_pieces() {
        let line = format!(
            "{{\"sensorId\":\"{}\",\"timestamp\":\"2026-11-20T13:00:00Z\",\"temperature\":1}}\n",
            "\u{1f321}".repeat(128)
        );
        let found = pieces(line.repeat(20_000), Format::Ndjson, usize::MAX);
        assert!(found.len() > 2);
        let longest = found.iter().map(|piece| piece.lines.len()).max();
        assert!(longest.unwrap() * 600 < 5 * 1024 * 1024);
    }
}
