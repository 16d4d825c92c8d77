//! Every setting of the server: meaning, unit, default and environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::backend_url::BackendUrl;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `text` on a terminal, `json` otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object for each line, for machines.
    Json,
}

/// Which clients are served besides those of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compatibility {
    /// Clients of the older systems: their routes are served too.
    Older,
    /// No other clients.
    None,
}

/// The name of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreName {
    /// Temperature readings.
    Readings,
    /// Device files.
    Files,
    /// The task list.
    Todos,
    /// The word of the greeting.
    Greeting,
}

/// The settings of `fieldstation serve`.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// Address and port to listen on; port 0 takes a free one. There is no authentication: listen on other addresses than
    /// loopback only behind a proxy that admits known clients only.
    #[arg(
        long,
        env = "FIELDSTATION_LISTEN",
        default_value = "127.0.0.1:5000",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,

    /// Data directory of the embedded stores; created if it is missing. One server at a time can use it.
    #[arg(
        long,
        env = "FIELDSTATION_DATA",
        default_value = "./fieldstation-data",
        value_name = "DIRECTORY"
    )]
    pub data: PathBuf,

    /// Only read: every write is refused with 403, and no file in the data directory is created or changed. The directory may be on a
    /// read-only medium.
    #[arg(long, env = "FIELDSTATION_READ_ONLY")]
    pub read_only: bool,

    /// Store of the readings. `sqlite:` keeps them in the data directory; `dynamodb://PREFIX?region=…&endpoint=…` in two DynamoDB
    /// tables, which any number of servers share. Credentials, and the region if it is not given, come from the standard AWS credential chain.
    #[arg(
        long,
        env = "FIELDSTATION_READINGS",
        default_value = "sqlite:",
        value_name = "URL",
        hide_env_values = true
    )]
    pub readings: BackendUrl,

    /// Store of the device files. `file:` keeps them in the data directory; `s3://bucket/prefix` in a bucket, with
    /// `?region=…&endpoint=…` for one that is not Amazon's. Credentials come from the standard AWS credential chain.
    #[arg(
        long,
        env = "FIELDSTATION_FILES",
        default_value = "file:",
        value_name = "URL",
        hide_env_values = true
    )]
    pub files: BackendUrl,

    /// Store of the todos. `sqlite:` keeps them in the data directory;
    /// `postgres://user:password@host:port/database?sslmode=verify-full` in PostgreSQL, with `&schema=NAME` for tables in a schema
    /// of their own, and `&pgbouncer=true` behind PgBouncer. [default: the database that a file manifest.json in the working directory
    /// names, and sqlite: without that file]
    #[arg(
        long,
        env = "FIELDSTATION_TODOS",
        value_name = "URL",
        hide_env_values = true
    )]
    pub todos: Option<BackendUrl>,

    /// Store of the greeting. `sqlite:` keeps it in the data directory; `redis://HOST:PORT` and `rediss://HOST:PORT`
    /// (TLS) share it among replicas, with Redis or Valkey. The URL may hold `USER:PASSWORD@`, the number of a database as its
    /// path, `?prefix=NAME:` before the key (`fieldstation:` by default), and `?ca=FILE` with the certificates to trust.
    #[arg(
        long,
        env = "FIELDSTATION_GREETING",
        default_value = "sqlite:",
        value_name = "URL",
        hide_env_values = true
    )]
    pub greeting: BackendUrl,

    /// Stores without which the server is not ready (`/readyz` answers 503), separated by commas. Without a store only its
    /// own routes fail. Without a needed store a load balancer sends this server no requests at all.
    #[arg(
        long,
        env = "FIELDSTATION_NEEDED",
        default_value = "readings",
        value_name = "STORES",
        value_delimiter = ','
    )]
    pub needed: Vec<StoreName>,

    /// Other clients to serve. `older` serves the routes of the older todo app (`/add`, `/request`) with the same todos; with `none`
    /// these routes answer 404.
    #[arg(
        long,
        env = "FIELDSTATION_COMPATIBILITY",
        default_value = "older",
        value_name = "CLIENTS"
    )]
    pub compatibility: Compatibility,

    /// The address where Amazon ECS describes the task. ECS sets the variable; `/health` shows the description.
    #[arg(
        long,
        env = "ECS_CONTAINER_METADATA_URI_V4",
        value_name = "URL",
        hide = true
    )]
    pub ecs_metadata: Option<url::Url>,

    /// Level of the log (error, warn, info, debug, trace), or levels by target such as `info,fieldstation::http=debug`. At debug
    /// every request writes a line.
    #[arg(
        long,
        env = "FIELDSTATION_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,

    /// Format of the log on standard error.
    #[arg(long, env = "FIELDSTATION_LOG_FORMAT", default_value = "auto")]
    pub log_format: LogFormat,

    /// Largest number of sensors. A reading of a further sensor is refused with 507, so that wrong ids cannot use up the memory. A sensor
    /// takes about 300 bytes.
    #[arg(long, env = "FIELDSTATION_SENSORS_MAX", default_value_t = 1_000_000, value_name = "COUNT", value_parser = positive())]
    pub sensors_max: u64,

    /// Largest body of a request other than a batch or a file, in bytes; larger bodies are refused with 413.
    #[arg(long, env = "FIELDSTATION_BODY_BYTES_MAX", default_value_t = 1 << 20, value_name = "BYTES", value_parser = positive())]
    pub body_bytes_max: u64,

    /// Largest batch, in bytes after decompression; larger batches are refused with 413.
    #[arg(long, env = "FIELDSTATION_BATCH_BYTES_MAX", default_value_t = 64 << 20, value_name = "BYTES", value_parser = positive())]
    pub batch_bytes_max: u64,

    /// Memory for all batches that are received at a time, in bytes; further batches are refused with 503.
    #[arg(long, env = "FIELDSTATION_INGEST_BYTES_MAX", default_value_t = 256 << 20, value_name = "BYTES", value_parser = positive())]
    pub ingest_bytes_max: u64,

    /// Largest device file, in bytes; larger files are refused with 413.
    #[arg(long, env = "FIELDSTATION_UPLOAD_BYTES_MAX", default_value_t = 5 << 30, value_name = "BYTES", value_parser = positive())]
    pub upload_bytes_max: u64,

    /// Largest number of concurrent uploads and downloads of device files; further transfers are refused with 503. Each takes up to
    /// 1 MiB of memory.
    #[arg(long, env = "FIELDSTATION_TRANSFERS_MAX", default_value_t = 128, value_name = "COUNT", value_parser = positive())]
    pub transfers_max: u64,

    /// Largest number of concurrent exports, 1 to 7; further exports are refused with 503. Each holds a snapshot.
    #[arg(long, env = "FIELDSTATION_EXPORTS_MAX", default_value_t = 4, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=7))]
    pub exports_max: u64,

    /// Largest number of open connections; further connections wait until the server accepts them.
    #[arg(long, env = "FIELDSTATION_CONNECTIONS_MAX", default_value_t = 10_000, value_name = "COUNT", value_parser = positive())]
    pub connections_max: u64,

    /// Time for the head of the next request of a connection, in seconds. Idle connections end after this time too, so the time must be
    /// longer than the idle time-out of a load balancer in front of the server.
    #[arg(long, env = "FIELDSTATION_HEADER_TIMEOUT_SECONDS", default_value = "75", value_name = "SECONDS", value_parser = seconds)]
    pub header_timeout_seconds: Seconds,

    /// Longest pause of a client within a body, in seconds; then the request ends with 408.
    #[arg(long, env = "FIELDSTATION_BODY_IDLE_SECONDS", default_value = "15", value_name = "SECONDS", value_parser = seconds)]
    pub body_idle_seconds: Seconds,

    /// Time from the end of a request's body to the beginning of its answer, in seconds; then the request ends with 503. A body that
    /// arrives more slowly than 1 KiB a second has the same time, and then ends with 408.
    #[arg(long, env = "FIELDSTATION_REQUEST_TIMEOUT_SECONDS", default_value = "30", value_name = "SECONDS", value_parser = seconds)]
    pub request_timeout_seconds: Seconds,

    /// Longest pause of a client that reads an answer, such as an export, in seconds; then the connection is closed.
    #[arg(long, env = "FIELDSTATION_EXPORT_IDLE_SECONDS", default_value = "60", value_name = "SECONDS", value_parser = seconds)]
    pub export_idle_seconds: Seconds,

    /// Time for running requests to finish after the signal to stop, in seconds. A second signal ends the wait.
    #[arg(long, env = "FIELDSTATION_DRAIN_SECONDS", default_value = "20", value_name = "SECONDS", value_parser = seconds)]
    pub drain_seconds: Seconds,
}

/// A duration in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(Duration);

impl Seconds {
    /// The duration.
    pub fn duration(self) -> Duration {
        self.0
    }
}

fn seconds(text: &str) -> Result<Seconds, String> {
    const SECONDS_MAX: f64 = 1e6;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= SECONDS_MAX => {
            Ok(Seconds(Duration::from_secs_f64(seconds)))
        }
        _ => Err("give seconds above 0, such as 20 or 0.5".to_owned()),
    }
}

fn positive() -> clap::builder::RangedU64ValueParser {
    // Fits into `usize` on 64-bit systems.
    clap::value_parser!(u64).range(1..=1 << 40)
}
