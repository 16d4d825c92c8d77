//! `fieldstation export`: readings out of a server or a data directory, as text.

mod output;
mod source;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use indicatif::{HumanCount, ProgressBar};
use tokio::sync::mpsc;

use self::output::Output;
use super::duration::friendly;
use super::format::Format;
use super::target::{Target, TargetArguments};
use super::{Failure, progress, runtime};
use crate::readings::{Selection, SensorId, Timestamp, Window};

/// How many pieces wait to be written.
const PIECES_WAITING: usize = 16;

/// The arguments of `export`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: TargetArguments,

    /// Only the readings of this sensor
    #[arg(long, value_name = "ID", value_parser = sensor_id)]
    sensor_id: Option<SensorId>,

    /// Only readings at this time or later; UTC if the time has no offset
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    from: Option<Timestamp>,

    /// Only readings before this time
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    to: Option<Timestamp>,

    /// The format of the export [default: by the name of --output, otherwise ndjson]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// The file to write; compressed if its name ends in .gz; it appears when the export is complete [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Readings are ordered by sensor id, then by time. An export that breaks off is an error, and leaves
no file. An export can be imported again.

Examples:
  fieldstation export > readings.ndjson
  fieldstation export --output readings.csv.gz
  fieldstation export --sensor-id machine-1 --from 2026-11-01 --to 2026-12-01 --format csv
  fieldstation export --data ./fieldstation-data --output readings.ndjson.gz

Exit codes: 0 complete; 1 the export broke off; 2 bad usage; 3 the data directory is in use or
cannot be opened.";

/// Exports.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    runtime::block_on(1, async {
        let bar = progress::counting("{msg}");
        let result = export(arguments, &bar).await;
        bar.finish_and_clear();
        if let Some(line) = result? {
            eprintln!("{line}");
        }
        Ok(())
    })
}

/// The line to print at the end, unless the readings went to standard output.
async fn export(arguments: Arguments, bar: &ProgressBar) -> Result<Option<String>, Failure> {
    let started = Instant::now();
    let path = arguments.output.filter(|path| path.as_os_str() != "-");
    let format = match (arguments.format, &path) {
        (Some(format), _) => format,
        (None, Some(path)) => by_name(path),
        (None, None) => Format::Ndjson,
    };
    let selection = Selection {
        sensor: arguments.sensor_id,
        window: Window {
            from: arguments.from,
            to: arguments.to,
        },
    };
    let mut output = match &path {
        Some(path) => Output::file(path)?,
        None => Output::standard(),
    };
    let (pieces, mut next) = mpsc::channel::<Bytes>(PIECES_WAITING);
    let writer = tokio::task::spawn_blocking(move || -> io::Result<Output> {
        while let Some(piece) = next.blocking_recv() {
            output.write(&piece)?;
        }
        Ok(output)
    });
    let mut counter = Counter::new(format, bar.clone(), pieces);
    let target = Target::from(arguments.target);
    let read = tokio::select! {
        read = source::read(&target, &selection, format, &mut counter) => read,
        interrupted = tokio::signal::ctrl_c() => Err(match interrupted {
            Ok(()) => anyhow!("interrupted").into(),
            Err(error) => anyhow::Error::from(error).into(),
        }),
    };
    let readings = counter.end();
    let written = match writer.await.context("the writing thread failed")? {
        Ok(output) => {
            // Not finished, the output removes itself.
            read?;
            let readings = readings?;
            let finished = tokio::task::spawn_blocking(move || output.finish()).await;
            finished
                .context("the writing thread failed")?
                .map(|()| readings)
        }
        Err(error) => Err(error),
    };
    match (written, path) {
        (Ok(readings), Some(path)) => Ok(Some(format!(
            "{} readings into {} in {}",
            HumanCount(readings),
            path.display(),
            friendly(started.elapsed())
        ))),
        (Ok(_), None) => Ok(None),
        // The reader of the pipe has closed it, as in `export | head`.
        (Err(error), None) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        (Err(error), Some(path)) => {
            let error = anyhow::Error::from(error);
            Err(error
                .context(format!("cannot write {}", path.display()))
                .into())
        }
        (Err(error), None) => Err(anyhow::Error::from(error)
            .context("cannot write standard output")
            .into()),
    }
}

/// Counts the readings on their way from a source to the output.
struct Counter {
    format: Format,
    bar: ProgressBar,
    output: mpsc::Sender<Bytes>,
    started: Instant,
    lines: u64,
    last: Option<u8>,
}

impl Counter {
    fn new(format: Format, bar: ProgressBar, output: mpsc::Sender<Bytes>) -> Self {
        Self {
            format,
            bar,
            output,
            started: Instant::now(),
            lines: 0,
            last: None,
        }
    }

    /// Passes a piece to the output. Returns `false` when the output is closed.
    async fn pass(&mut self, piece: Bytes) -> bool {
        // No id holds a line break: a line is a reading.
        self.lines += piece.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.last = piece.last().copied().or(self.last);
        let readings = self.readings();
        self.bar.set_message(format!(
            "{} readings, {}/s",
            HumanCount(readings),
            progress::rate(readings, self.started.elapsed())
        ));
        self.output.send(piece).await.is_ok()
    }

    fn readings(&self) -> u64 {
        match self.format {
            Format::Csv => self.lines.saturating_sub(1),
            Format::Ndjson => self.lines,
        }
    }

    /// How many readings passed.
    ///
    /// # Errors
    /// The last line is incomplete.
    fn end(self) -> Result<u64> {
        if self.last.is_some_and(|byte| byte != b'\n') {
            bail!("the export ends in the middle of a line: it is not complete");
        }
        Ok(self.readings())
    }
}

fn by_name(path: &Path) -> Format {
    let mut name = path.as_os_str().to_string_lossy().to_lowercase();
    if let Some(stem) = name.strip_suffix(".gz") {
        name = stem.to_owned();
    }
    if name.ends_with(".csv") {
        Format::Csv
    } else {
        Format::Ndjson
    }
}

fn sensor_id(text: &str) -> Result<SensorId, String> {
    SensorId::new(text).map_err(|error| error.to_string())
}

/// A timestamp; a day means its first microsecond.
fn timestamp(text: &str) -> Result<Timestamp, String> {
    match format!("{text}T00:00Z").parse() {
        Ok(day) => Ok(day),
        Err(_) => text
            .parse()
            .map_err(|error: crate::readings::TimestampError| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_a_day_begins_a_window() {
        for (text, moment) in [
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2026-11-20T13:00", "2026-11-20T13:00:00Z"),
            ("2026-11-20 13:00:00.5+01:00", "2026-11-20T12:00:00.5Z"),
        ] {
            assert_eq!(timestamp(text).unwrap().to_string(), moment);
        }
        for text in ["", "2026", "2026-13-01", "yesterday"] {
            assert!(timestamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_format_is_told_by_the_name() {
        for (name, format) in [
            ("a.csv", Format::Csv),
            ("A.CSV.GZ", Format::Csv),
            ("a.ndjson.gz", Format::Ndjson),
            ("a", Format::Ndjson),
        ] {
            assert_eq!(by_name(Path::new(name)), format, "{name}");
        }
    }
}
