//! The sensors of a selection, and the statistics of the selection.

use super::all_sensors;
use super::snapshot::Snapshot;
use crate::error::StoreError;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::sensor::Sensor;
use crate::readings::embedded::sensor::view::SensorView;
use crate::readings::embedded::shared::Shared;
use crate::readings::{Selection, SensorId, Stats};
use crate::storage::sqlite::Reader;

/// The sensors that have readings in a window, in order of ids. If all readings of a sensor lie inside the window, the sensor is
/// first offered to `take_whole`, and left out if `take_whole` returns `true`.
pub(crate) fn views(
    index: &Index,
    selection: &Selection,
    mut take_whole: impl FnMut(&Stats) -> bool,
) -> Vec<(SensorId, SensorView)> {
    let window = selection.window;
    let mut views = Vec::new();
    let mut consider = |number, sensor: &Sensor| {
        let misses = window.from.is_some_and(|from| sensor.last < from)
            || window.to.is_some_and(|to| sensor.first >= to);
        let inside = window.contains(sensor.first) && window.contains(sensor.last);
        if misses || (inside && take_whole(&sensor.stats)) {
            return;
        }
        views.push((
            index.id(number),
            SensorView::new(number, sensor, window.from),
        ));
    };
    match &selection.sensor {
        Some(id) => {
            if let Some((number, sensor)) = index.find(id) {
                consider(number, sensor);
            }
        }
        None => index
            .ordered_after(None)
            .for_each(|(number, sensor)| consider(number, sensor)),
    }
    views
}

/// The statistics of a selection.
pub(crate) fn stats(
    reader: Reader,
    shared: &Shared,
    selection: &Selection,
) -> Result<Stats, StoreError> {
    if selection.sensor.is_none() {
        return all_sensors::stats(reader, shared, selection.window);
    }
    let snapshot = Snapshot::take(reader, shared, |index| {
        let mut inside = Stats::EMPTY;
        let views = views(index, selection, |stats| {
            inside.merge(stats);
            true
        });
        (inside, views)
    })?;
    let (mut total, views) = (snapshot.data.0, &snapshot.data.1);
    for (_, view) in views {
        total.merge(&view.stats(snapshot.connection()?, selection.window)?);
    }
    Ok(total)
}
