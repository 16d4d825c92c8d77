//! Accepts connections, serves them, and drains them when the server is told to stop.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::http::edge::Edge;
use crate::http::stall::StallGuard;

/// How long accepting pauses when the system has no resources left, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many waiting connections are accepted at most when the server is told to stop: the length of the queue of the system.
const LAST_CONNECTIONS_MAX: usize = 1024;

/// How long the server, while it drains, waits for the first request of a new connection.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(1);

/// The first bytes of a client with HTTP/2 without negotiation.
const HTTP2_PREFACE: &[u8] = b"PRI";

/// The buffer of a connection in each direction. The head of a request has to fit.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// How many bytes a client may send ahead on a stream, and on all streams of a connection.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
const HTTP2_STREAMS_MAX: u32 = 128;

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// How many connections may be open at a time.
    pub connections_max: usize,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long a client may read nothing of an answer.
    pub stall: Duration,
    /// How long requests under way may take to end after the server was told to stop.
    pub drain: Duration,
}

/// Serves until `stop` resolves, then accepts no more connections and lets the requests under way end. Returns whether all requests ended
/// in time. The other requests are cut off when this returns or is dropped.
pub async fn serve(
    listener: TcpListener,
    edge: Arc<Edge>,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) -> bool {
    let graceful = GracefulShutdown::new();
    let (draining, is_draining) = watch::channel(false);
    let connections = Arc::new(Semaphore::new(options.connections_max));
    let cut_off = CancellationToken::new();
    let _at_the_end = cut_off.clone().drop_guard();
    let begin = |stream, permit: OwnedSemaphorePermit| {
        let (edge, watcher) = (Arc::clone(&edge), graceful.watcher());
        let (is_draining, cut_off) = (is_draining.clone(), cut_off.clone());
        tokio::spawn(async move {
            let served = connection(stream, edge, options, watcher, is_draining);
            if let Some(Err(error)) = cut_off.run_until_cancelled(served).await {
                debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    };
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = &mut stop => break,
        };
        if let Some((stream, permit)) = accepted {
            begin(stream, permit);
        }
    }
    for (stream, permit) in accept_the_rest(listener, &connections) {
        begin(stream, permit);
    }
    draining.send_replace(true);
    let under_way = graceful.count();
    info!(connections = under_way, "draining");
    let drained = tokio::time::timeout(options.drain, graceful.shutdown())
        .await
        .is_ok();
    if !drained {
        warn!(
            drain_seconds = options.drain.as_secs_f64(),
            "some requests did not end in time and are cut off"
        );
    }
    drained
}

/// The next connection. Waits until the number of open connections is below the limit.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) if is_of_one_connection(&error) => None,
        Err(error) => {
            warn!(%error, "cannot accept connections for the moment");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Accepts the waiting connections, and closes the listener. The clients of these connections may have sent a request already, and closing
/// the listener would cut off the waiting connections.
fn accept_the_rest(
    listener: TcpListener,
    connections: &Arc<Semaphore>,
) -> Vec<(TcpStream, OwnedSemaphorePermit)> {
    let mut last = Vec::new();
    // The listener of the standard library asks the system. The listener of tokio knows only the connections seen by the runtime so far.
    let Ok(listener) = listener.into_std() else {
        return last;
    };
    while last.len() < LAST_CONNECTIONS_MAX
        && let Ok(permit) = Arc::clone(connections).try_acquire_owned()
    {
        let accepted = listener.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            TcpStream::from_std(stream)
        });
        match accepted {
            Ok(stream) => last.push((stream, permit)),
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => break,
        }
    }
    last
}

/// Whether an error of accepting concerns only a single connection.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

async fn connection(
    stream: TcpStream,
    edge: Arc<Edge>,
    options: ServerOptions,
    watcher: Watcher,
    mut is_draining: watch::Receiver<bool>,
) -> Result<(), ConnectionError> {
    // Answers are written in one piece, so waiting for more data to fill a packet would only delay the answers.
    stream.set_nodelay(true)?;
    let header_timeout = options.header_timeout;
    let http2 = tokio::select! {
        biased;
        http2 = tokio::time::timeout(header_timeout, speaks_http2(&stream)) => http2??,
        () = first_request_overdue(&mut is_draining) => return Ok(()),
    };
    let service = service_fn(move |request| Arc::clone(&edge).answer(request));
    let io = TokioIo::new(StallGuard::new(stream, options.stall));
    if http2 {
        let mut connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(header_timeout)
            .serve_connection(io, service);
        match poll_once(&mut connection).await {
            Some(ended) => ended?,
            None => watcher.watch(connection).await?,
        }
    } else {
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(HTTP1_BUFFER_BYTES)
            .serve_connection(io, service);
        match poll_once(&mut connection).await {
            Some(ended) => ended?,
            None => watcher.watch(connection).await?,
        }
    }
    Ok(())
}

/// Polls a connection once, so that the connection reads the beginning of the first request. A connection that is told to stop before this
/// read would close without an answer. Returns the result of the connection if it has ended.
async fn poll_once<C: Future + Unpin>(connection: &mut C) -> Option<C::Output> {
    poll_fn(|context| {
        Poll::Ready(match Pin::new(&mut *connection).poll(context) {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => None,
        })
    })
    .await
}

/// Resolves when the server drains and the client has sent nothing for [`FIRST_REQUEST_GRACE`]. The server waits for this time, because the
/// first request may be on the way.
async fn first_request_overdue(is_draining: &mut watch::Receiver<bool>) {
    // An error means the end of the server.
    if is_draining.wait_for(|draining| *draining).await.is_ok() {
        tokio::time::sleep(FIRST_REQUEST_GRACE).await;
    }
}

/// Peeks at the first bytes of a connection.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; HTTP2_PREFACE.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 || first[..seen] != HTTP2_PREFACE[..seen] {
            return Ok(false);
        }
        if seen == first.len() {
            return Ok(true);
        }
        // Only `P` or `PR` has arrived. The system does not report when more bytes arrive.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
