//! `fieldstation simulate`: a fleet that sends realistic readings, and proves that nothing was lost or counted twice.

mod connection;
mod fleet;
mod proof;
mod recount;
mod report;
mod schedule;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use indicatif::{HumanCount, ProgressBar};
use parking_lot::Mutex;
use reqwest::{Method, Request, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::connection::{Counters, Shared};
use self::fleet::Fleet;
use self::recount::Recount;
use self::report::Report;
use self::schedule::{Habits, Schedule, Traffic};
use super::client::{CallError, Client, Patience};
use super::duration::parse_duration;
use super::server_url::ServerUrl;
use super::target::DEFAULT_URL;
use super::{Failure, FailureKind, progress, runtime};
use crate::readings::Timestamp;

/// How long a server may take for one request before it is sent again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The shortest time between two readings of a sensor, since a reading is known by its microsecond.
const READINGS_PER_SENSOR_SECOND_MAX: u64 = 1_000_000;

/// Which fleet, where to, and how unruly.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// How many sensors there are
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    sensors: u32,

    /// How many readings they make in a second, all together
    #[arg(
        long,
        value_name = "R",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u64).range(1..=100_000_000)
    )]
    rate: u64,

    /// How long: 10s, 5m, 1h30m, or seconds
    #[arg(long, value_name = "D", default_value = "30s", value_parser = parse_duration)]
    duration: Duration,

    /// The server
    #[arg(long, value_name = "URL", env = "FIELDSTATION_URL", default_value = DEFAULT_URL)]
    url: ServerUrl,

    /// How many connections send at once
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    connections: u16,

    /// The most readings in a batch; every other request is a single reading
    #[arg(
        long,
        value_name = "N",
        default_value_t = 500,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    batch: u32,

    /// The same seed makes the same fleet, weather and accidents [default: the clock]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// What sensor ids begin with; it must be new to the server [default: sim- and the time]
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// Readings that arrive after later ones of the same sensor
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    late: f64,

    /// Readings that are sent twice, at the same time or one after the other
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    repeated: f64,

    /// Readings that are corrected afterwards, some of them again
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent)]
    corrected: f64,

    /// How many sensors are compared reading by reading at the end
    #[arg(long, value_name = "N", default_value_t = 20)]
    sample: usize,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Each sensor has a climate of its own: a daily curve, noise and drift, read to two decimals. Single
readings (PUT /api/temperature) and batches (POST /api/readings) take turns on every connection. A
request that is not answered, or answered 503, is sent again. Corrections are sent only after the
reading was acknowledged, one at a time.

What the server acknowledges is counted a second time here, and at the end compared with what the
server says: for each sensor count, minimum, maximum, average, first, last and latest, all of them
exactly; for some sensors every reading. That takes 20 to 80 bytes of memory a reading: 1,000
readings a second make up to 300 MB an hour.

Examples:
  fieldstation simulate
  fieldstation simulate --sensors 1000 --rate 20000 --duration 5m --connections 16
  fieldstation simulate --late 20 --repeated 20 --corrected 20 --duration 10s
  fieldstation simulate --url https://telemetry.example --rate 10 --duration 1h --json

Exit codes: 0 proven; 1 different, or not to be proven since requests failed; 2 bad usage.";

/// Simulates, proves, and prints the verdict.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    runtime::block_on(2, simulate(arguments))
}

