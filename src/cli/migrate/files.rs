//! Copies device files between backends, or from the bucket of an older file service.

mod copy;
mod source;
mod tally;

use std::cell::OnceCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, stream};

use self::copy::Copying;
use self::source::Source;
use self::tally::Tally;
use super::failure::{check_data_exists, open_failure, store_failure};
use crate::backend_url::BackendUrl;
use crate::cli::{Failure, progress, runtime};
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{self, FileStore};
use crate::storage::app_database::AppDatabase;
use crate::storage::data_directory::DataDirectory;

/// The files that are copied at the same time.
const AT_A_TIME: usize = 6;

/// Copies and compares the files, and prints the result.
pub(super) fn run(from: &BackendUrl, to: &BackendUrl, data: &Path) -> Result<(), Failure> {
    if from.scheme() == "file" {
        check_data_exists(data)?;
    }
    let (from, layout) = source::layout_of(from)?;
    let app_database = OnceCell::new();
    runtime::block_on(2, async {
        let store = open(&from, data, &app_database).await?;
        let opened = source::open(&from, store).await?;
        let target = open(to, data, &app_database).await?;
        let started = Instant::now();
        let source = opened.decide(&from, to, layout).await?;
        let verdict = copy_all(&source, &target, started).await;
        if let Some(app_database) = app_database.get() {
            app_database.close().await;
        }
        verdict
    })
}

async fn open(
    url: &BackendUrl,
    data: &Path,
    app_database: &OnceCell<Arc<AppDatabase>>,
) -> Result<Arc<dyn FileStore>, Failure> {
    let directory = OnceCell::new();
    let the_directory = || -> Result<Arc<DataDirectory>, StoreError> {
        if directory.get().is_none() {
            let _ = directory.set(Arc::new(DataDirectory::open(data)?));
        }
        directory.get().cloned().ok_or_else(|| {
            StoreError::new(StoreErrorKind::Internal, "the data directory is not open")
        })
    };
    let app_database = || {
        let opened = AppDatabase::open(the_directory()?)?;
        Ok(Arc::clone(app_database.get_or_init(|| opened)))
    };
    let opened = files::open(url, the_directory, app_database).await;
    opened.map_err(|error| open_failure(url, error))
}

async fn copy_all(
    source: &Source,
    target: &Arc<dyn FileStore>,
    started: Instant,
) -> Result<(), Failure> {
    let before = source.survey().await.map_err(store_failure)?;
    let bar = progress::bytes_bar(before.bytes_known());
    let tally = Tally::new(bar.clone());
    let copying = Copying {
        source,
        target: &**target,
        tally: &tally,
    };
    let mut after = None;
    let copied = loop {
        let page = match source.page(after.as_deref()).await {
            Ok(page) => page,
            Err(error) => break Err(store_failure(error)),
        };
        let copies = stream::iter(page.items).map(|item| copying.copy(item));
        copies
            .buffer_unordered(AT_A_TIME)
            .for_each(async |()| ())
            .await;
        after = page.next;
        if after.is_none() {
            break Ok(());
        }
    };
    bar.finish_and_clear();
    copied?;
    let later = source.survey().await.map_err(store_failure)?;
    tally
        .conclude(source, &**target, before == later, started)
        .await
}
