//! A parser of `multipart/form-data` (RFC 7578). The caller gives the parser a body piece by piece. Data is not copied, and between two
//! pieces the parser keeps at most the head of a part.

#[cfg(fuzzing)]
pub mod fuzzing;
mod part_head;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::Finder;
use memchr::memrchr;

pub use part_head::PartHead;

/// The longest head of a part.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// The most parts of a form.
const PARTS_MAX: usize = 100;
/// The most blanks between a boundary and the end of its line. Few clients send blanks there.
const PADDING_BYTES_MAX: usize = 100;

const LINE_END: &[u8] = b"\r\n";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A step of the parser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MultipartEvent {
    /// A part begins, with this head.
    Part(PartHead),
    /// The next bytes of the part.
    Data(Bytes),
    /// The part has ended.
    PartEnd,
}

/// Why a body is not a form in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// A boundary is followed by neither a line break nor two hyphens.
    #[error("a boundary of the form is followed by something other than a line break")]
    Boundary,
    /// The head of a part has more than `HEAD_BYTES_MAX` bytes.
    #[error("the head of a part of the form is longer than {HEAD_BYTES_MAX} bytes")]
    LongHead,
    /// The head of a part is not UTF-8, or has a line that is not a header.
    #[error("the head of a part of the form cannot be read")]
    Head,
    /// The form has more than `PARTS_MAX` parts.
    #[error("the form has more than {PARTS_MAX} parts")]
    Parts,
}

/// A parser of one form. After each [`MultipartParser::feed`] the caller calls [`MultipartParser::next_event`] until the result is `None`.
#[derive(Debug)]
pub struct MultipartParser {
    /// A line break, two hyphens and the boundary.
    delimiter: Finder<'static>,
    state: State,
    /// Bytes that are not parsed yet.
    input: Bytes,
    parts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first boundary; a text for people may stand here.
    Preamble,
    Data,
    /// After a boundary, before the end of its line.
    Boundary,
    Head,
    /// After the last boundary.
    End,
}

