//! Looking up what has to be known before readings can be planned: cells, what is stored already, extremes.

use std::collections::{BTreeMap, HashMap};

use super::super::read::points::readings_range;
use super::super::table::client::Tables;
use super::super::table::items::{
    Cell, Part, StoredReading, aggregate_key, damaged, get_number, get_text, reading_key,
};
use super::super::table::keys;
use super::changes::{Change, Key, after_changes, brought};
use super::known_sensor::KnownSensor;
use crate::error::StoreError;
use crate::readings::{SensorId, Timestamp};

/// The guards of some sensors and their cells in our slot; sensors that have neither are left out.
pub(crate) async fn own_cells(
    tables: &Tables,
    slot: &str,
    sensors: &[SensorId],
) -> Result<HashMap<SensorId, KnownSensor>, StoreError> {
    let wanted = sensors.iter().flat_map(|sensor| {
        let period = keys::shard_of(sensor.as_str());
        let guard = aggregate_key(period.clone(), keys::guard(sensor.as_str()));
        [
            guard,
            aggregate_key(period, keys::cell(sensor.as_str(), slot)),
        ]
    });
    let found = tables
        .get_many(&tables.names.aggregation, wanted.collect())
        .await?;
    let mut known = HashMap::new();
    for item in &found {
        let Some((sensor, slot)) = get_text(item, "cell").and_then(keys::split_cell) else {
            continue;
        };
        let sensor = SensorId::new(sensor).map_err(|_| damaged("a sensor's id"))?;
        let known: &mut KnownSensor = known.entry(sensor).or_default();
        if slot.is_empty() {
            known.guard = get_number(item, "g");
        } else {
            let cell = Cell::from_item(item).ok_or_else(|| damaged("a sensor's statistics"))?;
            known.own = Some(cell);
        }
    }
    Ok(known)
}

/// Those of the readings that are stored.
pub(crate) async fn stored_readings(
    tables: &Tables,
    wanted: impl Iterator<Item = Key>,
) -> Result<HashMap<Key, StoredReading>, StoreError> {
    let mut wanted: HashMap<(String, String), Key> = wanted
        .map(|key| ((key.0.as_str().to_owned(), keys::moment(key.1)), key))
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

/// The lowest and the highest of a sensor's readings as they will be once the changes are made, in micro-degrees.
pub(crate) async fn extremes(
    tables: &Tables,
    sensor: &SensorId,
    changes: &BTreeMap<Timestamp, Change>,
) -> Result<(i64, i64), StoreError> {
    let mut part = Part::EMPTY;
    brought(changes).for_each(|it| part.widen(it.micro_degrees()));
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
            part.widen(after_changes(changes, time, stored.temperature).micro_degrees());
        }
        start = page.next;
        if start.is_none() {
            break;
        }
    }
    Ok((part.minimum, part.maximum))
}
