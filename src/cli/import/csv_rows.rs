//! Reads CSV (RFC 4180) row by row with bounded memory. Each row has the number of its first line.

use std::io::{self, BufRead};
use std::ops::Range;

use memchr::{memchr, memchr_iter};

use super::lines::{LINE_BYTES_MAX, Lines};

/// Reads the rows of a CSV file. Skips blank lines.
pub(super) struct CsvRows<R> {
    lines: Lines<R>,
    delimiter: u8,
    /// The fields of the row one after the other, and the range of each field.
    text: Vec<u8>,
    fields: Vec<Range<usize>>,
}

/// A row, with the quotes of its fields removed.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The number of the first line, from 1. A quoted field can hold line breaks.
    pub(super) line: u64,
    /// Why the row is invalid as a whole, as words that follow "the row".
    pub(super) error: Option<String>,
    text: &'a [u8],
    fields: &'a [Range<usize>],
}

/// The state of the reader within a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote in a quoted field: either the end of the field, or the first of two quotes that mean one quote.
    QuoteInQuoted,
    /// After text that is not valid CSV.
    Invalid,
}

impl<R: BufRead> CsvRows<R> {
    pub(super) fn new(input: R, delimiter: u8) -> Self {
        Self {
            lines: Lines::new(input),
            delimiter,
            text: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// The number of the last line read.
    pub(super) fn line(&self) -> u64 {
        self.lines.number()
    }

    /// The next row; `None` at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Row<'_>>> {
        self.text.clear();
        self.fields.clear();
        let mut first_line = 0;
        let mut state = State::FieldStart;
        loop {
            let Some(line) = self.lines.next_line()? else {
                if state == State::FieldStart {
                    return Ok(None);
                }
                return Ok(Some(self.unclosed_row(first_line)));
            };
            let open = state == State::Quoted;
            if !open {
                first_line = line.number;
            }
            let Some(bytes) = line.bytes else {
                let error = Some("is longer than 1 MiB".to_owned());
                return Ok(Some(self.row(first_line, error)));
            };
            let (bytes, carriage_return) = match bytes.strip_suffix(b"\r") {
                Some(bytes) => (bytes, true),
                None => (bytes, false),
            };
            if !open && bytes.trim_ascii().is_empty() {
                continue;
            }
            if !open && memchr(b'"', bytes).is_none() {
                self.text.extend_from_slice(bytes);
                let mut start = 0;
                for end in memchr_iter(self.delimiter, bytes) {
                    self.fields.push(start..end);
                    start = end + 1;
                }
                self.fields.push(start..bytes.len());
                return Ok(Some(self.row(first_line, None)));
            }
            let mut reader = FieldReader {
                delimiter: self.delimiter,
                text: &mut self.text,
                fields: &mut self.fields,
                state,
            };
            state = reader.read(bytes);
            match state {
                State::Quoted => {
                    if carriage_return {
                        self.text.push(b'\r');
                    }
                    self.text.push(b'\n');
                    if self.text.len() > LINE_BYTES_MAX {
                        return Ok(Some(self.unclosed_row(first_line)));
                    }
                }
                State::Invalid => {
                    let error =
                        Some("has text between a closing quote and the next comma".to_owned());
                    return Ok(Some(self.row(first_line, error)));
                }
                State::FieldStart | State::Plain | State::QuoteInQuoted => {
                    return Ok(Some(self.row(first_line, None)));
                }
            }
        }
    }

    fn row(&self, line: u64, error: Option<String>) -> Row<'_> {
        Row {
            line,
            error,
            text: &self.text,
            fields: &self.fields,
        }
    }

    /// A row with a quoted field that is not closed. The lines up to the current line belong to the row, so the message names it.
    fn unclosed_row(&self, first_line: u64) -> Row<'_> {
        let last = self.lines.number();
        let error = format!("opens a quoted field that is not closed up to line {last}");
        self.row(first_line, Some(error))
    }
}

/// Splits one line of a row into fields, and removes the quotes.
struct FieldReader<'a> {
    delimiter: u8,
    text: &'a mut Vec<u8>,
    fields: &'a mut Vec<Range<usize>>,
    state: State,
}

impl FieldReader<'_> {
    fn read(&mut self, line: &[u8]) -> State {
        for &byte in line {
            self.state = match (self.state, byte) {
                (State::FieldStart, b'"') => State::Quoted,
                (State::Quoted, b'"') => State::QuoteInQuoted,
                (State::QuoteInQuoted, b'"') | (State::Quoted, _) => {
                    self.text.push(byte);
                    State::Quoted
                }
                (State::Invalid, _) => State::Invalid,
                (_, byte) if byte == self.delimiter => {
                    self.end_field();
                    State::FieldStart
                }
                (State::QuoteInQuoted, _) => State::Invalid,
                // In a field that does not begin with a quote, a quote is a character like any other.
                (State::FieldStart | State::Plain, _) => {
                    self.text.push(byte);
                    State::Plain
                }
            };
        }
        if self.state != State::Quoted {
            self.end_field();
        }
        self.state
    }

    fn end_field(&mut self) {
        let start = self.fields.last().map_or(0, |field| field.end);
        self.fields.push(start..self.text.len());
    }
}

