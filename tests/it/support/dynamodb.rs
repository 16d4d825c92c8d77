//! A server with the DynamoDB API, for one test, in memory.
//!
//! It is dynoxide, an emulator on SQLite with transactions, conditions, and the limits and error messages of the real thing, compared
//! with AWS by a public suite. It takes one request after the other, so it never answers `TransactionConflict`, never throttles, and
//! shows no half of a transaction to a `Query`; the first two come from a proxy in front of it where a test wants them.

use std::net::SocketAddr;

use super::emulator::{Emulator, installed};

/// A running emulator. It is killed when this goes.
pub struct DynamoServer(Emulator);

impl DynamoServer {
    pub fn start() -> Self {
        let program = installed("dynoxide", "target/tools/bin").expect(
            "dynoxide, a DynamoDB emulator, is missing; ./test.sh installs it, and so does `cargo install --locked --root target/tools dynoxide-rs@3.0.0`",
        );
        Self(Emulator::start(
            &program,
            &["serve", "--log", "quiet", "--port"],
        ))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// What `--readings` takes.
    pub fn url(&self) -> String {
        Self::url_at(self.address())
    }

    /// The same through another address, such as a proxy's.
    pub fn url_at(address: SocketAddr) -> String {
        format!("dynamodb://test?region=eu-west-1&endpoint=http://{address}")
    }
}
