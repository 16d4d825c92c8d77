//! `fieldstation verify`: whether what is on disk is what was written.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::Args;
use indicatif::HumanCount;
use serde_json::json;

use super::{Failure, FailureKind, progress, standard_output};
use crate::readings::embedded::{VerifyReport, verify};

/// What to verify.
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
Reads everything: the structure of the database, each checksum, each reading. Recounts the
statistics from the readings, and compares them with what the server would answer. Changes nothing.

Examples:
  fieldstation verify
  fieldstation verify --data /srv/fieldstation --json

Exit codes: 0 sound; 1 damaged, and what is damaged is named; 2 bad usage; 3 not there, or in use
by a server.";

/// Verifies, and prints what was found.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    let bar = progress::steps_bar(0, "steps");
    let report = verify(&arguments.data, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| Failure::new(FailureKind::Initialization, error))?;
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

/// What was found, for programs.
pub(super) fn as_json(report: &VerifyReport, elapsed: Duration) -> serde_json::Value {
    // Micro-degrees as degrees: the double nearest to the decimal number prints as that number.
    let degrees = |temperature: Option<crate::readings::Temperature>| {
        temperature
            .and_then(|temperature| temperature.to_string().parse::<serde_json::Number>().ok())
    };
    json!({
        "sound": report.is_sound(),
        "sensors": report.sensors,
        "readings": report.stats.count(),
        "maximum": degrees(report.stats.maximum()),
        "minimum": degrees(report.stats.minimum()),
        "average": report.stats.average(),
        "chunks": report.chunks,
        "logRows": report.log_rows,
        "logReadings": report.log_readings,
        "seconds": elapsed.as_secs_f64(),
        "problemCount": report.problem_count,
        "problems": report.problems,
    })
}

/// What was found, for people.
pub(super) fn as_text(report: &VerifyReport, name: &str, elapsed: Duration) -> String {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let mut text = format!(
        "{name} in {:.1} s\n  sensors    {}\n  readings   {}\n  maximum    {}\n  minimum    {}\n  average    {}\n  \
         sealed     {} chunks\n  in the log {} readings in {} rows\n",
        elapsed.as_secs_f64(),
        HumanCount(report.sensors),
        HumanCount(report.stats.count()),
        shown(report.stats.maximum().map(|it| it.to_string())),
        shown(report.stats.minimum().map(|it| it.to_string())),
        shown(report.stats.average().map(|it| it.to_string())),
        HumanCount(report.chunks),
        HumanCount(report.log_readings),
        HumanCount(report.log_rows),
    );
    if report.is_sound() {
        text.push_str("Sound: every checksum is right, and the statistics equal the recount.\n");
        return text;
    }
    for problem in &report.problems {
        text.push_str(&format!("  DAMAGED: {problem}\n"));
    }
    let hidden = report
        .problem_count
        .saturating_sub(report.problems.len() as u64);
    if hidden > 0 {
        text.push_str(&format!("  … and {} more\n", HumanCount(hidden)));
    }
    text
}
