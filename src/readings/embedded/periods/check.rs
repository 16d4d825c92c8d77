//! Compares `periods` with a recount of the readings.

use rusqlite::Connection;

use super::block::Block;
use super::changes::{Change, Sorted, Uncounted};
use super::level::{Level, Span};
use super::total::{Aggregate, Extreme, Total};
use super::{recount, rows};
use crate::error::StoreError;
use crate::readings::embedded::format::file::failed;
use crate::readings::embedded::format::ledger::{Counted, DayRows};
use crate::readings::embedded::progress::Progress;
use crate::readings::embedded::sensor::Sensor;
use crate::readings::{Timestamp, Window};

/// Reads the number and the checksums of the day rows.
pub(crate) fn day_rows(connection: &Connection) -> Result<DayRows, StoreError> {
    let mut days = DayRows::default();
    rows::visit(
        connection,
        Level::Day,
        Span::of(Window::ALL),
        |_, checksum| {
            days.add(checksum);
            Ok(())
        },
    )?;
    Ok(days)
}

/// Compares `periods`, and the uncounted changes, with a recount. Calls `problem` for each difference.
pub(crate) fn check(
    connection: &Connection,
    counted: &Counted,
    sensors: &[Sensor],
    uncounted: &Uncounted,
    problem: &mut dyn FnMut(String),
) -> Result<(), StoreError> {
    if day_rows(connection)? != counted.days {
        problem("the day rows of `periods` do not match the ledger".to_owned());
    }
    let mut checker = Checker {
        connection,
        uncounted,
        rows: 0,
        periods_left: 0,
        problem,
    };
    rows::visit(connection, Level::Day, Span::of(Window::ALL), |block, _| {
        checker.rows += 1;
        checker.periods_left += block.totals.len() as u64;
        Ok(())
    })?;
    recount::by_seconds(
        connection,
        sensors,
        &Progress::default(),
        &mut |_, _, sorted| checker.check(&sorted),
    )?;
    let rows: i64 = connection
        .query_row("SELECT count(*) FROM periods", [], |row| row.get(0))
        .map_err(|error| failed("count the totals of periods", error))?;
    if checker.periods_left > 0 {
        let left = checker.periods_left;
        (checker.problem)(format!(
            "`periods` has totals of {left} days without readings"
        ));
    }
    if rows.cast_unsigned() != checker.rows {
        let found = checker.rows;
        (checker.problem)(format!(
            "`periods` has {rows} rows, but only {found} belong to a longer period"
        ));
    }
    Ok(())
}

struct Checker<'a> {
    connection: &'a Connection,
    uncounted: &'a Uncounted,
    /// The number of rows reached from longer periods.
    rows: u64,
    /// The number of days still to compare.
    periods_left: u64,
    problem: &'a mut dyn FnMut(String),
}

impl Checker<'_> {
    /// Compares the days of a part of the readings.
    fn check(&mut self, sorted: &Sorted) -> Result<(), StoreError> {
        let days = |change: &Change| Level::Day.block_start(change.first);
        for changes in sorted.changes().chunk_by(|a, b| days(a) == days(b)) {
            let start = days(&changes[0]);
            let block = rows::load(self.connection, Level::Day, start)?.map(|(block, _)| block);
            let block = block.unwrap_or_else(|| Block::empty(Level::Day, start));
            let compared = self.compare(&block, changes)?;
            self.periods_left = self.periods_left.saturating_sub(compared);
        }
        Ok(())
    }

    /// Compares the periods of a block that have readings. Returns the number of these periods in the block.
    fn compare(&mut self, block: &Block, changes: &[Change]) -> Result<u64, StoreError> {
        let level = block.level;
        let start = |change: &Change| level.period_start(change.first);
        let mut compared = 0;
        for changes in changes.chunk_by(|a, b| start(a) == start(b)) {
            let number = block.number(changes[0].first);
            let span = block.span(number);
            let stored = block.get(number);
            compared += u64::from(stored.is_some());
            let stored = stored.copied().unwrap_or(Total::NONE);
            if !self.is_right(stored, level, span, changes) {
                let at = Timestamp::from_micros(span.from)
                    .map_or_else(|| "?".to_owned(), |at| at.to_string());
                (self.problem)(format!(
                    "the totals over all sensors of the {} from {at} on are not those of the readings",
                    level.name()
                ));
            }
            let Some(finer) = level.finer().filter(|_| stored.finer) else {
                continue;
            };
            match rows::load_finer(self.connection, finer, span.from, &stored) {
                Ok(block) => {
                    self.rows += 1;
                    let periods = block.totals.len() as u64;
                    let compared = self.compare(&block, changes)?;
                    if compared != periods {
                        (self.problem)(format!(
                            "`periods` has totals of {} {}s without readings",
                            periods - compared,
                            finer.name()
                        ));
                    }
                }
                Err(error) => (self.problem)(error.message().to_owned()),
            }
        }
        Ok(compared)
    }

    fn is_right(&self, mut stored: Total, level: Level, span: Span, changes: &[Change]) -> bool {
        let mut counted = Total::NONE;
        for change in changes {
            counted.sum.merge(&change.sum());
            counted.include(level, span.from, change.first, change.last);
        }
        let uncounted = self.uncounted.within(span);
        for change in &uncounted.changes {
            stored.sum.merge(&change.sum());
            stored.include(level, span.from, change.first, change.last);
        }
        for (_, removed) in &uncounted.removed {
            stored.sum.remove(*removed);
        }
        let Aggregate { count, sum, .. } = counted.sum;
        let bound_is_right = |stored: Extreme, counted: Extreme| match stored.known {
            true => stored.value == counted.value,
            false => stored.value <= counted.value,
        };
        (stored.sum.count, stored.sum.sum) == (count, sum)
            && (stored.first, stored.last) == (counted.first, counted.last)
            && bound_is_right(stored.sum.lowest, counted.sum.lowest)
            && bound_is_right(stored.sum.highest, counted.sum.highest)
    }
}
