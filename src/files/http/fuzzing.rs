//! The parser of forms, opened to `fuzz/`.

use bytes::Bytes;

use super::form::{FormEvent, FormParser};
use super::form_head;

/// A part: its field, its file name, its bytes.
pub type Part = (Option<String>, Option<String>, Vec<u8>);

/// The boundary that a content type names.
pub fn boundary(content_type: &str) -> Option<String> {
    form_head::boundary(content_type)
}

/// The parts of a form that arrives in pieces of so many bytes, and whether it is complete; `None` when it is no form.
pub fn parts(boundary: &str, body: &[u8], piece_bytes: usize) -> Option<(Vec<Part>, bool)> {
    let mut parser = FormParser::new(boundary);
    let mut parts: Vec<Part> = Vec::new();
    for piece in body.chunks(piece_bytes.max(1)) {
        parser.feed(Bytes::copy_from_slice(piece));
        while let Some(event) = parser.next().ok()? {
            match event {
                FormEvent::Part(head) => parts.push((head.field, head.file_name, Vec::new())),
                FormEvent::Data(data) => parts.last_mut()?.2.extend_from_slice(&data),
                FormEvent::PartEnd => {}
            }
        }
    }
    Some((parts, parser.is_complete()))
}
