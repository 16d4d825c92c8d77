//! Plans the answer for a window over all sensors: whole periods, and short spans in which every sensor must be asked.

use rusqlite::Connection;

use super::block::Block;
use super::level::{Level, Span, joined};
use super::rows;
use super::total::{Aggregate, Total};
use crate::error::StoreError;

/// A part of a window: the whole seconds of the window, or a partial second at an end of the window.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) span: Span,
    /// The sum of the periods with all readings inside the part.
    pub(crate) total: Aggregate,
    /// The periods in this sum with an unknown extreme.
    pub(crate) uncertain: Vec<UncertainPeriod>,
    /// The spans in which each reading is counted, in order.
    pub(crate) scans: Vec<Span>,
}

/// A period with an unknown extreme, because a reading with the period's lowest or highest temperature was replaced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UncertainPeriod {
    level: Level,
    span: Span,
    total: Total,
}

impl Part {
    /// A part in which each reading is counted.
    pub(crate) fn scan(span: Span) -> Self {
        Self {
            span,
            total: Aggregate::NONE,
            uncertain: Vec::new(),
            scans: joined(vec![span]),
        }
    }

    /// Whether the part is a partial second.
    pub(crate) fn is_edge(&self) -> bool {
        self.span.to - self.span.from < Level::Second.micros()
    }
}

/// Plans the answer for a span. Inside `forced` (whole periods), each reading is counted.
pub(crate) fn plan(
    connection: &Connection,
    span: Span,
    forced: &[Span],
) -> Result<Vec<Part>, StoreError> {
    let parts = span.split_at_seconds().into_iter();
    parts
        .filter(|span| !span.is_empty())
        .map(|span| {
            let mut planner = Planner {
                connection,
                forced,
                part: Part {
                    scans: forced.iter().map(|forced| forced.overlap(span)).collect(),
                    ..Part::scan(span)
                },
            };
            rows::visit(connection, Level::Day, span, |block, _| {
                planner.take(&block)
            })?;
            planner.part.scans = joined(std::mem::take(&mut planner.part.scans));
            Ok(planner.part)
        })
        .collect()
}

struct Planner<'a> {
    connection: &'a Connection,
    forced: &'a [Span],
    part: Part,
}

impl Planner<'_> {
    fn take(&mut self, block: &Block) -> Result<(), StoreError> {
        for (number, total) in &block.totals {
            let period = block.span(*number);
            let overlap = period.overlap(self.part.span);
            if overlap.is_empty() {
                continue;
            }
            let is_forced = self.forced.iter().any(|f| !f.overlap(overlap).is_empty());
            let reading_span = total.reading_span(block.level, period.from);
            if reading_span.overlap(self.part.span).is_empty() {
                continue;
            }
            if !is_forced && self.part.span.contains(reading_span) {
                self.part.total.merge(&total.sum);
                if !total.sum.is_known() {
                    self.part.uncertain.push(UncertainPeriod {
                        level: block.level,
                        span: period,
                        total: *total,
                    });
                }
                continue;
            }
            match finer(self.connection, block.level, period, total)? {
                Some(finer) => self.take(&finer)?,
                None => self.part.scans.push(overlap),
            }
        }
        Ok(())
    }
}

fn finer(
    connection: &Connection,
    level: Level,
    period: Span,
    total: &Total,
) -> Result<Option<Block>, StoreError> {
    match level.finer().filter(|_| total.finer) {
        Some(finer) => rows::load_finer_if_sound(connection, finer, period.from, total),
        None => Ok(None),
    }
}

/// The shortest stored period around a timestamp.
pub(crate) fn shortest_around(connection: &Connection, moment: i64) -> Result<Span, StoreError> {
    let mut level = Level::Day;
    let mut block =
        rows::load(connection, level, level.block_start(moment))?.map(|(block, _)| block);
    loop {
        let number = block.as_ref().map(|block| (block, block.number(moment)));
        let Some((found, number)) = number else {
            break;
        };
        let Some(total) = found.get(number) else {
            break;
        };
        let period = found.span(number);
        match finer(connection, level, period, total)? {
            Some(next) => (level, block) = (next.level, Some(next)),
            None => return Ok(period),
        }
    }
    let from = Level::Second.period_start(moment);
    Ok(Span {
        from,
        to: from + Level::Second.micros(),
    })
}

impl UncertainPeriod {
    /// Adds the shortest periods with an unknown extreme that may be at most `lowest`, or, negated, at most `highest`.
    pub(crate) fn narrow(
        &self,
        connection: &Connection,
        lowest: i64,
        highest: i64,
        spans: &mut Vec<Span>,
    ) -> Result<(), StoreError> {
        let Aggregate {
            lowest: own_lowest,
            highest: own_highest,
            ..
        } = self.total.sum;
        let matters = (!own_lowest.known && own_lowest.value <= lowest)
            || (!own_highest.known && own_highest.value <= highest);
        if !matters {
            return Ok(());
        }
        let Some(block) = finer(connection, self.level, self.span, &self.total)? else {
            spans.push(self.span);
            return Ok(());
        };
        for (number, total) in &block.totals {
            let period = Self {
                level: block.level,
                span: block.span(*number),
                total: *total,
            };
            period.narrow(connection, lowest, highest, spans)?;
        }
        Ok(())
    }
}
