//! A transaction: readings and everything that follows from them, each item under the condition that what it was planned
//! from is still so.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{
    Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::super::table::client::internal;
use super::super::table::items::{
    Cell, Item, LANES, Lane, Part, StoredReading, Written, aggregate_key, number, text,
};
use super::super::table::keys;
use super::super::table::names::TableNames;
use super::changes::{Change, Key, is_replacing};
use super::known_sensor::KnownSensor;
use crate::error::StoreError;
use crate::readings::{SensorId, Timestamp};

/// Who writes, and what it is called.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) slot: String,
    pub(crate) lane_index: usize,
    /// The lane as the last transaction left it.
    pub(crate) lane: Lane,
    /// The name of this attempt.
    pub(crate) mark: String,
}

impl Author {
    fn written(&self) -> Written {
        Written {
            lane: keys::lane(&self.slot, self.lane_index),
            number: self.lane.sequence + 1,
        }
    }
}

/// What an item of a transaction is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Lane,
    Sensor(SensorId),
    Reading(Key),
}

/// A transaction to be sent.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) items: Vec<TransactWriteItem>,
    /// What each item is about.
    pub(crate) subjects: Vec<Subject>,
    /// The lane and our cells once it is committed.
    pub(crate) lane: Lane,
    pub(crate) cells: Vec<(SensorId, KnownSensor)>,
}

/// A transaction in the making: one sensor after the other, the lane at the end.
pub(crate) struct Builder<'a> {
    tables: &'a TableNames,
    author: &'a Author,
    items: Vec<TransactWriteItem>,
    subjects: Vec<Subject>,
    lane: Lane,
    cells: Vec<(SensorId, KnownSensor)>,
}

impl<'a> Builder<'a> {
    /// A transaction of the author's next number, without any item yet.
    pub(crate) fn new(tables: &'a TableNames, author: &'a Author) -> Self {
        Self {
            tables,
            author,
            items: Vec::new(),
            subjects: Vec::new(),
            lane: author.lane.clone(),
            cells: Vec::new(),
        }
    }

    /// How many items there are so far.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// A sensor's changes: its aggregates and its readings.
    pub(crate) fn add(
        &mut self,
        sensor: &SensorId,
        changes: &BTreeMap<Timestamp, Change>,
        known: &KnownSensor,
    ) -> Result<(), StoreError> {
        let after = self.sensor(sensor, changes, known)?;
        self.cells.push((sensor.clone(), after));
        for (timestamp, change) in changes {
            self.reading(sensor, *timestamp, change)?;
        }
        Ok(())
    }

    /// Adds the lane: then it is whole.
    pub(crate) fn finish(mut self) -> Result<Transaction, StoreError> {
        self.lane()?;
        Ok(Transaction {
            items: self.items,
            subjects: self.subjects,
            lane: self.lane,
            cells: self.cells,
        })
    }

    fn push(&mut self, item: TransactWriteItem, subject: Subject) {
        self.items.push(item);
        self.subjects.push(subject);
    }

