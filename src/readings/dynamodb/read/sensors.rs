//! Sensors, read from their partial aggregates: a single sensor, or all sensors in order.

use std::collections::VecDeque;

use super::super::table::client::{Range, Tables};
use super::super::table::items::{
    Item, PartialAggregate, PartialStats, WRITE_SHARDS, damaged, get_text,
};
use super::super::table::keys;
use super::aggregates::sensor_aggregates;
use super::totals::WriteShards;
use crate::error::StoreError;
use crate::readings::{SensorId, SensorSummary};

/// How many items of a partition are read at a time.
const AGGREGATES_PAGE_MIN: usize = 16;
pub(crate) const AGGREGATES_PAGE_MAX: usize = 500;

/// The partial aggregates of a sensor.
#[derive(Debug)]
pub(crate) struct SensorView {
    pub(crate) sensor: SensorId,
    aggregates: Vec<(String, PartialAggregate)>,
}

impl SensorView {
    pub(crate) fn partial(&self) -> PartialStats {
        let mut partial = PartialStats::EMPTY;
        self.aggregates
            .iter()
            .for_each(|(_, aggregate)| partial.merge(&aggregate.partial));
        partial
    }

    pub(crate) fn summary(&self) -> Result<SensorSummary, StoreError> {
        let aggregates = || self.aggregates.iter().map(|(_, aggregate)| aggregate);
        let latest =
            aggregates().max_by_key(|aggregate| (aggregate.last, aggregate.latest_version));
        let first = aggregates().map(|aggregate| aggregate.first).min();
        let (Some(latest), Some(first)) = (latest, first) else {
            return Err(damaged("a sensor's statistics"));
        };
        Ok(SensorSummary {
            sensor: self.sensor.clone(),
            stats: self.partial().stats()?,
            first,
            last: latest.last,
            latest: latest.latest,
        })
    }

    /// Whether every change to these aggregates is included in this read of the write shards.
    pub(crate) fn is_covered_by(&self, shards: &WriteShards) -> bool {
        self.aggregates
            .iter()
            .all(|(lease, aggregate)| is_covered_by(lease, aggregate, shards))
    }

    /// The state of the sensor when the write shards were read. `self` was read after the shards, `earlier` before the shards;
    /// `earlier` is `None` when the sensor did not exist yet.
    pub(crate) fn as_of<'a>(&'a self, shards: &WriteShards, earlier: Option<&'a Self>) -> AsOf<'a> {
        if self.is_covered_by(shards) {
            return AsOf::Known(self);
        }
        let before = |lease: &str| {
            let aggregates = earlier.into_iter().flat_map(|earlier| &earlier.aggregates);
            aggregates
                .into_iter()
                .find(|(of, _)| of == lease)
                .map(|(_, aggregate)| aggregate)
        };
        // Suppose that a replica changed its aggregate exactly once after the earlier read, and the shards do not include the
        // change. Then the aggregate had the earlier value when the shards were read. Another replica may have narrowed the
        // extremes of the aggregate, but only in a transaction that also wrote the other replica's own aggregate.
        let since = self
            .aggregates
            .iter()
            .all(|(lease, aggregate)| match before(lease) {
                Some(before) if before.shards == aggregate.shards => true,
                Some(before) => {
                    before.version + 1 == aggregate.version
                        && !is_covered_by(lease, aggregate, shards)
                }
                None => aggregate.version == 1 && !is_covered_by(lease, aggregate, shards),
            });
        let is_missing = earlier.is_some_and(|earlier| {
            let mut leases = earlier.aggregates.iter().map(|(lease, _)| lease);
            leases.any(|lease| self.aggregates.iter().all(|(of, _)| of != lease))
        });
        match earlier {
            _ if !since || is_missing => AsOf::Unknown,
            Some(earlier) => AsOf::Known(earlier),
            None => AsOf::Absent,
        }
    }
}

/// How a sensor was when the write shards were read between two reads of the sensor.
#[derive(Debug)]
pub(crate) enum AsOf<'a> {
    /// The sensor was like this.
    Known(&'a SensorView),
    /// The sensor did not exist.
    Absent,
    /// The sensor changed too often between the two reads.
    Unknown,
}

