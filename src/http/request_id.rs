//! An id for each request. With the id, a client, a proxy and the log can name the same request.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header with the id, in requests and responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The limit for the length of an id from a client, in bytes.
const BYTES_MAX: usize = 128;

/// Makes unique ids among the processes of a fleet, without a random number for each id.
#[derive(Debug)]
pub struct RequestIds {
    next: AtomicU64,
}

impl RequestIds {
    /// Starts the ids from `seed`. The seed should differ between processes.
    pub const fn new(seed: u64) -> Self {
        Self {
            next: AtomicU64::new(seed),
        }
    }

    /// The id of a request: the client's id if this id is safe, otherwise a new id.
    pub fn of(&self, headers: &HeaderMap) -> HeaderValue {
        match headers.get(X_REQUEST_ID) {
            Some(given) if is_safe(given.as_bytes()) => given.clone(),
            _ => self.make(),
        }
    }

    fn make(&self) -> HeaderValue {
        // Multiplication by an odd number maps different numbers to different numbers. So the ids of a process never repeat, and
        // consecutive ids look different.
        let number = self
            .next
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut text = [0u8; 16];
        // The text has room for two digits a byte.
        let _ = hex::encode_to_slice(number.to_be_bytes(), &mut text);
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// Whether an id is safe in a log line and in a header.
fn is_safe(id: &[u8]) -> bool {
    (1..=BYTES_MAX).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_ids_are_kept() {
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
