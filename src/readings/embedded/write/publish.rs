//! Makes a committed transaction visible to readers.

use super::writer::Writer;
use crate::readings::Point;
use crate::readings::embedded::index::Index;
use crate::readings::embedded::seal::slice::Slice;
use crate::readings::embedded::sensor::Sensor;

impl Writer {
    /// Applies a committed transaction to the index. Calls `moved` with the points of each sensor that have moved from the tail
    /// into chunks, before the tail drops them.
    pub(crate) fn publish(
        &mut self,
        slice: Option<&Slice>,
        index: &mut Index,
        mut moved: impl FnMut(u32, &[Point]),
    ) {
        let mut extremes_known = true;
        if let Some(slice) = slice {
            index.generation = slice.ledger.generation;
            for (&number, &(count, sealed_last)) in &slice.dropped {
                if let Some(sensor) = index.get_mut(number) {
                    moved(number, &sensor.tail[..count]);
                    sensor.drop_sealed(count, sealed_last);
                    index.tail_points -= count;
                }
            }
            if let Some(before) = slice.folded_before {
                index.uncounted.folded_before(before);
            }
            self.committed(slice);
        }
        for id in &self.pending.new_sensors {
            let changes = self.pending.changes_of(index.len() as u32);
            if let Some(point) = changes.and_then(|changes| changes.points.first()) {
                index.add(id, Sensor::new(*point));
            }
        }

        let mut readings = 0;
        let mut totals = index.totals;
        let mut tail_points = index.tail_points;
        let mut uncounted = std::mem::take(&mut index.uncounted);
        for changes in self.pending.sensors() {
            let Some(sensor) = index.get_mut(changes.sensor) else {
                continue;
            };
            let mut replaced = changes.replaced.iter().peekable();
            for point in &changes.points {
                match replaced.next_if(|(timestamp, _)| *timestamp == point.timestamp) {
                    Some((_, old)) => {
                        extremes_known &= totals.replace(*old, point.temperature);
                        uncounted.fresh.replace(*point, *old);
                    }
                    None => {
                        totals.add(point.temperature);
                        uncounted.fresh.add(*point);
                    }
                }
            }
            match changes.stats {
                Some(stats) => sensor.stats = stats,
                None => sensor
                    .stats
                    .extend(changes.points.iter().map(|point| point.temperature)),
            }
            readings += changes.points.len();
            tail_points -= sensor.tail.len();
            sensor.put(&changes.points);
            tail_points += sensor.tail.len();
            self.sealer
                .tail_grown(changes.sensor, sensor.tail.len(), &self.options);
        }
        index.totals = totals;
        if self.keeps_period_totals() {
            index.uncounted = uncounted;
        }
        index.tail_points = tail_points;
        if !extremes_known {
            index.recount_extremes();
        }
        self.sealer.logged(readings);
    }
}
