//! NDJSON, a line at a time, with bounded memory.

use std::io::{self, BufRead, Read};

/// The longest line, in bytes. A reading is below 1 kB; a file without line breaks is something else.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Reads the lines of a text file. Blank lines are left out, but counted.
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    line: u64,
}

/// A line that is not blank.
pub(super) struct Line<'a> {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Its text, or why it has none.
    pub(super) text: Result<&'a str, &'static str>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            line: 0,
        }
    }

    /// The next line that is not blank, or `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.buffer.clear();
            let read = (&mut self.input)
                .take(LINE_BYTES_MAX as u64 + 1)
                .read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if read > LINE_BYTES_MAX && !self.buffer.ends_with(b"\n") {
                self.input.skip_until(b'\n')?;
                return Ok(Some(Line {
                    number: self.line,
                    text: Err("is longer than 1 MiB"),
                }));
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some(Line {
            number: self.line,
            text: std::str::from_utf8(self.buffer.trim_ascii()).map_err(|_| "is not UTF-8"),
        }))
    }

    /// The number of the line that was read last; 0 at the start.
    pub(super) fn line(&self) -> u64 {
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_left_out_but_counted() {
        let mut lines = Lines::new(&b"\n{\"a\":1}\r\n  \n\nlast"[..]);
        let first = lines.next_line().unwrap().unwrap();
        assert_eq!((first.number, first.text), (2, Ok("{\"a\":1}")));
        let last = lines.next_line().unwrap().unwrap();
        assert_eq!((last.number, last.text), (5, Ok("last")));
        assert!(lines.next_line().unwrap().is_none());
    }

    #[test]
    fn a_line_that_cannot_be_a_reading_is_named_and_the_next_one_read() {
        let mut text = vec![b'x'; 3 * LINE_BYTES_MAX];
        text.extend_from_slice(b"\n\xff\xfe\ngood\n");
        let mut lines = Lines::new(&text[..]);
        let long = lines.next_line().unwrap().unwrap();
        assert_eq!((long.number, long.text), (1, Err("is longer than 1 MiB")));
        let bytes = lines.next_line().unwrap().unwrap();
        assert_eq!((bytes.number, bytes.text), (2, Err("is not UTF-8")));
        let good = lines.next_line().unwrap().unwrap();
        assert_eq!((good.number, good.text), (3, Ok("good")));
    }
}
