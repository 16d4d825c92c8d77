//! Copies readings between backends.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use indicatif::HumanCount;

use super::copying::{Tally, copy};
use super::failure::{check_data_exists, open_failure, store_failure};
use super::source::Source;
use crate::backend_url::BackendUrl;
use crate::cli::duration::friendly;
use crate::cli::{Failure, FailureKind, progress, runtime, standard_output};
use crate::readings::embedded::EmbeddedOptions;
use crate::readings::{self, ReadingStore, Selection, Stats};
use crate::storage::data_directory::DataDirectory;

/// The time limit of the target for a batch.
const WRITE_DEADLINE: Duration = Duration::from_secs(60);
/// The scheme for the table of an older program.
const OLDER_TABLE: &str = "dynamodb-table";

/// Copies and compares the readings, and prints the result.
pub(super) fn run(
    from: &BackendUrl,
    to: &BackendUrl,
    data: &Path,
    dry_run: bool,
) -> Result<(), Failure> {
    if to.scheme() == OLDER_TABLE {
        let error = anyhow!("--to {to}: tables of older programs are read only");
        return Err(Failure::new(FailureKind::Configuration, error));
    }
    if from.scheme() == "sqlite" {
        check_data_exists(data)?;
    }
    // The stores are opened, read and closed on one runtime.
    runtime::block_on(2, copy_stores(from, to, data, dry_run))
}

async fn copy_stores(
    from: &BackendUrl,
    to: &BackendUrl,
    data: &Path,
    dry_run: bool,
) -> Result<(), Failure> {
    if matches!(from.scheme(), OLDER_TABLE | "dynamodb")
        && let Some(done) = run_older(from, to, data, dry_run).await
    {
        return done;
    }
    let source = Source::Store(open(from, data).await?);
    if dry_run {
        return print_preview(&source).await;
    }
    let target = open(to, data).await?;
    let verdict = copy_all(&source, &*target).await;
    target.close().await.map_err(store_failure)?;
    source.close().await.map_err(store_failure)?;
    verdict
}

/// As [`run`] from the table of an older program; `None` if the source is no such table.
#[cfg(feature = "cloud")]
async fn run_older(
    from: &BackendUrl,
    to: &BackendUrl,
    data: &Path,
    dry_run: bool,
) -> Option<Result<(), Failure>> {
    let table = match find_older(from).await {
        Ok(table) => table?,
        Err(failure) => return Some(Err(failure)),
    };
    match table.is_of_store(to) {
        Ok(false) => {}
        Ok(true) => {
            let error = anyhow!(
                "--to {to} would write to {}, which is read: choose another prefix, or count the readings where they are with \
                 `fieldstation dynamodb recount`",
                table.name()
            );
            return Some(Err(Failure::new(FailureKind::Configuration, error)));
        }
        Err(error) => return Some(Err(open_failure(to, error))),
    }
    let target = match dry_run {
        true => None,
        false => match open(to, data).await {
            Ok(target) => Some(target),
            Err(failure) => return Some(Err(failure)),
        },
    };
    let verdict = copy_older(&table, target.as_deref()).await;
    if let Some(target) = target
        && let Err(error) = target.close().await
    {
        return Some(Err(store_failure(error)));
    }
    Some(verdict)
}

#[cfg(not(feature = "cloud"))]
async fn run_older(
    from: &BackendUrl,
    _to: &BackendUrl,
    _data: &Path,
    _dry_run: bool,
) -> Option<Result<(), Failure>> {
    let error = anyhow!(
        "{from} needs a binary with the feature `cloud`, and this binary was built without it"
    );
    Some(Err(Failure::new(FailureKind::Configuration, error)))
}

/// The table of an older program at a URL.
#[cfg(feature = "cloud")]
async fn find_older(
    from: &BackendUrl,
) -> Result<Option<crate::readings::dynamodb::OlderTable>, Failure> {
    use crate::readings::dynamodb::OlderTable;
    if from.scheme() == OLDER_TABLE {
        let table = OlderTable::open(from, None).await;
        return table.map(Some).map_err(|error| open_failure(from, error));
    }
    let found = OlderTable::never_counted(from, None).await;
    let found = found.map_err(|error| open_failure(from, error))?;
    if let Some(table) = &found {
        let note = format!(
            "{} was never counted by this program, so it is read as a table of an older program\n",
            table.name()
        );
        standard_output::print(&note)?;
    }
    Ok(found)
}

