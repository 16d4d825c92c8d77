//! CSV with a header (RFC 4180); the separator is a comma or a semicolon.

use std::borrow::Cow;

use memchr::memchr;

use super::collector::Collector;
use super::error::{BodyError, ItemError, PositionKind, echo};
use super::lines::{ITEM_BYTES_MAX, Line, Lines};
use super::ndjson::unreadable;
use super::{Field, Item};

/// Parses rows after a header with the names of the columns. Blank lines are skipped.
#[derive(Debug, Default)]
pub(super) struct Csv {
    lines: Lines,
    rows: Rows,
}

#[derive(Debug, Default)]
struct Rows {
    columns: Option<Columns>,
    /// An incomplete row (a quoted field continues in the next line), and the number of the row's first line.
    open: Option<(u64, String)>,
    /// The error of the header.
    header_error: Option<BodyError>,
}

/// The columns of the fields.
#[derive(Clone, Copy, Debug)]
struct Columns {
    sensor_id: usize,
    timestamp: usize,
    temperature: usize,
    count: usize,
    delimiter: Delimiter,
}

/// The separator of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    Comma,
    Semicolon,
}

impl Delimiter {
    /// The separator of a header. No accepted name of a column contains a comma or a semicolon.
    fn of_header(row: &str) -> Self {
        if row.contains(';') && !row.contains(',') {
            Self::Semicolon
        } else {
            Self::Comma
        }
    }

    const fn character(self) -> char {
        match self {
            Self::Comma => ',',
            Self::Semicolon => ';',
        }
    }
}

impl Csv {
    /// A parser after `count` blank lines.
    pub(super) fn after_blank_lines(count: u64) -> Self {
        Self {
            lines: Lines::after(count),
            rows: Rows::default(),
        }
    }

    /// Whether a correct header was parsed.
    pub(super) fn has_header(&self) -> bool {
        self.rows.columns.is_some()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let open = self.rows.open.as_ref();
        self.lines.memory_bytes() + open.map_or(0, |(_, row)| row.capacity())
    }

    pub(super) fn push(
        &mut self,
        chunk: &[u8],
        collector: &mut Collector,
    ) -> Result<(), BodyError> {
        let rows = &mut self.rows;
        self.lines
            .push(chunk, |number, line| rows.take(number, &line, collector));
        rows.header_error.take().map_or(Ok(()), Err)
    }

    pub(super) fn finish(&mut self, collector: &mut Collector) -> Result<(), BodyError> {
        let rows = &mut self.rows;
        self.lines
            .finish(|number, line| rows.take(number, &line, collector));
        if let Some(error) = rows.header_error.take() {
            return Err(error);
        }
        if let Some((number, row)) = rows.open.take() {
            let reason = format!("{} opens a quoted field that is never closed", echo(&row));
            collector.reject(number, &ItemError::whole(reason));
        }
        match rows.columns {
            Some(_) => Ok(()),
            None => Err(BodyError::invalid(format!(
                "the body is empty; {HEADER_NEEDED}"
            ))),
        }
    }
}

const HEADER_NEEDED: &str =
    "the first line must be a header such as sensorId,timestamp,temperature";

impl Rows {
    fn take(&mut self, number: u64, line: &Line<'_>, collector: &mut Collector) {
        if self.header_error.is_some() {
            return;
        }
        let Line::Text(text) = line else {
            // An incomplete row ends here, because the closing quote cannot be found.
            let number = self.open.take().map_or(number, |(began, _)| began);
            self.reject(number, &unreadable(line), collector);
            return;
        };
        match self.open.take() {
            None => {
                let text = text.strip_suffix('\r').unwrap_or(text);
                if !text.trim_ascii().is_empty() {
                    self.row(number, text, collector);
                }
            }
            Some((began, mut row)) => {
                row.push('\n');
                row.push_str(text);
                if row.len() > ITEM_BYTES_MAX {
                    self.reject(began, &unreadable(&Line::TooLong), collector);
                } else if is_open_after(text, true, self.delimiter_of(&row)) {
                    self.open = Some((began, row));
                } else {
                    self.row(began, row.strip_suffix('\r').unwrap_or(&row), collector);
                }
            }
        }
    }

    /// Rejects a row, or the whole body when the row is the header.
    fn reject(&mut self, number: u64, error: &ItemError, collector: &mut Collector) {
        if self.columns.is_some() {
            collector.reject(number, error);
        } else {
            self.header_error = Some(BodyError::at(PositionKind::Line, number, error));
        }
    }

    fn row(&mut self, number: u64, row: &str, collector: &mut Collector) {
        if memchr(b'"', row.as_bytes()).is_none() {
            match self.columns {
                Some(columns) => collector.take(number, columns.plain_item(row)),
                None => {
                    let names = row.split(self.delimiter_of(row).character());
                    let names: Vec<_> = names.map(Cow::Borrowed).collect();
                    self.header(number, row, &names);
                }
            }
        } else if is_open_after(row, false, self.delimiter_of(row)) {
            self.open = Some((number, row.to_owned()));
        } else {
            match (quoted_fields(row, self.delimiter_of(row)), self.columns) {
                (Some(fields), Some(columns)) => collector.take(number, columns.item(&fields)),
                (Some(names), None) => self.header(number, row, &names),
                (None, _) => {
                    let reason = "has text between a closing quote and the next field";
                    let error = ItemError::whole(format!("{} {reason}", echo(row)));
                    self.reject(number, &error, collector);
                }
            }
        }
    }