impl<'a> Row<'a> {
    /// The number of fields.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The field in a column, counted from 0.
    pub(super) fn get(&self, column: usize) -> Option<&'a [u8]> {
        self.text.get(self.fields.get(column)?.clone())
    }

    /// The fields as text for headers and messages. Invalid UTF-8 is replaced.
    pub(super) fn texts(&self) -> Vec<String> {
        (0..self.len())
            .map(|column| {
                String::from_utf8_lossy(self.get(column).unwrap_or_default()).into_owned()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;

    use super::*;

    fn rows(text: &[u8], buffer_bytes: usize) -> Vec<(u64, Vec<String>)> {
        let mut rows = CsvRows::new(BufReader::with_capacity(buffer_bytes, text), b',');
        let mut found = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            assert_eq!(row.error, None);
            found.push((row.line, row.texts()));
        }
        found
    }

    #[test]
    fn each_row_knows_the_line_on_which_it_begins() {
        let text =
            b"a,b\r\n\r\n\n1,\"two\nlines, \"\"quoted\"\"\"\n\n \n2,x\"y\r\n\"3\",\"\r\n\r\n\"\r\n4,,end";
        let expected = [
            (1, vec!["a", "b"]),
            (4, vec!["1", "two\nlines, \"quoted\""]),
            (8, vec!["2", "x\"y"]),
            (9, vec!["3", "\r\n\r\n"]),
            (12, vec!["4", "", "end"]),
        ];
        for buffer_bytes in [1, 2, 3, 7, 4096] {
            let found = rows(text, buffer_bytes);
            assert_eq!(found.len(), expected.len());
            for ((line, fields), (line_expected, fields_expected)) in found.iter().zip(&expected) {
                assert_eq!(line, line_expected);
                assert_eq!(fields, fields_expected);
            }
        }
    }

    #[test]
    fn an_empty_file_has_no_rows() {
        assert_eq!(rows(b"", 16), []);
        assert_eq!(rows(b"\n\r\n\n", 2), []);
    }

    #[test]
    fn a_row_that_is_not_csv_is_named_and_the_next_one_read() {
        let text = b"\"1\"2,3\n\"a\"\"b\" ,c\ngood,1\n\"open,\nto the end";
        let mut rows = CsvRows::new(&text[..], b',');
        for line in [1, 2] {
            let row = rows.next_row().unwrap().unwrap();
            assert_eq!(row.line, line);
            assert!(row.error.unwrap().contains("closing quote"));
        }
        assert_eq!(rows.next_row().unwrap().unwrap().texts(), ["good", "1"]);
        let open = rows.next_row().unwrap().unwrap();
        assert_eq!(open.line, 4);
        assert_eq!(
            open.error.unwrap(),
            "opens a quoted field that is not closed up to line 5"
        );
        assert!(rows.next_row().unwrap().is_none());
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_eat_the_machine() {
        let lines = std::iter::repeat_n("1,2\n", LINE_BYTES_MAX).collect::<String>();
        let text = b"a,b\n1,\"".chain(lines.as_bytes());
        let mut rows = CsvRows::new(BufReader::new(text), b',');
        rows.next_row().unwrap();
        let row = rows.next_row().unwrap().unwrap();
        assert_eq!(row.line, 2);
        assert!(row.error.unwrap().contains("not closed"));
        assert!(rows.text.capacity() < 3 * LINE_BYTES_MAX);
        assert!(rows.line() < 300_000);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_with_its_line(
            rows_written in prop::collection::vec(
                prop::collection::vec("[a-c\",\r\n ]{0,6}", 2..4), 0..8),
            blank_lines in prop::collection::vec(0usize..3, 8),
            buffer_bytes in 1usize..20,
        ) {
            let mut text = String::new();
            let mut expected = Vec::new();
            for (fields, blanks) in rows_written.into_iter().zip(blank_lines) {
                text.push_str(&"\n".repeat(blanks));
                let line = 1 + text.matches('\n').count() as u64;
                let quoted: Vec<String> = fields
                    .iter()
                    .map(|field| if field.contains(['"', ',', '\r', '\n']) {
                        format!("\"{}\"", field.replace('"', "\"\""))
                    } else {
                        field.clone()
                    })
                    .collect();
                text.push_str(&quoted.join(","));
                text.push_str("\r\n");
                expected.push((line, fields));
            }
            prop_assert_eq!(rows(text.as_bytes(), buffer_bytes), expected);
        }
    }
}
