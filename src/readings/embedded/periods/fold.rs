//! Moves changes from memory into `periods`.

use rusqlite::Connection;

use super::block::Block;
use super::changes::{Change, Sorted};
use super::level::{Level, Span};
use super::rows;
use super::total::Total;
use crate::error::StoreError;
use crate::readings::embedded::format::ledger::DayRows;

/// About how many seconds are folded between two checks of the clock.
const CHANGES_PER_CLOCK_CHECK: usize = 512;

/// The cost of a row, as a number of periods.
const ROW_OVERHEAD_PERIODS: u64 = 4;

/// Folds changes into the table, within the open transaction.
pub(crate) struct Folder<'a> {
    pub(crate) connection: &'a Connection,
    /// A period is divided into shorter periods that hold at least this many readings on average.
    pub(crate) readings_min: u64,
    pub(crate) days: DayRows,
}

impl Folder<'_> {
    /// Folds changes in order of time until `is_over` returns `true`, a part of the changes at least. Returns the timestamp (the
    /// start of an hour) up to which changes are folded; `None` if none are left.
    pub(crate) fn fold(
        &mut self,
        sorted: &Sorted,
        is_over: impl Fn() -> bool,
    ) -> Result<Option<i64>, StoreError> {
        let mut rest = sorted.changes();
        while let Some(first) = rest.first() {
            let (now, later) = rest.split_at(batch_length(rest));
            self.fold_days(Block::empty(Level::Day, first.first), now, sorted)?;
            rest = later;
            if is_over() {
                break;
            }
        }
        Ok(rest
            .first()
            .map(|next| Level::Hour.period_start(next.first)))
    }

    /// Folds changes of the same 64 days.
    fn fold_days(
        &mut self,
        empty: Block,
        changes: &[Change],
        sorted: &Sorted,
    ) -> Result<(), StoreError> {
        let mut block = match rows::load(self.connection, Level::Day, empty.start)? {
            Some((block, checksum)) => {
                self.days.remove(checksum);
                block
            }
            None => empty,
        };
        self.fold_block(&mut block, changes, sorted)?;
        self.days.add(rows::write(self.connection, &block)?);
        Ok(())
    }

    fn fold_block(
        &self,
        block: &mut Block,
        changes: &[Change],
        sorted: &Sorted,
    ) -> Result<(), StoreError> {
        let level = block.level;
        let start_of = |change: &Change| level.period_start(change.first);
        for changes in changes.chunk_by(|one, next| start_of(one) == start_of(next)) {
            let number = block.number(changes[0].first);
            let span = block.span(number);
            let before = block.get(number).copied();
            let mut total = before.unwrap_or(Total::NONE);
            let finer = self.finer(level, span, before.as_ref(), changes)?;
            total.finer = finer.is_some();
            if let Some(mut finer) = finer {
                self.fold_block(&mut finer, changes, sorted)?;
                rows::write(self.connection, &finer)?;
                total.sum = finer.sum();
            } else {
                for change in changes {
                    total.sum.merge(&change.sum());
                }
                if let Some(removed) = sorted.removed_in(span) {
                    total.sum.remove(removed);
                }
            }
            for change in changes {
                total.include(level, span.from, change.first, change.last);
            }
            *block.entry(number) = total;
        }
        Ok(())
    }

    /// The shorter periods within a period, if the period is or becomes divided.
    fn finer(
        &self,
        level: Level,
        span: Span,
        before: Option<&Total>,
        changes: &[Change],
    ) -> Result<Option<Block>, StoreError> {
        let Some(finer) = level.finer() else {
            return Ok(None);
        };
        match before {
            None => Ok(self
                .is_dense(finer, changes)
                .then(|| Block::empty(finer, span.from))),
            // The existing readings of this period were counted without shorter periods.
            Some(total) if !total.finer => Ok(None),
            Some(total) => {
                let block = rows::load_finer_if_sound(self.connection, finer, span.from, total)?;
                if block.is_none() {
                    rows::remove(self.connection, finer, span)?;
                }
                Ok(block)
            }
        }
    }

    /// Whether shorter periods take little space compared to their readings.
    fn is_dense(&self, finer: Level, changes: &[Change]) -> bool {
        let start_of = |change: &Change| finer.period_start(change.first);
        let periods = changes.chunk_by(|one, next| start_of(one) == start_of(next));
        let readings: u64 = changes.iter().map(|change| change.count).sum();
        readings >= self.readings_min * (periods.count() as u64 + ROW_OVERHEAD_PERIODS)
    }
}

/// How many changes are folded together: whole hours of the same 64 days.
fn batch_length(changes: &[Change]) -> usize {
    let Some(first) = changes.first() else {
        return 0;
    };
    let days = Level::Day.block_start(first.first);
    let same_days = changes.partition_point(|change| Level::Day.block_start(change.first) == days);
    let Some(last) = changes[..same_days].get(CHANGES_PER_CLOCK_CHECK - 1) else {
        return same_days;
    };
    let end = Level::Hour.period_start(last.first) + Level::Hour.micros();
    changes.partition_point(|change| change.first < end)
}
