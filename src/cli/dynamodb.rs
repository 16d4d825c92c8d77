//! `fieldstation dynamodb`: the tables of the readings, for development and for repair.

use std::time::Instant;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use indicatif::HumanCount;

use super::{Failure, FailureKind, progress, runtime, standard_output};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::{DynamoStore, DynamoUrl, Pass, RecountReport, recount};

/// What to do with the tables.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the tables that are missing, paid per request: for development and emulators
    CreateTables(Place),
    /// Count all readings, and derive everything else from them anew
    Recount(Recount),
}

#[derive(Debug, Args)]
struct Place {
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
    place: Place,

    /// Change nothing: compare what is kept with what is counted. Exact only while nobody writes
    #[arg(long)]
    check: bool,
}

const EXAMPLES: &str = "\
A recount is needed once for tables that had readings before this program, and after readings were
changed behind its back. It reads the whole table first, and names every item that cannot be counted;
when there is one, nothing is changed. Then it rewrites timestamps that are written in another way,
counts, and compares the count with what it has read. From the end of the first pass on, servers refuse
writes and statistics with 503; they go on by themselves afterwards. One that is broken off can be run again.

In AWS, Terraform makes the tables. Credentials come from where AWS tools look for them.

Examples:
  fieldstation dynamodb create-tables --readings 'dynamodb://dev?region=eu-west-1&endpoint=http://127.0.0.1:8000'
  fieldstation dynamodb recount --readings 'dynamodb://fleet?region=eu-west-1'
  fieldstation dynamodb recount --readings 'dynamodb://fleet?region=eu-west-1' --check

Exit codes: 0 done, or sound; 1 different, and what differs is named; 2 bad usage; 3 DynamoDB cannot be reached, or a
table is missing.";

/// Does it, and prints what was done.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.action {
        Action::CreateTables(place) => {
            let location = location(&place.readings)?;
            let made = runtime::block_on(1, async {
                DynamoStore::create_tables(&location, None)
                    .await
                    .map_err(failed)
            })?;
            let text = match made.as_slice() {
                [] => "Both tables are there already.\n".to_owned(),
                made => format!("Made {}.\n", made.join(" and ")),
            };
            Ok(standard_output::print(&text)?)
        }
        Action::Recount(arguments) => {
            let location = location(&arguments.place.readings)?;
            let started = Instant::now();
            let bar = progress::counting("{msg} {human_pos} readings");
            let report = runtime::block_on(2, async {
                recount(&location, None, arguments.check, &|pass, seen| {
                    bar.set_message(words_for(pass));
                    bar.set_position(seen);
                })
                .await
                .map_err(failed)
            });
            bar.finish_and_clear();
            let report = report?;
            let seconds = started.elapsed().as_secs_f64();
            standard_output::print(&as_text(&report, arguments.check, seconds))?;
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
    DynamoUrl::parse(url).map_err(failed)
}

fn failed(error: StoreError) -> Failure {
    let kind = match error.kind() {
        StoreErrorKind::Unsupported => FailureKind::Configuration,
        StoreErrorKind::Damaged => FailureKind::Other,
        _ => FailureKind::Initialization,
    };
    Failure::new(kind, anyhow!(error))
}

fn as_text(report: &RecountReport, check: bool, seconds: f64) -> String {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let stats = &report.stats;
    let mut text = format!(
        "{} in {seconds:.1} s\n  sensors  {}\n  readings {}\n  maximum  {}\n  minimum  {}\n  average  {}\n",
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
            "  {} timestamps were written in another way, and are as they should be now\n",
            HumanCount(report.rewritten)
        );
    }
    if report.joined > 0 {
        text += &format!(
            "  {} readings were there a second time, with the same moment written in another way, and are there once now\n",
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
            false => "The statistics follow the readings from now on.\n",
        };
    }
    text
}