fn is_covered_by(lease: &str, aggregate: &PartialAggregate, shards: &WriteShards) -> bool {
    (0..WRITE_SHARDS).all(|shard| {
        shards.sequence_of(&keys::write_shard(lease, shard)) >= aggregate.shards[shard]
    })
}

/// The items of a partition, in order, read ahead.
struct PartitionCursor {
    range: Range,
    prefetched: VecDeque<(String, Item)>,
    start: Option<Item>,
    done: bool,
    page_size: usize,
}

impl PartitionCursor {
    async fn fill(&mut self, tables: &Tables) -> Result<(), StoreError> {
        while self.prefetched.is_empty() && !self.done {
            let page = tables
                .page(&self.range, self.start.take(), Some(self.page_size))
                .await?;
            self.page_size = (self.page_size * 2).min(AGGREGATES_PAGE_MAX);
            self.prefetched
                .extend(page.items.into_iter().filter_map(|item| {
                    let aggregate = get_text(&item, "cell")?.to_owned();
                    Some((aggregate, item))
                }));
            self.done = page.next.is_none();
            self.start = page.next;
        }
        Ok(())
    }
}

/// All sensors in order of their ids, a few at a time.
pub(crate) struct SensorCursor {
    tables: Tables,
    partitions: Vec<PartitionCursor>,
}

impl SensorCursor {
    /// Begins after a sensor. `about` is how many sensors the caller probably wants.
    pub(crate) fn open(tables: &Tables, after: Option<&SensorId>, about: usize) -> Self {
        let from = after.map_or_else(|| " ".to_owned(), keys::after_sensor);
        // The share of a partition, with a margin, since the partitions are not equally full. A sensor has a replacement version
        // and one or more aggregates.
        let page_size = (about * 4 / usize::from(keys::SENSOR_PARTITIONS))
            .clamp(AGGREGATES_PAGE_MIN, AGGREGATES_PAGE_MAX);
        let partitions = (0..keys::SENSOR_PARTITIONS)
            .map(|partition| PartitionCursor {
                range: tables.aggregate_range(
                    keys::partition(partition),
                    from.clone(),
                    "\u{10FFFF}",
                ),
                prefetched: VecDeque::new(),
                start: None,
                done: false,
                page_size,
            })
            .collect();
        Self {
            tables: tables.clone(),
            partitions,
        }
    }

    /// The next sensor; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<SensorView>, StoreError> {
        loop {
            let tables = &self.tables;
            let empty = self
                .partitions
                .iter_mut()
                .filter(|partition| partition.prefetched.is_empty() && !partition.done);
            futures_util::future::try_join_all(empty.map(|partition| partition.fill(tables)))
                .await?;
            let next = self
                .partitions
                .iter_mut()
                .filter(|partition| !partition.prefetched.is_empty())
                .min_by(|a, b| a.prefetched[0].0.cmp(&b.prefetched[0].0));
            let Some(partition) = next else {
                return Ok(None);
            };
            let mut view: Option<SensorView> = None;
            loop {
                partition.fill(&self.tables).await?;
                let Some((key, _)) = partition.prefetched.front() else {
                    break;
                };
                let (sensor, lease) = keys::split_partial_aggregate(key)
                    .ok_or_else(|| damaged("a sensor's statistics"))?;
                if view
                    .as_ref()
                    .is_some_and(|view| view.sensor.as_str() != sensor)
                {
                    break;
                }
                let (sensor, lease) = (
                    SensorId::new(sensor).map_err(|_| damaged("a sensor's id"))?,
                    lease.to_owned(),
                );
                let view = view.get_or_insert_with(|| SensorView {
                    sensor,
                    aggregates: Vec::new(),
                });
                if let Some((_, item)) = partition.prefetched.pop_front()
                    && !lease.is_empty()
                {
                    let aggregate = PartialAggregate::from_item(&item)
                        .ok_or_else(|| damaged("a sensor's statistics"))?;
                    view.aggregates.push((lease, aggregate));
                }
            }
            match view {
                // The replacement version was read before the first aggregate was written.
                Some(view) if view.aggregates.is_empty() => {}
                found => return Ok(found),
            }
        }
    }
}

