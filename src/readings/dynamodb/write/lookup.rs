//! Looks up everything for a plan: aggregates, stored readings, extremes.

use std::collections::{BTreeMap, HashMap};

use super::super::read::points::readings_range;
use super::super::table::client::Tables;
use super::super::table::items::{
    PartialAggregate, PartialStats, StoredReading, aggregate_key, damaged, get_number, get_text,
    reading_key,
};
use super::super::table::keys;
use super::changes::{Change, Key, after_changes, new_temperatures};
use super::known_sensor::KnownSensor;
use crate::error::StoreError;
use crate::readings::{SensorId, Timestamp};

/// The replacement versions of some sensors, and their aggregates in a lease. Sensors without either are left out.
pub(crate) async fn own_aggregates(
    tables: &Tables,
    lease: &str,
    sensors: &[SensorId],
) -> Result<HashMap<SensorId, KnownSensor>, StoreError> {
    let wanted = sensors.iter().flat_map(|sensor| {
        let period = keys::partition_of(sensor.as_str());
        let replacement_version =
            aggregate_key(period.clone(), keys::replacement_version(sensor.as_str()));
        [
            replacement_version,
            aggregate_key(period, keys::partial_aggregate(sensor.as_str(), lease)),
        ]
    });
    let found = tables
        .get_many(&tables.names.aggregation, wanted.collect())
        .await?;
    let mut known = HashMap::new();
    for item in &found {
        let Some((sensor, lease)) = get_text(item, "cell").and_then(keys::split_partial_aggregate)
        else {
            continue;
        };
        let sensor = SensorId::new(sensor).map_err(|_| damaged("a sensor's id"))?;
        let known: &mut KnownSensor = known.entry(sensor).or_default();
        if lease.is_empty() {
            known.replacement_version = get_number(item, "g");
        } else {
            let aggregate = PartialAggregate::from_item(item)
                .ok_or_else(|| damaged("a sensor's statistics"))?;
            known.own = Some(aggregate);
        }
    }
    Ok(known)
}

/// The stored readings among some keys.
pub(crate) async fn stored_readings(
    tables: &Tables,
    wanted: impl Iterator<Item = Key>,
) -> Result<HashMap<Key, StoredReading>, StoreError> {
    let mut wanted: HashMap<(String, String), Key> = wanted
        .map(|key| ((key.0.as_str().to_owned(), keys::timestamp(key.1)), key))
        .collect();
    let asked = wanted
        .values()
        .map(|(sensor, time)| reading_key(sensor, *time));
    let found = tables
        .get_many(&tables.names.readings, asked.collect())
        .await?;
    let mut stored = HashMap::with_capacity(found.len());
    for item in found {
        let name = get_text(&item, "sensor_id").zip(get_text(&item, "timestamp"));
        let key =
            name.and_then(|(sensor, time)| wanted.remove(&(sensor.to_owned(), time.to_owned())));
        if let Some(key) = key {
            let reading =
                StoredReading::from_item(&item).ok_or_else(|| damaged("a stored reading"))?;
            stored.insert(key, reading);
        }
    }
    Ok(stored)
}

/// The lowest and the highest reading of a sensor after the changes, in micro-degrees.
pub(crate) async fn extremes(
    tables: &Tables,
    sensor: &SensorId,
    changes: &BTreeMap<Timestamp, Change>,
) -> Result<(i64, i64), StoreError> {
    let mut partial = PartialStats::EMPTY;
    new_temperatures(changes).for_each(|it| partial.widen(it.micro_degrees()));
    let range = readings_range(tables, sensor, None, None);
    let mut start = None;
    loop {
        let page = tables.page(&range, start, None).await?;
        for item in &page.items {
            let time = get_text(item, "timestamp").and_then(|it| it.parse::<Timestamp>().ok());
            let stored = StoredReading::from_item(item);
            let (Some(time), Some(stored)) = (time, stored) else {
                return Err(damaged("a stored reading"));
            };
            partial.widen(after_changes(changes, time, stored.temperature).micro_degrees());
        }
        start = page.next;
        if start.is_none() {
            break;
        }
    }
    Ok((partial.minimum, partial.maximum))
}
