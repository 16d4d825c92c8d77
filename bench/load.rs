//! The client: raw HTTP/1.1 over TCP on one thread. So the client takes little CPU from the server on the same cores.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fieldstation::readings::Stats;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::add_todo::AddTodo;
use crate::fleet::ReadingsRequest;
use crate::report::Latencies;

/// The longest wait for an answer. A slower answer fails the run.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// The requests of a connection.
#[derive(Clone)]
pub(crate) enum Work {
    /// Readings: either all new, or all stored already.
    Record(ReadingsRequest),
    /// New todos.
    Add(AddTodo),
    /// The same request every time.
    Get(Vec<u8>),
}

impl Work {
    /// `GET` of a path.
    pub(crate) fn get(path: &str) -> Self {
        Self::Get(format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes())
    }

    /// The number of counted items: readings where the request has some, otherwise requests.
    fn items_per_request(&self) -> u64 {
        match self {
            Self::Record(request) => request.rows() as u64,
            Self::Add(_) | Self::Get(_) => 1,
        }
    }
}

/// The work of a connection. Each round continues at the end of the previous round.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) work: Work,
    /// The time between two due requests. `None` sends the next request as soon as the answer has come.
    pub(crate) pace: Option<Duration>,
    /// The number of requests in a round. After this number the worker ends the round early.
    pub(crate) requests_max: Option<u64>,
    /// Whether the latencies of this worker are reported. Other workers are background load.
    pub(crate) measured: bool,
    /// The totals of the acknowledged readings.
    pub(crate) acknowledged: Stats,
}

impl Worker {
    /// Sends as fast as the server answers.
    pub(crate) fn unpaced(work: Work) -> Self {
        Self {
            work,
            pace: None,
            requests_max: None,
            measured: true,
            acknowledged: Stats::EMPTY,
        }
    }
}

/// The result of all connections in a round.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) items: u64,
    pub(crate) latencies: Latencies,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
}

/// Runs every worker on a separate connection. At the end of the time each worker finishes the current request. So the server has
/// acknowledged all sent requests.
pub(crate) async fn run(
    address: SocketAddr,
    workers: &mut Vec<Worker>,
    duration: Duration,
) -> Result<Load> {
    let mut streams = Vec::new();
    for _ in workers.iter() {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let begin = Instant::now();
    let count = workers.len() as u32;
    let tasks: Vec<_> = workers
        .drain(..)
        .zip(streams)
        .enumerate()
        .map(|(index, (worker, stream))| {
            // Paced connections start in turn.
            let offset = worker.pace.unwrap_or_default() * index as u32 / count;
            tokio::spawn(run_worker(worker, stream, begin + offset, begin + duration))
        })
        .collect();
    let mut load = Load::default();
    for task in tasks {
        let (worker, requests, latencies) = task.await??;
        if worker.measured {
            load.requests += requests;
            load.items += requests * worker.work.items_per_request();
            load.latencies.extend(latencies);
        }
        workers.push(worker);
    }
    load.elapsed = begin.elapsed();
    Ok(load)
}

async fn run_worker(
    mut worker: Worker,
    mut stream: TcpStream,
    begin: Instant,
    end: Instant,
) -> Result<(Worker, u64, Latencies)> {
    let mut latencies = Latencies::default();
    let mut requests = 0;
    let mut buffer = vec![0; 64 * 1024];
    let mut due = begin;
    loop {
        // A request may be due while the previous request still waits. The latency of the due request counts from the due time,
        // so a stall cannot hide the delayed requests. A late wake-up of this client does not count.
        let late = Instant::now() > due;
        if worker.pace.is_some() && !late {
            tokio::time::sleep_until(due.into()).await;
        }
        let enough = worker.requests_max.is_some_and(|most| requests >= most);
        if enough || Instant::now() >= end {
            return Ok((worker, requests, latencies));
        }
        let bytes = match &mut worker.work {
            Work::Record(request) => request.fill()?,
            Work::Add(todo) => todo.fill(),
            Work::Get(bytes) => bytes,
        };
        let start = match worker.pace {
            Some(_) if late => due,
            _ => Instant::now(),
        };
        let length =
            tokio::time::timeout(ANSWER_DEADLINE, exchange(&mut stream, bytes, &mut buffer))
                .await
                .context("no answer in time")??;
        latencies.push(start.elapsed());
        requests += 1;
        if let Work::Record(request) = &worker.work {
            check_outcome(&buffer[..length], request)?;
            worker.acknowledged.merge(&request.pending());
        }
        due += worker.pace.unwrap_or_default();
    }
}

/// Sends a request and reads the answer. The start of the answer is in `buffer`. Returns the length of this start.
async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> Result<usize> {
    stream.write_all(request).await?;
    let mut length = 0;
    let head_length = loop {
        let read = stream.read(&mut buffer[length..]).await?;
        ensure!(read != 0, "the server closed the connection");
        length += read;
        if let Some(at) = buffer[..length]
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
        {
            break at + 4;
        }
    };
    let head = &buffer[..head_length];
    if !head.starts_with(b"HTTP/1.1 2") {
        bail!(
            "not a success: {}",
            String::from_utf8_lossy(&buffer[..length])
        );
    }
    let total = head_length + content_length(head).context("an answer without its length")?;
    let mut received = length;
    while received < total {
        // The rest of a long answer is only counted.
        let free = if length < buffer.len() {
            length
        } else {
            head_length
        };
        let room = (total - received).min(buffer.len() - free);
        let read = stream.read(&mut buffer[free..free + room]).await?;
        ensure!(read != 0, "the server closed the connection");
        received += read;
        length = (free + read).max(length);
    }
    ensure!(received == total, "more than one answer to a request");
    Ok(length)
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let at = head
        .windows(NAME.len())
        .position(|name| name.eq_ignore_ascii_case(NAME))?;
    let value = head[at + NAME.len()..]
        .split(|&byte| byte == b'\r')
        .next()?;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// Checks the answer to a batch: all readings must have the same outcome.
fn check_outcome(answer: &[u8], request: &ReadingsRequest) -> Result<()> {
    let rows = request.rows();
    if rows == 1 {
        return Ok(());
    }
    let expected = format!("\"{}\":{rows},", request.expected());
    let found = answer
        .windows(expected.len())
        .any(|text| text == expected.as_bytes());
    ensure!(
        found,
        "not all readings of a batch were {}: {}",
        request.expected(),
        String::from_utf8_lossy(answer)
    );
    Ok(())
}
