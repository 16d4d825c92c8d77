//! The second pass: gives readings with another spelling of the timestamp the key in this program's spelling. All attributes are
//! kept.
//!
//! A reading moves in a single transaction, so the reading exists exactly once at any time. This pass counts nothing, because
//! moved readings come up again later in the scan.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Semaphore;

use super::count::changed;
use super::entry::Entry;
use super::moving::{Move, Moved, move_all};
use super::progress::Meter;
use crate::error::StoreError;
use crate::readings::dynamodb::table::client::Tables;
use crate::readings::dynamodb::table::keys;
use crate::readings::dynamodb::table::scan::{Attributes, SEGMENTS, Segment};

/// The limits of a transaction: 100 items and 4 MB. A move has two items, and the bytes of a move count twice.
const MOVES_MAX: usize = 50;
const BYTES_MAX: usize = 3_500_000;
/// The limits of transactions in flight at the same time, in all segments together.
const TRANSACTIONS_MAX: usize = 16;
const KIBIBYTES_MAX: usize = 16 * 1024;

/// The limits of all segments together.
struct InFlightLimits {
    transactions: Semaphore,
    kibibytes: Semaphore,
}

/// Rewrites the timestamps of all readings with another spelling.
pub(super) async fn respell(tables: &Tables, meter: &Meter<'_>) -> Result<Moved, StoreError> {
    let limits = InFlightLimits {
        transactions: Semaphore::new(TRANSACTIONS_MAX),
        kibibytes: Semaphore::new(KIBIBYTES_MAX),
    };
    let segments = (0..SEGMENTS).map(|number| respell_segment(tables, number, &limits, meter));
    let mut moved = Moved::default();
    for partial in try_join_all(segments).await? {
        moved.merge(&partial);
    }
    Ok(moved)
}

async fn respell_segment(
    tables: &Tables,
    number: u32,
    limits: &InFlightLimits,
    meter: &Meter<'_>,
) -> Result<Moved, StoreError> {
    let mut pages = Segment::open(tables, &tables.names.readings, number, Attributes::All);
    let mut moved = Moved::default();
    // A scan continues after the last item of a page, and not every server finds the position of a deleted item. So the last item
    // of a page moves with the next page.
    let mut held = None;
    while let Some(items) = pages.next().await? {
        let seen = items.len();
        let mut batch = MoveBatch::default();
        let mut under_way = FuturesUnordered::new();
        let last = held.take();
        let mut steps = Vec::with_capacity(seen);
        for item in items {
            let entry = Entry::read(&item).map_err(|fault| changed(&fault.to_string()))?;
            let to = (!entry.is_canonical()).then(|| keys::timestamp(entry.timestamp));
            steps.push(to.map(|to| Move::new(entry.sensor.to_string(), entry.when, to, item)));
        }
        if !pages.is_done() {
            held = steps.pop().flatten();
        }
        for step in last.into_iter().chain(steps.into_iter().flatten()) {
            if !batch.has_room_for(&step) {
                under_way.push(send(tables, limits, std::mem::take(&mut batch)));
            }
            batch.take(step);
        }
        under_way.push(send(tables, limits, batch));
        // The next page is read after this page, so that each segment has only one page in memory.
        while let Some(done) = under_way.next().await {
            moved.merge(&done?);
        }
        meter.add(seen);
    }
    // The last page may have been empty. In this case the page before was not known to be the last page with items.
    if let Some(step) = held {
        moved.merge(&move_all(tables, vec![step]).await?);
    }
    Ok(moved)
}

async fn send(
    tables: &Tables,
    limits: &InFlightLimits,
    batch: MoveBatch,
) -> Result<Moved, StoreError> {
    if batch.moves.is_empty() {
        return Ok(Moved::default());
    }
    let kibibytes = (batch.bytes / 1024 + 1).min(KIBIBYTES_MAX) as u32;
    // The semaphores are never closed.
    let _transaction = limits.transactions.acquire().await.ok();
    let _bytes = limits.kibibytes.acquire_many(kibibytes).await.ok();
    move_all(tables, batch.moves).await
}

/// The moves of a transaction.
#[derive(Default)]
struct MoveBatch {
    moves: Vec<Move>,
    bytes: usize,
    /// A transaction accepts each key once.
    targets: HashSet<(String, String)>,
}

impl MoveBatch {
    fn has_room_for(&self, step: &Move) -> bool {
        self.moves.len() < MOVES_MAX
            && self.bytes + step.bytes() <= BYTES_MAX
            && !self.targets.contains(&step.target())
    }

    fn take(&mut self, step: Move) {
        self.bytes += step.bytes();
        self.targets.insert(step.target());
        self.moves.push(step);
    }
}
