//! Servers with the DynamoDB API, each test with tables of its own.
//!
//! * **dynoxide** is an emulator on SQLite with transactions, conditions, and the limits and error messages of the real thing,
//!   compared with AWS by a public suite. A test starts one of its own in milliseconds. It takes one request after the other, so
//!   it never answers `TransactionConflict`, never throttles, and shows no half of a transaction to a `Query`; the first two come
//!   from a proxy in front of it where a test wants them.
//! * **DynamoDB Local** is Amazon's own. It takes seconds to start, so the tests of a run share one that `test.sh` starts, and
//!   keep apart by the prefix of their tables.

use std::net::SocketAddr;
use std::path::Path;

use super::emulator::{Emulator, installed};

/// The kinds of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynamoKind {
    /// An emulator on SQLite.
    Dynoxide,
    /// Amazon's own.
    Local,
}

/// A running server. It is killed when this value is dropped, unless other tests use it.
pub struct DynamoServer {
    address: SocketAddr,
    prefix: String,
    /// `None` when the server ran before.
    _own: Option<Emulator>,
}

impl DynamoServer {
    /// Starts a dynoxide for this test.
    pub fn start() -> Self {
        Self::start_kind(DynamoKind::Dynoxide)
    }

    pub fn start_kind(kind: DynamoKind) -> Self {
        match kind {
            DynamoKind::Dynoxide => {
                let emulator = dynoxide();
                Self {
                    address: emulator.address(),
                    prefix: "test".to_owned(),
                    _own: Some(emulator),
                }
            }
            DynamoKind::Local => {
                let own = shared_local().is_none().then(dynamodb_local);
                let address = own.as_ref().map(Emulator::address).or_else(shared_local);
                Self {
                    address: address.expect("one of both is there"),
                    prefix: format!("test-{:x}", fieldstation::random::seed()),
                    _own: own,
                }
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The table of the readings.
    pub fn readings_table(&self) -> String {
        format!("{}-temperature-readings", self.prefix)
    }

    /// The URL for `--readings`.
    pub fn url(&self) -> String {
        self.url_through(self.address)
    }

    /// The URL for `--readings` through another address, such as that of a proxy.
    pub fn url_through(&self, address: SocketAddr) -> String {
        let prefix = &self.prefix;
        format!("dynamodb://{prefix}?region=eu-west-1&endpoint=http://{address}")
    }
}

fn dynoxide() -> Emulator {
    let program = installed("dynoxide", "target/tools/bin").expect(
        "dynoxide, a DynamoDB emulator, is missing; ./test.sh installs it, and so does `cargo install --locked --root target/tools dynoxide-rs@3.0.0`",
    );
    Emulator::start(&program, &["serve", "--log", "quiet", "--port"])
}

fn dynamodb_local() -> Emulator {
    let java = installed("java", "target/tools/java/bin")
        .expect("java, which DynamoDB Local runs on, is missing; ./test.sh installs it");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/dynamodb-local/emulator");
    let jar = folder.join("DynamoDBLocal.jar");
    assert!(
        jar.is_file(),
        "DynamoDB Local is missing; ./test.sh installs it"
    );
    let libraries = format!(
        "-Djava.library.path={}",
        folder.join("DynamoDBLocal_lib").display()
    );
    let jar = jar.display().to_string();
    let arguments = [
        libraries.as_str(),
        "-jar",
        &jar,
        "-inMemory",
        "-sharedDb",
        "-disableTelemetry",
        "-port",
    ];
    Emulator::start(&java, &arguments)
}

/// The DynamoDB Local that the tests of this run share.
#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the tests, not of the server"
)]
fn shared_local() -> Option<SocketAddr> {
    let address = std::env::var("FIELDSTATION_TEST_DYNAMODB_LOCAL").ok()?;
    Some(
        address
            .parse()
            .expect("FIELDSTATION_TEST_DYNAMODB_LOCAL is an address"),
    )
}
