//! The greeting and the front page: reads and durable writes of the word in SQLite and in Redis, and the front page with readings.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::load::{Work, Worker};
use crate::report::Rounds;
use crate::rounds::measure;
use crate::scenarios::Run;
use crate::server::Server;

const REDIS_DEADLINE: Duration = Duration::from_secs(20);

impl Run {
    pub(crate) async fn greeting(&mut self) -> Result<()> {
        let data = self.data("greeting");
        let server = Server::product(&data)?;
        self.words("SQLite", &server).await?;
        self.page(&server).await?;
        server.stop()?;

        let redis = Redis::start(&self.directory)?;
        let data = self.data("greeting-redis");
        let url = format!("redis://{}", redis.address);
        let server = Server::product_with(&data, &["--greeting", &url])?;
        self.words("Redis", &server).await?;
        server.stop()?;
        Ok(())
    }

    /// Reading and setting the word.
    async fn words(&mut self, backend: &str, server: &Server) -> Result<()> {
        let name = format!("hello, {backend}");
        self.report
            .heading(&name, &format!("GET /hello, 64 connections, {backend}"));
        let mut workers = vec![Worker::unpaced(Work::get("/hello")); 64];
        let floor = Server::floor()?;
        let mut floor_workers = vec![Worker::unpaced(Work::get("/api")); 64];
        let (rounds, floor_rounds) = self
            .alternate(server, &mut workers, &floor, &mut floor_workers)
            .await?;
        self.report
            .rounds(&name, "requests", &rounds, Some(&floor_rounds));
        for connections in [64, 1] {
            let name = format!("hello, set, {backend}, {connections}");
            self.report.heading(
                &name,
                &format!("POST /hello, durable, {connections} connections, {backend}"),
            );
            let set = |index| {
                let word = format!("word {index}");
                let length = word.len();
                let head = "POST /hello HTTP/1.1\r\nhost: bench\r\n";
                let bytes = format!("{head}content-length: {length}\r\n\r\n{word}").into_bytes();
                Worker::unpaced(Work::Get(bytes))
            };
            let mut workers = (0..connections).map(set).collect();
            let rounds = self.rounds(server, &mut workers).await?;
            self.report.rounds(&name, "requests", &rounds, None);
        }
        Ok(())
    }

    /// The front page, empty and with many readings.
    async fn page(&mut self, server: &Server) -> Result<()> {
        let fill = self.options.fill;
        for (name, readings) in [("page, empty", 0), ("page", fill)] {
            self.report.heading(
                name,
                &format!("GET /, 4 connections, with {readings} readings of 1,000 sensors stored"),
            );
            if readings > 0 {
                self.fill(server, 0, 1_000, readings).await?;
            }
            let mut workers = vec![Worker::unpaced(Work::get("/")); 4];
            let rounds = self.rounds(server, &mut workers).await?;
            self.report.rounds(name, "requests", &rounds, None);
        }
        Ok(())
    }

    async fn rounds(&self, server: &Server, workers: &mut Vec<Worker>) -> Result<Rounds> {
        let mut rounds = Rounds::default();
        for _ in 0..self.options.rounds {
            rounds.push(measure(server, workers, self.round()).await?);
        }
        Ok(rounds)
    }
}

/// A Redis that writes every change to disk before the answer. Dropping this value kills the process.
struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    fn start(directory: &Path) -> Result<Self> {
        // The port is free now, and most likely still free in a moment.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let directory = directory.join("redis");
        std::fs::create_dir(&directory)?;
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
            .args([
                "--save",
                "",
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
            ])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server is missing: apt-get install redis-server")?;
        let redis = Self { child, address };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begin.elapsed() > REDIS_DEADLINE {
                bail!("redis-server does not start");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Both fail when the process has ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