impl MultipartParser {
    /// A parser for a form with this boundary.
    pub fn new(boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}");
        Self {
            delimiter: Finder::new(&delimiter).into_owned(),
            state: State::Preamble,
            // The first boundary may be the first line of the body, without a line break in front.
            input: Bytes::from_static(LINE_END),
            parts: 0,
        }
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, piece: Bytes) {
        if self.input.is_empty() {
            self.input = piece;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut self.input));
            joined.extend_from_slice(&piece);
            self.input = joined.freeze();
        }
    }

    /// The next step; `None` when the parser needs more of the body.
    ///
    /// # Errors
    /// When the body is not a form in parts; the parser cannot be used after such an error.
    pub fn next_event(&mut self) -> Result<Option<MultipartEvent>, MultipartError> {
        loop {
            match self.state {
                State::Preamble => match self.delimiter.find(&self.input) {
                    Some(at) => {
                        self.input.advance(at + self.delimiter.needle().len());
                        self.state = State::Boundary;
                    }
                    None => {
                        let kept = self.kept_bytes();
                        self.input.advance(self.input.len() - kept);
                        return Ok(None);
                    }
                },
                State::Data => match self.delimiter.find(&self.input) {
                    Some(0) => {
                        self.input.advance(self.delimiter.needle().len());
                        self.state = State::Boundary;
                        return Ok(Some(MultipartEvent::PartEnd));
                    }
                    Some(at) => return Ok(Some(MultipartEvent::Data(self.input.split_to(at)))),
                    None => {
                        let data = self.input.split_to(self.input.len() - self.kept_bytes());
                        return Ok((!data.is_empty()).then_some(MultipartEvent::Data(data)));
                    }
                },
                State::Boundary => {
                    if self.input.starts_with(b"--") {
                        self.state = State::End;
                        continue;
                    }
                    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
                    let padding = self.input.iter().take_while(|byte| is_blank(byte)).count();
                    if padding > PADDING_BYTES_MAX {
                        return Err(MultipartError::Boundary);
                    }
                    let rest = &self.input[padding..];
                    if rest.starts_with(LINE_END) {
                        // The line break stays, because an empty head ends in two line breaks.
                        self.input.advance(padding);
                        self.state = State::Head;
                    } else if !(LINE_END.starts_with(rest) || &self.input[..] == b"-") {
                        return Err(MultipartError::Boundary);
                    } else {
                        return Ok(None);
                    }
                }
                State::Head => {
                    let end = memchr::memmem::find(&self.input, HEAD_END);
                    // The end of the head may be split: the last bytes may be the first part of this end.
                    let pending = self.input.len().saturating_sub(HEAD_END.len() - 1);
                    if end.unwrap_or(pending) > HEAD_BYTES_MAX {
                        return Err(MultipartError::LongHead);
                    }
                    let Some(end) = end else {
                        return Ok(None);
                    };
                    let head = self.input.split_to(end);
                    self.input.advance(HEAD_END.len());
                    self.parts += 1;
                    if self.parts > PARTS_MAX {
                        return Err(MultipartError::Parts);
                    }
                    let head = std::str::from_utf8(&head).map_err(|_| MultipartError::Head)?;
                    self.state = State::Data;
                    return PartHead::parse(head)
                        .map(|head| Some(MultipartEvent::Part(head)))
                        .ok_or(MultipartError::Head);
                }
                State::End => {
                    self.input = Bytes::new();
                    return Ok(None);
                }
            }
        }
    }

    /// Whether the last boundary was parsed.
    pub fn is_complete(&self) -> bool {
        self.state == State::End
    }

    /// The number of bytes at the end of the input that may be the beginning of a boundary. A boundary holds one carriage return, as
    /// its first byte.
    fn kept_bytes(&self) -> usize {
        let needle = self.delimiter.needle();
        let from = self.input.len().saturating_sub(needle.len() - 1);
        let tail = &self.input[from..];
        memrchr(b'\r', tail)
            .filter(|&at| needle.starts_with(&tail[at..]))
            .map_or(0, |at| tail.len() - at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts = Vec<(PartHead, Vec<u8>)>;

    /// The parts of a form that arrives in pieces of these lengths, repeated.
    fn parts(body: &[u8], cuts: &[usize]) -> Result<(Parts, bool), MultipartError> {
        let mut parser = MultipartParser::new("XX");
        let mut parts: Parts = Vec::new();
        let mut ended = 0;
        let (mut rest, mut cut) = (body, 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts[cut % cuts.len()].clamp(1, rest.len()));
            (rest, cut) = (after, cut + 1);
            parser.feed(Bytes::copy_from_slice(piece));
            while let Some(event) = parser.next_event()? {
                match event {
                    MultipartEvent::Part(head) => parts.push((head, Vec::new())),
                    MultipartEvent::Data(data) => {
                        assert!(!data.is_empty());
                        parts.last_mut().unwrap().1.extend_from_slice(&data);
                    }
                    MultipartEvent::PartEnd => ended += 1,
                }
            }
        }
        let is_complete = parser.is_complete();
        assert!(!is_complete || ended == parts.len());
        Ok((parts, is_complete))
    }

    fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, data) in parts {
            let head = format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(data);
            body.extend_from_slice(LINE_END);
        }
        body.extend_from_slice(b"--XX--\r\n");
        body
    }

    const CUTS: &[&[usize]] = &[&[1], &[2], &[3, 1], &[7], &[1000]];

    #[test]
    fn the_parts_do_not_depend_on_the_pieces() {
        let tricky: &[u8] = b"\r\n--X\r\n--\r\r\n-\r\n--XY is data\r\n";
        let body = form(&[("a", b""), ("file", tricky), ("b", b"\r\n")]);
        // A line that begins with the boundary is a boundary, even if the line is longer.
        let body = String::from_utf8(body).unwrap().replace("--XY", "--Y");
        for cuts in CUTS {
            let (parts, is_complete) = parts(body.as_bytes(), cuts).unwrap();
            assert!(is_complete);
            let fields: Vec<_> = parts
                .iter()
                .map(|(head, data)| (head.field.as_deref().unwrap(), &data[..]))
                .collect();
            let expected = String::from_utf8(tricky.to_vec())
                .unwrap()
                .replace("--XY", "--Y");
            assert_eq!(
                fields,
                [
                    ("a", &b""[..]),
                    ("file", expected.as_bytes()),
                    ("b", b"\r\n")
                ]
            );
        }
    }

    #[test]
    fn preamble_padding_empty_heads_and_epilogue_are_accepted() {
        let body = b"for people\r\n--XX \t\r\n\r\ndata\r\n--XX--whatever\r\n--XX\r\n";
        for cuts in CUTS {
            let (parts, is_complete) = parts(body, cuts).unwrap();
            assert!(is_complete);
            assert_eq!(parts, [(PartHead::default(), b"data".to_vec())]);
        }
        assert_eq!(parts(b"--XX--", &[1]), Ok((Vec::new(), true)));
    }

    #[test]
    fn a_form_that_ends_early_is_not_complete() {
        let body = form(&[("file", b"data")]);
        for length in 0..body.len() - 4 {
            let (_, is_complete) = parts(&body[..length], &[5]).unwrap();
            assert!(!is_complete, "{length}");
        }
    }

    #[test]
    fn bodies_that_are_not_forms_are_refused() {
        let long_head = [b"--XX\r\nX: ", &[b'a'; HEAD_BYTES_MAX][..]].concat();
        let padding = [b"--XX", &[b' '; PADDING_BYTES_MAX + 1][..]].concat();
        let many = form(&vec![("a", &b"b"[..]); PARTS_MAX + 1]);
        for (body, error) in [
            (&b"--XXY"[..], MultipartError::Boundary),
            (b"--XX-Y", MultipartError::Boundary),
            (b"--XX\rY", MultipartError::Boundary),
            (&padding, MultipartError::Boundary),
            (&long_head, MultipartError::LongHead),
            (b"--XX\r\n\xff: a\r\n\r\n", MultipartError::Head),
            (b"--XX\r\nno header\r\n\r\n", MultipartError::Head),
            (&many, MultipartError::Parts),
        ] {
            for cuts in CUTS {
                assert_eq!(parts(body, cuts), Err(error), "{:?}", body.escape_ascii());
            }
        }
    }

    proptest! {
        #[test]
        fn the_data_of_a_part_is_unchanged(
            data in proptest::collection::vec(proptest::sample::select(&b"\r\n-Xab"[..]), 0..200),
            cuts in proptest::collection::vec(1_usize..20, 1..10),
        ) {
            prop_assume!(memchr::memmem::find(&[b"\r\n", &data[..]].concat(), b"\r\n--XX").is_none());
            let (parts, is_complete) = parts(&form(&[("file", &data)]), &cuts).unwrap();
            prop_assert!(is_complete);
            prop_assert_eq!(&parts[0].1, &data);
        }

        #[test]
        fn no_body_causes_a_panic(
            body in proptest::collection::vec(proptest::sample::select(&b"\r\n-X :;=\"\\a"[..]), 0..300),
            cuts in proptest::collection::vec(1_usize..20, 1..10),
        ) {
            let _ = parts(&body, &cuts);
        }
    }
}
