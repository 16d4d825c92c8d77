//! The statistics of a window over all sensors.

use rusqlite::Connection;

use super::snapshot::Snapshot;
use crate::error::StoreError;
use crate::readings::embedded::format::file::damaged;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::periods::changes::Change;
use crate::readings::embedded::periods::level::{Span, joined};
use crate::readings::embedded::periods::plan::{self, Part};
use crate::readings::embedded::periods::total::{Aggregate, Extreme, RemovedExtremes};
use crate::readings::embedded::sensor::view::SensorView;
use crate::readings::embedded::shared::Shared;
use crate::readings::{Stats, Timestamp, Window};
use crate::storage::sqlite::Reader;

/// How often a window is read again because an extreme is unknown. After the last attempt, each reading in the window is counted.
/// Each attempt leaves fewer unknown extremes.
const ATTEMPTS_MAX: usize = 8;

/// The state of a window in a snapshot.
#[derive(Debug)]
struct WindowState {
    parts: Vec<Part>,
    changes: Vec<Change>,
    /// By second: the extremes of replaced values, outside the scans.
    removed: Vec<(i64, RemovedExtremes)>,
    /// The statistics of sensors with all readings in a single scan.
    whole: Stats,
    scans: Vec<Window>,
    /// Other sensors that may have readings in a scan.
    sensors: Vec<SensorView>,
}

/// The statistics of all sensors' readings in a window.
pub(crate) fn stats(
    mut reader: Reader,
    shared: &Shared,
    window: Window,
) -> Result<Stats, StoreError> {
    let span = Span::of(window);
    let mut forced = Vec::new();
    for attempt in 0..=ATTEMPTS_MAX {
        if attempt == ATTEMPTS_MAX {
            forced = vec![span];
        }
        let snapshot = Snapshot::take_prepared(
            reader,
            shared,
            |connection, ledger| match &ledger.counted {
                Some(_) => plan::plan(connection, span, &forced),
                None => Ok(vec![Part::scan(span)]),
            },
            collect,
        )?;
        let sum = count(&snapshot)?;
        if sum.is_known() {
            return sum
                .stats()
                .ok_or_else(|| damaged("the totals of periods are not those of any readings"));
        }
        let mut wider = uncertain_spans(snapshot.connection()?, &snapshot.data, &sum)?;
        reader = snapshot.end()?;
        wider.extend_from_slice(&forced);
        let wider = joined(wider);
        // No narrower span is left to try.
        forced = if wider == forced { vec![span] } else { wider };
    }
    Err(damaged("the extremes of a window stay unknown"))
}

/// Adds the uncounted changes in memory to the plan for the disk.
fn collect(index: &Index, mut parts: Vec<Part>) -> WindowState {
    let mut data = WindowState {
        parts: Vec::new(),
        changes: Vec::new(),
        removed: Vec::new(),
        whole: Stats::EMPTY,
        scans: Vec::new(),
        sensors: Vec::new(),
    };
    let mut scans = Vec::new();
    for part in &mut parts {
        let mut in_span = index.uncounted.within(part.span);
        let cuts = |change: &Change| {
            let reading_span = change.reading_span();
            !part.span.contains(reading_span) && !part.span.overlap(reading_span).is_empty()
        };
        if part.is_edge() && in_span.changes.iter().any(cuts) {
            *part = Part::scan(part.span);
        }
        let (span, scanned) = (part.span, part.scans.as_slice());
        let is_scanned = |at: Span| scanned.iter().any(|scan| !scan.overlap(at).is_empty());
        in_span.changes.retain(|change| {
            span.contains(change.reading_span()) && !is_scanned(change.reading_span())
        });
        in_span.removed.retain(|(second, _)| {
            !is_scanned(Span {
                from: second * 1_000_000,
                to: (second + 1) * 1_000_000,
            })
        });
        data.changes.append(&mut in_span.changes);
        data.removed.append(&mut in_span.removed);
        scans.extend_from_slice(&part.scans);
    }
    data.parts = parts;
    let scans = joined(scans);
    if !scans.is_empty() {
        collect_sensors(index, &scans, &mut data);
    }
    data
}

/// Finds the sensors with readings in the scans. A sensor with all readings in a single scan adds only the sensor's statistics.
fn collect_sensors(index: &Index, scans: &[Span], data: &mut WindowState) {
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
            data.whole.merge(&sensor.stats);
        } else if scans.iter().any(|scan| !scan.overlap(readings).is_empty()) {
            // The number of sensors is limited far below 2³².
            let view = SensorView::new(number as u32, sensor, from);
            data.sensors.push(view);
        }
    }
    data.scans = scans.iter().map(|scan| scan.window()).collect();
}

fn count(snapshot: &Snapshot<WindowState>) -> Result<Aggregate, StoreError> {
    let (connection, data) = (snapshot.connection()?, &snapshot.data);
    let mut sum = Aggregate::NONE;
    for part in &data.parts {
        sum.merge(&part.total);
    }
    for change in &data.changes {
        sum.merge(&change.sum());
    }
    for (_, removed) in &data.removed {
        sum.remove(*removed);
    }
    let mut scanned = data.whole;
    for view in &data.sensors {
        snapshot.reader().check()?;
        for &window in &data.scans {
            scanned.merge(&view.stats(connection, window)?);
        }
    }
    sum.merge(&Aggregate::of_stats(&scanned));
    Ok(sum)
}

/// The periods that may contain the unknown extremes of an aggregate.
fn uncertain_spans(
    connection: &Connection,
    data: &WindowState,
    sum: &Aggregate,
) -> Result<Vec<Span>, StoreError> {
    let asked = |bound: Extreme| {
        if bound.known { i64::MIN } else { bound.value }
    };
    let (lowest, highest) = (asked(sum.lowest), asked(sum.highest));
    let mut spans = Vec::new();
    for period in data.parts.iter().flat_map(|part| &part.uncertain) {
        period.narrow(connection, lowest, highest, &mut spans)?;
    }
    for (second, removed) in &data.removed {
        if removed.lowest <= lowest || removed.highest <= highest {
            spans.push(plan::shortest_around(connection, second * 1_000_000)?);
        }
    }
    Ok(spans)
}
