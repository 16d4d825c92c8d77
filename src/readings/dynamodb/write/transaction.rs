//! Builds a transaction: readings and everything derived from the readings. Each item has a condition: the stored item is
//! unchanged since the plan was made.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{
    Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use super::super::table::client::build_error;
use super::super::table::items::{
    Item, PartialAggregate, PartialStats, StoredReading, WRITE_SHARDS, WriteShard, Written,
    aggregate_key, number, text,
};
use super::super::table::keys;
use super::super::table::names::TableNames;
use super::changes::{Change, Key, is_replacing};
use super::known_sensor::KnownSensor;
use crate::error::StoreError;
use crate::readings::{SensorId, Timestamp};

/// An attempt to commit the next transaction of a write shard.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) lease: String,
    pub(crate) shard_index: usize,
    /// The write shard after the last transaction.
    pub(crate) shard: WriteShard,
    /// The unique id of this attempt.
    pub(crate) attempt_id: String,
}

impl Attempt {
    fn written(&self) -> Written {
        Written {
            shard: keys::write_shard(&self.lease, self.shard_index),
            number: self.shard.sequence + 1,
        }
    }
}

/// The content of an item in a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    WriteShard,
    Sensor(SensorId),
    Reading(Key),
}

/// A transaction, ready to be sent.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) items: Vec<TransactWriteItem>,
    /// The target of each item.
    pub(crate) targets: Vec<Target>,
    /// The write shard and the sensors after the commit.
    pub(crate) shard: WriteShard,
    pub(crate) aggregates: Vec<(SensorId, KnownSensor)>,
}

/// A transaction under construction: the items of each sensor, and at the end the write shard.
pub(crate) struct Builder<'a> {
    tables: &'a TableNames,
    attempt: &'a Attempt,
    items: Vec<TransactWriteItem>,
    targets: Vec<Target>,
    shard: WriteShard,
    aggregates: Vec<(SensorId, KnownSensor)>,
}

impl<'a> Builder<'a> {
    /// A transaction with the next sequence number of the write shard, without items.
    pub(crate) fn new(tables: &'a TableNames, attempt: &'a Attempt) -> Self {
        Self {
            tables,
            attempt,
            items: Vec::new(),
            targets: Vec::new(),
            shard: attempt.shard.clone(),
            aggregates: Vec::new(),
        }
    }

    /// How many items there are so far.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Adds a sensor's changes: the aggregates and the readings.
    pub(crate) fn add(
        &mut self,
        sensor: &SensorId,
        changes: &BTreeMap<Timestamp, Change>,
        known: &KnownSensor,
    ) -> Result<(), StoreError> {
        let after = self.sensor(sensor, changes, known)?;
        self.aggregates.push((sensor.clone(), after));
        for (timestamp, change) in changes {
            self.reading(sensor, *timestamp, change)?;
        }
        Ok(())
    }

    /// Adds the write shard, which completes the transaction.
    pub(crate) fn finish(mut self) -> Result<Transaction, StoreError> {
        self.shard()?;
        Ok(Transaction {
            items: self.items,
            targets: self.targets,
            shard: self.shard,
            aggregates: self.aggregates,
        })
    }

    fn push(&mut self, item: TransactWriteItem, target: Target) {
        self.items.push(item);
        self.targets.push(target);
    }

    /// Adds this replica's aggregate of a sensor, the aggregates of other replicas whose extremes change, and the replacement
    /// version.
    fn sensor(
        &mut self,
        sensor: &SensorId,
        changes: &BTreeMap<Timestamp, Change>,
        known: &KnownSensor,
    ) -> Result<KnownSensor, StoreError> {
        let (Some((&first, _)), Some((&last, latest))) =
            (changes.first_key_value(), changes.last_key_value())
        else {
            return Err(build_error("a transaction"));
        };
        let mut aggregate = known.own.clone().unwrap_or(PartialAggregate {
            version: 0,
            partial: PartialStats::EMPTY,
            first,
            last,
            latest: latest.after,
            latest_version: 0,
            shards: [0; WRITE_SHARDS],
        });
        aggregate.version += 1;
        aggregate.first = aggregate.first.min(first);
        if last >= aggregate.last {
            aggregate.last = last;
            aggregate.latest = latest.after;
            aggregate.latest_version = latest.version();
        }
        if let Some(of_shard) = aggregate.shards.get_mut(self.attempt.shard_index) {
            *of_shard = self.attempt.shard.sequence + 1;
        }
        for change in changes.values() {
            let new = change.after.micro_degrees();
            aggregate.partial.sum += i128::from(new);
            self.shard.observe(new);
            match &change.before {
                None => aggregate.partial.count += 1,
                Some(before) => {
                    aggregate.partial.sum -= i128::from(before.temperature.micro_degrees());
                }
            }
            aggregate.partial.widen(new);
        }
        let mut others = known.others.clone();
        if let Some(extremes) = known.extremes {
            narrow(&mut aggregate.partial, extremes);
            for (lease, other) in others.iter_mut().flatten() {
                let before = other.clone();
                if narrow(&mut other.partial, extremes) {
                    other.version += 1;
                    self.aggregate(sensor, lease, Some(&before), other)?;
                }
            }
        }
        let lease = self.attempt.lease.clone();
        self.aggregate(sensor, &lease, known.own.as_ref(), &aggregate)?;
        let replacement_version =
            self.replacement_version(sensor, known.replacement_version, is_replacing(changes))?;
        self.shard.count += changes
            .values()
            .filter(|change| change.before.is_none())
            .count() as u64;
        self.shard.sum +=
            aggregate.partial.sum - known.own.as_ref().map_or(0, |own| own.partial.sum);
        Ok(KnownSensor {
            replacement_version: Some(replacement_version),
            own: Some(aggregate),
            // Other replicas may change their aggregates at any time, so the next replacement looks them up again.
            others: None,
            extremes: None,
        })
    }

