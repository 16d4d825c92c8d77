//! Readings sorted on disk, compared with a sort in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn whatever_the_order_and_the_room_each_moment_is_there_once_in_order(
        readings in prop::collection::vec((0..4_u8, 0..30_i64, -3..3_i64, 0..3_u8), 0..200),
        room in 1..60_usize,
    ) {
        let mut sorter = Sorter::with_buffer(room);
        let mut naive: BTreeMap<(String, i64), BTreeMap<String, i64>> = BTreeMap::new();
        for (sensor, micros, degrees, text) in readings {
            let (name, text) = (format!("s{sensor}"), format!("{text}"));
            let of_moment = naive.entry((name.clone(), micros)).or_default();
            if of_moment.contains_key(&text) {
                // A key exists once.
                continue;
            }
            of_moment.insert(text.clone(), degrees);
            let id = SensorId::new(&name).unwrap();
            sorter.push(&id, point(micros, degrees).unwrap(), &text).unwrap();
        }
        let mut duplicates = Vec::new();
        let sorted = sorter.finish(|duplicate| duplicates.push(duplicate)).unwrap();
        let expected: Vec<_> = naive
            .iter()
            .map(|((name, micros), texts)| {
                (name.clone(), point(*micros, *texts.values().next().unwrap()).unwrap())
            })
            .collect();
        let mut found = Vec::new();
        let mut stats = Stats::EMPTY;
        for summary in sorted.sensors(None, 100) {
            let mut of_sensor = Vec::new();
            loop {
                let from = of_sensor.len() as u64;
                let points = sorted.points(&summary.sensor, from, 7).unwrap();
                if points.is_empty() {
                    break;
                }
                of_sensor.extend(points);
            }
            let temperatures = of_sensor.iter().map(|point| point.temperature);
            prop_assert_eq!(summary.stats, Stats::from_iter(temperatures.clone()));
            prop_assert_eq!(summary.first, of_sensor[0].timestamp);
            prop_assert_eq!(summary.last, of_sensor[of_sensor.len() - 1].timestamp);
            stats.extend(temperatures);
            found.extend(of_sensor.into_iter().map(|it| (summary.sensor.to_string(), it)));
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(stats, sorted.stats());
        let extra: usize = naive.values().map(|texts| texts.len() - 1).sum();
        prop_assert_eq!(duplicates.len(), extra);
    }
}

#[test]
fn a_double_says_which_item_is_taken() {
    let mut sorter = Sorter::new();
    let id = SensorId::new("a").unwrap();
    for (text, degrees) in [("b", 2), ("c", 1), ("a", 1)] {
        sorter.push(&id, point(5, degrees).unwrap(), text).unwrap();
    }
    let mut duplicates = Vec::new();
    let sorted = sorter
        .finish(|duplicate| duplicates.push((duplicate.kept, duplicate.text)))
        .unwrap();
    let said = |kept: &str, text: &str| (kept.to_owned(), text.to_owned());
    assert_eq!(duplicates, [said("a", "b"), said("a", "c")]);
    assert_eq!(sorted.stats().count(), 1);
    assert_eq!(sorted.sensors(Some(&id), 1), []);
}
