//! `fieldstation dynamodb`: creates and recounts the DynamoDB tables of the readings.

use std::time::Instant;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use indicatif::HumanCount;

use super::duration::friendly;
use super::{Failure, FailureKind, progress, runtime, standard_output};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::{DynamoStore, DynamoUrl, Pass, RecountReport, recount};

/// The arguments of `dynamodb`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create the missing tables, billed per request: for development and emulators
    CreateTables(TablesArguments),
    /// Count all readings, and derive all statistics from them again
    Recount(Recount),
}

#[derive(Debug, Args)]
struct TablesArguments {
    /// The tables: dynamodb://PREFIX?region=…&endpoint=…
    #[arg(
        long,
        value_name = "URL",
        env = "FIELDSTATION_READINGS",
        hide_env_values = true
    )]
    readings: BackendUrl,
}

#[derive(Debug, Args)]
struct Recount {
    #[command(flatten)]
    tables: TablesArguments,

    /// Change nothing: compare the stored statistics with the count; exact only while no server writes
    #[arg(long)]
    check: bool,
}

const EXAMPLES: &str = "\
A recount is needed once for tables with readings that another program wrote, and after another
program changed readings. The first pass reads the whole table and names every item that cannot be
counted; if there is one, nothing is changed. The second pass rewrites timestamps to the usual format.
The third pass counts, and compares the count with the first pass. From the end of the first pass on,
servers answer writes and statistics with 503, until the recount is complete. A recount that broke off
can be run again.

In AWS, Terraform creates the tables. Credentials come from the places where AWS tools look.

Examples:
  fieldstation dynamodb create-tables --readings 'dynamodb://dev?region=eu-west-1&endpoint=http://127.0.0.1:8000'
  fieldstation dynamodb recount --readings 'dynamodb://fleet?region=eu-west-1'
  fieldstation dynamodb recount --readings 'dynamodb://fleet?region=eu-west-1' --check

Exit codes: 0 done, or sound; 1 different, and the differences are named; 2 bad usage; 3 DynamoDB cannot be reached, or
a table is missing.";

/// Runs the action, and prints its result.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::CreateTables(tables) => {
            let location = location(&tables.readings)?;
            let made = runtime::block_on(1, async {
                DynamoStore::create_tables(&location, None)
                    .await
                    .map_err(store_failure)
            })?;
            let text = match made.as_slice() {
                [] => "Both tables exist already.\n".to_owned(),
                made => format!("Created {}.\n", made.join(" and ")),
            };
            Ok(standard_output::print(&text)?)
        }
        Action::Recount(arguments) => {
            let location = location(&arguments.tables.readings)?;
            let started = Instant::now();
            let bar = progress::counting("{msg} {human_pos} readings");
            let report = runtime::block_on(2, async {
                recount(&location, None, arguments.check, &|pass, seen| {
                    bar.set_message(words_for(pass));
                    bar.set_position(seen);
                })
                .await
                .map_err(store_failure)
            });
            bar.finish_and_clear();
            let report = report?;
            let elapsed = friendly(started.elapsed());
            standard_output::print(&as_text(&report, arguments.check, &elapsed))?;
            if report.fault_count > 0 {
                return Err(anyhow!(
                    "{} items cannot be counted: correct or delete them, and run this again; nothing was changed",
                    HumanCount(report.fault_count)
                )
                .into());
            }
            if report.difference_count == 0 {
                return Ok(());
            }
            Err(anyhow!(
                "{} differences; `fieldstation dynamodb recount` without --check derives the aggregates anew",
                report.difference_count
            )
            .into())
        }
    }
}

fn words_for(pass: Pass) -> &'static str {
    match pass {
        Pass::Examine => "1 of 3, reading:",
        Pass::Respell => "2 of 3, rewriting timestamps:",
        Pass::Count => "3 of 3, counting:",
        Pass::Check => "comparing:",
    }
}

fn location(url: &BackendUrl) -> Result<DynamoUrl, Failure> {
    if url.scheme() != "dynamodb" {
        let error = anyhow!("--readings {url}: this command takes dynamodb://PREFIX?region=…");
        return Err(Failure::new(FailureKind::Configuration, error));
    }
    DynamoUrl::parse(url).map_err(store_failure)
}

fn store_failure(error: StoreError) -> Failure {
    let kind = match error.kind() {
        StoreErrorKind::Unsupported => FailureKind::Configuration,
        StoreErrorKind::Damaged => FailureKind::Other,
        _ => FailureKind::Initialization,
    };
    Failure::new(kind, anyhow!(error))
}

fn as_text(report: &RecountReport, check: bool, elapsed: &str) -> String {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let stats = &report.stats;
    let mut text = format!(
        "{} in {elapsed}\n  sensors  {}\n  readings {}\n  maximum  {}\n  minimum  {}\n  average  {}\n",
        if report.fault_count > 0 && !check {
            "Read"
        } else {
            "Counted"
        },
        HumanCount(report.sensors),
        HumanCount(stats.count()),
        shown(stats.maximum().map(|it| it.to_string())),
        shown(stats.minimum().map(|it| it.to_string())),
        shown(stats.average().map(|it| it.to_string())),
    );
    if report.rewritten > 0 {
        text += &format!(
            "  {} timestamps had an unusual format, and were rewritten\n",
            HumanCount(report.rewritten)
        );
    }
    if report.joined > 0 {
        text += &format!(
            "  {} readings were duplicates whose timestamp had another format, and were joined\n",
            HumanCount(report.joined)
        );
    }
    for fault in &report.faults {
        text += &format!("  CANNOT BE COUNTED: {fault}\n");
    }
    for difference in &report.differences {
        text += &format!("  DIFFERENT: {difference}\n");
    }
    if report.fault_count > 0 {
        return text;
    }
    if report.difference_count == 0 {
        text += match check {
            true => "Sound: the statistics equal the recount.\n",
            false => "The stored statistics equal the readings now.\n",
        };
    }
    text
}
