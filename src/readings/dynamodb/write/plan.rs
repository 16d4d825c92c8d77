//! Decides which items must be looked up before readings can be written, and builds the transaction. Does no I/O.

use std::collections::{BTreeMap, HashMap};

use super::super::table::client::build_error;
use super::super::table::items::PartialStats;
use super::super::table::names::TableNames;
use super::changes::{Change, Changes, is_replacing, new_temperatures};
use super::cost::ITEMS_MAX;
use super::known_sensor::KnownSensor;
use super::transaction::{Attempt, Builder, Transaction};
use crate::error::StoreError;
use crate::readings::{SensorId, Timestamp};

/// The next step of a write.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing to write: all readings are stored already.
    Nothing,
    /// Send this transaction.
    Send(Box<Transaction>),
    /// Look up the aggregates of these sensors in all leases.
    NeedAggregates(Vec<SensorId>),
    /// Look up the extremes of these sensors among their readings.
    NeedExtremes(Vec<SensorId>),
    /// The readings do not fit into a transaction. The map has the number of items for each sensor with the sensor's readings.
    TooLarge(HashMap<SensorId, usize>),
}

/// Plans the next step of a write. Every sensor of `changes` is in `known`.
pub(crate) fn plan(
    tables: &TableNames,
    attempt: &Attempt,
    changes: &Changes,
    known: &HashMap<SensorId, KnownSensor>,
) -> Result<Plan, StoreError> {
    if changes.is_empty() {
        return Ok(Plan::Nothing);
    }
    let lacking = |lacks: &dyn Fn(&KnownSensor, &BTreeMap<Timestamp, Change>) -> bool| {
        let lacking = changes.iter().filter(|(sensor, of_sensor)| {
            known
                .get(*sensor)
                .is_none_or(|known| lacks(known, of_sensor))
        });
        lacking
            .map(|(sensor, _)| sensor.clone())
            .collect::<Vec<_>>()
    };
    let need_aggregates =
        lacking(&|known, of_sensor| is_replacing(of_sensor) && known.others.is_none());
    if !need_aggregates.is_empty() {
        return Ok(Plan::NeedAggregates(need_aggregates));
    }
    let need_extremes =
        lacking(&|known, of_sensor| known.extremes.is_none() && loses_an_extreme(known, of_sensor));
    if !need_extremes.is_empty() {
        return Ok(Plan::NeedExtremes(need_extremes));
    }

    let mut builder = Builder::new(tables, attempt);
    let mut ends = Vec::with_capacity(changes.len());
    for (sensor, of_sensor) in changes {
        let Some(known) = known.get(sensor) else {
            return Err(build_error("a transaction"));
        };
        builder.add(sensor, of_sensor, known)?;
        ends.push(builder.len());
    }
    // The write shard is another item.
    if builder.len() >= ITEMS_MAX {
        let begins = std::iter::once(0).chain(ends.iter().copied());
        let sizes = ends.iter().zip(begins).map(|(end, begin)| end - begin);
        return Ok(Plan::TooLarge(changes.keys().cloned().zip(sizes).collect()));
    }
    Ok(Plan::Send(Box::new(builder.finish()?)))
}

/// Whether the sensor's extremes after the changes cannot be computed from the sensor's aggregates: a reading that may be an
/// extreme is replaced, and no other change reaches as far.
fn loses_an_extreme(known: &KnownSensor, changes: &BTreeMap<Timestamp, Change>) -> bool {
    let mut whole = PartialStats::EMPTY;
    let others = known
        .others
        .iter()
        .flatten()
        .map(|(_, aggregate)| aggregate);
    for aggregate in known.own.iter().chain(others) {
        whole.merge(&aggregate.partial);
    }
    let mut added = PartialStats::EMPTY;
    new_temperatures(changes).for_each(|temperature| added.widen(temperature.micro_degrees()));
    changes
        .values()
        .filter_map(|change| change.before.as_ref())
        .any(|before| {
            let old = before.temperature.micro_degrees();
            (old <= whole.minimum && added.minimum > old)
                || (old >= whole.maximum && added.maximum < old)
        })
}

#[cfg(test)]
mod tests {
    use super::super::super::table::items::WriteShard;
    use super::super::changes::changes;
    use super::super::cost::Sensors;
    use super::*;
    use crate::readings::{Point, Temperature};

    /// Plans readings, compares the number of items with the estimate, and returns the sensor as known afterwards.
    fn check(known: &KnownSensor, readings: &[(i64, i64)]) -> KnownSensor {
        let sensor = SensorId::new("a").unwrap();
        let tables = TableNames {
            readings: "readings".to_owned(),
            aggregation: "aggregation".to_owned(),
        };
        let attempt = Attempt {
            lease: "r000".to_owned(),
            shard_index: 0,
            shard: WriteShard::default(),
            attempt_id: String::new(),
        };
        let points = readings.iter().map(|(micros, micro_degrees)| Point {
            timestamp: Timestamp::from_micros(*micros).unwrap(),
            temperature: Temperature::from_micro_degrees(*micro_degrees).unwrap(),
        });
        let (_, changes) = changes(points.map(|point| (&sensor, point)), &HashMap::new());
        let all = HashMap::from([(sensor.clone(), known.clone())]);
        let Plan::Send(transaction) = plan(&tables, &attempt, &changes, &all).unwrap() else {
            panic!("something is lacking");
        };
        let mut sensors = Sensors::default();
        let mut items = 1;
        for (_, micro_degrees) in readings {
            let mut added = PartialStats::EMPTY;
            added.widen(*micro_degrees);
            items += 1 + sensors.more(&sensor, Some(known), &added);
            sensors.add(&sensor, &added);
        }
        assert_eq!(transaction.items.len(), items, "{readings:?} on {known:?}");
        transaction.aggregates[0].1.clone()
    }

    #[test]
    fn a_plan_takes_as_many_items_as_its_cost_says() {
        let known = check(&KnownSensor::default(), &[(1, 20), (2, 22)]);
        for readings in [
            vec![(3, 20)],
            vec![(3, 22), (4, 21)],
            vec![(3, 19)],
            vec![(3, 23)],
            vec![(3, 25), (4, 18), (5, 17), (6, 21)],
        ] {
            check(&known, &readings);
        }
        let of_others = KnownSensor {
            replacement_version: Some(3),
            ..KnownSensor::default()
        };
        check(&of_others, &[(3, 20), (4, 21)]);
    }
}
