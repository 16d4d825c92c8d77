//! Sensors as their cells tell: one, or all of them in order.

use std::collections::VecDeque;

use super::super::table::client::{Range, Tables};
use super::super::table::items::{Cell, Item, LANES, Part, damaged, get_text};
use super::super::table::keys;
use super::aggregates::sensor_aggregates;
use super::totals::Lanes;
use crate::error::StoreError;
use crate::readings::{SensorId, SensorSummary};

/// How many cells of a partition are read at a time.
const CELLS_PAGE_MIN: usize = 16;
pub(crate) const CELLS_PAGE_MAX: usize = 500;

/// A sensor as its cells tell.
#[derive(Debug)]
pub(crate) struct SensorView {
    pub(crate) sensor: SensorId,
    cells: Vec<(String, Cell)>,
}

impl SensorView {
    pub(crate) fn part(&self) -> Part {
        let mut part = Part::EMPTY;
        self.cells
            .iter()
            .for_each(|(_, cell)| part.merge(&cell.part));
        part
    }

    pub(crate) fn summary(&self) -> Result<SensorSummary, StoreError> {
        let cells = || self.cells.iter().map(|(_, cell)| cell);
        let latest = cells().max_by_key(|cell| (cell.last, cell.latest_version));
        let first = cells().map(|cell| cell.first).min();
        let (Some(latest), Some(first)) = (latest, first) else {
            return Err(damaged("a sensor's statistics"));
        };
        Ok(SensorSummary {
            sensor: self.sensor.clone(),
            stats: self.part().stats()?,
            first,
            last: latest.last,
            latest: latest.latest,
        })
    }

    /// Whether these cells hold nothing newer than what the lanes had written.
    pub(crate) fn is_within(&self, lanes: &Lanes) -> bool {
        self.cells
            .iter()
            .all(|(slot, cell)| is_within(slot, cell, lanes))
    }

    /// The sensor as it was when the lanes were read, from this look at it and one from before the lanes; no `earlier` when the
    /// sensor was looked for then and not there.
    pub(crate) fn as_of<'a>(&'a self, lanes: &Lanes, earlier: Option<&'a Self>) -> AsOf<'a> {
        if self.is_within(lanes) {
            return AsOf::Known(self);
        }
        let before = |slot: &str| {
            let cells = earlier.into_iter().flat_map(|earlier| &earlier.cells);
            cells
                .into_iter()
                .find(|(of, _)| of == slot)
                .map(|(_, cell)| cell)
        };
        // Each cell that a replica has written to since was so only once, and after the lanes: before that it was as seen first.
        // Others may have narrowed its extremes, which comes with a write to a cell of their own.
        let since = self.cells.iter().all(|(slot, cell)| match before(slot) {
            Some(before) if before.lanes == cell.lanes => true,
            Some(before) => before.version + 1 == cell.version && !is_within(slot, cell, lanes),
            None => cell.version == 1 && !is_within(slot, cell, lanes),
        });
        let gone = earlier.is_some_and(|earlier| {
            let mut slots = earlier.cells.iter().map(|(slot, _)| slot);
            slots.any(|slot| self.cells.iter().all(|(of, _)| of != slot))
        });
        match earlier {
            _ if !since || gone => AsOf::Unknown,
            Some(earlier) => AsOf::Known(earlier),
            None => AsOf::Absent,
        }
    }
}

/// What two looks at a sensor say of the moment between them.
#[derive(Debug)]
pub(crate) enum AsOf<'a> {
    /// It was so.
    Known(&'a SensorView),
    /// It was not there yet.
    Absent,
    /// It changed too often to tell.
    Unknown,
}

fn is_within(slot: &str, cell: &Cell, lanes: &Lanes) -> bool {
    (0..LANES).all(|lane| lanes.reached(&keys::lane(slot, lane)) >= cell.lanes[lane])
}

/// The cells of one partition, in order, read ahead.
struct ShardCursor {
    range: Range,
    ahead: VecDeque<(String, Item)>,
    start: Option<Item>,
    done: bool,
    page_size: usize,
}

