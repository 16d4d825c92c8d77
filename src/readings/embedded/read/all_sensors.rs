//! Statistics of a window over all sensors.

use rusqlite::Connection;

use super::snapshot::Snapshot;
use crate::error::StoreError;
use crate::readings::embedded::format::file::damaged;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::periods::changes::Change;
use crate::readings::embedded::periods::level::{Span, joined};
use crate::readings::embedded::periods::plan::{self, Part};
use crate::readings::embedded::periods::total::{Bound, Removed, Sum};
use crate::readings::embedded::sensor::view::SensorView;
use crate::readings::embedded::shared::Shared;
use crate::readings::{Stats, Timestamp, Window};
use crate::storage::sqlite::Reader;

/// How often a window is looked at again because an extreme is not known, before all of it is counted one by one. Each time
/// there are fewer such.
const LOOKS_MAX: usize = 8;

/// What a snapshot sees of a window.
#[derive(Debug)]
struct Seen {
    parts: Vec<Part>,
    changes: Vec<Change>,
    /// By second, outside what is counted one by one.
    removed: Vec<(i64, Removed)>,
    /// Of the sensors that have all their readings in one of the scans.
    whole: Stats,
    scans: Vec<Window>,
    /// The others that may have readings in one.
    sensors: Vec<SensorView>,
}

/// Statistics of all sensors' readings in a window.
pub(crate) fn stats(
    mut reader: Reader,
    shared: &Shared,
    window: Window,
) -> Result<Stats, StoreError> {
    let span = Span::of(window);
    let mut forced = Vec::new();
    for look in 0..=LOOKS_MAX {
        if look == LOOKS_MAX {
            forced = vec![span];
        }
        let snapshot = Snapshot::take_prepared(
            reader,
            shared,
            |connection, ledger| match &ledger.counted {
                Some(_) => plan::plan(connection, span, &forced),
                None => Ok(vec![Part::scan(span)]),
            },
            see,
        )?;
        let sum = count(&snapshot)?;
        if sum.is_known() {
            return sum
                .stats()
                .ok_or_else(|| damaged("the totals of periods are not those of any readings"));
        }
        let mut wider = doubtful(snapshot.connection()?, &snapshot.seen, &sum)?;
        reader = snapshot.end()?;
        wider.extend_from_slice(&forced);
        let wider = joined(wider);
        // Nothing is left to narrow it down with.
        forced = if wider == forced { vec![span] } else { wider };
    }
    Err(damaged("the extremes of a window stay unknown"))
}

/// Looks at what is only in memory, after what is on disk.
fn see(index: &Index, mut parts: Vec<Part>) -> Seen {
    let mut seen = Seen {
        parts: Vec::new(),
        changes: Vec::new(),
        removed: Vec::new(),
        whole: Stats::EMPTY,
        scans: Vec::new(),
        sensors: Vec::new(),
    };
    let mut scans = Vec::new();
    for part in &mut parts {
        let mut gathered = index.uncounted.within(part.span);
        let cuts = |change: &Change| {
            let tight = change.tight();
            !part.span.contains(tight) && !part.span.overlap(tight).is_empty()
        };
        if part.is_edge() && gathered.changes.iter().any(cuts) {
            *part = Part::scan(part.span);
        }
        let (span, scanned) = (part.span, part.scans.as_slice());
        let is_scanned = |at: Span| scanned.iter().any(|scan| !scan.overlap(at).is_empty());
        gathered
            .changes
            .retain(|change| span.contains(change.tight()) && !is_scanned(change.tight()));
        gathered.removed.retain(|(second, _)| {
            !is_scanned(Span {
                from: second * 1_000_000,
                to: (second + 1) * 1_000_000,
            })
        });
        seen.changes.append(&mut gathered.changes);
        seen.removed.append(&mut gathered.removed);
        scans.extend_from_slice(&part.scans);
    }
    seen.parts = parts;
    let scans = joined(scans);
    if !scans.is_empty() {
        see_sensors(index, &scans, &mut seen);
    }
    seen
}

/// Finds the sensors that have to be asked.
fn see_sensors(index: &Index, scans: &[Span], seen: &mut Seen) {
    // Scans are in order of time.
    let from = scans
        .first()
        .and_then(|scan| Timestamp::from_micros(scan.from));
    for (number, sensor) in index.sensors().iter().enumerate() {
        let readings = Span {
            from: sensor.first.micros(),
            to: sensor.last.micros() + 1,
        };
        if scans.iter().any(|scan| scan.contains(readings)) {
            seen.whole.merge(&sensor.stats);
        } else if scans.iter().any(|scan| !scan.overlap(readings).is_empty()) {
            // The number of sensors is bounded far below 2³².
            let view = SensorView::new(number as u32, sensor, from);
            seen.sensors.push(view);
        }
    }
    seen.scans = scans.iter().map(|scan| scan.window()).collect();
}

fn count(snapshot: &Snapshot<Seen>) -> Result<Sum, StoreError> {
    let (connection, seen) = (snapshot.connection()?, &snapshot.seen);
    let mut sum = Sum::NONE;
    for part in &seen.parts {
        sum.merge(&part.total);
    }
    for change in &seen.changes {
        sum.merge(&change.sum());
    }
    for (_, removed) in &seen.removed {
        sum.remove(*removed);
    }
    let mut scanned = seen.whole;
    for view in &seen.sensors {
        snapshot.reader().check()?;
        for &window in &seen.scans {
            scanned.merge(&view.stats(connection, window)?);
        }
    }
    sum.merge(&Sum::of_stats(&scanned));
    Ok(sum)
}

/// The periods in which the extremes of a sum may be, and are not known.
fn doubtful(connection: &Connection, seen: &Seen, sum: &Sum) -> Result<Vec<Span>, StoreError> {
    let asked = |bound: Bound| {
        if bound.known { i64::MIN } else { bound.value }
    };
    let (lowest, highest) = (asked(sum.lowest), asked(sum.highest));
    let mut spans = Vec::new();
    for doubt in seen.parts.iter().flat_map(|part| &part.doubts) {
        doubt.narrow(connection, lowest, highest, &mut spans)?;
    }
    for (second, removed) in &seen.removed {
        if removed.lowest <= lowest || removed.highest <= highest {
            spans.push(plan::shortest_around(connection, second * 1_000_000)?);
        }
    }
    Ok(spans)
}