/// The partial aggregates of a sensor; `None` when the sensor does not exist.
pub(crate) async fn view(
    tables: &Tables,
    sensor: &SensorId,
) -> Result<Option<SensorView>, StoreError> {
    let aggregates = sensor_aggregates(tables, sensor).await?.aggregates;
    Ok((!aggregates.is_empty()).then(|| SensorView {
        sensor: sensor.clone(),
        aggregates,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::readings::dynamodb::table::items::WriteShard;

    const LEASES: [&str; 2] = ["r000", "r001"];

    /// The aggregates of a sensor and the write shards, after each transaction.
    #[derive(Clone, Default)]
    struct World {
        aggregates: Vec<(String, PartialAggregate)>,
        sequences: [[u64; WRITE_SHARDS]; 2],
    }

    impl World {
        /// Commits a transaction of a shard. The transaction may touch the sensor, and may narrow the extremes of the other
        /// replica.
        fn commit(&mut self, lease: usize, shard: usize, touches: bool, narrows: bool) {
            self.sequences[lease][shard] += 1;
            if !touches {
                return;
            }
            if narrows {
                for (_, aggregate) in self
                    .aggregates
                    .iter_mut()
                    .filter(|(of, _)| of != LEASES[lease])
                {
                    aggregate.partial.maximum -= 1;
                    aggregate.version += 1;
                }
            }
            let at = self
                .aggregates
                .iter()
                .position(|(of, _)| of == LEASES[lease]);
            let at = at.unwrap_or_else(|| {
                let zero = crate::readings::Timestamp::from_micros(0).unwrap();
                let aggregate = PartialAggregate {
                    version: 0,
                    partial: PartialStats {
                        count: 0,
                        sum: 0,
                        minimum: 0,
                        maximum: 1_000,
                    },
                    first: zero,
                    last: zero,
                    latest: crate::readings::Temperature::from_micro_degrees(0).unwrap(),
                    latest_version: 1,
                    shards: [0; WRITE_SHARDS],
                };
                self.aggregates.push((LEASES[lease].to_owned(), aggregate));
                self.aggregates.len() - 1
            });
            let aggregate = &mut self.aggregates[at].1;
            aggregate.version += 1;
            aggregate.partial.count += 1;
            aggregate.shards[shard] = self.sequences[lease][shard];
        }

        fn shards(&self) -> WriteShards {
            let shards = (0..2).flat_map(|lease| {
                (0..WRITE_SHARDS).map(move |shard| {
                    let sequence = self.sequences[lease][shard];
                    let state = WriteShard {
                        sequence,
                        ..WriteShard::default()
                    };
                    (keys::write_shard(LEASES[lease], shard), state)
                })
            });
            shards.collect()
        }

        fn view(&self) -> Option<SensorView> {
            (!self.aggregates.is_empty()).then(|| SensorView {
                sensor: SensorId::new("a").unwrap(),
                aggregates: self.aggregates.clone(),
            })
        }
    }

    fn commits() -> impl Strategy<Value = Vec<(usize, usize, bool, bool)>> {
        prop::collection::vec(
            (0..2_usize, 0..WRITE_SHARDS, any::<bool>(), any::<bool>()),
            0..4,
        )
    }

    proptest! {
        #[test]
        fn two_reads_give_the_sensor_between_them_or_say_that_they_cannot(
            [start, before, after] in [commits(), commits(), commits()],
        ) {
            let mut world = World::default();
            let run = |world: &mut World, commits: Vec<(usize, usize, bool, bool)>| {
                for (lease, shard, touches, narrows) in commits {
                    world.commit(lease, shard, touches, narrows);
                }
            };
            run(&mut world, start);
            let earlier = world.view();
            run(&mut world, before);
            let (shards, between) = (world.shards(), world.view());
            let changes = after.iter().filter(|(_, _, touches, _)| *touches).count();
            run(&mut world, after);
            let Some(later) = world.view() else {
                return Ok(());
            };
            let aggregates = |view: Option<&SensorView>| view.map(|view| view.aggregates.clone());
            match later.as_of(&shards, earlier.as_ref()) {
                AsOf::Known(view) => prop_assert_eq!(aggregates(Some(view)), aggregates(between.as_ref())),
                AsOf::Absent => prop_assert!(between.is_none()),
                // A sensor that did not change after the shards, or changed once, is always known.
                AsOf::Unknown => prop_assert!(
                    changes > 1 || (changes == 1 && aggregates(earlier.as_ref()) != aggregates(between.as_ref()))
                ),
            }
        }
    }
}
