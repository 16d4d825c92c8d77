//! Servers with the DynamoDB API. Each test has separate tables.
//!
//! * **dynoxide** is an emulator on SQLite with transactions, conditions, and the limits and error messages of the real DynamoDB.
//!   A public suite compares dynoxide with AWS. A test starts a separate dynoxide in milliseconds. dynoxide handles one request after
//!   the other, so dynoxide never answers `TransactionConflict`, never throttles, and never shows half of a transaction to a `Query`.
//!   A test that needs a conflict or throttling puts a proxy in front of dynoxide.
//! * **DynamoDB Local** comes from Amazon. DynamoDB Local takes seconds to start. So `test.sh` starts a single DynamoDB Local, and all
//!   tests of a run share this server. Each test uses a different prefix for the tables.

use std::net::SocketAddr;
use std::path::Path;

use super::emulator::{Emulator, installed};

/// The kinds of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynamoKind {
    /// An emulator on SQLite.
    Dynoxide,
    /// The emulator of Amazon.
    Local,
}

/// A running server. Dropping this value kills the server, unless other tests use the server.
pub struct DynamoServer {
    address: SocketAddr,
    prefix: String,
    /// `None` when the server was running before the test.
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

    /// The URL for `--readings` through another address, such as the address of a proxy.
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

/// The shared DynamoDB Local of this run.
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
