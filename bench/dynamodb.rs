//! Readings on DynamoDB, on an emulator: CPU per reading, and requests over the wire.

#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "shared with the tests, which may"
)]
#[path = "../tests/it/support/counting_proxy.rs"]
mod counting_proxy;
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "shared with the tests, which may"
)]
#[path = "../tests/it/support/dynamodb.rs"]
mod dynamo;
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "shared with the tests, which may"
)]
#[path = "../tests/it/support/emulator.rs"]
mod emulator;

use std::process::Command;

use anyhow::{Result, ensure};

use self::counting_proxy::{CountingProxy, Counts};
use self::dynamo::DynamoServer;
use self::emulator::ENVIRONMENT;
use crate::control::Control;
use crate::load::{self, Work, Worker};
use crate::port;
use crate::report::Rounds;
use crate::rounds::{acknowledged, measure, recorders};
use crate::scenarios::Run;
use crate::server::Server;

const SENSORS: usize = 1_000;

/// A server on separate tables, and the proxy, which counts the requests of the server.
struct Remote {
    server: Server,
    wire: CountingProxy,
    _dynamo: DynamoServer,
}

impl Run {
    pub(crate) async fn dynamodb(&mut self) -> Result<()> {
        self.report.heading(
            "dynamodb",
            "readings on DynamoDB (an emulator on the same cores) beside the embedded store, 1,000 sensors",
        );
        self.beside_embedded("put", "single readings, 64 connections", 64, 1)
            .await?;
        self.beside_embedded("batch", "batches of 1,000, 4 connections", 4, 1_000)
            .await
    }

    fn remote(&self, name: &str) -> Result<Remote> {
        let dynamo = DynamoServer::start();
        let made = Command::new(env!("CARGO_BIN_EXE_fieldstation"))
            .args(["dynamodb", "create-tables", "--readings", &dynamo.url()])
            .envs(ENVIRONMENT)
            .output()?;
        ensure!(made.status.success(), "the tables cannot be made");
        let wire = CountingProxy::start(dynamo.address());
        let url = dynamo.url_through(wire.address());
        let server =
            Server::on_dynamodb(&self.data(&format!("dynamodb-{name}")), &url, &ENVIRONMENT)?;
        Ok(Remote {
            server,
            wire,
            _dynamo: dynamo,
        })
    }

    async fn beside_embedded(
        &mut self,
        name: &str,
        what: &str,
        connections: usize,
        rows: usize,
    ) -> Result<()> {
        let Remote {
            server: remote,
            wire,
            _dynamo,
        } = self.remote(name)?;
        let embedded = Server::product(&self.data(&format!("embedded-{name}")))?;
        let mut workers = recorders(SENSORS, connections, rows)?;
        let mut embedded_workers = workers.clone();
        // Runs a round before the measurements. Afterwards the server knows every sensor, as in a fleet after some time.
        load::run(remote.address, &mut workers, self.round()).await?;
        let (mut rounds, mut embedded_rounds) = (Rounds::default(), Rounds::default());
        let (mut counts, mut readings) = (Counts::default(), 0);
        for _ in 0..self.options.rounds {
            let before = (wire.counts(), acknowledged(&workers).count());
            rounds.push(measure(&remote, &mut workers, self.round()).await?);
            add(&mut counts, wire.counts().since(&before.0));
            readings += acknowledged(&workers).count() - before.1;
            embedded_rounds.push(measure(&embedded, &mut embedded_workers, self.round()).await?);
        }
        let heading = format!("dynamodb: {what}");
        println!("   {heading}");
        self.report.rounds(&heading, "readings", &rounds, None);
        self.requests(&heading, readings, &counts);
        let heading = format!("embedded: {what}");
        println!("   {heading}");
        self.report
            .rounds(&heading, "readings", &embedded_rounds, None);
        Control::new(remote.address).verify(&acknowledged(&workers))?;

        let mut readers = vec![Worker::unpaced(Work::get("/api/stats")); 64];
        let mut rounds = Rounds::default();
        for _ in 0..self.options.rounds {
            rounds.push(measure(&remote, &mut readers, self.round()).await?);
        }
        let heading = "dynamodb: GET /api/stats, 64 connections";
        println!("   {heading}");
        self.report.rounds(heading, "requests", &rounds, None);
        remote.stop()?;
        embedded.stop()?;
        Ok(())
    }

    /// Reports the readings per request, and the requests by kind.
    fn requests(&mut self, heading: &str, readings: u64, counts: &Counts) {
        let transactions = counts.transactions() as f64;
        let each = readings as f64 / counts.requests() as f64;
        let items = counts.items as f64 / transactions;
        let cancelled = counts.cancelled as f64 / transactions * 100.0;
        for (what, value, unit) in [
            ("readings a request to DynamoDB", each, ""),
            ("items a transaction, of 100", items, ""),
            (
                "transactions that were cancelled and planned anew",
                cancelled,
                "%",
            ),
        ] {
            self.report.value(heading, what, value, unit);
        }
        for (operation, count) in counts.operations.iter().filter(|it| *it.1 > 0) {
            let part = *count as f64 * 1e3 / readings as f64;
            let what = format!("requests for 1,000 readings: {operation}");
            self.report.value(heading, &what, part, "");
        }
    }
}

fn add(all: &mut Counts, more: Counts) {
    for (operation, count) in more.operations {
        *all.operations.entry(operation).or_default() += count;
    }
    all.items += more.items;
    all.cancelled += more.cancelled;
}
