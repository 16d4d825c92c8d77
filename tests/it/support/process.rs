//! Runs a process and collects the output.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The time limit of a start or a stop, on a machine under load.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A process after the end.
#[derive(Debug)]
pub struct Exited {
    /// `None` when a signal ended the process.
    pub code: Option<i32>,
    /// The standard output and the standard error.
    pub output: String,
}

/// A process and the output of the process.
pub(super) struct Process {
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    pub(super) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Output::default());
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        output.state.lock().unwrap().open = streams.len();
        let readers = streams.map(|stream| {
            let output = Arc::clone(&output);
            std::thread::spawn(move || output.read(stream))
        });
        Self {
            child,
            output,
            readers: readers.into(),
        }
    }

    /// The listening address of the process. `None` when the process ended before.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.output.wait_for(|text| text.lines().find_map(address))
    }

    pub(super) fn wait(&mut self) -> Exited {
        let deadline = Instant::now() + TIMEOUT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "still running: {}",
                self.output.text()
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        self.readers
            .drain(..)
            .for_each(|reader| reader.join().unwrap());
        Exited {
            code: status.code(),
            output: self.output.text(),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The output so far.
    pub(super) fn text(&self) -> String {
        self.output.text()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(super) fn kill(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the server wrote:\n{}---", self.output.text());
        }
    }
}

/// The address in a line of the log.
fn address(line: &str) -> Option<SocketAddr> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let address = entry
        .get("address")
        .or_else(|| entry.get("fields")?.get("address"))?;
    address.as_str()?.parse().ok()
}

#[derive(Default)]
struct Output {
    state: Mutex<OutputState>,
    changed: Condvar,
}

#[derive(Default)]
struct OutputState {
    text: String,
    /// The number of open streams.
    open: usize,
}

impl Output {
    fn read(&self, stream: impl Read) {
        let mut lines = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            let length = lines.read_until(b'\n', &mut line).unwrap_or(0);
            let mut state = self.state.lock().unwrap();
            state.text.push_str(&String::from_utf8_lossy(&line));
            if length == 0 {
                state.open -= 1;
            }
            self.changed.notify_all();
            if length == 0 {
                return;
            }
        }
    }

    fn text(&self) -> String {
        self.state.lock().unwrap().text.clone()
    }

    /// Waits until `find` finds a value in the text; `None` when the text ends before.
    fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + TIMEOUT;
        let mut state = self.state.lock().unwrap();
        loop {
            match find(&state.text) {
                None if state.open > 0 => {}
                found => return found,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited in vain; the server wrote: {}",
                state.text
            );
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}
