//! `fieldstation simulate`: sends simulated readings, and proves that the server lost none and counted none twice.

mod connection;
mod due_queue;
mod fleet;
mod proof;
mod recount;
mod report;
mod schedule;

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
use self::schedule::{Irregularities, Schedule, Traffic};
use super::client::{CallError, Client};
use super::duration::parse_duration;
use super::retry::RetryPolicy;
use super::server_url::ServerUrl;
use super::target::DEFAULT_URL;
use super::{Failure, FailureKind, progress, runtime};
use crate::readings::Timestamp;

/// The time limit for one request before the request is sent again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The most readings per second of a sensor: one per microsecond, because the microsecond identifies a reading.
const READINGS_PER_SENSOR_SECOND_MAX: u64 = 1_000_000;

/// The arguments of `simulate`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The number of sensors
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    sensors: u32,

    /// Readings per second of all sensors together
    #[arg(
        long,
        value_name = "R",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u64).range(1..=100_000_000)
    )]
    rate: u64,

    /// How long to send: 10s, 5m, 1h 30m, 2d, or a number of seconds
    #[arg(long, value_name = "D", default_value = "30s", value_parser = parse_duration)]
    duration: Duration,

    /// The server
    #[arg(long, value_name = "URL", env = "FIELDSTATION_URL", default_value = DEFAULT_URL)]
    url: ServerUrl,

    /// The number of connections that send at the same time
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    connections: u16,

    /// The most readings in a batch; every second request is a single reading
    #[arg(
        long,
        value_name = "N",
        default_value_t = 500,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    batch: u32,

    /// The seed of all random choices; the same seed gives the same readings [default: the clock]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,

    /// The beginning of all sensor ids; the server must have no sensor with it [default: sim- and the time]
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// The share of readings that arrive after later readings of the same sensor
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    late: f64,

    /// The share of readings that are sent twice, at the same time or one after the other
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    repeated: f64,

    /// The share of readings that are corrected afterwards, some of them twice
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent)]
    corrected: f64,

    /// The number of sensors that are compared reading by reading at the end
    #[arg(long, value_name = "N", default_value_t = 20)]
    sample: usize,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Each sensor has its own climate: a daily curve, noise and drift, measured to two decimals. Each
connection sends single readings (PUT /api/temperature) and batches (POST /api/readings) in turn. A
request without an answer, or with the answer 503, is sent again. A correction is sent only after
the server acknowledged the reading, one correction at a time.

The command keeps its own count of all acknowledged readings, and at the end compares it with the
server's: for each sensor the count, minimum, maximum, average, first, last and latest, all exactly;
for some sensors every reading. This takes 20 to 80 bytes of memory per reading: 1,000 readings per
second take up to 300 MB per hour.

Examples:
  fieldstation simulate
  fieldstation simulate --sensors 1000 --rate 20000 --duration 5m --connections 16
  fieldstation simulate --late 20 --repeated 20 --corrected 20 --duration 10s
  fieldstation simulate --url https://telemetry.example --rate 10 --duration 1h --json

Exit codes: 0 proven; 1 different, or not provable because requests failed; 2 bad usage.";

/// Runs the simulation and the comparison, and prints the report.
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
    let policy = RetryPolicy {
        attempt_timeout: REQUEST_TIMEOUT,
        ..RetryPolicy::default()
    };
    let client = Client::new(arguments.url, policy)?;
    check_prefix_is_new(&client, fleet.id(0).as_str()).await?;

    let shared = Arc::new(Shared {
        client,
        recount: Mutex::new(Recount::new(fleet.len())),
        fleet: Arc::new(fleet),
        traffic: Arc::new(Traffic::default()),
        counters: Counters::default(),
        batch_readings_max: arguments.batch as usize,
    });
    let irregularities = Irregularities {
        late: arguments.late,
        repeated: arguments.repeated,
        corrected: arguments.corrected,
    };
    let connections = usize::from(arguments.connections);
    let started = Instant::now();
    let sent = send(
        &shared,
        irregularities,
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

/// Readings of an earlier run would make the comparison fail.
async fn check_prefix_is_new(client: &Client, id: &str) -> Result<()> {
    let url = client.server().at(&["api", "sensors", id]);
    match client.call(&Request::new(Method::GET, url), |_| {}).await {
        Ok(_) => Err(anyhow!(
            "the server has readings of {id} already; choose another --prefix"
        )),
        Err(CallError::Status { status, .. }) if status == StatusCode::NOT_FOUND => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The number of readings that the fleet is to make.
fn planned(duration: Duration, readings_per_second: u64) -> u64 {
    let readings = duration.as_micros() * u128::from(readings_per_second) / 1_000_000;
    u64::try_from(readings).unwrap_or(u64::MAX)
}

/// Runs the schedule and the connections to their end.
async fn send(
    shared: &Arc<Shared>,
    irregularities: Irregularities,
    seed: u64,
    connections: usize,
    duration: Duration,
    readings_per_second: u64,
) -> Result<()> {
    let mut queues = Vec::new();
    let mut workers = JoinSet::new();
    for number in 0..connections {
        let (queue, deliveries) = mpsc::channel(2 * shared.batch_readings_max);
        queues.push(queue);
        workers.spawn(connection::run(number, deliveries, Arc::clone(shared)));
    }
    let schedule = Schedule::new(
        Arc::clone(&shared.fleet),
        Arc::clone(&shared.traffic),
        irregularities,
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
        // The end of the schedule closes the queues, which ends the connections.
        (scheduled, worked) = async { tokio::join!(run, work) } => worked.and(scheduled),
        never = watch => never,
    };
    bar.finish_and_clear();
    result
}

/// Updates the progress line, and ends the schedule on Ctrl-C.
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
                bar.suspend(|| eprintln!("no more readings are sent; comparing follows. Press Ctrl-C again to stop at once"));
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