    /// Our cell of a sensor, those of others whose extremes are no longer right, and the guard.
    fn sensor(
        &mut self,
        sensor: &SensorId,
        changes: &BTreeMap<Timestamp, Change>,
        known: &KnownSensor,
    ) -> Result<KnownSensor, StoreError> {
        let (Some((&first, _)), Some((&last, latest))) =
            (changes.first_key_value(), changes.last_key_value())
        else {
            return Err(internal("a transaction"));
        };
        let mut cell = known.own.clone().unwrap_or(Cell {
            version: 0,
            part: Part::EMPTY,
            first,
            last,
            latest: latest.after,
            latest_version: 0,
            lanes: [0; LANES],
        });
        cell.version += 1;
        cell.first = cell.first.min(first);
        if last >= cell.last {
            cell.last = last;
            cell.latest = latest.after;
            cell.latest_version = latest.version();
        }
        if let Some(of_lane) = cell.lanes.get_mut(self.author.lane_index) {
            *of_lane = self.author.lane.sequence + 1;
        }
        for change in changes.values() {
            let new = change.after.micro_degrees();
            cell.part.sum += i128::from(new);
            self.lane.reach_for(new);
            match &change.before {
                None => cell.part.count += 1,
                Some(before) => cell.part.sum -= i128::from(before.temperature.micro_degrees()),
            }
            cell.part.widen(new);
        }
        let mut others = known.others.clone();
        if let Some(extremes) = known.extremes {
            narrow(&mut cell.part, extremes);
            for (slot, other) in others.iter_mut().flatten() {
                let before = other.clone();
                if narrow(&mut other.part, extremes) {
                    other.version += 1;
                    self.cell(sensor, slot, Some(&before), other)?;
                }
            }
        }
        let slot = self.author.slot.clone();
        self.cell(sensor, &slot, known.own.as_ref(), &cell)?;
        let guard = self.guard(sensor, known.guard, is_replacing(changes))?;
        self.lane.count += changes
            .values()
            .filter(|change| change.before.is_none())
            .count() as u64;
        self.lane.sum += cell.part.sum - known.own.as_ref().map_or(0, |own| own.part.sum);
        Ok(KnownSensor {
            guard: Some(guard),
            own: Some(cell),
            // Others may write to theirs at any time; the next replacement looks them up anew.
            others: None,
            extremes: None,
        })
    }

