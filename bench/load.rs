//! The client: raw HTTP/1.1 over TCP on one thread, so that it takes little of the CPU that it shares with the server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fieldstation::readings::Stats;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::add_todo::AddTodo;
use crate::fleet::ReadingsRequest;
use crate::report::Latencies;

/// An answer that takes longer than this is a failure of the run.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// What a connection sends.
#[derive(Clone)]
pub(crate) enum Work {
    /// Readings, every one of them new, or every one stored already.
    Record(ReadingsRequest),
    /// Todos, every one of them new.
    Add(AddTodo),
    /// The same request every time.
    Get(Vec<u8>),
}

impl Work {
    /// `GET` of a path.
    pub(crate) fn get(path: &str) -> Self {
        Self::Get(format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into_bytes())
    }

    /// What is counted: readings where there are some, requests otherwise.
    fn items_per_request(&self) -> u64 {
        match self {
            Self::Record(request) => request.rows() as u64,
            Self::Add(_) | Self::Get(_) => 1,
        }
    }
}

/// One connection's work, which goes on from round to round where it stopped.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) work: Work,
    /// How much later each request is due than the one before; as soon as the last was answered when `None`.
    pub(crate) pace: Option<Duration>,
    /// After how many requests a round is over for it, if that comes before the end of the time.
    pub(crate) requests_max: Option<u64>,
    /// Whether its latencies are asked for; the others are background.
    pub(crate) measured: bool,
    /// Of the readings that the server has acknowledged.
    pub(crate) acknowledged: Stats,
}

impl Worker {
    /// As fast as the server answers.
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

/// What the connections did in a round.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) items: u64,
    pub(crate) latencies: Latencies,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
}

/// Runs every worker on a connection of its own. Each finishes the request it is in when the time is over, so that what was
/// sent is what was acknowledged.
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
            // Paced connections take turns, instead of all at once.
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
        // A request that is due while the one before still waits counts from when it was due: a stall must not hide the
        // requests that it keeps from being sent. Waking up late, on the other hand, is our own doing.
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

/// Sends a request and reads its answer, of which the first `length` bytes of `buffer` are the beginning.
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
        // The end of a long answer is only counted.
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

/// A batch answers what became of its readings: the same for all of them.
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
