//! Comma-separated values with a header (RFC 4180), or separated by semicolons where the comma is the decimal sign.

use std::borrow::Cow;

use memchr::memchr;

use super::body::BodyError;
use super::collector::{Gathering, PositionKind};
use super::item::echo;
use super::lines::{ITEM_BYTES_MAX, Line, Lines};
use super::ndjson::unreadable;
use super::{Field, Item, ItemError};

/// Reads rows below a header that names the columns; blank lines are skipped.
#[derive(Debug, Default)]
pub(super) struct Csv {
    lines: Lines,
    rows: Rows,
}

#[derive(Debug, Default)]
struct Rows {
    columns: Option<Columns>,
    /// A row whose quoted field goes on in the next line, and the line it began in.
    open: Option<(u64, String)>,
    /// What is wrong with the header.
    failed: Option<BodyError>,
}

/// Where the fields stand.
#[derive(Clone, Copy, Debug)]
struct Columns {
    sensor_id: usize,
    timestamp: usize,
    temperature: usize,
    count: usize,
    delimiter: Delimiter,
}

/// What stands between fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimiter {
    Comma,
    Semicolon,
}

impl Delimiter {
    /// What a header separates its columns by: none of their names holds a comma or a semicolon.
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
    /// A file whose first so many lines were blank.
    pub(super) fn after_blank_lines(count: u64) -> Self {
        Self {
            lines: Lines::after(count),
            rows: Rows::default(),
        }
    }

    /// Whether the header has been read and is one.
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
        gathering: &mut Gathering,
    ) -> Result<(), BodyError> {
        let rows = &mut self.rows;
        self.lines
            .push(chunk, |number, line| rows.take(number, &line, gathering));
        rows.failed.take().map_or(Ok(()), Err)
    }

    pub(super) fn finish(&mut self, gathering: &mut Gathering) -> Result<(), BodyError> {
        let rows = &mut self.rows;
        self.lines
            .finish(|number, line| rows.take(number, &line, gathering));
        if let Some(error) = rows.failed.take() {
            return Err(error);
        }
        if let Some((number, row)) = rows.open.take() {
            let reason = format!("{} opens a quoted field that is never closed", echo(&row));
            gathering.reject(number, &ItemError::whole(reason));
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
    fn take(&mut self, number: u64, line: &Line<'_>, gathering: &mut Gathering) {
        if self.failed.is_some() {
            return;
        }
        let Line::Text(text) = line else {
            // A row that was open ends here: where it would have closed is not known.
            let number = self.open.take().map_or(number, |(began, _)| began);
            self.reject(number, &unreadable(line), gathering);
            return;
        };
        match self.open.take() {
            None => {
                let text = text.strip_suffix('\r').unwrap_or(text);
                if !text.trim_ascii().is_empty() {
                    self.row(number, text, gathering);
                }
            }
            Some((began, mut row)) => {
                row.push('\n');
                row.push_str(text);
                if row.len() > ITEM_BYTES_MAX {
                    self.reject(began, &unreadable(&Line::TooLong), gathering);
                } else if is_open_after(text, true, self.delimiter_of(&row)) {
                    self.open = Some((began, row));
                } else {
                    self.row(began, row.strip_suffix('\r').unwrap_or(&row), gathering);
                }
            }
        }
    }

    /// Rejects a row, or the whole body when it is the header that is wrong.
    fn reject(&mut self, number: u64, error: &ItemError, gathering: &mut Gathering) {
        if self.columns.is_some() {
            gathering.reject(number, error);
        } else {
            self.failed = Some(BodyError::at(PositionKind::Line, number, error));
        }
    }

    fn row(&mut self, number: u64, row: &str, gathering: &mut Gathering) {
        if memchr(b'"', row.as_bytes()).is_none() {
            match self.columns {
                Some(columns) => gathering.take(number, columns.plain_item(row)),
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
                (Some(fields), Some(columns)) => gathering.take(number, columns.item(&fields)),
                (Some(names), None) => self.header(number, row, &names),
                (None, _) => {
                    let reason = "has text between a closing quote and the next field";
                    let error = ItemError::whole(format!("{} {reason}", echo(row)));
                    self.reject(number, &error, gathering);
                }
            }
        }
    }

    /// The header's, which a row is before there is one.
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
                self.failed = Some(BodyError::at(
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

    /// A row with more or fewer fields than the header has them in the wrong columns.
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

/// Where the quote is that closes a quoted field, given the text after the one that opens it.
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

/// Whether a quoted field is open at the end of a line, which begins inside one or with a new field.
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

/// The fields of a complete row in which some are quoted; `None` when text follows a closing quote.
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
            // A quote inside a field that does not begin with one is just a character.
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
