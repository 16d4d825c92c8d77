//! How many items of a transaction readings take, told before it is planned: pure.

use std::collections::HashMap;

use super::super::table::items::Part;
use super::plan::KnownSensor;
use crate::readings::SensorId;

/// What `TransactWriteItems` takes.
pub(crate) const ITEMS_MAX: usize = 100;

/// A new sensor: its guard, its cell, and the cell's place in the order of minima and of maxima.
const NEW_SENSOR: usize = 4;
/// An extreme that moves: the old place in the order, and the new one.
const MOVED_EXTREME: usize = 2;

/// How many items a sensor takes besides one for each reading. A sensor that nothing is known of is taken for new. Replacements
/// may take more, which only those who look them up can tell.
pub(crate) fn of_sensor(known: Option<&KnownSensor>, brought: &Part) -> usize {
    let Some(known) = known else {
        return NEW_SENSOR;
    };
    let Some(own) = &known.own else {
        return NEW_SENSOR - usize::from(known.guard.is_some());
    };
    let moved = [
        brought.minimum < own.part.minimum,
        brought.maximum > own.part.maximum,
    ];
    1 + MOVED_EXTREME * moved.into_iter().filter(|it| *it).count()
}

/// The sensors of a transaction, and what their readings bring.
#[derive(Debug, Default)]
pub(crate) struct Sensors(HashMap<SensorId, Part>);

impl Sensors {
    /// How many more items it takes if readings of a sensor with these extremes are added.
    pub(crate) fn more(
        &self,
        sensor: &SensorId,
        known: Option<&KnownSensor>,
        added: &Part,
    ) -> usize {
        let Some(before) = self.0.get(sensor) else {
            return of_sensor(known, added);
        };
        let mut after = *before;
        after.merge(added);
        of_sensor(known, &after) - of_sensor(known, before)
    }

    pub(crate) fn add(&mut self, sensor: &SensorId, added: &Part) {
        let part = self.0.entry(sensor.clone()).or_insert(Part::EMPTY);
        part.merge(added);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::dynamodb::table::client::Tables;
    use crate::readings::dynamodb::table::items::Lane;
    use crate::readings::dynamodb::write::changes::changes;
    use crate::readings::dynamodb::write::plan::{Plan, plan};
    use crate::readings::dynamodb::write::transaction::Author;
    use crate::readings::dynamodb::{Credentials, DynamoUrl};
    use crate::readings::{Point, Temperature, Timestamp};

    async fn tables() -> Tables {
        let url = "dynamodb://test?region=eu-west-1&endpoint=http://127.0.0.1:1";
        let location = DynamoUrl::parse(&url.parse().unwrap()).unwrap();
        let credentials = Credentials {
            access_key: "test".to_owned(),
            secret: "test".to_owned(),
        };
        Tables::connect(&location, Some(&credentials)).await
    }

    /// Plans readings, and compares what it takes with what was said before. What is known of the sensor afterwards.
    fn check(tables: &Tables, known: &KnownSensor, readings: &[(i64, i64)]) -> KnownSensor {
        let sensor = SensorId::new("a").unwrap();
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
        let Plan::Send(transaction) = plan(tables, &author, &changes, &all).unwrap() else {
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

    #[tokio::test]
    async fn it_is_what_a_plan_takes() {
        let tables = tables().await;
        let known = check(&tables, &KnownSensor::default(), &[(1, 20), (2, 22)]);
        for readings in [
            vec![(3, 20)],
            vec![(3, 22), (4, 21)],
            vec![(3, 19)],
            vec![(3, 23)],
            vec![(3, 25), (4, 18), (5, 17), (6, 21)],
        ] {
            check(&tables, &known, &readings);
        }
        let of_others = KnownSensor {
            guard: Some(3),
            ..KnownSensor::default()
        };
        check(&tables, &of_others, &[(3, 20), (4, 21)]);
    }
}
