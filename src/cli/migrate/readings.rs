//! Readings from one backend into another.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures_util::TryStreamExt;
use indicatif::{HumanCount, ProgressBar};

use crate::backend_url::BackendUrl;
use crate::cli::{Failure, FailureKind, progress, runtime, standard_output};
use crate::data_directory::DataDirectory;
use crate::error::{StoreError, StoreErrorKind};
use crate::readings::embedded::EmbeddedOptions;
use crate::readings::{
    self, Batch, BatchBuilder, Outcome, Point, ReadingStore, RecordMode, Selection, SensorId,
    SensorSummary, Stats, Window,
};

/// How many readings go to the other side in one batch.
const BATCH_READINGS: usize = 4_096;
/// How many sensors are compared at a time.
const SENSORS_PAGE: usize = 500;
/// How long the other side may take for a batch, and how often it is tried.
const WRITE_DEADLINE: Duration = Duration::from_secs(60);
const ATTEMPTS_MAX: u32 = 10;

/// Copies, compares, and prints the result.
pub(super) fn run(from: &BackendUrl, to: &BackendUrl, data: &Path) -> Result<(), Failure> {
    if from.scheme() == "sqlite" && !data.is_dir() {
        // Opening would make an empty one.
        let error = anyhow!("there is no directory {}", data.display());
        return Err(Failure::new(FailureKind::Initialization, error));
    }
    let source = open(from, data)?;
    let target = open(to, data)?;
    runtime::block_on(2, async {
        let started = Instant::now();
        let total = source.stats(&Selection::default()).await.map_err(failed)?;
        let bar = progress::steps_bar(total.count(), "readings");
        let copied = copy(&*source, &*target, &bar).await;
        bar.finish_and_clear();
        let verdict = match copied {
            Ok(tally) => conclude(&*source, &*target, &tally, started).await,
            Err(error) => Err(failed(error)),
        };
        for store in [source, target] {
            store.close().await.map_err(failed)?;
        }
        verdict
    })
}

fn open(url: &BackendUrl, data: &Path) -> Result<Arc<dyn ReadingStore>, Failure> {
    let directory = || DataDirectory::open(data).map(Arc::new);
    let options = EmbeddedOptions::default();
    readings::open(url, directory, options, WRITE_DEADLINE).map_err(|error| {
        let kind = match error.kind() {
            StoreErrorKind::Unsupported => FailureKind::Configuration,
            _ => FailureKind::Initialization,
        };
        Failure::new(kind, anyhow!(error).context(format!("cannot open {url}")))
    })
}

fn failed(error: StoreError) -> Failure {
    anyhow!(error).into()
}

#[derive(Debug, Default)]
struct Tally {
    outcome: Outcome,
    sensors: u64,
    /// Sensors that were the same before.
    passed_over: u64,
    /// The first sensors that are different all the same.
    different: Vec<String>,
    different_count: u64,
}

async fn copy(
    source: &dyn ReadingStore,
    target: &dyn ReadingStore,
    bar: &ProgressBar,
) -> Result<Tally, StoreError> {
    const NAMED_MAX: usize = 20;
    let mut tally = Tally::default();
    let mut after: Option<SensorId> = None;
    loop {
        let page = source.sensors(after.as_ref(), SENSORS_PAGE).await?;
        for summary in &page.items {
            tally.sensors += 1;
            if is_same(target, summary).await? {
                tally.passed_over += 1;
                bar.inc(summary.stats.count());
                continue;
            }
            copy_sensor(source, target, &summary.sensor, &mut tally.outcome, bar).await?;
            if !is_same(target, summary).await? {
                tally.different_count += 1;
                if tally.different.len() < NAMED_MAX {
                    tally.different.push(summary.sensor.to_string());
                }
            }
        }
        after = page.items.last().map(|summary| summary.sensor.clone());
        if !page.more {
            return Ok(tally);
        }
    }
}

