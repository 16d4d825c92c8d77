//! The real binary, on a port of its own, with a directory that goes when the test ends.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{Client, Disk, SmallDisk};

const BINARY: &str = env!("CARGO_BIN_EXE_fieldstation");

/// How long a machine under load may take for a start or a stop.
const PATIENCE: Duration = Duration::from_secs(60);

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How to start a server, again and again.
#[derive(Clone)]
struct Setup {
    directory: Arc<TempDir>,
    /// Port 0 takes a free one.
    listen: SocketAddr,
    arguments: Vec<String>,
    /// Where readings live when the tests are to run on DynamoDB.
    #[cfg(feature = "cloud")]
    dynamodb: Option<Arc<super::DynamoServer>>,
    /// Variables instead of those that all servers have.
    #[cfg(feature = "cloud")]
    environment: Option<Vec<(String, String)>>,
    /// What the process may not exceed: an option of the shell's `ulimit`, and its value.
    limit: Option<(&'static str, u64)>,
    /// A disk that fails on demand.
    disk: Option<Disk>,
    /// The disk that the data is on, unless it is that of the machine.
    small_disk: Option<Arc<SmallDisk>>,
}

/// A running server. It is killed when this goes.
pub struct Server {
    process: Process,
    address: SocketAddr,
    setup: Setup,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Exited {
    /// None when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output and standard error.
    pub output: String,
}

impl Setup {
    /// Everything in the data directory, whatever the other tests run on.
    fn embedded(directory: &Arc<TempDir>, arguments: &[&str]) -> Self {
        Self {
            directory: Arc::clone(directory),
            listen: ANY_PORT,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            #[cfg(feature = "cloud")]
            dynamodb: None,
            #[cfg(feature = "cloud")]
            environment: None,
            limit: None,
            disk: None,
            small_disk: None,
        }
    }
}

impl Server {
    /// A server with an empty data directory.
    pub fn start() -> Self {
        Self::with_args(&[])
    }

    /// A server with an empty data directory and settings.
    pub fn with_args(arguments: &[&str]) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self::try_in(&directory, arguments).unwrap()
    }

    /// A server on a directory that may hold data; how it ended when it does not start.
    pub fn try_in(directory: &Arc<TempDir>, arguments: &[&str]) -> Result<Self, Exited> {
        Self::launch(Setup {
            directory: Arc::clone(directory),
            listen: ANY_PORT,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            #[cfg(feature = "cloud")]
            dynamodb: for_all_tests(arguments),
            #[cfg(feature = "cloud")]
            environment: None,
            limit: None,
            disk: None,
            small_disk: None,
        })
    }

    /// A server with an empty data directory, settings, and these variables only; how it ended when it does not start.
    #[cfg(feature = "cloud")]
    pub fn try_in_environment(
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Result<Self, Exited> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::launch(Setup {
            directory: Arc::new(tempfile::tempdir().unwrap()),
            listen: ANY_PORT,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            dynamodb: None,
            environment: Some(environment.iter().map(own).collect()),
            limit: None,
            disk: None,
            small_disk: None,
        })
    }

    /// A server that cannot make a file larger than so many units of 512 bytes, as on a disk that breaks: writes beyond fail.
    pub fn with_file_limit(directory: &Arc<TempDir>, file_blocks_max: u64) -> Self {
        let limit = Some(("-f", file_blocks_max));
        Self::launch(Setup {
            limit,
            ..Setup::embedded(directory, &[])
        })
        .unwrap()
    }

    /// A server that can have so many files and connections open at a time.
    pub fn with_open_files_max(open_files_max: u64, arguments: &[&str]) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let limit = Some(("-n", open_files_max));
        Self::launch(Setup {
            limit,
            ..Setup::embedded(&directory, arguments)
        })
        .unwrap()
    }

    /// A server whose data is on a disk that fails on demand; how it ended when it does not start.
    pub fn try_on(disk: &Disk, arguments: &[&str]) -> Result<Self, Exited> {
        Self::launch(Setup {
            disk: Some(disk.clone()),
            ..Setup::embedded(disk.directory(), arguments)
        })
    }

    /// A server whose data is on a small disk; how it ended when it does not start.
    pub fn try_on_small(disk: &Arc<SmallDisk>, arguments: &[&str]) -> Result<Self, Exited> {
        Self::launch(Setup {
            small_disk: Some(Arc::clone(disk)),
            ..Setup::embedded(disk.directory(), arguments)
        })
    }

