//! The report of a simulation, as text and as JSON.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use indicatif::HumanCount;
use serde_json::json;

use super::connection::Shared;
use super::proof::Verdict;
use crate::cli::duration::friendly;
use crate::cli::progress::rate;
use crate::cli::{Failure, standard_output};

/// The counts of the simulation, and the result of the comparison.
pub(super) struct Report {
    server: String,
    prefix: String,
    seed: u64,
    elapsed: Duration,
    /// The readings that the fleet was to make; `readings` is the number it made.
    planned: u64,
    readings: u64,
    acknowledged: u64,
    requests: u64,
    late: u64,
    repeated: u64,
    corrected: u64,
    retried: u64,
    verdict: Result<Verdict>,
}

impl Report {
    pub(super) fn new(
        shared: &Shared,
        prefix: &str,
        seed: u64,
        elapsed: Duration,
        planned: u64,
        verdict: Result<Verdict>,
    ) -> Self {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &shared.counters;
        Self {
            server: shared.client.server().to_string(),
            prefix: prefix.to_owned(),
            seed,
            elapsed,
            planned,
            readings: shared.recount.lock().len(),
            acknowledged: load(&counters.acknowledged),
            requests: load(&counters.requests),
            late: load(&shared.traffic.late),
            repeated: load(&counters.repeated),
            corrected: load(&counters.corrected),
            retried: load(&counters.retried),
            verdict,
        }
    }

    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print(&self, as_json: bool) -> Result<()> {
        let text = if as_json {
            format!("{:#}\n", self.as_json())
        } else {
            self.as_text()
        };
        standard_output::print(&text)
    }

    /// # Errors
    /// The comparison failed, or found differences.
    pub(super) fn result(self) -> Result<(), Failure> {
        let verdict = self.verdict.context("nothing is proven")?;
        if verdict.difference_count == 0 {
            return Ok(());
        }
        Err(anyhow!(
            "the server differs from the recount: {} difference{}",
            HumanCount(verdict.difference_count),
            if verdict.difference_count == 1 {
                ""
            } else {
                "s"
            }
        )
        .into())
    }

    fn as_text(&self) -> String {
        let mut text = format!(
            "sent to {} for {}, sensors {}…, seed {}\n  acknowledged  {} ({}/s) in {} requests\n  \
             readings      {} of {} planned\n  late          {}\n  sent again    {}\n  corrected     {}\n  \
             retried       {} requests\n",
            self.server,
            friendly(self.elapsed),
            self.prefix,
            self.seed,
            HumanCount(self.acknowledged),
            rate(self.acknowledged, self.elapsed),
            HumanCount(self.requests),
            HumanCount(self.readings),
            HumanCount(self.planned),
            HumanCount(self.late),
            HumanCount(self.repeated),
            HumanCount(self.corrected),
            HumanCount(self.retried),
        );
        let Ok(verdict) = &self.verdict else {
            return text;
        };
        text.push_str(&format!(
            "compared with the recount\n  sensors       {}: count, minimum, maximum, average, first, last, latest\n  \
             readings      {} of {} sensors, one by one\n",
            HumanCount(verdict.sensors),
            HumanCount(verdict.sampled_readings),
            HumanCount(verdict.sampled_sensors),
        ));
        for difference in &verdict.differences {
            text.push_str(&format!("  DIFFERENT: {difference}\n"));
        }
        let hidden = verdict.difference_count - verdict.differences.len() as u64;
        if hidden > 0 {
            text.push_str(&format!("  … and {} more\n", HumanCount(hidden)));
        }
        if verdict.difference_count == 0 {
            text.push_str("PROVEN: all of it is equal, to the last digit.\n");
        }
        text
    }

    fn as_json(&self) -> serde_json::Value {
        let mut value = json!({
            "server": self.server,
            "prefix": self.prefix,
            "seed": self.seed,
            "seconds": self.elapsed.as_secs_f64(),
            "planned": self.planned,
            "readings": self.readings,
            "acknowledged": self.acknowledged,
            "acknowledgedPerSecond": rate(self.acknowledged, self.elapsed).0,
            "requests": self.requests,
            "late": self.late,
            "repeated": self.repeated,
            "corrected": self.corrected,
            "retried": self.retried,
        });
        match &self.verdict {
            Ok(verdict) => {
                value["proven"] = json!(verdict.difference_count == 0);
                value["sensorsCompared"] = json!(verdict.sensors);
                value["readingsCompared"] = json!(verdict.sampled_readings);
                value["differenceCount"] = json!(verdict.difference_count);
                value["differences"] = json!(verdict.differences);
            }
            Err(error) => {
                value["proven"] = json!(false);
                value["error"] = json!(format!("{error:#}"));
            }
        }
        value
    }
}