impl ShardCursor {
    async fn fill(&mut self, tables: &Tables) -> Result<(), StoreError> {
        while self.ahead.is_empty() && !self.done {
            let page = tables
                .page(&self.range, self.start.take(), Some(self.page_size))
                .await?;
            self.page_size = (self.page_size * 2).min(CELLS_PAGE_MAX);
            self.ahead.extend(page.items.into_iter().filter_map(|item| {
                let cell = get_text(&item, "cell")?.to_owned();
                Some((cell, item))
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
    shards: Vec<ShardCursor>,
}

impl SensorCursor {
    /// Begins after a sensor; `about` says how many are wanted.
    pub(crate) fn open(tables: &Tables, after: Option<&SensorId>, about: usize) -> Self {
        let from = after.map_or_else(|| " ".to_owned(), keys::after);
        // A fair share, and some more, since shares are never fair; a sensor has a guard and a cell or more.
        let page_size =
            (about * 4 / usize::from(keys::SHARDS)).clamp(CELLS_PAGE_MIN, CELLS_PAGE_MAX);
        let shards = (0..keys::SHARDS)
            .map(|shard| ShardCursor {
                range: tables.cells(keys::shard(shard), from.clone(), "\u{10FFFF}"),
                ahead: VecDeque::new(),
                start: None,
                done: false,
                page_size,
            })
            .collect();
        Self {
            tables: tables.clone(),
            shards,
        }
    }

    /// The next sensor; none after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<SensorView>, StoreError> {
        loop {
            let tables = &self.tables;
            let empty = self
                .shards
                .iter_mut()
                .filter(|shard| shard.ahead.is_empty() && !shard.done);
            futures_util::future::try_join_all(empty.map(|shard| shard.fill(tables))).await?;
            let next = self
                .shards
                .iter_mut()
                .filter(|shard| !shard.ahead.is_empty())
                .min_by(|a, b| a.ahead[0].0.cmp(&b.ahead[0].0));
            let Some(shard) = next else {
                return Ok(None);
            };
            let mut view: Option<SensorView> = None;
            loop {
                shard.fill(&self.tables).await?;
                let Some((key, _)) = shard.ahead.front() else {
                    break;
                };
                let (sensor, slot) =
                    keys::split_cell(key).ok_or_else(|| damaged("a sensor's statistics"))?;
                if view
                    .as_ref()
                    .is_some_and(|view| view.sensor.as_str() != sensor)
                {
                    break;
                }
                let (sensor, slot) = (
                    SensorId::new(sensor).map_err(|_| damaged("a sensor's id"))?,
                    slot.to_owned(),
                );
                let view = view.get_or_insert_with(|| SensorView {
                    sensor,
                    cells: Vec::new(),
                });
                if let Some((_, item)) = shard.ahead.pop_front()
                    && !slot.is_empty()
                {
                    let cell =
                        Cell::from_item(&item).ok_or_else(|| damaged("a sensor's statistics"))?;
                    view.cells.push((slot, cell));
                }
            }
            match view {
                // Its guard was read before its first cell was written.
                Some(view) if view.cells.is_empty() => {}
                found => return Ok(found),
            }
        }
    }
}

/// One sensor's cells.
pub(crate) async fn view(
    tables: &Tables,
    sensor: &SensorId,
) -> Result<Option<SensorView>, StoreError> {
    let cells = sensor_aggregates(tables, sensor).await?.cells;
    Ok((!cells.is_empty()).then(|| SensorView {
        sensor: sensor.clone(),
        cells,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::readings::dynamodb::table::items::Lane;

    const SLOTS: [&str; 2] = ["r000", "r001"];

    /// A sensor's cells and the lanes, as one transaction after the other leaves them.
    #[derive(Clone, Default)]
    struct World {
        cells: Vec<(String, Cell)>,
        sequences: [[u64; LANES]; 2],
    }

    impl World {
        /// A transaction of a lane, which may touch the sensor, and may narrow what others have.
        fn commit(&mut self, slot: usize, lane: usize, touches: bool, narrows: bool) {
            self.sequences[slot][lane] += 1;
            if !touches {
                return;
            }
            if narrows {
                for (_, cell) in self.cells.iter_mut().filter(|(of, _)| of != SLOTS[slot]) {
                    cell.part.maximum -= 1;
                    cell.version += 1;
                }
            }
            let at = self.cells.iter().position(|(of, _)| of == SLOTS[slot]);
            let at = at.unwrap_or_else(|| {
                let zero = crate::readings::Timestamp::from_micros(0).unwrap();
                let cell = Cell {
                    version: 0,
                    part: Part {
                        count: 0,
                        sum: 0,
                        minimum: 0,
                        maximum: 1_000,
                    },
                    first: zero,
                    last: zero,
                    latest: crate::readings::Temperature::from_micro_degrees(0).unwrap(),
                    latest_version: 1,
                    lanes: [0; LANES],
                };
                self.cells.push((SLOTS[slot].to_owned(), cell));
                self.cells.len() - 1
            });
            let cell = &mut self.cells[at].1;
            cell.version += 1;
            cell.part.count += 1;
            cell.lanes[lane] = self.sequences[slot][lane];
        }

        fn lanes(&self) -> Lanes {
            let lanes = (0..2).flat_map(|slot| {
                (0..LANES).map(move |lane| {
                    let sequence = self.sequences[slot][lane];
                    let state = Lane {
                        sequence,
                        ..Lane::default()
                    };
                    (keys::lane(SLOTS[slot], lane), state)
                })
            });
            lanes.collect()
        }

        fn view(&self) -> Option<SensorView> {
            (!self.cells.is_empty()).then(|| SensorView {
                sensor: SensorId::new("a").unwrap(),
                cells: self.cells.clone(),
            })
        }
    }

    fn commits() -> impl Strategy<Value = Vec<(usize, usize, bool, bool)>> {
        prop::collection::vec((0..2_usize, 0..LANES, any::<bool>(), any::<bool>()), 0..4)
    }

    proptest! {
        #[test]
        fn two_looks_tell_what_was_between_them_or_that_they_cannot(
            [start, before, after] in [commits(), commits(), commits()],
        ) {
            let mut world = World::default();
            let run = |world: &mut World, commits: Vec<(usize, usize, bool, bool)>| {
                for (slot, lane, touches, narrows) in commits {
                    world.commit(slot, lane, touches, narrows);
                }
            };
            run(&mut world, start);
            let earlier = world.view();
            run(&mut world, before);
            let (lanes, between) = (world.lanes(), world.view());
            let changes = after.iter().filter(|(_, _, touches, _)| *touches).count();
            run(&mut world, after);
            let Some(later) = world.view() else {
                return Ok(());
            };
            let cells = |view: Option<&SensorView>| view.map(|view| view.cells.clone());
            match later.as_of(&lanes, earlier.as_ref()) {
                AsOf::Known(view) => prop_assert_eq!(cells(Some(view)), cells(between.as_ref())),
                AsOf::Absent => prop_assert!(between.is_none()),
                // Not when nothing has changed since, nor when a single change did.
                AsOf::Unknown => prop_assert!(
                    changes > 1 || (changes == 1 && cells(earlier.as_ref()) != cells(between.as_ref()))
                ),
            }
        }
    }
}
