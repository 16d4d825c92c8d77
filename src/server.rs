//! Accepts connections, serves them, and drains them when the server is told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info, warn};

use crate::http::layers::Edge;
use crate::http::stall::StallGuard;

/// How long accepting rests when the system has no more to give, such as file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a client that speaks HTTP/2 without having been asked sends first.
const HTTP2_PREFACE: &[u8] = b"PRI";

/// What a connection may hold of requests and answers, in each direction; the head of a request has to fit.
const HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// What a client may send ahead on a stream, and on all streams of a connection.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
const HTTP2_STREAMS_MAX: u32 = 128;

/// How connections are treated.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// How many may be open at a time.
    pub connections_max: usize,
    /// How long one may take to send the head of its next request.
    pub header_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub stall: Duration,
    /// How long requests under way may take to end once the server is told to stop.
    pub drain: Duration,
}

/// Serves until `stop` resolves, then takes no more connections and lets the requests under way end. Says whether all of them
/// did in time.
pub async fn serve(
    listener: TcpListener,
    edge: Arc<Edge>,
    options: ServerOptions,
    stop: impl Future<Output = ()>,
) -> bool {
    let graceful = GracefulShutdown::new();
    let (draining, is_draining) = watch::channel(false);
    let connections = Arc::new(Semaphore::new(options.connections_max));
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            stream = accept(&listener, &connections) => stream,
            () = &mut stop => break,
        };
        let Some((stream, permit)) = stream else {
            continue;
        };
        let (edge, watcher) = (Arc::clone(&edge), graceful.watcher());
        let is_draining = is_draining.clone();
        tokio::spawn(async move {
            if let Err(error) = connection(stream, edge, options, watcher, is_draining).await {
                debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
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

/// The next connection, once there may be one more.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) if is_of_one_connection(&error) => None,
        Err(error) => {
            warn!(%error, "cannot accept connections for the moment");
            tokio::time::sleep(ACCEPT_REST).await;
            None
        }
    }
}

/// Whether only the connection that was about to be accepted is gone.
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
    // Answers are written whole: waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    let header_timeout = options.header_timeout;
    let http2 = tokio::select! {
        biased;
        http2 = tokio::time::timeout(header_timeout, speaks_http2(&stream)) => http2??,
        // Nothing has come on it: there is nothing to wait for.
        _ = is_draining.wait_for(|draining| *draining) => return Ok(()),
    };
    let service = service_fn(move |request| Arc::clone(&edge).answer(request));
    let io = TokioIo::new(StallGuard::new(stream, options.stall));
    if http2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(HTTP2_STREAMS_MAX)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(header_timeout)
            .serve_connection(io, service);
        watcher.watch(connection).await?;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(HTTP1_BUFFER_BYTES)
            .serve_connection(io, service);
        watcher.watch(connection).await?;
    }
    Ok(())
}

/// Looks at the first bytes without taking them.
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
        // A `P` or `PR` alone: more is on its way, and there is no way to be told when.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
