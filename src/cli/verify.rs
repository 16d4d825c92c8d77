//! `fieldstation verify`: checks all data in a data directory.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use serde_json::json;

use super::duration::friendly;
use super::{Failure, FailureKind, progress, standard_output};
use crate::error::StoreErrorKind;
use crate::readings::Temperature;
use crate::readings::embedded::VerifyReport;
use crate::verify::{self, Progress, Report};

/// The arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The data directory; refused while a server holds it
    #[arg(
        long,
        value_name = "DIR",
        env = "FIELDSTATION_DATA",
        default_value = "./fieldstation-data"
    )]
    data: PathBuf,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Reads everything: the structure of both databases, every checksum, every reading, every todo, the
greeting, and every device file with its length and its SHA-256. Recounts the statistics from the
readings, and compares them with the answers of the server. Names the parts that were not checked.
Changes no data. Databases that cannot be read as they are, because a server was killed, are
recovered as at a start of the server.

Examples:
  fieldstation verify
  fieldstation verify --data /srv/fieldstation --json

Exit codes: 0 sound; 1 damaged, and the damage is named; 2 bad usage, or written by a newer
version; 3 the directory does not exist, or a server uses it.";

/// Verifies the directory, and prints the report.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    let bars = Bars::default();
    let report = verify::verify(&arguments.data, &mut |progress| bars.show(progress));
    bars.clear();
    let report = report.map_err(|error| {
        let kind = match error.kind() {
            StoreErrorKind::Unsupported => FailureKind::Configuration,
            _ => FailureKind::Initialization,
        };
        Failure::new(kind, error)
    })?;
    let text = if arguments.json {
        format!("{:#}\n", as_json(&report, started.elapsed()))
    } else {
        as_text(
            &report,
            &arguments.data.display().to_string(),
            started.elapsed(),
        )
    };
    standard_output::print(&text)?;
    if report.is_sound() {
        return Ok(());
    }
    Err(anyhow!(
        "{} is damaged: {} problem{}",
        arguments.data.display(),
        HumanCount(report.problem_count),
        if report.problem_count == 1 { "" } else { "s" }
    )
    .into())
}

/// The report as JSON.
pub(super) fn as_json(report: &Report, elapsed: Duration) -> serde_json::Value {
    let mut value = json!({ "sound": report.is_sound() });
    if let Some(readings) = &report.readings {
        put_readings(&mut value, readings);
    }
    if let Some(todos) = report.todos {
        value["todos"] = todos.into();
    }
    if let Some((files, bytes)) = report.files {
        value["deviceFiles"] = files.into();
        value["deviceFileBytes"] = bytes.into();
    }
    value["seconds"] = elapsed.as_secs_f64().into();
    value["problemCount"] = report.problem_count.into();
    value["problems"] = report.problems.clone().into();
    value["notes"] = report.notes.clone().into();
    value
}

fn put_readings(value: &mut serde_json::Value, readings: &VerifyReport) {
    // Micro-degrees as degrees: the double nearest to the decimal number prints as that number.
    let degrees = |temperature: Option<Temperature>| {
        temperature
            .and_then(|temperature| temperature.to_string().parse::<serde_json::Number>().ok())
    };
    let stats = &readings.stats;
    for (name, counted) in [
        ("sensors", json!(readings.sensors)),
        ("readings", json!(stats.count())),
        ("maximum", json!(degrees(stats.maximum()))),
        ("minimum", json!(degrees(stats.minimum()))),
        ("average", json!(stats.average())),
        ("chunks", json!(readings.chunks)),
        ("logRows", json!(readings.log_rows)),
        ("logReadings", json!(readings.log_readings)),
    ] {
        value[name] = counted;
    }
}

/// The report as text.
pub(super) fn as_text(report: &Report, name: &str, elapsed: Duration) -> String {
    let mut text = format!("{name} in {}", friendly(elapsed));
    text += &match &report.readings {
        Some(readings) => readings_as_text(readings),
        None => ", without readings\n".to_owned(),
    };
    if let Some(todos) = report.todos {
        text += &format!("  todos      {}\n", HumanCount(todos));
    }
    if let Some((files, bytes)) = report.files {
        let (files, bytes) = (HumanCount(files), HumanBytes(bytes));
        text += &format!("  files      {files} of devices, {bytes}\n");
    }
    for note in &report.notes {
        text += &format!("  note: {note}\n");
    }
    if report.is_sound() {
        text += match report.readings {
            Some(_) => "Sound: every checksum is right, and the statistics equal the recount.\n",
            None => "Sound: every checksum is right.\n",
        };
        return text;
    }
    for problem in &report.problems {
        text += &format!("  DAMAGED: {problem}\n");
    }
    let hidden = report
        .problem_count
        .saturating_sub(report.problems.len() as u64);
    if hidden > 0 {
        text += &format!("  … and {} more\n", HumanCount(hidden));
    }
    text
}

fn readings_as_text(readings: &VerifyReport) -> String {
    let shown = |temperature: Option<Temperature>| {
        temperature.map_or_else(|| "none".to_owned(), |it| it.to_string())
    };
    let stats = &readings.stats;
    let average = stats.average();
    format!(
        "\n  sensors    {}\n  readings   {}\n  maximum    {}\n  minimum    {}\n  average    {}\n  \
         sealed     {} chunks\n  in the log {} readings in {} rows\n",
        HumanCount(readings.sensors),
        HumanCount(stats.count()),
        shown(stats.maximum()),
        shown(stats.minimum()),
        average.map_or_else(|| "none".to_owned(), |it| it.to_string()),
        HumanCount(readings.chunks),
        HumanCount(readings.log_readings),
        HumanCount(readings.log_rows),
    )
}

/// A progress bar for each long part.
#[derive(Debug, Default)]
pub(super) struct Bars {
    readings: OnceCell<ProgressBar>,
    rows: OnceCell<ProgressBar>,
    files: OnceCell<ProgressBar>,
}

impl Bars {
    pub(super) fn show(&self, progress: Progress) {
        let (bar, done, total) = match progress {
            Progress::Readings(done, total) => {
                let new = || progress::steps_bar(total, "steps of the check");
                (self.readings.get_or_init(new), done, Some(total))
            }
            Progress::Rows(done) => {
                let new = || {
                    self.clear();
                    progress::counting("{human_pos} rows")
                };
                (self.rows.get_or_init(new), done, None)
            }
            Progress::Files(done, total) => {
                let new = || {
                    self.clear();
                    progress::bytes_bar(Some(total))
                };
                (self.files.get_or_init(new), done, Some(total))
            }
        };
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
    }

    pub(super) fn clear(&self) {
        for bar in [&self.readings, &self.rows, &self.files] {
            if let Some(bar) = bar.get() {
                bar.finish_and_clear();
            }
        }
    }
}
