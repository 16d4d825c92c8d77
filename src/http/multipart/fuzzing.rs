//! The parser, opened to `fuzz/`.

use bytes::Bytes;

use super::{MultipartEvent, MultipartParser};

/// A part: field, file name, bytes.
pub type Part = (Option<String>, Option<String>, Vec<u8>);

/// The parts of a form, and whether the form is complete. The form arrives in pieces of `piece_bytes`. `None` when the body is not a form.
pub fn parts(boundary: &str, body: &[u8], piece_bytes: usize) -> Option<(Vec<Part>, bool)> {
    let mut parser = MultipartParser::new(boundary);
    let mut parts: Vec<Part> = Vec::new();
    for piece in body.chunks(piece_bytes.max(1)) {
        parser.feed(Bytes::copy_from_slice(piece));
        while let Some(event) = parser.next_event().ok()? {
            match event {
                MultipartEvent::Part(head) => parts.push((head.field, head.file_name, Vec::new())),
                MultipartEvent::Data(data) => parts.last_mut()?.2.extend_from_slice(&data),
                MultipartEvent::PartEnd => {}
            }
        }
    }
    Some((parts, parser.is_complete()))
}
