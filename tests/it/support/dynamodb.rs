//! A server with the DynamoDB API, for one test, in memory.
//!
//! It is dynoxide, an emulator on SQLite with transactions, conditions, and the limits and error messages of the real thing, compared
//! with AWS by a public suite. It takes one request after the other, so it never answers `TransactionConflict`, never throttles, and
//! shows no half of a transaction to a `Query`; the first two come from a proxy in front of it where a test wants them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Credentials as emulators of AWS take any, and no search for others.
pub const ENVIRONMENT: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

const PATIENCE: Duration = Duration::from_secs(20);

/// A running emulator. It is killed when this goes.
pub struct DynamoServer {
    child: Child,
    address: SocketAddr,
}

impl DynamoServer {
    pub fn start() -> Self {
        let program = program();
        // The port may be taken by somebody else between the look and the start; then there are others.
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let child = Command::new(&program)
                .args(["serve", "--log", "quiet", "--port"])
                .arg(address.port().to_string())
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut server = Self { child, address };
            if server.listens() {
                return server;
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
                // It may have been another one's port: then ours ends by itself.
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

    /// What `--readings` takes.
    pub fn url(&self) -> String {
        Self::url_at(self.address)
    }

    /// The same through another address, such as a proxy's.
    pub fn url_at(address: SocketAddr) -> String {
        format!("dynamodb://test?region=eu-west-1&endpoint=http://{address}")
    }
}

impl Drop for DynamoServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the emulator is: on the path, or where `test.sh` installs it.
fn program() -> PathBuf {
    // Not a setting of the program.
    #[allow(clippy::disallowed_methods)]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin");
    std::env::split_paths(&path)
        .chain([installed])
        .map(|folder| folder.join("dynoxide"))
        .find(|program| program.is_file())
        .expect("dynoxide, a DynamoDB emulator, is missing; ./test.sh installs it, and so does `cargo install --locked --root target/tools dynoxide-rs@3.0.0`")
}
