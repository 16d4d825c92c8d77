//! CSV, a row at a time, with bounded memory and the line on which each row begins.

use std::io::{self, BufRead};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// The longest row, in bytes. A quote that is never closed would make the rest of the file one row.
const ROW_BYTES_MAX: usize = 1024 * 1024;
/// The most columns.
const COLUMNS_MAX: usize = 4096;

/// Reads the rows of a CSV file. Blank lines are no rows.
pub(super) struct CsvRows<R> {
    input: R,
    parser: Reader,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

/// A row, its quotes taken off.
pub(super) struct Row<'a> {
    /// The line on which it begins, from 1; a quoted field can hold line breaks.
    pub(super) line: u64,
    fields: &'a [u8],
    ends: &'a [usize],
}

/// Why there is no next row although the file has not ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Read(#[from] io::Error),
    #[error("the row that begins on line {line} is longer than 1 MiB; is a closing quote missing?")]
    TooLong { line: u64 },
    #[error("the row that begins on line {line} has more than {COLUMNS_MAX} columns")]
    TooWide { line: u64 },
}

impl<R: BufRead> CsvRows<R> {
    pub(super) fn new(input: R, delimiter: u8) -> Self {
        Self {
            input,
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            fields: vec![0; 4096],
            ends: vec![0; 64],
        }
    }

    /// The next row, or `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read on; a row is too long or too wide.
    pub(super) fn next_row(&mut self) -> Result<Option<Row<'_>>, RowError> {
        self.skip_line_breaks()?;
        let line = self.parser.line();
        let (mut bytes, mut columns) = (0, 0);
        loop {
            let input = self.input.fill_buf()?;
            let (result, read, written, ended) = self.parser.read_record(
                input,
                &mut self.fields[bytes..],
                &mut self.ends[columns..],
            );
            self.input.consume(read);
            bytes += written;
            columns += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if bytes >= ROW_BYTES_MAX => {
                    return Err(RowError::TooLong { line });
                }
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if columns >= COLUMNS_MAX => {
                    return Err(RowError::TooWide { line });
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    return Ok(Some(Row {
                        line,
                        fields: &self.fields[..bytes],
                        ends: &self.ends[..columns],
                    }));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// The line on which the reader stands.
    pub(super) fn line(&self) -> u64 {
        self.parser.line()
    }

    /// The parser would skip these itself, and then count them to the row that follows.
    fn skip_line_breaks(&mut self) -> io::Result<()> {
        loop {
            let input = self.input.fill_buf()?;
            let breaks = input
                .iter()
                .take_while(|byte| matches!(byte, b'\n' | b'\r'))
                .count();
            let lines = input[..breaks]
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count();
            let more = breaks > 0 && breaks == input.len();
            self.input.consume(breaks);
            self.parser.set_line(self.parser.line() + lines as u64);
            if !more {
                return Ok(());
            }
        }
    }
}

impl<'a> Row<'a> {
    /// How many fields.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The field of a column, from 0.
    pub(super) fn get(&self, column: usize) -> Option<&'a [u8]> {
        let end = *self.ends.get(column)?;
        let start = match column.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.fields.get(start..end)
    }

    /// The fields as text, what is not UTF-8 replaced: for headers and messages.
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
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn rows(text: &[u8], buffer_bytes: usize) -> Vec<(u64, Vec<String>)> {
        let mut rows = CsvRows::new(BufReader::with_capacity(buffer_bytes, text), b',');
        let mut found = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            found.push((row.line, row.texts()));
        }
        found
    }

    #[test]
    fn each_row_knows_the_line_on_which_it_begins() {
        let text =
            b"a,b\r\n\r\n\n1,\"two\nlines, \"\"quoted\"\"\"\n\n\n2,x\r\n3,\"\r\n\r\n\"\r\n4,end";
        let expected = [
            (1, vec!["a", "b"]),
            (4, vec!["1", "two\nlines, \"quoted\""]),
            (8, vec!["2", "x"]),
            (9, vec!["3", "\r\n\r\n"]),
            (12, vec!["4", "end"]),
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
    fn a_quote_that_is_never_closed_does_not_eat_the_machine() {
        let text = io::Cursor::new(b"a,b\n1,\"").chain_forever();
        let mut rows = CsvRows::new(BufReader::new(text), b',');
        rows.next_row().unwrap();
        let error = rows.next_row().map(|_| ()).unwrap_err();
        assert!(matches!(error, RowError::TooLong { line: 2 }), "{error}");
    }

    #[test]
    fn a_row_of_commas_without_end_is_refused() {
        let text = vec![b','; 1 << 20];
        let mut rows = CsvRows::new(&text[..], b',');
        assert!(matches!(
            rows.next_row().map(|_| ()),
            Err(RowError::TooWide { line: 1 })
        ));
    }

    trait ChainForever: io::Read + Sized {
        fn chain_forever(self) -> io::Chain<Self, io::Repeat> {
            self.chain(io::repeat(b'x'))
        }
    }
    impl<R: io::Read> ChainForever for R {}

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
                    .map(|field| format!("\"{}\"", field.replace('"', "\"\"")))
                    .collect();
                text.push_str(&quoted.join(","));
                text.push_str("\r\n");
                expected.push((line, fields));
            }
            prop_assert_eq!(rows(text.as_bytes(), buffer_bytes), expected);
        }
    }
}
