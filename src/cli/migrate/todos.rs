//! Todos from one store, or from the older todo app, into another store.

mod report;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use indicatif::ProgressBar;

use self::report::Tally;
use crate::backend_url::BackendUrl;
use crate::cli::{Failure, FailureKind, progress, runtime, standard_output};
use crate::error::{StoreError, StoreErrorKind};
use crate::storage::app_database::AppDatabase;
use crate::storage::data_directory::DataDirectory;
use crate::timestamp::Timestamp;
use crate::todos::moving::{Arrivals, Arrived, SourceRows, TodoSource};
use crate::todos::{self, TodoStore};

/// How often the other side is tried when it is away for a moment.
const ATTEMPTS_MAX: u32 = 10;

/// Copies, compares, and prints the result.
pub(super) fn run(from: &BackendUrl, to: &BackendUrl, data: &Path) -> Result<(), Failure> {
    if from.scheme() == "sqlite" && !data.is_dir() {
        // Opening would make an empty one.
        let error = anyhow!("there is no directory {}", data.display());
        return Err(Failure::new(FailureKind::Initialization, error));
    }
    let opened_database = OnceLock::new();
    let app_database = || -> Result<Arc<AppDatabase>, StoreError> {
        let opened = AppDatabase::open(DataDirectory::open(data).map(Arc::new)?)?;
        Ok(Arc::clone(opened_database.get_or_init(|| opened)))
    };
    runtime::block_on(2, async {
        let started = Instant::now();
        // The side that is only read comes first: when it is not what it should be, nothing is made on the other.
        let source = todos::open_source(from, Path::new(""), app_database).await;
        let mut source = source.map_err(|error| not_opened(error, from))?;
        let opened =
            tokio::task::block_in_place(|| todos::open(Some(to), Path::new(""), app_database));
        let target = opened.map_err(|error| not_opened(error, to))?;
        let total = source.count().await.map_err(failed)?;
        let mut tally = Tally::default();
        let now = Timestamp::now();
        let bar = progress::steps_bar(total, "todos");
        let copied = copy(&mut *source, &*target, now, &mut tally, &bar).await;
        bar.finish_and_clear();
        if let Err(error) = copied {
            let copied = tally.rows;
            let error = anyhow!(error).context(format!(
                "broke off after {copied} of {total}; run it again, it goes on where it was"
            ));
            return Err(error.into());
        }
        let bar = progress::steps_bar(total, "todos compared");
        let compared = compare(&mut *source, &*target, now, &mut tally, &bar).await;
        bar.finish_and_clear();
        compared.map_err(failed)?;
        tally.count_here = target.count().await.map_err(failed)?;
        let text = tally.text(source.name(), target.backend(), started.elapsed());
        target.close().await.map_err(failed)?;
        if let Some(app_database) = opened_database.get() {
            app_database.close().await;
        }
        standard_output::print(&text)?;
        match tally.is_same() {
            true => Ok(()),
            false => Err(anyhow!("the todos of both sides are not the same").into()),
        }
    })
}

fn not_opened(error: StoreError, url: &BackendUrl) -> Failure {
    let kind = match error.kind() {
        StoreErrorKind::Unsupported => FailureKind::Configuration,
        _ => FailureKind::Initialization,
    };
    Failure::new(kind, anyhow!(error).context(format!("cannot open {url}")))
}

fn failed(error: StoreError) -> Failure {
    anyhow!(error).into()
}

async fn copy(
    source: &mut dyn TodoSource,
    target: &dyn TodoStore,
    now: Timestamp,
    tally: &mut Tally,
    bar: &ProgressBar,
) -> Result<(), StoreError> {
    let origin = source.origin().to_owned();
    let mut from = Some(i64::MIN);
    while let Some(begin) = from {
        let page = source.page(begin).await?;
        from = page.next;
        let count = count(&page.rows);
        let arrivals = arrivals(page.rows, &origin, now, Some(&mut *tally));
        let arrived = take_over(target, &arrivals).await?;
        for (arrival, arrived) in arrivals.items.iter().zip(&arrived) {
            tally.arrived(arrival, arrived);
        }
        tally.rows += count;
        bar.inc(count);
    }
    Ok(())
}

fn count(rows: &SourceRows) -> u64 {
    match rows {
        SourceRows::Ours(rows) => rows.len() as u64,
        SourceRows::Older(rows) => rows.len() as u64,
    }
}

/// The todos that rows are to become; what is other than it was goes into the tally.
fn arrivals(
    rows: SourceRows,
    origin: &str,
    now: Timestamp,
    mut tally: Option<&mut Tally>,
) -> Arrivals {
    let mut arrivals = Arrivals {
        origin: origin.to_owned(),
        have_times: matches!(rows, SourceRows::Ours(_)),
        items: Vec::new(),
    };
    match rows {
        SourceRows::Ours(rows) => arrivals.items.extend(rows.into_iter().map(Into::into)),
        SourceRows::Older(rows) => {
            for row in rows {
                let converted = row.convert(now);
                if let Some(tally) = &mut tally {
                    tally.converted(row.id, &converted);
                }
                arrivals.items.extend(converted.arrivals);
            }
        }
    }
    arrivals
}

/// Takes them over, again and again if the other side is away for a moment: doing so twice does no more than once.
async fn take_over(
    target: &dyn TodoStore,
    arrivals: &Arrivals,
) -> Result<Vec<Arrived>, StoreError> {
    let mut attempt = 0;
    loop {
        match target.take_over(arrivals).await {
            Err(error) if attempt < ATTEMPTS_MAX && error.kind() == StoreErrorKind::Unavailable => {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(100 << attempt.min(6))).await;
            }
            answer => return answer,
        }
    }
}

/// Reads both sides once more, row by row.
async fn compare(
    source: &mut dyn TodoSource,
    target: &dyn TodoStore,
    now: Timestamp,
    tally: &mut Tally,
    bar: &ProgressBar,
) -> Result<(), StoreError> {
    let origin = source.origin().to_owned();
    let mut from = Some(i64::MIN);
    while let Some(begin) = from {
        let page = source.page(begin).await?;
        from = page.next;
        let count = count(&page.rows);
        let arrivals = arrivals(page.rows, &origin, now, None);
        let ids: Vec<_> = arrivals.items.iter().map(|item| item.todo.id).collect();
        let here = target.find(&ids).await?;
        for arrival in &arrivals.items {
            let here = here.iter().find(|here| here.todo.id == arrival.todo.id);
            let is_same = here.is_some_and(|here| arrivals.is_same(&arrival.todo, &here.todo));
            tally.compared(arrival, is_same);
        }
        bar.inc(count);
    }
    Ok(())
}