#[cfg(feature = "cloud")]
async fn copy_older(
    table: &crate::readings::dynamodb::OlderTable,
    target: Option<&dyn ReadingStore>,
) -> Result<(), Failure> {
    let bar = progress::counting("1 of 2, reading: {human_pos} items");
    let read = super::older::read(table, &bar).await;
    bar.finish_and_clear();
    let (sorted, reading) = read.map_err(store_failure)?;
    standard_output::print(&reading.as_text(table, &sorted))?;
    let source = Source::Older(sorted);
    match target {
        None => print_preview(&source).await?,
        Some(target) => copy_all(&source, target).await?,
    }
    match (reading.not_taken(), target.is_some()) {
        (0, _) => Ok(()),
        (count, true) => Err(anyhow!(
            "{} of the items were not copied, and are named above; all others were copied",
            HumanCount(count)
        )
        .into()),
        (count, false) => Err(anyhow!(
            "{} of the items cannot be copied, and are named above",
            HumanCount(count)
        )
        .into()),
    }
}

async fn open(url: &BackendUrl, data: &Path) -> Result<Arc<dyn ReadingStore>, Failure> {
    let data = data.to_owned();
    let directory = move || DataDirectory::open(&data).map(Arc::new);
    let options = EmbeddedOptions::default();
    let opened = readings::open(url, directory, options, WRITE_DEADLINE).await;
    opened.map_err(|error| open_failure(url, error))
}

/// Prints the statistics of the readings that would be copied.
async fn print_preview(source: &Source) -> Result<(), Failure> {
    let stats = source.stats().await.map_err(store_failure)?;
    let mut text = String::from("Nothing was copied (--dry-run). There is:\n");
    for (name, value) in NAMES.into_iter().zip(values(&stats)) {
        text += &format!("  {name:<8}{value:>24}\n");
    }
    Ok(standard_output::print(&text)?)
}

async fn copy_all(source: &Source, target: &dyn ReadingStore) -> Result<(), Failure> {
    let started = Instant::now();
    let stats = source.stats().await.map_err(store_failure)?;
    let bar = progress::steps_bar(stats.count(), "readings copied");
    let copied = copy(source, target, &bar).await;
    bar.finish_and_clear();
    conclude(source, target, &copied.map_err(store_failure)?, started).await
}

const NAMES: [&str; 4] = ["readings", "maximum", "minimum", "average"];

fn values(stats: &Stats) -> [String; 4] {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    [
        HumanCount(stats.count()).to_string(),
        shown(stats.maximum().map(|it| it.to_string())),
        shown(stats.minimum().map(|it| it.to_string())),
        shown(stats.average().map(|it| it.to_string())),
    ]
}

/// Compares the statistics of both sides, and prints the result.
async fn conclude(
    source: &Source,
    target: &dyn ReadingStore,
    tally: &Tally,
    started: Instant,
) -> Result<(), Failure> {
    let of_source = source.stats().await.map_err(store_failure)?;
    let of_target = target
        .stats(&Selection::default())
        .await
        .map_err(store_failure)?;
    let target_sensors = target.sensor_count().await.map_err(store_failure)?;
    let outcome = &tally.outcome;
    let mut text = format!(
        "Copied in {}\n  sensors    {}, of which {} were the same already\n  recorded   {}\n  unchanged  {}\n  replaced   {}\n\n{:>34}{:>24}\n",
        friendly(started.elapsed()),
        HumanCount(tally.sensors),
        HumanCount(tally.passed_over),
        HumanCount(outcome.recorded),
        HumanCount(outcome.unchanged),
        HumanCount(outcome.replaced),
        source.name(),
        target.backend(),
    );
    let sides = values(&of_source).into_iter().zip(values(&of_target));
    for (name, (left, right)) in NAMES.into_iter().zip(sides) {
        text += &format!("  {name:<8}{left:>24}{right:>24}\n");
    }
    for sensor in &tally.different {
        text += &format!("  DIFFERENT: {sensor}\n");
    }
    let all_there = tally.different_count == 0;
    let same =
        all_there && tally.extra == 0 && of_source == of_target && target_sensors == tally.sensors;
    text += match (same, all_there) {
        (true, _) => "The same on both sides, reading by reading.\n",
        (false, true) => "All that was copied is the same; the other side holds more than that.\n",
        (false, false) => "Different: was something written meanwhile? Run it again.\n",
    };
    standard_output::print(&text)?;
    if same {
        Ok(())
    } else {
        Err(anyhow!("the readings of both sides are not the same").into())
    }
}