async fn is_same(target: &dyn ReadingStore, summary: &SensorSummary) -> Result<bool, StoreError> {
    Ok(target.sensor(&summary.sensor).await?.as_ref() == Some(summary))
}

async fn copy_sensor(
    source: &dyn ReadingStore,
    target: &dyn ReadingStore,
    sensor: &SensorId,
    outcome: &mut Outcome,
    bar: &ProgressBar,
) -> Result<(), StoreError> {
    let selection = Selection {
        sensor: Some(sensor.clone()),
        window: Window::ALL,
    };
    let mut blocks = source.export(&selection).await?;
    while let Some(block) = blocks.try_next().await? {
        for points in block.points.chunks(BATCH_READINGS) {
            let recorded = record(target, sensor, points).await?;
            outcome.recorded += recorded.recorded;
            outcome.unchanged += recorded.unchanged;
            outcome.replaced += recorded.replaced;
            bar.inc(points.len() as u64);
        }
    }
    Ok(())
}

/// Records, again and again if the other side has too much to do.
async fn record(
    target: &dyn ReadingStore,
    sensor: &SensorId,
    points: &[Point],
) -> Result<Outcome, StoreError> {
    let mut attempt = 0;
    loop {
        match target
            .record(batch(sensor, points)?, RecordMode::AllOrNothing)
            .await
        {
            Err(error)
                if attempt < ATTEMPTS_MAX
                    && matches!(
                        error.kind(),
                        StoreErrorKind::Overloaded | StoreErrorKind::Unavailable
                    ) =>
            {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(200 << attempt.min(6))).await;
            }
            answer => return answer,
        }
    }
}

fn batch(sensor: &SensorId, points: &[Point]) -> Result<Batch, StoreError> {
    let mut builder = BatchBuilder::new();
    for point in points {
        builder.push(sensor.as_str(), *point).map_err(|error| {
            StoreError::new(StoreErrorKind::Internal, format!("a sensor's id {error}"))
        })?;
    }
    Ok(builder.build())
}

/// Compares the whole, and prints the verdict.
async fn conclude(
    source: &dyn ReadingStore,
    target: &dyn ReadingStore,
    tally: &Tally,
    started: Instant,
) -> Result<(), Failure> {
    let whole = Selection::default();
    let of_source = source.stats(&whole).await.map_err(failed)?;
    let of_target = target.stats(&whole).await.map_err(failed)?;
    let outcome = &tally.outcome;
    let mut text = format!(
        "Copied in {:.1} s\n  sensors    {}, of which {} were the same already\n  recorded   {}\n  unchanged  {}\n  replaced   {}\n\n{:>34}{:>24}\n",
        started.elapsed().as_secs_f64(),
        HumanCount(tally.sensors),
        HumanCount(tally.passed_over),
        HumanCount(outcome.recorded),
        HumanCount(outcome.unchanged),
        HumanCount(outcome.replaced),
        source.backend(),
        target.backend(),
    );
    let shown = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let values = |stats: &Stats| {
        [
            HumanCount(stats.count()).to_string(),
            shown(stats.maximum().map(|it| it.to_string())),
            shown(stats.minimum().map(|it| it.to_string())),
            shown(stats.average().map(|it| it.to_string())),
        ]
    };
    let names = ["readings", "maximum", "minimum", "average"];
    let sides = values(&of_source).into_iter().zip(values(&of_target));
    for (name, (left, right)) in names.into_iter().zip(sides) {
        text += &format!("  {name:<8}{left:>24}{right:>24}\n");
    }
    for sensor in &tally.different {
        text += &format!("  DIFFERENT: {sensor}\n");
    }
    let same = tally.different_count == 0 && of_source == of_target;
    text += match (same, tally.different_count) {
        (true, _) => "The same on both sides.\n",
        (false, 0) => "All that was copied is the same; the other side holds more than that.\n",
        (false, _) => "Different: was something written meanwhile? Run it again.\n",
    };
    standard_output::print(&text)?;
    if same {
        Ok(())
    } else {
        Err(anyhow!("the statistics of both sides are not the same").into())
    }
}
