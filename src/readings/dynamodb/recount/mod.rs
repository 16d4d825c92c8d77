//! Derives all aggregates from the readings: for tables that already have readings, and for repair.
//!
//! A recount reads the table three times. The first pass reads everything, changes nothing, and names all items that cannot be
//! counted; if there are none, the aggregates are closed. The second pass rewrites timestamps with another spelling. The third pass
//! counts. The aggregates are opened only if the third pass counted the same readings as the first pass read. After an interruption
//! the next run begins with the first pass again.

mod clear;
mod closing;
mod compare;
mod count;
mod counted;
mod duplicates;
mod entry;
mod examine;
mod moving;
mod progress;
mod respell;
mod seen_timestamps;
mod writes;

pub use progress::{Pass, Progress};

use self::clear::clear;
use self::compare::compare;
use self::count::{changed, count};
use self::counted::Totals;
use self::examine::{Examined, examine};
use self::progress::Meter;
use self::respell::respell;
use super::table::client::Tables;
use super::table::setup;
use super::url::{Credentials, DynamoUrl};
use crate::error::StoreError;
use crate::readings::Stats;

/// How many differences are named.
const NAMED_MAX: usize = 20;

/// The result of a recount.
#[derive(Clone, Debug, Default)]
pub struct RecountReport {
    /// Statistics of all readings.
    pub stats: Stats,
    /// How many sensors have readings.
    pub sensors: u64,
    /// Readings with another spelling of the timestamp, now rewritten.
    pub rewritten: u64,
    /// Readings that existed in two spellings, and were joined.
    pub joined: u64,
    /// The first items that cannot be counted, in order. With any fault nothing was counted or changed.
    pub faults: Vec<String>,
    /// How many faults there are.
    pub fault_count: u64,
    /// The first differences between the aggregates and the readings; only in a check.
    pub differences: Vec<String>,
    /// How many differences there are.
    pub difference_count: u64,
}

/// Counts all readings. With `check` the recount only compares; the result is exact while nobody writes. Otherwise the aggregates
/// are derived again, and until the end nobody can write, or read statistics.
///
/// # Errors
/// When DynamoDB cannot be reached or refuses, or something wrote to the table during the recount. The aggregates then stay closed
/// until another recount succeeds.
pub async fn recount(
    location: &DynamoUrl,
    credentials: Option<&Credentials>,
    check: bool,
    progress: Progress<'_>,
) -> Result<RecountReport, StoreError> {
    let tables = Tables::connect(location, credentials).await;
    setup::check(&tables, location).await?;
    if check {
        return compare(&tables, progress).await;
    }
    let begun_at = closing::sequences(&tables).await?;
    let mut found = examine(&tables, &Meter::new(progress, Pass::Examine)).await?;
    if found.faults.count > 0 {
        return Ok(refused(&found));
    }
    let closed = closing::close(&tables).await?;
    if closing::sequences(&tables).await? != begun_at {
        // Servers wrote during the first pass, so the first pass is repeated. Now the servers cannot write.
        found = examine(&tables, &Meter::new(progress, Pass::Examine)).await?;
        if found.faults.count > 0 {
            closed.undo(&tables).await?;
            return Ok(refused(&found));
        }
    }
    let mut report = RecountReport::default();
    if found.respelled_count > 0 {
        let moved = respell(&tables, &Meter::new(progress, Pass::Respell)).await?;
        (report.rewritten, report.joined) = (moved.rewritten, moved.joined);
    }
    clear(&tables).await?;
    let counted = count(&tables, &Meter::new(progress, Pass::Count)).await?;
    if counted != found.whole {
        return Err(changed(&difference(&found.whole, &counted)));
    }
    closed.open(&tables).await?;
    report.stats = counted.partial.stats()?;
    report.sensors = counted.sensors;
    Ok(report)
}

/// The report when nothing was counted.
fn refused(found: &Examined) -> RecountReport {
    RecountReport {
        stats: found.whole.partial.stats().unwrap_or_default(),
        sensors: found.whole.sensors,
        faults: found.faults.named(),
        fault_count: found.faults.count,
        ..RecountReport::default()
    }
}

fn difference(before: &Totals, after: &Totals) -> String {
    format!(
        "there were {} readings of {} sensors when it was read, {} of {} when it was counted",
        before.partial.count, before.sensors, after.partial.count, after.sensors
    )
}