    /// Adds an aggregate, and its entries in the order of extremes.
    fn aggregate(
        &mut self,
        sensor: &SensorId,
        lease: &str,
        before: Option<&PartialAggregate>,
        after: &PartialAggregate,
    ) -> Result<(), StoreError> {
        let put = Put::builder()
            .table_name(&self.tables.aggregation)
            .set_item(Some(after.to_item(sensor.as_str(), lease)))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let put = match before {
            None => put.condition_expression("attribute_not_exists(cell)"),
            Some(before) => put
                .condition_expression("v = :v")
                .expression_attribute_values(":v", number(before.version)),
        };
        let put = built(put.build())?;
        let target = Target::Sensor(sensor.clone());
        self.push(
            TransactWriteItem::builder().put(put).build(),
            target.clone(),
        );
        let mut moved = false;
        for (period, old, new) in [
            (
                keys::MINIMUM,
                before.map(|aggregate| aggregate.partial.minimum),
                after.partial.minimum,
            ),
            (
                keys::MAXIMUM,
                before.map(|aggregate| aggregate.partial.maximum),
                after.partial.maximum,
            ),
        ] {
            if old == Some(new) {
                continue;
            }
            moved = true;
            if let Some(old) = old {
                let key = aggregate_key(period, keys::extreme(old, sensor.as_str(), lease));
                let delete = Delete::builder()
                    .table_name(&self.tables.aggregation)
                    .set_key(Some(key));
                let item = TransactWriteItem::builder()
                    .delete(built(delete.build())?)
                    .build();
                self.push(item, target.clone());
            }
            let item = aggregate_key(period, keys::extreme(new, sensor.as_str(), lease));
            self.put(item, target.clone())?;
        }
        if moved {
            self.shard.extremes += 1;
        }
        let retreated = |before: &PartialAggregate| {
            after.partial.minimum > before.partial.minimum
                || after.partial.maximum < before.partial.maximum
        };
        if before.is_some_and(retreated) {
            self.shard.retracted_extremes += 1;
        }
        Ok(())
    }

    fn replacement_version(
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
            keys::partition_of(sensor.as_str()),
            keys::replacement_version(sensor.as_str()),
        );
        item.insert("g".to_owned(), number(after));
        let put = Put::builder()
            .table_name(&self.tables.aggregation)
            .set_item(Some(item));
        let put = match known {
            None => {
                self.shard.sensors += 1;
                put.condition_expression("attribute_not_exists(cell)")
            }
            Some(before) => put
                .condition_expression("g = :g")
                .expression_attribute_values(":g", number(before)),
        };
        let item = TransactWriteItem::builder()
            .put(built(put.build())?)
            .build();
        self.push(item, Target::Sensor(sensor.clone()));
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
            written: Some(self.attempt.written()),
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
            // A reading of another program names no transaction. A replaced reading always names a transaction.
            Some(None) => {
                put.condition_expression("attribute_exists(sensor_id) AND attribute_not_exists(w)")
            }
        };
        let item = TransactWriteItem::builder()
            .put(built(put.build())?)
            .build();
        self.push(item, Target::Reading((sensor.clone(), timestamp)));
        Ok(())
    }

    /// Adds the write shard: the sums, and the condition on the owner and the sequence.
    fn shard(&mut self) -> Result<(), StoreError> {
        let before = &self.attempt.shard;
        self.shard.sequence += 1;
        self.shard.attempt_id.clone_from(&self.attempt.attempt_id);
        let shard = &self.shard;
        let (lowest, highest) = shard
            .observed_range
            .ok_or_else(|| build_error("a transaction"))?;
        let key = aggregate_key(
            keys::TOTAL,
            keys::write_shard(&self.attempt.lease, self.attempt.shard_index),
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
            .expression_attribute_values(":q", number(shard.sequence))
            .expression_attribute_values(":mark", text(&shard.attempt_id))
            .expression_attribute_values(":readings", number(shard.count))
            .expression_attribute_values(":sum", number(shard.sum))
            .expression_attribute_values(":sensors", number(shard.sensors))
            .expression_attribute_values(":extremes", number(shard.extremes))
            .expression_attribute_values(":retreats", number(shard.retracted_extremes))
            .expression_attribute_values(":lowest", number(lowest))
            .expression_attribute_values(":highest", number(highest))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let item = TransactWriteItem::builder()
            .update(built(update.build())?)
            .build();
        self.push(item, Target::WriteShard);
        Ok(())
    }

    fn put(&mut self, item: Item, target: Target) -> Result<(), StoreError> {
        let put = Put::builder()
            .table_name(&self.tables.aggregation)
            .set_item(Some(item));
        let item = TransactWriteItem::builder()
            .put(built(put.build())?)
            .build();
        self.push(item, target);
        Ok(())
    }
}

fn built<T>(result: Result<T, aws_sdk_dynamodb::error::BuildError>) -> Result<T, StoreError> {
    result.map_err(|error| build_error("a transaction").with_source(error))
}

/// Narrows extremes to the extremes of all readings. Returns whether anything changed.
fn narrow(partial: &mut PartialStats, (minimum, maximum): (i64, i64)) -> bool {
    let before = *partial;
    partial.minimum = partial.minimum.max(minimum).min(maximum);
    partial.maximum = partial.maximum.min(maximum).max(minimum);
    *partial != before
}
