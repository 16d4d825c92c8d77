//! Uploads and downloads of device files. The floor discards uploads and sends downloads from memory.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::floor_files::FILE_BYTES;
use crate::report::median;
use crate::scenarios::Run;
use crate::server::Server;

const NAME: &str = "files";
const MEBIBYTE: u64 = 1 << 20;
const CONNECTIONS: usize = 4;
const BUFFER_BYTES: usize = 256 * 1024;

/// The URL paths of the devices.
const PRODUCT: &str = "/api/devices";
const IN_MEMORY: &str = PRODUCT;
const ON_DISK: &str = "/disk";

/// The operation on a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Content,
    Text,
}

/// The result of a round.
struct Transfer {
    mebibytes_per_second: f64,
    server_cpu_millis_per_mebibyte: f64,
}

impl Run {
    /// Uploads and downloads of 64 MiB; uploads are durable.
    pub(crate) async fn files(&mut self) -> Result<()> {
        self.report.heading(
            NAME,
            "files of 64 MiB, 4 connections: PUT (durable), GET …/content, GET as base64",
        );
        let product = Server::product(&self.data(NAME))?;
        let floor = Server::floor_in(&self.directory)?;
        let (idle, _) = product.resident_bytes()?;
        let directory = self.directory.clone();
        self.alone("written and flushed by one thread", || {
            write_and_flush(&directory)
        })?;
        self.alone("SHA-256 by one thread", || Ok(hash()))?;
        for (direction, what) in [
            (Direction::Up, "up"),
            (Direction::Content, "down"),
            (Direction::Text, "down as base64"),
        ] {
            let mut loads = vec![
                Load::new("", &product, PRODUCT),
                Load::new(", floor in memory", &floor, IN_MEMORY),
            ];
            if direction != Direction::Text {
                loads.push(Load::new(", floor on the disk", &floor, ON_DISK));
            }
            for _ in 0..self.options.rounds {
                for load in &mut loads {
                    let transfer = round(load.server, load.path, direction, self.round()).await?;
                    load.rounds.push(transfer);
                }
            }
            let ours = loads[0].rate();
            for load in &loads {
                let label = format!("{what}{}", load.label);
                self.report.value(NAME, &label, load.rate(), "MiB/s");
                let cpu = format!("{label}, server CPU");
                self.report.value(NAME, &cpu, load.cpu(), "ms/MiB");
            }
            for load in &loads[1..] {
                let label = format!("{what}, to the{}", &load.label[1..]);
                self.report
                    .value(NAME, &label, ours / load.rate() * 100.0, "%");
            }
        }
        let (peak, _) = product.resident_bytes()?;
        self.report.value(
            NAME,
            "resident memory, most, above idle",
            (peak - idle) as f64 / MEBIBYTE as f64,
            "MiB",
        );
        product.stop()?;
        Ok(())
    }

    /// Reports the rate of an operation without a server.
    fn alone(&mut self, what: &str, measure: impl Fn() -> Result<f64>) -> Result<()> {
        let rates: Vec<f64> = (0..self.options.rounds)
            .map(|_| measure())
            .collect::<Result<_>>()?;
        self.report.value(NAME, what, median(rates), "MiB/s");
        Ok(())
    }
}

/// A server, and the results of the rounds.
struct Load<'a> {
    label: &'static str,
    server: &'a Server,
    path: &'static str,
    rounds: Vec<Transfer>,
}

impl<'a> Load<'a> {
    fn new(label: &'static str, server: &'a Server, path: &'static str) -> Self {
        Self {
            label,
            server,
            path,
            rounds: Vec::new(),
        }
    }

    fn rate(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.mebibytes_per_second))
    }

    fn cpu(&self) -> f64 {
        let rounds = self.rounds.iter();
        median(rounds.map(|round| round.server_cpu_millis_per_mebibyte))
    }
}

