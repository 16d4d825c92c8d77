//! Runs an emulator: a program that listens on a port and keeps no data after the end.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::port::FreePort;

const PATIENCE: Duration = Duration::from_secs(60);

/// Arbitrary credentials. Emulators of AWS accept any credentials, and the program searches for no other credentials.
pub const ENVIRONMENT: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// A running emulator. Dropping this value kills the emulator.
pub struct Emulator {
    child: Child,
    address: SocketAddr,
    _port: FreePort,
}

impl Emulator {
    /// Starts a program on a free port. The port is the last argument.
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        Self::launch(program, |command, port| {
            command.args(arguments).arg(port);
        })
    }

    /// Starts a program on a free port. An environment variable names the port.
    pub fn start_with_port_in(program: &Path, name: &str, variables: &[(&str, &str)]) -> Self {
        Self::launch(program, |command, port| {
            command.envs(variables.iter().copied()).env(name, port);
        })
    }

    fn launch(program: &Path, set_up: impl Fn(&mut Command, &str)) -> Self {
        // Another program may take the port before the emulator does: then the next port is tried.
        for _ in 0..10 {
            let port = FreePort::take();
            let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
            let mut command = Command::new(program);
            set_up(&mut command, &address.port().to_string());
            let child = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut emulator = Self {
                child,
                address,
                _port: port,
            };
            if emulator.listens() {
                return emulator;
            }
        }
        panic!("{} does not listen on any port", program.display());
    }

    fn listens(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(self.address).is_ok() {
                // Another program may have taken the port: then the emulator ends by itself.
                std::thread::sleep(Duration::from_millis(5));
                return self.child.try_wait().unwrap().is_none();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // The emulator may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path of a program, in `folder` (where `test.sh` installs programs) or on the search path.
#[expect(
    clippy::disallowed_methods,
    reason = "where programs are is no setting of the server"
)]
pub fn installed(program: &str, folder: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    std::iter::once(folder)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|program| program.is_file())
}
