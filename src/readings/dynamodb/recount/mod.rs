//! Deriving all aggregates from the readings: for tables that have readings already, and for repair.
//!
//! It goes over the readings three times. The first pass reads everything, changes nothing, and names all that cannot be counted;
//! if there is none, the aggregates are closed. The second rewrites timestamps that are written in another way. The third counts, and the
//! aggregates are opened only if it counted what the first has read. Whatever it is broken off in the middle of, the next run begins
//! with the first pass again.

mod clear;
mod closing;
mod compare;
mod count;
mod counted;
mod doubles;
mod entry;
mod examine;
mod moments;
mod moving;
mod progress;
mod respell;
mod writes;

pub use progress::{Pass, Progress};

use self::clear::clear;
use self::compare::compare;
use self::count::{changed, count};
use self::counted::Whole;
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

/// What a recount has found.
#[derive(Clone, Debug, Default)]
pub struct RecountReport {
    /// Statistics of the readings that there are.
    pub stats: Stats,
    /// How many sensors they are of.
    pub sensors: u64,
    /// Readings whose moment was written in another way, and is now as it should be.
    pub rewritten: u64,
    /// Readings that were there twice, with their moment written in two ways, and are now there once.
    pub joined: u64,
    /// The first items that are no readings, or one too many, in order. When there is one, nothing was counted or changed.
    pub faults: Vec<String>,
    /// How many faults there are.
    pub fault_count: u64,
    /// The first differences between the aggregates and the readings; a check only.
    pub differences: Vec<String>,
    /// How many differences there are.
    pub difference_count: u64,
}

/// Counts all readings. With `check` it only compares, which is exact while nobody writes; otherwise the aggregates are made
/// anew, and until that is done nobody can write or read statistics.
///
/// # Errors
/// When DynamoDB cannot be reached or refuses, or something has written to the table meanwhile. The aggregates stay closed then: run
/// it again.
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
        // Servers have written while it read. Now they cannot.
        found = examine(&tables, &Meter::new(progress, Pass::Examine)).await?;
        if found.faults.count > 0 {
            closed.undo(&tables).await?;
            return Ok(refused(&found));
        }
    }
    let mut report = RecountReport::default();
    if found.otherwise_spelled > 0 {
        let moved = respell(&tables, &Meter::new(progress, Pass::Respell)).await?;
        (report.rewritten, report.joined) = (moved.rewritten, moved.joined);
    }
    clear(&tables).await?;
    let counted = count(&tables, &Meter::new(progress, Pass::Count)).await?;
    if counted != found.whole {
        return Err(changed(&difference(&found.whole, &counted)));
    }
    closed.open(&tables).await?;
    report.stats = counted.part.stats()?;
    report.sensors = counted.sensors;
    Ok(report)
}

/// What there is to say when nothing is counted.
fn refused(found: &Examined) -> RecountReport {
    RecountReport {
        stats: found.whole.part.stats().unwrap_or_default(),
        sensors: found.whole.sensors,
        faults: found.faults.named(),
        fault_count: found.faults.count,
        ..RecountReport::default()
    }
}

fn difference(before: &Whole, after: &Whole) -> String {
    format!(
        "there were {} readings of {} sensors when it was read, {} of {} when it was counted",
        before.part.count, before.sensors, after.part.count, after.sensors
    )
}
