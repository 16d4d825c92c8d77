//! A server under test: a child process on a free port of the loopback interface.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::control::Control;
use crate::floor;
use crate::proc::{self, Usage};

const START_DEADLINE: Duration = Duration::from_secs(60);
const READY_DEADLINE: Duration = Duration::from_secs(300);
const STOP_DEADLINE: Duration = Duration::from_secs(120);

/// A running server. Dropping this value kills the process.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Taken before the process was created.
    began: Instant,
    /// The time from `began` to the first answer.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts the product on a data directory.
    pub(crate) fn product(data: &Path) -> Result<Self> {
        Self::product_with(data, &[])
    }

    /// Starts the product on a data directory, with settings.
    pub(crate) fn product_with(data: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fieldstation"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.arg("--data").arg(data).args(arguments);
        Self::start(command)
    }

    /// Starts the product with readings on DynamoDB. The variables hold the credentials.
    #[cfg(feature = "cloud")]
    pub(crate) fn on_dynamodb(data: &Path, url: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fieldstation"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
        command.args(["--readings", url]).arg("--data").arg(data);
        command.envs(variables.iter().copied());
        Self::start(command)
    }

    /// Starts the floor: the HTTP stack of the product without a store. The floor is a second process of this program.
    pub(crate) fn floor() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(floor::ARGUMENT);
        Self::start(command)
    }

    /// Starts the floor in a directory. The floor may store files in this directory.
    pub(crate) fn floor_in(directory: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(floor::ARGUMENT).current_dir(directory);
        Self::start(command)
    }

    fn start(mut command: Command) -> Result<Self> {
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let (sender, lines) = sync_channel(64);
        if let Some(stdout) = child.stdout.take() {
            drain(stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            drain(stderr, sender);
        }
        // From here on, dropping the value kills the process.
        let mut server = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            began,
            started_in: Duration::ZERO,
        };
        server.address = wait_for_address(&lines)?;
        let mut control = Control::new(server.address);
        control.get("/api").context("the server does not answer")?;
        server.started_in = began.elapsed();
        Ok(server)
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// Resident memory in bytes: the peak and the current value.
    pub(crate) fn resident_bytes(&self) -> Result<(u64, u64)> {
        proc::resident_bytes(self.child.id())
    }

    /// Waits until the server is ready, and returns the milliseconds since before the process was created.
    pub(crate) fn ready_in(&self) -> Result<f64> {
        let mut control = Control::new(self.address);
        while control.get("/readyz").is_err() {
            ensure!(
                self.began.elapsed() < READY_DEADLINE,
                "the server does not become ready"
            );
            thread::sleep(Duration::from_millis(2));
        }
        Ok(self.began.elapsed().as_secs_f64() * 1e3)
    }

    /// Sends SIGTERM, as an operator would, and returns the total use of the process, the stop included.
    pub(crate) fn stop(mut self) -> Result<Usage> {
        let pid = self.child.id();
        let sent = Command::new("kill")
            .args(["-TERM", &pid.to_string()])
            .status()
            .context("cannot run `kill`")?;
        ensure!(sent.success(), "cannot send SIGTERM to the server");
        let begin = Instant::now();
        while !proc::has_ended(pid)? {
            ensure!(begin.elapsed() < STOP_DEADLINE, "the server does not stop");
            thread::sleep(Duration::from_millis(5));
        }
        let usage = Usage::of(pid)?;
        let status: ExitStatus = self.child.wait()?;
        ensure!(status.success(), "the server stopped with {status}");
        Ok(usage)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail when the process has ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a pipe to the end, so the server never waits for this program. Lines go to `sender` while a receiver listens.
fn drain(pipe: impl Read + Send + 'static, sender: SyncSender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            match sender.try_send(line) {
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    });
}

/// Finds the first log line with the listen address.
fn wait_for_address(lines: &Receiver<String>) -> Result<SocketAddr> {
    let begin = Instant::now();
    let mut seen = VecDeque::new();
    loop {
        let left = START_DEADLINE.saturating_sub(begin.elapsed());
        let line = match lines.recv_timeout(left) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => bail!("the server does not say where it listens"),
            Err(RecvTimeoutError::Disconnected) => bail!(
                "the server ended while starting:\n{}",
                Vec::from(seen).join("\n")
            ),
        };
        let json: Option<Value> = serde_json::from_str(&line).ok();
        if let Some(address) = json.as_ref().and_then(address_in) {
            return Ok(address);
        }
        seen.push_back(line);
        if seen.len() > 20 {
            seen.pop_front();
        }
    }
}

/// The field `address` of a log line, at the top level or below `fields`.
fn address_in(line: &Value) -> Option<SocketAddr> {
    let text = line
        .get("address")
        .or_else(|| line.get("fields")?.get("address"))?
        .as_str()?;
    let text = text.strip_prefix("http://").unwrap_or(text);
    text.trim_end_matches('/').parse().ok()
}
