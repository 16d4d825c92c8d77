//! What has to be known so that some readings can be stored, and what is lacking of it: pure.

use std::collections::{BTreeMap, HashMap};

use super::super::table::client::internal;
use super::super::table::items::Part;
use super::super::table::names::TableNames;
use super::changes::{Change, Changes, brought, is_replacing};
use super::cost::ITEMS_MAX;
use super::known_sensor::KnownSensor;
use super::transaction::{Author, Builder, Transaction};
use crate::error::StoreError;
use crate::readings::{SensorId, Timestamp};

/// What is to be done about some readings.
#[derive(Debug)]
pub(crate) enum Plan {
    /// All of them are stored as they are.
    Nothing,
    /// They can be stored so.
    Send(Box<Transaction>),
    /// These sensors have to be looked up in all cells first.
    NeedCells(Vec<SensorId>),
    /// The extremes of these sensors have to be found among their readings first.
    NeedExtremes(Vec<SensorId>),
    /// They do not fit into one transaction: how many items each sensor takes with its readings.
    TooLarge(HashMap<SensorId, usize>),
}

/// Puts the transaction together. Every sensor of `changes` is in `known`.
pub(crate) fn plan(
    tables: &TableNames,
    author: &Author,
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
    let need_cells = lacking(&|known, of_sensor| is_replacing(of_sensor) && known.others.is_none());
    if !need_cells.is_empty() {
        return Ok(Plan::NeedCells(need_cells));
    }
    let need_extremes =
        lacking(&|known, of_sensor| known.extremes.is_none() && loses_an_extreme(known, of_sensor));
    if !need_extremes.is_empty() {
        return Ok(Plan::NeedExtremes(need_extremes));
    }

    let mut builder = Builder::new(tables, author);
    let mut ends = Vec::with_capacity(changes.len());
    for (sensor, of_sensor) in changes {
        let Some(known) = known.get(sensor) else {
            return Err(internal("a transaction"));
        };
        builder.add(sensor, of_sensor, known)?;
        ends.push(builder.len());
    }
    // The lane comes on top.
    if builder.len() >= ITEMS_MAX {
        let begins = std::iter::once(0).chain(ends.iter().copied());
        let sizes = ends.iter().zip(begins).map(|(end, begin)| end - begin);
        return Ok(Plan::TooLarge(changes.keys().cloned().zip(sizes).collect()));
    }
    Ok(Plan::Send(Box::new(builder.finish()?)))
}

/// Whether the sensor's extremes cannot be told from its cells once the changes are made: a reading that was one of them is
/// replaced, and no other change reaches as far.
fn loses_an_extreme(known: &KnownSensor, changes: &BTreeMap<Timestamp, Change>) -> bool {
    let mut whole = Part::EMPTY;
    let others = known.others.iter().flatten().map(|(_, cell)| cell);
    for cell in known.own.iter().chain(others) {
        whole.merge(&cell.part);
    }
    let mut news = Part::EMPTY;
    brought(changes).for_each(|temperature| news.widen(temperature.micro_degrees()));
    changes
        .values()
        .filter_map(|change| change.before.as_ref())
        .any(|before| {
            let old = before.temperature.micro_degrees();
            (old <= whole.minimum && news.minimum > old)
                || (old >= whole.maximum && news.maximum < old)
        })
}

#[cfg(test)]
mod tests {
    use super::super::super::table::items::Lane;
    use super::super::changes::changes;
    use super::super::cost::Sensors;
    use super::*;
    use crate::readings::{Point, Temperature};

    /// Plans readings, and compares what it takes with what was said before. What is known of the sensor afterwards.
    fn check(known: &KnownSensor, readings: &[(i64, i64)]) -> KnownSensor {
        let sensor = SensorId::new("a").unwrap();
        let tables = TableNames {
            readings: "readings".to_owned(),
            aggregation: "aggregation".to_owned(),
        };
        let author = Author {
            slot: "r000".to_owned(),
            lane_index: 0,
            lane: Lane::default(),
            mark: String::new(),
        };
        let points = readings.iter().map(|(micros, micro_degrees)| Point {
            timestamp: Timestamp::from_micros(*micros).unwrap(),
            temperature: Temperature::from_micro_degrees(*micro_degrees).unwrap(),
        });
        let (_, changes) = changes(points.map(|point| (&sensor, point)), &HashMap::new());
        let all = HashMap::from([(sensor.clone(), known.clone())]);
        let Plan::Send(transaction) = plan(&tables, &author, &changes, &all).unwrap() else {
            panic!("something is lacking");
        };
        let mut sensors = Sensors::default();
        let mut items = 1;
        for (_, micro_degrees) in readings {
            let mut added = Part::EMPTY;
            added.widen(*micro_degrees);
            items += 1 + sensors.more(&sensor, Some(known), &added);
            sensors.add(&sensor, &added);
        }
        assert_eq!(transaction.items.len(), items, "{readings:?} on {known:?}");
        transaction.cells[0].1.clone()
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
            guard: Some(3),
            ..KnownSensor::default()
        };
        check(&of_others, &[(3, 20), (4, 21)]);
    }
}
