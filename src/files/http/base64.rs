//! Converts a stream of bytes into a stream of base64 text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::error::StoreError;
use crate::files::ContentStream;

/// Three bytes become four characters.
const GROUP_BYTES: usize = 3;

/// The length of the text of so many bytes, with padding; `None` on overflow.
pub(super) const fn text_length(bytes: u64) -> Option<u64> {
    bytes.div_ceil(GROUP_BYTES as u64).checked_mul(4)
}

/// The text of a stream, without line breaks, padded at its end.
pub(super) fn encode(
    content: ContentStream,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
    let state = Some((content, Encoder::default()));
    stream::unfold(state, async |state| {
        let (mut content, mut encoder) = state?;
        match content.next().await {
            Some(Ok(piece)) => Some((Ok(encoder.text(&piece)), Some((content, encoder)))),
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Ok(encoder.end()), None)),
        }
    })
}

/// Keeps the bytes of an incomplete group.
#[derive(Default)]
struct Encoder {
    waiting: [u8; GROUP_BYTES],
    waiting_bytes: usize,
}

impl Encoder {
    fn text(&mut self, mut piece: &[u8]) -> Bytes {
        let groups = (self.waiting_bytes + piece.len()) / GROUP_BYTES;
        let mut text = vec![0; groups * 4];
        let mut at = 0;
        if self.waiting_bytes > 0 {
            let missing = (GROUP_BYTES - self.waiting_bytes).min(piece.len());
            let (head, rest) = piece.split_at(missing);
            self.waiting[self.waiting_bytes..][..missing].copy_from_slice(head);
            self.waiting_bytes += missing;
            piece = rest;
            if self.waiting_bytes == GROUP_BYTES {
                at += write(&self.waiting, &mut text);
                self.waiting_bytes = 0;
            }
        }
        let (whole, rest) = piece.split_at(piece.len() - piece.len() % GROUP_BYTES);
        write(whole, &mut text[at..]);
        if !rest.is_empty() {
            self.waiting[..rest.len()].copy_from_slice(rest);
            self.waiting_bytes = rest.len();
        }
        text.into()
    }

    fn end(&self) -> Bytes {
        STANDARD.encode(&self.waiting[..self.waiting_bytes]).into()
    }
}

/// Writes the text of `bytes` to the beginning of `text`, which has room for the text, and returns the length.
fn write(bytes: &[u8], text: &mut [u8]) -> usize {
    STANDARD.encode_slice(bytes, text).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn the_text_does_not_depend_on_the_pieces() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in [0, 1, 2, 3, 4, 5, 255, 256] {
            for cut in [1, 2, 3, 4, 7, 256] {
                let pieces: Vec<_> = bytes[..length]
                    .chunks(cut)
                    .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                    .collect();
                let text: Vec<Bytes> = encode(Box::pin(stream::iter(pieces)))
                    .try_collect()
                    .await
                    .unwrap();
                let text = text.concat();
                assert_eq!(text, STANDARD.encode(&bytes[..length]).as_bytes());
                assert_eq!(text_length(length as u64), Some(text.len() as u64));
            }
        }
    }
}
