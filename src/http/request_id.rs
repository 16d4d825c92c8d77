//! A name for each request, so that a client, its proxies and the log can speak of the same one.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

/// The header that carries it, in requests and responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken over from a client, in bytes.
const BYTES_MAX: usize = 128;

/// Makes ids that are unique among the processes of a fleet, cheaply.
#[derive(Debug)]
pub struct RequestIds {
    next: AtomicU64,
}

impl RequestIds {
    /// Ids that start from `seed`, which should differ between processes.
    pub const fn new(seed: u64) -> Self {
        Self {
            next: AtomicU64::new(seed),
        }
    }

    /// The id of a request: what the client calls it, if that is sane, and a new one otherwise.
    pub fn of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(X_REQUEST_ID) {
            Some(given) if is_sane(given.as_bytes()) => given.clone(),
            _ => self.make(),
        }
    }

    fn make(&self) -> HeaderValue {
        // An odd multiplier visits every number once, so ids of one process never repeat, and look unlike one another.
        let number = self
            .next
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut text = [0u8; 16];
        for (at, byte) in text.iter_mut().enumerate() {
            *byte = b"0123456789abcdef"[(number >> (60 - at * 4) & 15) as usize];
        }
        HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&text))
            .unwrap_or(HeaderValue::from_static("-"))
    }
}

/// Whether an id can go into a log line and a header without doing harm there.
fn is_sane(id: &[u8]) -> bool {
    (1..=BYTES_MAX).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sane_ids_are_taken_over() {
        let ids = RequestIds::new(7);
        let mut headers = HeaderMap::new();
        let first = ids.of(&headers);
        assert_eq!(first.len(), 16);
        assert_ne!(first, ids.of(&headers));
        headers.insert(X_REQUEST_ID, HeaderValue::from_static("trace-1.a"));
        assert_eq!(ids.of(&headers), "trace-1.a");
        for bad in ["", "a b", "a\"b", &"a".repeat(129)] {
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(bad).unwrap());
            assert_eq!(ids.of(&headers).len(), 16, "{bad}");
        }
    }
}