async fn simulate(arguments: Arguments) -> Result<(), Failure> {
    let rate_max = u64::from(arguments.sensors) * READINGS_PER_SENSOR_SECOND_MAX;
    if arguments.rate > rate_max {
        let error = anyhow!(
            "--rate {}: {} sensors make {rate_max} readings a second at the most, one a microsecond each",
            arguments.rate,
            arguments.sensors
        );
        return Err(Failure::new(FailureKind::Configuration, error));
    }
    let now = Timestamp::now();
    let seed = arguments.seed.unwrap_or(now.micros().unsigned_abs());
    let prefix = arguments
        .prefix
        .unwrap_or_else(|| format!("sim-{:x}-", now.micros()));
    let fleet =
        Fleet::new(&prefix, arguments.sensors, arguments.rate, now, seed).map_err(|error| {
            Failure::new(
                FailureKind::Configuration,
                anyhow!("--prefix {prefix}: the sensor id {error}"),
            )
        })?;
    let patience = Patience {
        timeout: REQUEST_TIMEOUT,
        ..Patience::default()
    };
    let client = Client::new(arguments.url, patience)?;
    refuse_known(&client, fleet.id(0).as_str()).await?;

    let shared = Arc::new(Shared {
        client,
        recount: Mutex::new(Recount::new(fleet.len())),
        fleet: Arc::new(fleet),
        traffic: Arc::new(Traffic::default()),
        counters: Counters::default(),
        batch_readings_max: arguments.batch as usize,
    });
    let habits = Habits {
        late: arguments.late,
        repeated: arguments.repeated,
        corrected: arguments.corrected,
    };
    let connections = usize::from(arguments.connections);
    let started = Instant::now();
    let sent = send(
        &shared,
        habits,
        seed,
        connections,
        arguments.duration,
        arguments.rate,
    )
    .await;
    let elapsed = started.elapsed();
    let verdict = match sent {
        Ok(()) => {
            let bar = progress::steps_bar(0, "sensors compared");
            let verdict = proof::prove(&shared, connections, arguments.sample, &bar).await;
            bar.finish_and_clear();
            verdict
        }
        Err(error) => Err(error),
    };
    let readings_planned = planned(arguments.duration, arguments.rate);
    let report = Report::new(&shared, &prefix, seed, elapsed, readings_planned, verdict);
    report.print(arguments.json)?;
    report.result()
}

/// A run that found readings of another one could not be proven.
async fn refuse_known(client: &Client, id: &str) -> Result<()> {
    let url = client.server().at(&["api", "sensors", id]);
    match client.call(&Request::new(Method::GET, url), |_| {}).await {
        Ok(_) => Err(anyhow!(
            "the server has readings of {id} already; choose another --prefix"
        )),
        Err(CallError::Status { status, .. }) if status == StatusCode::NOT_FOUND => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How many readings the fleet makes.
fn planned(duration: Duration, readings_per_second: u64) -> u64 {
    let readings = duration.as_micros() * u128::from(readings_per_second) / 1_000_000;
    u64::try_from(readings).unwrap_or(u64::MAX)
}

/// Runs the schedule and the connections to their end.
async fn send(
    shared: &Arc<Shared>,
    habits: Habits,
    seed: u64,
    connections: usize,
    duration: Duration,
    readings_per_second: u64,
) -> Result<()> {
    let mut queues = Vec::new();
    let mut workers = JoinSet::new();
    for number in 0..connections {
        let (queue, sendings) = mpsc::channel(2 * shared.batch_readings_max);
        queues.push(queue);
        workers.spawn(connection::run(number, sendings, Arc::clone(shared)));
    }
    let schedule = Schedule::new(
        Arc::clone(&shared.fleet),
        Arc::clone(&shared.traffic),
        habits,
        seed,
        queues,
    );
    let bar = progress::counting("{msg}");
    let watch = watch(shared, &bar);
    let run = schedule.run(
        duration,
        readings_per_second,
        planned(duration, readings_per_second),
    );
    let work = async {
        let mut first_error = None;
        while let Some(ended) = workers.join_next().await {
            let result = ended.context("a connection's task failed").flatten();
            if let Err(error) = result {
                shared.traffic.stop.store(true, Ordering::Relaxed);
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    };
    let result = tokio::select! {
        // The queues close when the schedule ends, and then the connections do.
        (scheduled, worked) = async { tokio::join!(run, work) } => worked.and(scheduled),
        never = watch => never,
    };
    bar.finish_and_clear();
    result
}

/// Keeps the line on the terminal up to date, and ends the schedule when asked to (Ctrl-C).
async fn watch(shared: &Shared, bar: &ProgressBar) -> Result<()> {
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let counters = &shared.counters;
                let load = |counter: &std::sync::atomic::AtomicU64| {
                    HumanCount(counter.load(Ordering::Relaxed))
                };
                let acknowledged = load(&counters.acknowledged);
                bar.set_message(format!(
                    "{acknowledged} acknowledged, {}/s; {} late, {} repeated, {} corrected, {} retried",
                    progress::rate(acknowledged.0, started.elapsed()),
                    load(&shared.traffic.late),
                    load(&counters.repeated),
                    load(&counters.corrected),
                    load(&counters.retried),
                ));
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                if shared.traffic.stop.swap(true, Ordering::Relaxed) {
                    return Err(anyhow!("interrupted"));
                }
                bar.suspend(|| eprintln!("ending, then comparing; once more to give up"));
            }
        }
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("write a number from 0 to 100".to_owned()),
    }
}