    /// A cell, and where its extremes stand in the order of all.
    fn cell(
        &mut self,
        sensor: &SensorId,
        slot: &str,
        before: Option<&Cell>,
        after: &Cell,
    ) -> Result<(), StoreError> {
        let put = Put::builder()
            .table_name(&self.tables.aggregation)
            .set_item(Some(after.to_item(sensor.as_str(), slot)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match before {
            None => put.condition_expression("attribute_not_exists(cell)"),
            Some(before) => put
                .condition_expression("v = :v")
                .expression_attribute_values(":v", number(before.version)),
        };
        let put = built(put.build())?;
        let subject = Subject::Sensor(sensor.clone());
        self.push(
            TransactWriteItem::builder().put(put).build(),
            subject.clone(),
        );
        let mut moved = false;
        for (period, old, new) in [
            (
                keys::MINIMUM,
                before.map(|cell| cell.part.minimum),
                after.part.minimum,
            ),
            (
                keys::MAXIMUM,
                before.map(|cell| cell.part.maximum),
                after.part.maximum,
            ),
        ] {
            if old == Some(new) {
                continue;
            }
            moved = true;
            if let Some(old) = old {
                let key = aggregate_key(period, keys::extreme(old, sensor.as_str(), slot));
                let delete = Delete::builder()
                    .table_name(&self.tables.aggregation)
                    .set_key(Some(key));
                let item = TransactWriteItem::builder()
                    .delete(built(delete.build())?)
                    .build();
                self.push(item, subject.clone());
            }
            let item = aggregate_key(period, keys::extreme(new, sensor.as_str(), slot));
            self.put(item, subject.clone())?;
        }
        if moved {
            self.lane.extremes += 1;
        }
        let retreated = |before: &Cell| {
            after.part.minimum > before.part.minimum || after.part.maximum < before.part.maximum
        };
        if before.is_some_and(retreated) {
            self.lane.retreats += 1;
        }
        Ok(())
    }

    fn guard(
        &mut self,
        sensor: &SensorId,
        known: Option<u64>,
        replacing: bool,
    ) -> Result<u64, StoreError> {
        let after = match known {
            None => 0,
            Some(before) if !replacing => return Ok(before),
            Some(before) => before + 1,
        };
        let mut item = aggregate_key(
            keys::shard_of(sensor.as_str()),
            keys::guard(sensor.as_str()),
        );
        item.insert("g".to_owned(), number(after));
        let put = Put::builder()
            .table_name(&self.tables.aggregation)
            .set_item(Some(item));
        let put = match known {
            None => {
                self.lane.sensors += 1;
                put.condition_expression("attribute_not_exists(cell)")
            }
            Some(before) => put
                .condition_expression("g = :g")
                .expression_attribute_values(":g", number(before)),
        };
        let item = TransactWriteItem::builder()
            .put(built(put.build())?)
            .build();
        self.push(item, Subject::Sensor(sensor.clone()));
        Ok(after)
    }

    fn reading(
        &mut self,
        sensor: &SensorId,
        timestamp: Timestamp,
        change: &Change,
    ) -> Result<(), StoreError> {
        let stored = StoredReading {
            temperature: change.after,
            written: Some(self.author.written()),
            version: change.version(),
            before: change
                .before
                .as_ref()
                .map(|before| (before.temperature, before.written.clone())),
        };
        let put = Put::builder()
            .table_name(&self.tables.readings)
            .set_item(Some(stored.to_item(sensor, timestamp)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match change.before.as_ref().map(|before| &before.written) {
            None => put.condition_expression("attribute_not_exists(sensor_id)"),
            Some(Some(written)) => put
                .condition_expression("w = :w")
                .expression_attribute_values(":w", text(written.to_text())),
            // What was there before this program has no author; it leaves this state once and never comes back.
            Some(None) => {
                put.condition_expression("attribute_exists(sensor_id) AND attribute_not_exists(w)")
            }
        };
        let item = TransactWriteItem::builder()
            .put(built(put.build())?)
            .build();
        self.push(item, Subject::Reading((sensor.clone(), timestamp)));
        Ok(())
    }

    /// The lane: the sums, and the condition that this is its next transaction and nobody else's.
    fn lane(&mut self) -> Result<(), StoreError> {
        let before = &self.author.lane;
        self.lane.sequence += 1;
        self.lane.mark.clone_from(&self.author.mark);
        let lane = &self.lane;
        let (lowest, highest) = lane.reach.ok_or_else(|| internal("a transaction"))?;
        let key = aggregate_key(
            keys::TOTAL,
            keys::lane(&self.author.slot, self.author.lane_index),
        );
        let update = Update::builder()
            .table_name(&self.tables.aggregation)
            .set_key(Some(key))
            .update_expression(
                "SET #q = :q, mark = :mark, readings = :readings, micro_degrees = :sum, sensors = :sensors, extremes = :extremes, \
                 retreats = :retreats, lowest = :lowest, highest = :highest",
            )
            .condition_expression("#o = :owner AND #q = :before")
            .expression_attribute_names("#o", "owner")
            .expression_attribute_names("#q", "sequence")
            .expression_attribute_values(":owner", text(&before.owner))
            .expression_attribute_values(":before", number(before.sequence))
            .expression_attribute_values(":q", number(lane.sequence))
            .expression_attribute_values(":mark", text(&lane.mark))
            .expression_attribute_values(":readings", number(lane.count))
            .expression_attribute_values(":sum", number(lane.sum))
            .expression_attribute_values(":sensors", number(lane.sensors))
            .expression_attribute_values(":extremes", number(lane.extremes))
            .expression_attribute_values(":retreats", number(lane.retreats))
            .expression_attribute_values(":lowest", number(lowest))
            .expression_attribute_values(":highest", number(highest))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let item = TransactWriteItem::builder()
            .update(built(update.build())?)
            .build();
        self.push(item, Subject::Lane);
        Ok(())
    }

    fn put(&mut self, item: Item, subject: Subject) -> Result<(), StoreError> {
        let put = Put::builder()
            .table_name(&self.tables.aggregation)
            .set_item(Some(item));
        let item = TransactWriteItem::builder()
            .put(built(put.build())?)
            .build();
        self.push(item, subject);
        Ok(())
    }
}

fn built<T>(result: Result<T, aws_sdk_dynamodb::error::BuildError>) -> Result<T, StoreError> {
    result.map_err(|error| internal("a transaction").with_source(error))
}

/// Takes what is outside the extremes of all readings back to them. Says whether anything was.
fn narrow(part: &mut Part, (minimum, maximum): (i64, i64)) -> bool {
    let before = *part;
    part.minimum = part.minimum.max(minimum).min(maximum);
    part.maximum = part.maximum.min(maximum).max(minimum);
    *part != before
}
