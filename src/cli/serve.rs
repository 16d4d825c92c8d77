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
use crate::error::{StoreError, StoreErrorKind};
use crate::health::Draining;
use crate::router::router;
use crate::server::{self, ServerOptions};
use crate::trouble::chain;

/// How long a start waits for room until it looks again, and until the log says so again.
const OPEN_AGAIN: Duration = Duration::from_secs(1);
const REMINDER: Duration = Duration::from_secs(60);

/// What the server is told.
pub(super) type Arguments = Config;

/// How long work of requests that were cut off may go on when the stores are closed: it may wait for a disk that does not answer.
const LAST_WORK_PATIENCE: Duration = Duration::from_secs(2);

/// Serves until it is told to stop, or until the store fails.
pub(super) fn run(config: &Config) -> Result<(), Failure> {
    start_log(config)?;
    let app = open_when_there_is_room(config).map_err(|error| {
        let kind = match error.kind() {
            StoreErrorKind::Unsupported => FailureKind::Configuration,
            _ => FailureKind::Initialization,
        };
        Failure::new(kind, anyhow!(error))
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that serve")
        .map_err(|error| Failure::new(FailureKind::Initialization, error))?;
    let served = runtime.block_on(serve(config, app));
    // Nothing that is still under way has been acknowledged.
    runtime.shutdown_timeout(LAST_WORK_PATIENCE);
    served
}

/// Opens the stores. On a disk so full that not even its reserve is enough, waits until there is room: the server then goes on by
/// itself, whoever started it.
fn open_when_there_is_room(config: &Config) -> Result<App, StoreError> {
    let mut told: Option<Instant> = None;
    loop {
        match App::open(config) {
            Err(error) if error.kind() == StoreErrorKind::StorageFull => {
                if told.is_none_or(|told| told.elapsed() >= REMINDER) {
                    told = Some(Instant::now());
                    warn!(
                        error = chain(&error),
                        "cannot start yet: there is no room on the disk"
                    );
                }
                std::thread::sleep(OPEN_AGAIN);
            }
            opened => return opened,
        }
    }
}

async fn serve(config: &Config, app: App) -> Result<(), Failure> {
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
        say_where_to_go(&address.to_string());
    }

    let tended = app.clone();
    tokio::spawn(async move { tended.tend().await });
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
    let impatience = async {
        second.next().await;
        second.next().await
    };
    tokio::select! {
        _ = server::serve(listener, edge, options, stop) => {}
        signal = impatience => warn!(signal, "told to stop once more: requests under way are cut off"),
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

/// The signals that tell a server to stop.
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

    /// The name of the next one.
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

/// Which lines are logged. The library that speaks to S3 says at `info` that it tries a request again. While S3 is away, these are
/// hundreds of lines a minute beside the few that matter, so the library has to be asked for.
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
    // The last directive for a target counts, so whoever names the library hears it.
    format!("{RETRIES},{directives}").parse()
}

fn say_where_to_go(address: &str) {
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
