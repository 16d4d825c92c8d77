//! Reads a text file line by line with bounded memory.

use std::io::{self, BufRead, Read};

/// The longest line in bytes. A reading is shorter than 1 kB. The bound protects against files without line breaks.
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Reads the lines of a file.
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
}

/// A line without its line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The number of the line, from 1.
    pub(super) number: u64,
    /// `None` for a line longer than [`LINE_BYTES_MAX`].
    pub(super) bytes: Option<&'a [u8]>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            number: 0,
        }
    }

    /// The next line; `None` at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let read = (&mut self.input)
            .take(LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let whole = self.buffer.ends_with(b"\n");
        if whole {
            self.buffer.pop();
        }
        let bytes = if self.buffer.len() <= LINE_BYTES_MAX {
            Some(self.buffer.as_slice())
        } else {
            if !whole {
                self.input.skip_until(b'\n')?;
            }
            None
        };
        Ok(Some(Line {
            number: self.number,
            bytes,
        }))
    }

    /// The number of the last line read; 0 before the first.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_from_one() {
        let mut lines = Lines::new(&b"\none\r\n\nlast"[..]);
        for (number, text) in [(1, ""), (2, "one\r"), (3, ""), (4, "last")] {
            let line = lines.next_line().unwrap().unwrap();
            assert_eq!((line.number, line.bytes), (number, Some(text.as_bytes())));
        }
        assert_eq!(lines.next_line().unwrap(), None);
        assert_eq!(lines.number(), 4);
    }

    #[test]
    fn a_line_without_end_is_left_out_and_the_next_one_read() {
        for length in [
            LINE_BYTES_MAX - 1,
            LINE_BYTES_MAX,
            LINE_BYTES_MAX + 1,
            3 * LINE_BYTES_MAX,
        ] {
            let mut text = vec![b'x'; length];
            text.extend_from_slice(b"\ngood\n");
            let mut lines = Lines::new(&text[..]);
            let long = lines.next_line().unwrap().unwrap();
            assert_eq!(long.bytes.is_some(), length <= LINE_BYTES_MAX, "{length}");
            let good = lines.next_line().unwrap().unwrap();
            assert_eq!((good.number, good.bytes), (2, Some(&b"good"[..])));
        }
    }
}
