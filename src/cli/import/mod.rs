//! `fieldstation import`: readings from files into a server or a data directory.

mod columns;
mod csv_rows;
mod lines;
mod pieces;
mod sink;
mod source;
mod summary;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Args;
use indicatif::{HumanCount, ProgressBar};
use tokio::sync::mpsc;

use self::columns::ColumnChoice;
use self::pieces::{Piece, ReadOptions};
use self::sink::Sink;
use self::source::Source;
use self::summary::Tally;
use super::client::Client;
use super::format::Format;
use super::retry::RetryPolicy;
use super::target::{Target, TargetArguments, open_store};
use super::{Failure, FailureKind, progress, runtime};
use crate::readings::SensorId;

/// The number of pieces that are read ahead of the piece being recorded.
const PIECES_AHEAD: usize = 2;

/// The arguments of `import`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Files of CSV or NDJSON, plain or compressed with gzip or zstd; none or `-` is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    target: TargetArguments,

    /// The format of the files [default: by the name of each file, then by its first character]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// CSV: the column of the timestamp, by name (in any case) or by number from 1 [default: guessed from the header]
    #[arg(long, value_name = "COLUMN")]
    timestamp_column: Option<String>,

    /// CSV: the column of the temperature, by name or number [default: guessed from the header]
    #[arg(long, value_name = "COLUMN")]
    temperature_column: Option<String>,

    /// CSV: the column of the sensor id, by name or number [default: guessed from the header]
    #[arg(long, value_name = "COLUMN", conflicts_with = "sensor_id")]
    sensor_column: Option<String>,

    /// CSV: the sensor id of all readings, for files without a column for it
    #[arg(long, value_name = "ID", value_parser = sensor_id)]
    sensor_id: Option<SensorId>,

    /// CSV: the first row is a reading, not a header; name the columns by number
    #[arg(long)]
    no_header: bool,

    /// CSV: the separator of fields, one ASCII character or `tab` [default: a comma; a tab in .tsv files]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,

    /// The most readings in one request
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    batch: u32,

    /// Write every rejected line with its reason to this file, as CSV
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,

    /// Exit with 0 even if lines were rejected
    #[arg(long)]
    allow_rejects: bool,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Importing a file again changes nothing: the sensor and the timestamp identify a reading. Lines are
recorded in order, so the later of two readings with the same sensor and timestamp wins. Times
without an offset are UTC.

Examples:
  fieldstation import readings.csv
  fieldstation import machine.csv --sensor-id machine-1
  fieldstation import log.csv.gz --timestamp-column 'Date Time' --temperature-column 3
  fieldstation import day-*.ndjson --url https://telemetry.example --rejects rejects.csv
  fieldstation import archive.csv --data ./fieldstation-data
  cat bare.csv | fieldstation import --no-header --timestamp-column 1 --temperature-column 2 \\
    --sensor-id attic

Exit codes: 0 all recorded; 1 lines were rejected, or the import broke off (what was recorded
stays); 2 bad usage; 3 the data directory is in use or cannot be opened.";

/// Imports the files, and prints the result.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    runtime::block_on(1, import(arguments))
}

async fn import(arguments: Arguments) -> Result<(), Failure> {
    let mut files = arguments.files;
    if files.is_empty() {
        files.push(PathBuf::from("-"));
        if std::io::stdin().is_terminal() {
            eprintln!("reading standard input; Ctrl-D ends the input; --help lists the options");
        }
    }
    source::check(&files)?;
    let target = Target::from(arguments.target);
    let sink = match &target {
        Target::Directory(directory) => Sink::Directory(open_store(directory)?),
        Target::Server(url) => Sink::Server(Client::new(
            url.clone(),
            RetryPolicy {
                attempt_timeout: sink::BATCH_TIMEOUT,
                retry_window: 2 * sink::BATCH_TIMEOUT,
                ..RetryPolicy::default()
            },
        )?),
    };
    let mut tally = Tally::new(arguments.rejects.as_deref())?;
    let options = ReadOptions {
        columns: ColumnChoice {
            timestamp: arguments.timestamp_column,
            temperature: arguments.temperature_column,
            sensor: arguments.sensor_column,
            sensor_id: arguments.sensor_id.map(|id| id.as_str().to_owned()),
        },
        header: !arguments.no_header,
        delimiter: arguments.delimiter,
        piece_readings_max: arguments.batch as usize,
    };
    let bar = progress::bytes_bar(source::total_bytes(&files));
    let started = Instant::now();
    let result = transfer(files, arguments.format, options, &sink, &bar, &mut tally).await;
    let closed = sink.close().await.map_err(Failure::from);
    let result = result
        .and(closed)
        .and_then(|()| tally.finish().map_err(Failure::from));
    let elapsed = started.elapsed();
    bar.finish_and_clear();
    let printed = if result.is_err() && tally.total() == 0 && !arguments.json {
        Ok(())
    } else if arguments.json {
        let error = result.as_ref().err().map(ToString::to_string);
        tally.print_json(elapsed, error)
    } else {
        tally.print_text(&target.to_string(), elapsed)
    };
    result?;
    printed?;
    if tally.rejected > 0 && !arguments.allow_rejects {
        return Err(Failure::from(anyhow!(
            "{} of {} lines were rejected",
            HumanCount(tally.rejected),
            HumanCount(tally.total())
        )));
    }
    Ok(())
}

/// Reads the files in order on a thread, ahead of the recording. Pieces are recorded strictly in order.
async fn transfer(
    files: Vec<PathBuf>,
    format: Option<Format>,
    options: ReadOptions,
    sink: &Sink,
    bar: &ProgressBar,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let (pieces, mut next) = mpsc::channel::<Piece>(PIECES_AHEAD);
    let reader = tokio::task::spawn_blocking({
        let bar = bar.clone();
        move || -> Result<(), Failure> {
            for path in files {
                let source = Source::open(&path, format, &bar)?;
                pieces::read(source, &options, &mut |piece| {
                    pieces.blocking_send(piece).is_ok()
                })?;
                if pieces.is_closed() {
                    break;
                }
            }
            Ok(())
        }
    });
    let started = Instant::now();
    while let Some(mut piece) = next.recv().await {
        let mut notify = |notice: &str| progress::note(bar, notice);
        let first = piece.lines.first().copied().unwrap_or_default();
        let recorded = sink
            .record(&mut piece, &mut notify)
            .await
            .map_err(|error| {
                error.context(format!(
                    "{}: the import broke off at line {first}",
                    piece.file
                ))
            })?;
        tally.add(piece, recorded)?;
        bar.set_message(message(tally.total(), started.elapsed()));
    }
    reader
        .await
        .map_err(|error| Failure::new(FailureKind::Other, error))?
}

fn message(readings: u64, elapsed: Duration) -> String {
    format!(
        "{} readings, {}/s",
        HumanCount(readings),
        progress::rate(readings, elapsed)
    )
}

fn sensor_id(text: &str) -> Result<SensorId, String> {
    SensorId::new(text).map_err(|error| error.to_string())
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        _ if text == "tab" || text == "\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err("write one ASCII character, or `tab`".to_owned()),
    }
}
