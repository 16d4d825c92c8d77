//! The summary of an import, as text and as JSON.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::HumanCount;
use serde::Serialize;

use super::pieces::{Piece, Rejection};
use super::sink::Recorded;
use crate::cli::duration::friendly;
use crate::cli::progress::rate;
use crate::cli::standard_output;

/// The most rejected lines that are shown. `--rejects` writes all of them.
const REJECTIONS_SHOWN_MAX: usize = 20;

/// The counts of a running import.
pub(super) struct Tally {
    pub(super) recorded: u64,
    pub(super) unchanged: u64,
    pub(super) replaced: u64,
    pub(super) rejected: u64,
    pub(super) retries: u64,
    shown: Vec<RejectedLine>,
    rejects: Option<RejectsFile>,
}

/// A rejected line.
#[derive(Debug, Serialize)]
struct RejectedLine {
    file: String,
    line: u64,
    field: Option<String>,
    reason: String,
}

/// The file of all rejected lines, as CSV.
struct RejectsFile {
    name: String,
    writer: csv::Writer<BufWriter<File>>,
}

/// The summary as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    recorded: u64,
    unchanged: u64,
    replaced: u64,
    rejected: u64,
    retries: u64,
    seconds: f64,
    readings_per_second: u64,
    /// Whether all files were read to their end.
    complete: bool,
    /// Why the import is incomplete.
    error: Option<String>,
    /// The first of the rejected lines.
    rejects: &'a [RejectedLine],
}

impl Tally {
    /// # Errors
    /// The file for the rejected lines cannot be created.
    pub(super) fn new(rejects: Option<&Path>) -> Result<Self> {
        Ok(Self {
            recorded: 0,
            unchanged: 0,
            replaced: 0,
            rejected: 0,
            retries: 0,
            shown: Vec::new(),
            rejects: rejects.map(RejectsFile::create).transpose()?,
        })
    }

    /// Counts a piece and its rejected lines, in the order of the lines.
    ///
    /// # Errors
    /// The file for the rejected lines cannot be written.
    pub(super) fn add(&mut self, piece: Piece, recorded: Recorded) -> Result<()> {
        self.recorded += recorded.recorded;
        self.unchanged += recorded.unchanged;
        self.replaced += recorded.replaced;
        self.retries += recorded.retries;
        let mut rejections = piece.rejections;
        rejections.extend(recorded.rejections);
        rejections.sort_by_key(|rejection| rejection.line);
        for rejection in rejections {
            self.reject(&piece.file, rejection)?;
        }
        Ok(())
    }

    fn reject(&mut self, file: &str, rejection: Rejection) -> Result<()> {
        self.rejected += 1;
        let line = RejectedLine {
            file: file.to_owned(),
            line: rejection.line,
            field: rejection.field,
            reason: rejection.reason,
        };
        if let Some(rejects) = &mut self.rejects {
            rejects.write(&line)?;
        }
        if self.shown.len() < REJECTIONS_SHOWN_MAX {
            self.shown.push(line);
        }
        Ok(())
    }

    /// The number of lines counted so far.
    pub(super) fn total(&self) -> u64 {
        self.recorded + self.unchanged + self.replaced + self.rejected
    }

    /// Completes the file of rejected lines.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn finish(&mut self) -> Result<()> {
        match &mut self.rejects {
            Some(rejects) => rejects.finish(),
            None => Ok(()),
        }
    }

    /// Prints one JSON object.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print_json(&self, elapsed: Duration, error: Option<String>) -> Result<()> {
        let report = Report {
            recorded: self.recorded,
            unchanged: self.unchanged,
            replaced: self.replaced,
            rejected: self.rejected,
            retries: self.retries,
            seconds: elapsed.as_secs_f64(),
            readings_per_second: rate(self.total(), elapsed).0,
            complete: error.is_none(),
            error,
            rejects: &self.shown,
        };
        let text = serde_json::to_string_pretty(&report)?;
        standard_output::print(&format!("{text}\n"))
    }

    /// Prints the counts to standard output, and the first rejected lines to standard error.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print_text(&self, into: &str, elapsed: Duration) -> Result<()> {
        for line in &self.shown {
            eprintln!("{}", line.text());
        }
        let hidden = self.rejected - self.shown.len() as u64;
        match &self.rejects {
            Some(rejects) if self.rejected > 0 => {
                eprintln!("All rejected lines are in {}.", rejects.name);
            }
            None if hidden > 0 => {
                eprintln!(
                    "… and {} more; --rejects FILE writes all of them to a file.",
                    HumanCount(hidden)
                );
            }
            _ => {}
        }
        standard_output::print(&format!(
            "imported into {into} in {}, {} readings/s\n  recorded   {}\n  unchanged  {}\n  replaced   {}\n  \
             rejected   {}\n",
            friendly(elapsed),
            rate(self.total(), elapsed),
            HumanCount(self.recorded),
            HumanCount(self.unchanged),
            HumanCount(self.replaced),
            HumanCount(self.rejected),
        ))?;
        if self.retries > 0 {
            eprintln!(
                "{} requests were repeated. Readings that a repeated request had already recorded are counted as unchanged.",
                HumanCount(self.retries)
            );
        }
        Ok(())
    }
}

impl RejectedLine {
    fn text(&self) -> String {
        let field = match &self.field {
            Some(field) => format!("{field} "),
            None => String::new(),
        };
        format!("{}:{}: {field}{}", self.file, self.line, self.reason)
    }
}

impl RejectsFile {
    fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::create(path).with_context(|| format!("cannot write {name}"))?;
        Ok(Self {
            name,
            writer: csv::Writer::from_writer(BufWriter::new(file)),
        })
    }

    fn write(&mut self, line: &RejectedLine) -> Result<()> {
        self.writer
            .serialize(line)
            .with_context(|| format!("cannot write {}", self.name))
    }

    fn finish(&mut self) -> Result<()> {
        self.writer
            .flush()
            .with_context(|| format!("cannot write {}", self.name))
    }
}
