//! The progress of a request's body, and the disposal of the unread rest.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;

/// The least average rate of a body. A faster client has no time limit.
const BYTES_PER_SECOND_MIN: u64 = 1024;

/// The server reads and discards the rest of a refused body, up to this number of bytes and up to this time. Closing a connection with
/// unread bytes resets the connection, and the client can lose the answer.
const REST_BYTES_MAX: usize = 16 << 20;
const REST_TIME_MAX: Duration = Duration::from_secs(5);

/// The progress of a body. The code that waits for the answer to the request looks at the progress.
#[derive(Debug)]
pub(super) struct Arrival {
    start: Instant,
    /// When the last piece arrived, in milliseconds from the start.
    last_milliseconds: AtomicU64,
    received_bytes: AtomicU64,
    ended: AtomicBool,
    /// The part of the body after the last byte read by the handler.
    rest: Mutex<Option<Incoming>>,
}

impl Arrival {
    /// Wraps a body, and returns the progress and the wrapped body.
    pub(super) fn watch(body: Incoming) -> (Arc<Self>, ArrivingBody) {
        let arrival = Arc::new(Self {
            start: Instant::now(),
            last_milliseconds: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            rest: Mutex::new(None),
        });
        let body = ArrivingBody {
            body: Some(body),
            arrival: Arc::clone(&arrival),
        };
        (arrival, body)
    }

    /// When the last byte arrived; `None` before the end of the body.
    pub(super) fn ended_at(&self) -> Option<Instant> {
        self.ended.load(Ordering::Acquire).then(|| {
            self.start + Duration::from_millis(self.last_milliseconds.load(Ordering::Relaxed))
        })
    }

    /// Whether the body arrives more slowly than [`BYTES_PER_SECOND_MIN`].
    pub(super) fn is_dripping(&self) -> bool {
        let received = self.received_bytes.load(Ordering::Relaxed);
        received
            < self
                .start
                .elapsed()
                .as_secs()
                .saturating_mul(BYTES_PER_SECOND_MIN)
    }

    /// Reads and discards the rest of the body, within bounds. If the client waits for `100 Continue`, nothing is read, so that the client
    /// does not send the body.
    pub(super) async fn discard_rest(&self, expects_continue: bool) {
        if self.ended.load(Ordering::Acquire)
            || (expects_continue && self.received_bytes.load(Ordering::Relaxed) == 0)
        {
            return;
        }
        let Some(mut rest) = self.rest.lock().take() else {
            return;
        };
        let discard = async {
            let mut room = REST_BYTES_MAX;
            while let Some(Ok(frame)) = rest.frame().await {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                match room.checked_sub(bytes) {
                    Some(left) => room = left,
                    None => break,
                }
            }
        };
        // The time is a bound like the bytes, so the timeout is no error.
        let _ = tokio::time::timeout(REST_TIME_MAX, discard).await;
    }

    fn note(&self, bytes: usize) {
        self.received_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        let milliseconds = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_milliseconds
            .store(milliseconds, Ordering::Relaxed);
    }
}

/// A body that reports the progress to an [`Arrival`].
#[derive(Debug)]
pub(super) struct ArrivingBody {
    /// `Some` until this is dropped.
    body: Option<Incoming>,
    arrival: Arc<Arrival>,
}

impl Body for ArrivingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(context);
        if let Poll::Ready(frame) = &polled {
            let data = frame
                .as_ref()
                .and_then(|frame| frame.as_ref().ok()?.data_ref());
            this.arrival.note(data.map_or(0, Bytes::len));
            if !matches!(frame, Some(Ok(_))) || body.is_end_stream() {
                this.arrival.ended.store(true, Ordering::Release);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for ArrivingBody {
    fn drop(&mut self) {
        if !self.arrival.ended.load(Ordering::Acquire) {
            *self.arrival.rest.lock() = self.body.take();
        }
    }
}