    /// The separator of the header. If no header was parsed yet, this row is the header.
    fn delimiter_of(&self, row: &str) -> Delimiter {
        match self.columns {
            Some(columns) => columns.delimiter,
            None => Delimiter::of_header(row),
        }
    }

    fn header(&mut self, number: u64, row: &str, names: &[Cow<'_, str>]) {
        match Columns::find(names, self.delimiter_of(row)) {
            Ok(columns) => self.columns = Some(columns),
            Err(reason) => {
                let reason = format!("{} {reason}: {HEADER_NEEDED}", echo(row));
                self.header_error = Some(BodyError::at(
                    PositionKind::Line,
                    number,
                    &ItemError::whole(reason),
                ));
            }
        }
    }
}

impl Columns {
    fn find(names: &[Cow<'_, str>], delimiter: Delimiter) -> Result<Self, String> {
        let column = |field: Field| {
            let accepted = field.spellings();
            let mut found = names
                .iter()
                .enumerate()
                .filter(|(_, name)| accepted.contains(&name.trim()));
            match (found.next(), found.next()) {
                (Some((at, _)), None) => Ok(at),
                (None, _) => Err(format!("has no column {}", accepted.join(" or "))),
                (Some(_), Some(_)) => Err(format!("has two columns {}", accepted.join(" or "))),
            }
        };
        Ok(Self {
            sensor_id: column(Field::SensorId)?,
            timestamp: column(Field::Timestamp)?,
            temperature: column(Field::Temperature)?,
            count: names.len(),
            delimiter,
        })
    }

    /// The item of a row without quotes.
    fn plain_item<'a>(&self, row: &'a str) -> Result<Item<'a>, ItemError> {
        let (mut sensor_id, mut timestamp, mut temperature) = ("", "", "");
        let mut count = 0;
        for field in row.split(self.delimiter.character()) {
            if count == self.sensor_id {
                sensor_id = field;
            } else if count == self.timestamp {
                timestamp = field;
            } else if count == self.temperature {
                temperature = field;
            }
            count += 1;
        }
        self.check_count(count)?;
        Item::from_fields(sensor_id, Some(timestamp), temperature)
    }

    fn item<'a>(&self, fields: &'a [Cow<'_, str>]) -> Result<Item<'a>, ItemError> {
        self.check_count(fields.len())?;
        let field = |at: usize| fields.get(at).map_or("", |field| field.as_ref());
        Item::from_fields(
            field(self.sensor_id),
            Some(field(self.timestamp)),
            field(self.temperature),
        )
    }

    /// Refuses a row with more or fewer fields than the header, because the fields may be in the wrong columns.
    fn check_count(&self, count: usize) -> Result<(), ItemError> {
        if count == self.count {
            Ok(())
        } else {
            Err(ItemError::whole(format!(
                "has {count} fields, the header {}",
                self.count
            )))
        }
    }
}

/// The position of the closing quote of a quoted field, in the text after the opening quote.
fn closing_quote(text: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let quote = from + text.get(from..)?.find('"')?;
        if !text[quote + 1..].starts_with('"') {
            return Some(quote);
        }
        from = quote + 2;
    }
}

/// Whether a quoted field is open at the end of a line. The line begins inside a quoted field or with a new field.
fn is_open_after(line: &str, inside: bool, delimiter: Delimiter) -> bool {
    let delimiter = delimiter.character();
    let mut rest = line;
    let mut inside = inside;
    loop {
        if !inside {
            match rest.strip_prefix('"') {
                Some(quoted) => rest = quoted,
                None => match rest.split_once(delimiter) {
                    Some((_, next)) => {
                        rest = next;
                        continue;
                    }
                    None => return false,
                },
            }
        }
        match closing_quote(rest) {
            None => return true,
            Some(quote) => match rest[quote + 1..].split_once(delimiter) {
                Some((_, next)) => rest = next,
                None => return false,
            },
        }
        inside = false;
    }
}

/// The fields of a complete row with some quoted fields; `None` when text follows a closing quote.
fn quoted_fields(row: &str, delimiter: Delimiter) -> Option<Vec<Cow<'_, str>>> {
    let delimiter = delimiter.character();
    let mut fields = Vec::new();
    let mut rest = row;
    loop {
        let next = match rest.strip_prefix('"') {
            Some(quoted) => {
                let quote = closing_quote(quoted)?;
                let field = &quoted[..quote];
                fields.push(if field.contains('"') {
                    Cow::Owned(field.replace("\"\"", "\""))
                } else {
                    Cow::Borrowed(field)
                });
                match &quoted[quote + 1..] {
                    "" => None,
                    after => Some(after.strip_prefix(delimiter)?),
                }
            }
            // A quote is an ordinary character in a field that does not begin with a quote.
            None => {
                let (field, next) = match rest.split_once(delimiter) {
                    Some((field, next)) => (field, Some(next)),
                    None => (rest, None),
                };
                fields.push(Cow::Borrowed(field));
                next
            }
        };
        match next {
            Some(next) => rest = next,
            None => return Some(fields),
        }
    }
}
