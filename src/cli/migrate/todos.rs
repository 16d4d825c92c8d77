//! Copies todos between stores, or from the older todo app.

mod report;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::anyhow;
use indicatif::ProgressBar;

use self::report::Tally;
use super::failure::{check_data_exists, open_failure, store_failure};
use crate::backend_url::BackendUrl;
use crate::cli::retry::retry_store;
use crate::cli::{Failure, progress, runtime, standard_output};
use crate::error::StoreError;
use crate::storage::app_database::AppDatabase;
use crate::storage::data_directory::DataDirectory;
use crate::timestamp::Timestamp;
use crate::todos::import::{ImportBatch, SourceRows, TodoSource};
use crate::todos::{self, TodoStore};

/// Copies and compares the todos, and prints the result.
pub(super) fn run(from: &BackendUrl, to: &BackendUrl, data: &Path) -> Result<(), Failure> {
    if from.scheme() == "sqlite" {
        check_data_exists(data)?;
    }
    let opened_database = OnceLock::new();
    let app_database = || -> Result<Arc<AppDatabase>, StoreError> {
        let opened = AppDatabase::open(DataDirectory::open(data).map(Arc::new)?)?;
        Ok(Arc::clone(opened_database.get_or_init(|| opened)))
    };
    runtime::block_on(2, async {
        let started = Instant::now();
        // The source is opened first, so that an unusable source leaves the target unchanged.
        let source = todos::open_source(from, Path::new(""), app_database).await;
        let mut source = source.map_err(|error| open_failure(from, error))?;
        let opened = todos::open(Some(to), Path::new(""), app_database).await;
        let target = opened.map_err(|error| open_failure(to, error))?;
        let total = source.count().await.map_err(store_failure)?;
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
        compared.map_err(store_failure)?;
        tally.count_here = target.count().await.map_err(store_failure)?;
        let text = tally.text(source.name(), target.backend(), started.elapsed());
        target.close().await.map_err(store_failure)?;
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
        let arrived = retry_store(
            || target.import(&arrivals),
            |notice| progress::note(bar, notice),
        )
        .await?;
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

/// Converts rows to todos. Counts the changes of the conversion in the tally.
fn arrivals(
    rows: SourceRows,
    origin: &str,
    now: Timestamp,
    mut tally: Option<&mut Tally>,
) -> ImportBatch {
    let mut arrivals = ImportBatch {
        origin: origin.to_owned(),
        has_timestamps: matches!(rows, SourceRows::Ours(_)),
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
                arrivals.items.extend(converted.items);
            }
        }
    }
    arrivals
}

/// Reads both sides again, and compares every todo.
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