    fn launch(setup: Setup) -> Result<Self, Exited> {
        let mut command = match setup.limit {
            None => Command::new(BINARY),
            Some((option, value)) => {
                // The signal is ignored in the server, too, which inherits that: its writes fail instead of killing it.
                let mut shell = Command::new("/bin/sh");
                let script = r#"trap "" XFSZ; ulimit "$1" "$2"; shift 2; exec "$@""#;
                shell.args(["-c", script, "sh", option, &value.to_string(), BINARY]);
                shell
            }
        };
        command
            .args(["serve", "--log-format", "json", "--listen"])
            .arg(setup.listen.to_string())
            .arg("--data")
            .arg(match &setup.small_disk {
                Some(disk) => disk.data().to_owned(),
                None => setup.directory.path().join("data"),
            })
            .args(&setup.arguments)
            .current_dir(setup.directory.path());
        #[cfg(feature = "cloud")]
        if let Some(dynamodb) = &setup.dynamodb {
            command.args(["--readings", &dynamodb.url()]);
        }
        // Settings of whoever runs the tests are none of theirs.
        command.env_clear();
        #[cfg(feature = "cloud")]
        match setup.environment.clone() {
            Some(environment) => command.envs(environment),
            None => command.envs(super::emulator::ENVIRONMENT),
        };
        if let Some(disk) = &setup.small_disk {
            command.envs(disk.environment());
        }
        if let Some(disk) = &setup.disk {
            command.envs(disk.environment());
        }
        let mut process = Process::spawn(&mut command);
        match process.address() {
            Some(address) => Ok(Self {
                process,
                address,
                setup,
            }),
            None => Err(process.wait()),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client with connections of its own.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub fn directory(&self) -> &Arc<TempDir> {
        &self.setup.directory
    }

    /// What it stores is here.
    pub fn data(&self) -> PathBuf {
        self.setup.directory.path().join("data")
    }

    pub fn log(&self) -> String {
        self.process.output.text()
    }

    /// Waits for a text in the log: a line comes through a pipe, and may come after the answer.
    pub async fn logs(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The most memory that was resident so far.
    pub fn memory_peak_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.child.id());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kibibytes.trim().parse::<u64>().unwrap() * 1024
    }

    /// The CPU time of all its threads so far, in steps of 10 ms.
    pub fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.child.id());
        let stat = fs::read_to_string(path).unwrap();
        // The name, which comes second, is in parentheses and may hold anything.
        let (_, numbers) = stat.rsplit_once(") ").unwrap();
        let ticks = numbers.split(' ').skip(11).take(2);
        Duration::from_millis(ticks.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
    }

    /// Asks it to stop.
    pub fn sigterm(&self) {
        let kill = format!("kill -TERM {}", self.process.child.id());
        let status = Command::new("/bin/sh").args(["-c", &kill]).status();
        assert!(status.unwrap().success());
    }

    /// Waits until it has ended by itself.
    pub fn wait(mut self) -> Exited {
        self.process.wait()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.child.try_wait().unwrap().is_some()
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(self) -> Exited {
        self.sigterm();
        self.wait()
    }

    /// Kills it without any warning.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Kills it if it still runs, and starts it again with the same data and settings.
    pub fn restart(self) -> Self {
        let setup = self.setup.clone();
        drop(self);
        Self::launch(setup).unwrap()
    }

    /// Kills it, and starts it again where it was, for clients that know it by its address.
    pub fn restart_in_place(&mut self) {
        self.kill9();
        let setup = Setup {
            listen: self.address,
            ..self.setup.clone()
        };
        *self = Self::launch(setup).unwrap();
    }

    /// Kills it if it still runs, and starts it again with the same data and other settings.
    pub fn restart_with(self, arguments: &[&str]) -> Self {
        let directory = Arc::clone(&self.setup.directory);
        drop(self);
        Self::try_in(&directory, arguments).unwrap()
    }
}

/// Tables for a server whose arguments do not say where readings live, when `FIELDSTATION_TEST_READINGS=dynamodb` asks for the
/// tests of the API to run on them.
#[cfg(feature = "cloud")]
fn for_all_tests(arguments: &[&str]) -> Option<Arc<super::DynamoServer>> {
    // Not a setting of the program.
    #[allow(clippy::disallowed_methods)]
    let wanted = std::env::var("FIELDSTATION_TEST_READINGS").ok()?;
    assert_eq!(wanted, "dynamodb", "FIELDSTATION_TEST_READINGS");
    if arguments.contains(&"--readings") {
        return None;
    }
    let dynamodb = Arc::new(super::DynamoServer::start());
    let url = dynamodb.url();
    let made = run(
        Path::new("."),
        &["dynamodb", "create-tables", "--readings", &url],
    );
    assert_eq!(made.code, Some(0), "{}", made.output);
    Some(dynamodb)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server at {}", self.address)
    }
}

/// Runs the binary to its end.
pub fn run(directory: &Path, arguments: &[&str]) -> Exited {
    Process::spawn(&mut command_in(directory, arguments)).wait()
}

/// The same on a disk that fails, in its directory.
pub fn run_on(disk: &Disk, arguments: &[&str]) -> Exited {
    let mut command = command_in(disk.directory().path(), arguments);
    Process::spawn(command.envs(disk.environment())).wait()
}

/// The same with the data on a small disk.
pub fn run_on_small(disk: &SmallDisk, arguments: &[&str]) -> Exited {
    let mut command = command_in(disk.directory().path(), arguments);
    Process::spawn(command.envs(disk.environment())).wait()
}

fn command_in(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(directory).args(arguments).env_clear();
    #[cfg(feature = "cloud")]
    command.envs(super::emulator::ENVIRONMENT);
    command
}

/// A process and what it writes.
struct Process {
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    fn spawn(command: &mut Command) -> Self {
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

    /// Where it listens; none when it ended before it did.
    fn address(&self) -> Option<SocketAddr> {
        self.output.wait_for(|text| text.lines().find_map(address))
    }

    fn wait(&mut self) -> Exited {
        let deadline = Instant::now() + PATIENCE;
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

    fn kill(&mut self) {
        // It may have ended by itself.
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
    /// Streams that have not ended.
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

    /// Waits until something is found in the text; none when the text ends without it.
    fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
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
