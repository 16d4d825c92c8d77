//! The second pass: readings whose timestamp is written in another way get the key that they should have, with all they hold.
//!
//! A reading moves by one transaction, so that it is there once at any moment. Nothing is counted here, because what has moved is
//! met again further on.

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

/// What one transaction takes: 100 items and 4 MB. A move is two items, and has its bytes counted twice.
const MOVES_MAX: usize = 50;
const BYTES_MAX: usize = 3_500_000;
/// What may be on its way at the same time, in all segments together.
const TRANSACTIONS_MAX: usize = 16;
const KIBIBYTES_MAX: usize = 16 * 1024;

/// Bounds what is on its way.
struct Way {
    transactions: Semaphore,
    kibibytes: Semaphore,
}

/// Rewrites the timestamps of all readings that need it.
pub(super) async fn respell(tables: &Tables, meter: &Meter<'_>) -> Result<Moved, StoreError> {
    let way = Way {
        transactions: Semaphore::new(TRANSACTIONS_MAX),
        kibibytes: Semaphore::new(KIBIBYTES_MAX),
    };
    let segments = (0..SEGMENTS).map(|number| respell_segment(tables, number, &way, meter));
    let mut moved = Moved::default();
    for part in try_join_all(segments).await? {
        moved.merge(&part);
    }
    Ok(moved)
}

async fn respell_segment(
    tables: &Tables,
    number: u32,
    way: &Way,
    meter: &Meter<'_>,
) -> Result<Moved, StoreError> {
    let mut pages = Segment::open(tables, &tables.names.readings, number, Attributes::All);
    let mut moved = Moved::default();
    // A page begins after the last item of the page before, and not every server finds its place when that item has gone. So it goes
    // with the next page.
    let mut held = None;
    while let Some(items) = pages.next().await? {
        let seen = items.len();
        let mut load = Load::default();
        let mut under_way = FuturesUnordered::new();
        let last = held.take();
        let mut steps = Vec::with_capacity(seen);
        for item in items {
            let entry = Entry::read(&item).map_err(|fault| changed(&fault.to_string()))?;
            let to = (!entry.is_canonical()).then(|| keys::moment(entry.timestamp));
            steps.push(to.map(|to| Move::new(entry.sensor.to_string(), entry.when, to, item)));
        }
        if !pages.is_done() {
            held = steps.pop().flatten();
        }
        for step in last.into_iter().chain(steps.into_iter().flatten()) {
            if !load.has_room_for(&step) {
                under_way.push(send(tables, way, std::mem::take(&mut load)));
            }
            load.take(step);
        }
        under_way.push(send(tables, way, load));
        // The next page is read when this one is done with: what is in memory is a page of each segment.
        while let Some(done) = under_way.next().await {
            moved.merge(&done?);
        }
        meter.add(seen);
    }
    // The last page may have been empty, and yet not known to be the last.
    if let Some(step) = held {
        moved.merge(&move_all(tables, vec![step]).await?);
    }
    Ok(moved)
}

async fn send(tables: &Tables, way: &Way, load: Load) -> Result<Moved, StoreError> {
    if load.moves.is_empty() {
        return Ok(Moved::default());
    }
    let kibibytes = (load.bytes / 1024 + 1).min(KIBIBYTES_MAX) as u32;
    // They are never closed, so there is always a permit in the end.
    let _transaction = way.transactions.acquire().await.ok();
    let _bytes = way.kibibytes.acquire_many(kibibytes).await.ok();
    move_all(tables, load.moves).await
}

/// What goes into one transaction.
#[derive(Default)]
struct Load {
    moves: Vec<Move>,
    bytes: usize,
    /// A transaction takes each key once only.
    targets: HashSet<(String, String)>,
}

impl Load {
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
