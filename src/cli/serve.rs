//! `fieldstation serve`: the server.

use std::io::{self, IsTerminal, stderr};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use super::{Failure, FailureKind};
use crate::app::App;
use crate::config::{Config, LogFormat};
use crate::error::chain;
use crate::error::{StoreError, StoreErrorKind};
use crate::health::Draining;
use crate::router::router;
use crate::server::{self, ServerOptions};

/// The pause between two attempts to open the stores on a full disk, and between two warnings in the log.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);
const REMINDER_PERIOD: Duration = Duration::from_secs(60);

/// The settings of the server.
pub(super) type Arguments = Config;

/// The time limit for the work of requests that were cut off, after the stores are closed. Such work may wait for a disk that
/// does not answer.
const LAST_WORK_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves until a signal stops the server or the store fails.
pub(super) fn run(config: &Config) -> Result<(), Failure> {
    start_log(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve")
        .map_err(|error| Failure::new(FailureKind::Initialization, error))?;
    let served = runtime.block_on(serve(config));
    // No request that is still running was acknowledged.
    runtime.shutdown_timeout(LAST_WORK_TIMEOUT);
    served
}

/// Opens the stores. On a disk so full that the reserve is not enough, waits for space, so that nobody has to restart the server.
async fn open_when_disk_has_space(config: &Config) -> Result<App, StoreError> {
    let mut warned_at: Option<Instant> = None;
    loop {
        match App::open(config).await {
            Err(error) if error.kind() == StoreErrorKind::StorageFull => {
                if warned_at.is_none_or(|warned_at| warned_at.elapsed() >= REMINDER_PERIOD) {
                    warned_at = Some(Instant::now());
                    warn!(
                        error = chain(&error),
                        "cannot start yet: there is no room on the disk"
                    );
                }
                tokio::time::sleep(REOPEN_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

async fn serve(config: &Config) -> Result<(), Failure> {
    // Until the stores are open, a signal ends the process at once.
    let app = open_when_disk_has_space(config).await.map_err(|error| {
        let kind = match error.kind() {
            StoreErrorKind::Unsupported => FailureKind::Configuration,
            _ => FailureKind::Initialization,
        };
        Failure::new(kind, anyhow!(error))
    })?;
    let initialization = |error| Failure::new(FailureKind::Initialization, error);
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| {
            format!(
                "cannot listen on {}; is another server there? --listen names another address",
                config.listen
            )
        })
        .map_err(initialization)?;
    let address = listener
        .local_addr()
        .context("cannot tell the address")
        .map_err(initialization)?;
    let (mut first, mut second) = Signals::new()
        .and_then(|first| Ok((first, Signals::new()?)))
        .context("cannot wait for signals")
        .map_err(initialization)?;
    info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");
    if stderr().is_terminal() {
        print_start_hint(&address.to_string());
    }

    let tending_app = app.clone();
    tokio::spawn(async move { tending_app.tend().await });
    let draining = Draining::default();
    let edge = router(
        &app,
        &Config {
            listen: address,
            ..config.clone()
        },
        draining.clone(),
    );
    let options = ServerOptions {
        connections_max: usize::try_from(config.connections_max).unwrap_or(usize::MAX),
        header_timeout: config.header_timeout_seconds.duration(),
        stall: config.export_idle_seconds.duration(),
        drain: config.drain_seconds.duration(),
    };
    let mut store_failure = None;
    let stop = async {
        let why = tokio::select! {
            signal = first.next() => signal,
            failure = app.failed() => {
                store_failure = Some(failure);
                "a store has failed"
            }
        };
        info!(why, "stopping");
        draining.begin();
    };
    let second_signal = async {
        second.next().await;
        second.next().await
    };
    tokio::select! {
        _ = server::serve(listener, edge, options, stop) => {}
        signal = second_signal => warn!(signal, "told to stop once more: requests under way are cut off"),
    }
    let has_failed = store_failure.is_some();
    let closed = app.close().await;
    match (store_failure, closed) {
        (Some(error), _) | (None, Err(error)) => {
            error!(%error, "stopped");
            let kind = match has_failed && !app.readings.is_open() {
                true => FailureKind::Initialization,
                false => FailureKind::Store,
            };
            Err(Failure::new(kind, anyhow!(error)))
        }
        (None, Ok(())) => {
            info!("stopped");
            Ok(())
        }
    }
}

/// The signals that stop the server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The name of the next signal.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Structured lines on standard error: text for people, JSON for machines.
fn start_log(config: &Config) -> Result<(), Failure> {
    let configuration = |error| Failure::new(FailureKind::Configuration, error);
    let filter = filter(&config.log)
        .with_context(|| {
            format!(
                "--log {}: not a filter such as info or info,fieldstation::http=debug",
                config.log
            )
        })
        .map_err(configuration)?;
    let json = match config.log_format {
        LogFormat::Auto => !stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let log = tracing_subscriber::registry().with(filter);
    let started = if json {
        let lines = lines.json().flatten_event(true);
        log.with(lines.with_current_span(false).with_span_list(false))
            .try_init()
    } else {
        log.with(lines.with_ansi(stderr().is_terminal())).try_init()
    };
    started.map_err(|error| configuration(anyhow!("cannot start the log: {error}")))
}

/// The filter of the log. The S3 library logs each repeated request at `info`, hundreds of lines a minute while S3 is
/// unavailable. The default filter leaves these lines out.
fn filter(directives: &str) -> Result<Targets, ParseError> {
    const RETRIES: &str = "object_store=warn";
    let pieces: Vec<&str> = directives
        .split(',')
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
        .collect();
    let directives = pieces.join(",");
    let asked: Targets = directives.parse()?;
    if Layer::<Registry>::max_level_hint(&asked) < Some(LevelFilter::INFO) {
        return Ok(asked);
    }
    // A later directive wins, so a filter that names the library shows its lines.
    format!("{RETRIES},{directives}").parse()
}

fn print_start_hint(address: &str) {
    eprintln!(
        "
  Fieldstation is ready:   http://{address}/
  Send a reading:          curl -X PUT http://{address}/api/temperature -d '{{\"sensorId\":\"202\",\"temperature\":18}}'
  See the statistics:      curl http://{address}/api/stats
  Import a file:           fieldstation import readings.csv --sensor-id machine-1 --url http://{address}
  All settings:            fieldstation serve --help
  Stop it:                 Ctrl-C
"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_of_a_library_are_logged_for_those_who_ask() {
        for (asked, used) in [
            ("error", "error"),
            ("info", "object_store=warn,info"),
            ("debug", "object_store=warn,debug"),
            (" debug, ", "object_store=warn,debug"),
            ("info,object_store=debug", "object_store=debug,info"),
            (
                "warn,fieldstation::cli=info",
                "fieldstation::cli=info,object_store=warn,warn",
            ),
        ] {
            assert_eq!(filter(asked).unwrap().to_string(), used);
        }
        assert!(filter("nonsense=5x").is_err());
    }
}