/// The rate of the disk alone: writes a file of the same size in pieces of the same size.
fn write_and_flush(directory: &Path) -> Result<f64> {
    let path = directory.join("written");
    let buffer = vec![0x5a; BUFFER_BYTES];
    let begin = Instant::now();
    let mut file = File::create(&path)?;
    for _ in 0..FILE_BYTES / BUFFER_BYTES as u64 {
        file.write_all(&buffer)?;
    }
    file.sync_all()?;
    let elapsed = begin.elapsed();
    std::fs::remove_file(&path)?;
    Ok((FILE_BYTES / MEBIBYTE) as f64 / elapsed.as_secs_f64())
}

/// The rate of the digest alone.
fn hash() -> f64 {
    let buffer = vec![0x5a; BUFFER_BYTES];
    let begin = Instant::now();
    let mut hasher = Sha256::new();
    for _ in 0..FILE_BYTES / BUFFER_BYTES as u64 {
        hasher.update(&buffer);
    }
    black_box(hasher.finalize());
    (FILE_BYTES / MEBIBYTE) as f64 / begin.elapsed().as_secs_f64()
}

/// Runs all connections at once, each with a separate device, until the time is over.
async fn round(
    server: &Server,
    path: &'static str,
    direction: Direction,
    duration: Duration,
) -> Result<Transfer> {
    let usage = server.usage()?;
    let begin = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|device| {
            let address = server.address;
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await?;
                let mut buffer = vec![0x5a; BUFFER_BYTES];
                let mut bytes = 0;
                while begin.elapsed() < duration {
                    bytes += match direction {
                        Direction::Up => {
                            upload(&mut stream, &format!("{path}/{device}"), &mut buffer).await?
                        }
                        Direction::Content => {
                            let path = format!("{path}/{device}/content");
                            download(&mut stream, &path, &mut buffer).await?
                        }
                        Direction::Text => {
                            let path = format!("{path}/{device}");
                            download(&mut stream, &path, &mut buffer).await?;
                            FILE_BYTES
                        }
                    };
                }
                anyhow::Ok(bytes)
            })
        })
        .collect();
    let mut bytes = 0;
    for task in tasks {
        bytes += task.await??;
    }
    let elapsed = begin.elapsed();
    let cpu = server.usage()?.cpu.saturating_sub(usage.cpu);
    let mebibytes = bytes as f64 / MEBIBYTE as f64;
    Ok(Transfer {
        mebibytes_per_second: mebibytes / elapsed.as_secs_f64(),
        server_cpu_millis_per_mebibyte: cpu.as_secs_f64() * 1e3 / mebibytes,
    })
}

async fn upload(stream: &mut TcpStream, path: &str, buffer: &mut [u8]) -> Result<u64> {
    let head =
        format!("PUT {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {FILE_BYTES}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    for _ in 0..FILE_BYTES / BUFFER_BYTES as u64 {
        stream.write_all(buffer).await?;
    }
    read_answer(stream, buffer).await?;
    Ok(FILE_BYTES)
}

async fn download(stream: &mut TcpStream, path: &str, buffer: &mut [u8]) -> Result<u64> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    read_answer(stream, buffer).await
}

/// Reads an answer to the end and returns the length of the body.
async fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<u64> {
    let mut length = 0;
    let head_end = loop {
        let read = stream.read(&mut buffer[length..]).await?;
        ensure!(read > 0, "the server closed the connection");
        length += read;
        if let Some(at) = memchr::memmem::find(&buffer[..length], b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = std::str::from_utf8(&buffer[..head_end])?.to_ascii_lowercase();
    ensure!(head.starts_with("http/1.1 200"), "not a success: {head}");
    let total: u64 = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .context("an answer without its length")?
        .trim()
        .parse()?;
    let mut received = (length - head_end) as u64;
    while received < total {
        let read = stream.read(buffer).await?;
        ensure!(read > 0, "the server closed the connection");
        received += read as u64;
    }
    Ok(total)
}
