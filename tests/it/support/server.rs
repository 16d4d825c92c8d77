//! Runs the real binary on a separate port. The end of the test removes the data directory.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::process::Process;
use super::{Client, Disk, Exited, SmallDisk};

const BINARY: &str = env!("CARGO_BIN_EXE_fieldstation");

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The settings for the first start and for restarts of a server.
#[derive(Clone)]
struct Setup {
    directory: Arc<TempDir>,
    /// Port 0 chooses a free port.
    listen: SocketAddr,
    arguments: Vec<String>,
    /// The tables of the readings when the tests run on DynamoDB.
    #[cfg(feature = "cloud")]
    dynamodb: Option<Arc<super::DynamoServer>>,
    /// Environment variables in place of the usual ones.
    #[cfg(feature = "cloud")]
    environment: Option<Vec<(String, String)>>,
    /// A limit of the process: an option of `ulimit` and the value.
    limit: Option<(&'static str, u64)>,
    /// A disk with failures on demand.
    disk: Option<Disk>,
    /// The disk of the data directory. `None` for a disk of the machine.
    small_disk: Option<Arc<SmallDisk>>,
}

/// A running server. Dropping this value kills the server.
pub struct Server {
    process: Process,
    address: SocketAddr,
    setup: Setup,
}

impl Setup {
    /// A server with all stores in the data directory, even when the tests of the API run on DynamoDB.
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

    /// A server on a directory with or without data. An error describes the end of a failed start.
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

    /// A server with an empty data directory, settings, and only these variables. An error describes the end of a failed start.
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

    /// A server with a limit on the size of files, in blocks of 512 bytes. A write beyond the limit fails as on a broken disk.
    pub fn with_file_limit(directory: &Arc<TempDir>, file_blocks_max: u64) -> Self {
        let limit = Some(("-f", file_blocks_max));
        Self::launch(Setup {
            limit,
            ..Setup::embedded(directory, &[])
        })
        .unwrap()
    }

    /// A server with a limit of open files and connections.
    pub fn with_open_files_max(open_files_max: u64, arguments: &[&str]) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let limit = Some(("-n", open_files_max));
        Self::launch(Setup {
            limit,
            ..Setup::embedded(&directory, arguments)
        })
        .unwrap()
    }

    /// A server with the data on a disk with failures on demand. An error describes the end of a failed start.
    pub fn try_on(disk: &Disk, arguments: &[&str]) -> Result<Self, Exited> {
        Self::launch(Setup {
            disk: Some(disk.clone()),
            ..Setup::embedded(disk.directory(), arguments)
        })
    }

    /// A server with the data on a small disk. An error describes the end of a failed start.
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
                // The server inherits the ignored signal: writes fail, and the signal does not kill the server.
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
        // The environment of the test run must not configure the server.
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

    /// A client with separate connections.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub fn directory(&self) -> &Arc<TempDir> {
        &self.setup.directory
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.setup.directory.path().join("data")
    }

    pub fn log(&self) -> String {
        self.process.text()
    }

    /// Waits for a text in the log. A line comes through a pipe, and may come after the answer.
    pub async fn logs(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The peak of the resident memory so far.
    pub fn memory_peak_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kibibytes.trim().parse::<u64>().unwrap() * 1024
    }

    /// The CPU time of all threads so far, in steps of 10 ms.
    pub fn cpu_time(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = fs::read_to_string(path).unwrap();
        // The second field, the name, is in parentheses and may hold any character.
        let (_, numbers) = stat.rsplit_once(") ").unwrap();
        let ticks = numbers.split(' ').skip(11).take(2);
        Duration::from_millis(ticks.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
    }

    /// Sends SIGTERM.
    pub fn sigterm(&self) {
        let kill = format!("kill -TERM {}", self.process.id());
        let status = Command::new("/bin/sh").args(["-c", &kill]).status();
        assert!(status.unwrap().success());
    }

    /// Waits until the server has ended by itself.
    pub fn wait(mut self) -> Exited {
        self.process.wait()
    }

    /// Whether the server has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// Sends SIGTERM, and waits until the server has ended.
    pub fn stop(self) -> Exited {
        self.sigterm();
        self.wait()
    }

    /// Sends SIGKILL.
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Kills the server if the server still runs. Starts the server again with the same data and settings.
    pub fn restart(self) -> Self {
        let setup = self.setup.clone();
        drop(self);
        Self::launch(setup).unwrap()
    }

    /// Kills the server, and starts the server again on the same port. Clients keep the known address.
    pub fn restart_in_place(&mut self) {
        self.kill9();
        let setup = Setup {
            listen: self.address,
            ..self.setup.clone()
        };
        *self = Self::launch(setup).unwrap();
    }

    /// Kills the server if the server still runs. Starts the server again with the same data and other settings.
    pub fn restart_with(self, arguments: &[&str]) -> Self {
        let directory = Arc::clone(&self.setup.directory);
        drop(self);
        Self::try_in(&directory, arguments).unwrap()
    }
}

/// DynamoDB tables for a server without a store of readings in the arguments. Only with `FIELDSTATION_TEST_READINGS=dynamodb`, which
/// runs the tests of the API on DynamoDB.
#[cfg(feature = "cloud")]
fn for_all_tests(arguments: &[&str]) -> Option<Arc<super::DynamoServer>> {
    // This variable is a setting of the tests, not of the program.
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

/// Runs the binary to the end.
pub fn run(directory: &Path, arguments: &[&str]) -> Exited {
    Process::spawn(&mut command_in(directory, arguments)).wait()
}

/// Runs the binary to the end on a failing disk, in the directory of the disk.
pub fn run_on(disk: &Disk, arguments: &[&str]) -> Exited {
    let mut command = command_in(disk.directory().path(), arguments);
    Process::spawn(command.envs(disk.environment())).wait()
}

/// Runs the binary to the end with the data on a small disk.
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
