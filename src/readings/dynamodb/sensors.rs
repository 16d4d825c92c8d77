//! Sensors as their cells tell: one, or all of them in order.

use std::collections::VecDeque;

use super::client::{Range, Tables};
use super::items::{Cell, Item, LANES, Part, damaged, get_text};
use super::keys;
use super::lookup::cells_of;
use super::totals::Lanes;
use crate::error::StoreError;
use crate::readings::{SensorId, SensorSummary};

/// How many cells of a partition are read at a time.
const CELLS_PAGE_MIN: usize = 16;
pub(super) const CELLS_PAGE_MAX: usize = 500;

/// A sensor as its cells tell.
#[derive(Debug)]
pub(super) struct SensorView {
    pub(super) sensor: SensorId,
    cells: Vec<(String, Cell)>,
}

impl SensorView {
    pub(super) fn part(&self) -> Part {
        let mut part = Part::EMPTY;
        self.cells
            .iter()
            .for_each(|(_, cell)| part.merge(&cell.part));
        part
    }

    pub(super) fn summary(&self) -> Result<SensorSummary, StoreError> {
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
    pub(super) fn is_within(&self, lanes: &Lanes) -> bool {
        self.cells.iter().all(|(slot, cell)| {
            (0..LANES).all(|lane| lanes.reached(&keys::lane(slot, lane)) >= cell.lanes[lane])
        })
    }
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
pub(super) struct SensorCursor {
    tables: Tables,
    shards: Vec<ShardCursor>,
}

impl SensorCursor {
    /// Begins after a sensor; `about` says how many are wanted.
    pub(super) fn open(tables: &Tables, after: Option<&SensorId>, about: usize) -> Self {
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
    pub(super) async fn next(&mut self) -> Result<Option<SensorView>, StoreError> {
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
pub(super) async fn view(
    tables: &Tables,
    sensor: &SensorId,
) -> Result<Option<SensorView>, StoreError> {
    let known = cells_of(tables, sensor, "").await?;
    let cells = known.others.unwrap_or_default();
    Ok((!cells.is_empty()).then(|| SensorView {
        sensor: sensor.clone(),
        cells,
    }))
}
