//! `fieldstation backup`: copies a data directory, also while a server writes to it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use serde_json::json;

use super::duration::friendly;
use super::{Failure, FailureKind, progress, standard_output};
use crate::backup::{self, Progress, Taken};
use crate::error::{StoreError, StoreErrorKind};

/// The arguments of `backup`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The data directory; a server may be writing to it
    #[arg(
        long,
        value_name = "DIR",
        env = "FIELDSTATION_DATA",
        default_value = "./fieldstation-data"
    )]
    data: PathBuf,

    /// The directory of the backup; it must be empty, or not exist in a directory that exists
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// Do not verify the copy; less work now, but damage shows only when the backup is restored
    #[arg(long)]
    skip_check: bool,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
The backup holds every reading, todo and file that was acknowledged before the backup began. It
appears under its name when it is complete, verified and durable. It does not hold the data of stores
outside the data directory (DynamoDB, S3, PostgreSQL, Redis).

Examples:
  fieldstation backup --to /mnt/backup/monday
  fieldstation backup --data /srv/fieldstation --to \"/mnt/backup/$(date +%F)\" --json

Exit codes: 0 the backup is complete; 1 no backup, because the data is damaged or the disk failed;
2 bad usage; 3 a directory does not exist, is not empty, or cannot be read.";

/// Takes a backup, and prints its content.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    let bars = Bars::default();
    let taken = backup::take(
        &arguments.data,
        &arguments.to,
        !arguments.skip_check,
        &mut |progress| bars.show(progress),
    );
    bars.clear();
    let taken = taken.map_err(failure)?;
    let text = if arguments.json {
        format!("{:#}\n", as_json(&taken, started.elapsed()))
    } else {
        as_text(
            &taken,
            &arguments.to.display().to_string(),
            started.elapsed(),
        )
    };
    Ok(standard_output::print(&text)?)
}

fn as_json(taken: &Taken, elapsed: Duration) -> serde_json::Value {
    let report = taken.report.as_ref();
    let readings = report.and_then(|report| report.readings.as_ref());
    json!({
        "began": taken.began.to_string(),
        "files": taken.files,
        "bytes": taken.bytes,
        "sensors": readings.map(|readings| readings.sensors),
        "readings": readings.map(|readings| readings.stats.count()),
        "todos": report.and_then(|report| report.todos),
        "deviceFiles": report.and_then(|report| report.files).map(|(files, _)| files),
        "seconds": elapsed.as_secs_f64(),
    })
}

fn as_text(taken: &Taken, name: &str, elapsed: Duration) -> String {
    let mut text = format!(
        "{name} in {}\n  as of      {}\n  files      {}, {}\n",
        friendly(elapsed),
        taken.began,
        HumanCount(taken.files),
        HumanBytes(taken.bytes),
    );
    let report = taken.report.as_ref();
    if let Some(readings) = report.and_then(|report| report.readings.as_ref()) {
        text += &format!(
            "  sensors    {}\n  readings   {}\n",
            HumanCount(readings.sensors),
            HumanCount(readings.stats.count()),
        );
    }
    if let Some(todos) = report.and_then(|report| report.todos) {
        text += &format!("  todos      {}\n", HumanCount(todos));
    }
    text
}

/// The failure of a backup or of a restore.
pub(super) fn failure(error: StoreError) -> Failure {
    let kind = match error.kind() {
        StoreErrorKind::Unsupported => FailureKind::Configuration,
        StoreErrorKind::Unavailable => FailureKind::Initialization,
        _ => FailureKind::Other,
    };
    Failure::new(kind, error)
}

/// A progress bar for the copy, then another bar for the check.
#[derive(Debug, Default)]
pub(super) struct Bars {
    copying: std::cell::OnceCell<(ProgressBar, Instant)>,
    checking: super::verify::Bars,
}

impl Bars {
    pub(super) fn show(&self, progress: Progress) {
        match progress {
            Progress::Copied(done, total) => {
                let (bar, started) = self
                    .copying
                    .get_or_init(|| (progress::bytes_bar(Some(total)), Instant::now()));
                bar.set_length(total);
                bar.set_position(done);
                let rate = progress::rate(done, started.elapsed()).0;
                bar.set_message(format!("{}/s", HumanBytes(rate)));
            }
            Progress::Checked(checked) => {
                if let Some((bar, _)) = self.copying.get() {
                    bar.finish_and_clear();
                }
                self.checking.show(checked);
            }
        }
    }

    pub(super) fn clear(&self) {
        if let Some((bar, _)) = self.copying.get() {
            bar.finish_and_clear();
        }
        self.checking.clear();
    }
}
