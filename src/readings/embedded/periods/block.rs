//! A block: adjacent periods in a table row. The hours of a day, the minutes of an hour, the seconds of a minute, or 64 days.

use super::level::{Level, Span};
use super::total::{Aggregate, Extreme, Total};
use crate::readings::embedded::format::codec::{
    self, CodecError, Cursor, Scale, put_signed, put_unsigned,
};
use crate::readings::{Temperature, Timestamp};

const FORMAT: u8 = 1;

/// Bits in the byte after the format: the optional columns of the block.
const HAS_FLAGS: u8 = 1;
const HAS_POSITIONS: u8 = 2;

/// Flags of a period.
const FINER: u8 = 1;
const LOWEST_UNKNOWN: u8 = 2;
const HIGHEST_UNKNOWN: u8 = 4;

/// Adjacent periods of a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) level: Level,
    /// In microseconds since 1970 UTC.
    pub(crate) start: i64,
    /// The periods by number within the block, in ascending order. Periods without readings are left out.
    pub(crate) totals: Vec<(u8, Total)>,
}

impl Block {
    /// An empty block: the block of the level around a timestamp.
    pub(crate) fn empty(level: Level, micros: i64) -> Self {
        Self {
            level,
            start: level.block_start(micros),
            totals: Vec::new(),
        }
    }

    /// The key of the row. Levels follow one another, each in order of time. So the level with the most rows grows at the end of
    /// the table.
    pub(crate) fn key(level: Level, start: i64) -> i64 {
        let minutes = Level::Minute.micros();
        // Every block starts at a full minute. The first block of 64 days may start before the first year.
        let earliest = Level::Day.block_start(Timestamp::MIN.micros());
        ((level as i64) << 40) + (start - earliest) / minutes
    }

    /// The time span of a period in this block.
    pub(crate) fn span(&self, number: u8) -> Span {
        let from = self.start + i64::from(number) * self.level.micros();
        Span {
            from,
            to: from + self.level.micros(),
        }
    }

    /// The number of the period, within this block, around a timestamp.
    pub(crate) fn number(&self, micros: i64) -> u8 {
        // At most 63.
        ((micros - self.start) / self.level.micros()) as u8
    }

    pub(crate) fn get(&self, number: u8) -> Option<&Total> {
        let at = self
            .totals
            .binary_search_by_key(&number, |(n, _)| *n)
            .ok()?;
        self.totals.get(at).map(|(_, total)| total)
    }

    /// The period with a number; added if missing.
    pub(crate) fn entry(&mut self, number: u8) -> &mut Total {
        let at = self.totals.partition_point(|(n, _)| *n < number);
        if self.totals.get(at).is_none_or(|(n, _)| *n != number) {
            self.totals.insert(at, (number, Total::NONE));
        }
        &mut self.totals[at].1
    }

    /// The sum of all periods.
    pub(crate) fn sum(&self) -> Aggregate {
        let mut sum = Aggregate::NONE;
        for (_, total) in &self.totals {
            sum.merge(&total.sum);
        }
        sum
    }

    /// Encodes the row. The checksum is bound to the key.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let flags = |total: &Total| {
            flag(FINER, total.finer)
                | flag(LOWEST_UNKNOWN, !total.sum.lowest.known)
                | flag(HIGHEST_UNKNOWN, !total.sum.highest.known)
        };
        let totals = || self.totals.iter().map(|(_, total)| total);
        let has_flags = totals().any(|total| flags(total) != 0);
        let has_positions = totals().any(|total| (total.first, total.last) != (0, 0));
        let scale = Scale::common(totals().flat_map(|total| {
            let Aggregate {
                sum,
                lowest,
                highest,
                ..
            } = total.sum;
            // A scale divides a million. So a scale divides the sum exactly if the scale divides this remainder.
            [lowest.value, highest.value, (sum % 1_000_000) as i64]
        }));
        let mut out = Vec::with_capacity(16 + 12 * self.totals.len());
        out.push(FORMAT);
        out.push(flag(HAS_FLAGS, has_flags) | flag(HAS_POSITIONS, has_positions));
        out.push(scale.to_byte());
        put_unsigned(&mut out, self.totals.len() as u64);
        let mut before = Row::default();
        for (number, total) in &self.totals {
            let row = Row::of(*number, total, scale);
            put_unsigned(&mut out, (row.number - before.number) as u64);
            put_signed(&mut out, row.count.wrapping_sub(before.count));
            put_signed(&mut out, row.mean - before.mean);
            put_unsigned(&mut out, row.rest);
            put_signed(&mut out, row.lowest - before.lowest);
            put_signed(&mut out, row.highest - before.highest);
            if has_flags {
                out.push(flags(total));
            }
            if has_positions {
                out.push(total.first);
                out.push(total.last);
            }
            before = row;
        }
        codec::append_checksum(&mut out, Self::key(self.level, self.start).cast_unsigned());
        out
    }

    /// Decodes a row of [`Block::encode`] with the same key. Any other bytes give an error.
    pub(crate) fn decode(level: Level, start: i64, bytes: &[u8]) -> Result<Self, CodecError> {
        let seed = Self::key(level, start).cast_unsigned();
        let mut cursor = Cursor::new(codec::checked(bytes, seed)?);
        let format = cursor.byte()?;
        if format != FORMAT {
            return Err(CodecError::Format(format));
        }
        let columns = cursor.byte()?;
        let scale = Scale::from_byte(cursor.byte()?)?;
        let periods = cursor.count()?;
        let mut block = Self::empty(level, start);
        block.totals.reserve(periods);
        let mut row = Row::default();
        for at in 0..periods {
            let number = row.number.checked_add_unsigned(cursor.unsigned()?);
            let number = number.ok_or(CodecError::OutOfRange)?;
            if number >= level.block_periods() || (at > 0 && number == row.number) {
                return Err(CodecError::Order);
            }
            let next = |value: i64, cursor: &mut Cursor<'_>| {
                let moved = value.checked_add(cursor.signed()?);
                moved.ok_or(CodecError::OutOfRange)
            };
            row = Row {
                number,
                count: row.count.wrapping_add(cursor.signed()?),
                mean: next(row.mean, &mut cursor)?,
                rest: cursor.unsigned()?,
                lowest: next(row.lowest, &mut cursor)?,
                highest: next(row.highest, &mut cursor)?,
            };
            let mut total = row.total(scale)?;
            if columns & HAS_FLAGS != 0 {
                let flags = cursor.byte()?;
                total.finer = flags & FINER != 0;
                total.sum.lowest.known = flags & LOWEST_UNKNOWN == 0;
                total.sum.highest.known = flags & HIGHEST_UNKNOWN == 0;
            }
            if columns & HAS_POSITIONS != 0 {
                (total.first, total.last) = (cursor.byte()?, cursor.byte()?);
            }
            block.totals.push((number as u8, total));
        }
        if cursor.is_at_end() {
            Ok(block)
        } else {
            Err(CodecError::Truncated)
        }
    }

    /// The checksum at the end of a row.
    pub(crate) fn checksum(row: &[u8]) -> u64 {
        row.last_chunk()
            .map_or(0, |checksum| u64::from_le_bytes(*checksum))
    }
}

fn flag(flag: u8, set: bool) -> u8 {
    if set { flag } else { 0 }
}

/// A period in its written form: each number as the difference to the period before.
#[derive(Clone, Copy, Default)]
struct Row {
    number: i64,
    count: i64,
    /// The mean, rounded down, and the remainder of the sum.
    mean: i64,
    rest: u64,
    lowest: i64,
    highest: i64,
}

impl Row {
    fn of(number: u8, total: &Total, scale: Scale) -> Self {
        let factor = scale.factor();
        let Aggregate {
            count,
            sum,
            lowest,
            highest,
        } = total.sum;
        let sum = sum / i128::from(factor);
        let divisor = i128::from(count.max(1));
        Self {
            number: i64::from(number),
            count: count.cast_signed(),
            // The mean is in the range of temperatures, and the remainder is below the count.
            mean: sum.div_euclid(divisor) as i64,
            rest: sum.rem_euclid(divisor) as u64,
            lowest: lowest.value / factor,
            highest: highest.value / factor,
        }
    }

    fn total(&self, scale: Scale) -> Result<Total, CodecError> {
        let count = self.count.cast_unsigned();
        let temperature = |value: i64| {
            let scaled = scale.scale_up(value)?;
            Temperature::from_micro_degrees(scaled).ok_or(CodecError::OutOfRange)?;
            Ok(scaled)
        };
        let highest = self.highest.checked_neg().ok_or(CodecError::OutOfRange)?;
        let (lowest, highest) = (temperature(self.lowest)?, temperature(highest)?);
        temperature(self.mean)?;
        if count == 0 || self.rest >= count {
            return Err(CodecError::OutOfRange);
        }
        let sum = i128::from(self.mean) * i128::from(count) + i128::from(self.rest);
        Ok(Total {
            sum: Aggregate {
                count,
                sum: sum * i128::from(scale.factor()),
                lowest: Extreme::exact(lowest),
                highest: Extreme::exact(-highest),
            },
            first: 0,
            last: 0,
            finer: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::readings::Stats;

    fn total() -> impl Strategy<Value = Total> {
        let values = prop::collection::vec(-273i64..1_000_000, 1..20);
        let scale = prop::sample::select(vec![1i64, 1_000, 100_000, 1_000_000]);
        (values, scale, any::<[bool; 3]>(), 0u8..255, 0u8..255).prop_map(
            |(values, scale, [finer, lowest, highest], first, last)| {
                let stats: Stats = values
                    .iter()
                    .map(|value| Temperature::from_micro_degrees(value * scale).unwrap())
                    .collect();
                let mut sum = Aggregate::of_stats(&stats);
                (sum.lowest.known, sum.highest.known) = (lowest, highest);
                Total {
                    sum,
                    first,
                    last,
                    finer,
                }
            },
        )
    }

    fn block() -> impl Strategy<Value = Block> {
        let level = prop::sample::select(Level::ALL.to_vec());
        (
            level,
            -30_000_000_000i64..30_000_000_000,
            prop::collection::btree_map(0u8..24, total(), 0..24),
        )
            .prop_map(|(level, second, totals)| Block {
                totals: totals.into_iter().collect(),
                ..Block::empty(level, second * 1_000_000)
            })
    }

    proptest! {
        #[test]
        fn a_block_reads_back_the_same(block in block()) {
            let row = block.encode();
            prop_assert_eq!(Block::decode(block.level, block.start, &row), Ok(block.clone()));
            let elsewhere = block.start + block.level.block_micros();
            prop_assert_eq!(Block::decode(block.level, elsewhere, &row), Err(CodecError::Checksum));
        }

        #[test]
        fn arbitrary_bytes_with_a_right_checksum_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(first) = bytes.first_mut() {
                *first = FORMAT;
            }
            codec::append_checksum(&mut bytes, Block::key(Level::Hour, 0).cast_unsigned());
            let _ = Block::decode(Level::Hour, 0, &bytes);
        }

        #[test]
        fn places_are_in_order_of_level_and_time(level in prop::sample::select(Level::ALL.to_vec()), second in -62_000_000_000i64..253_000_000_000) {
            let start = level.block_start(second * 1_000_000);
            let key = Block::key(level, start);
            prop_assert!(key < Block::key(level, start + level.block_micros()));
            prop_assert!(key >= (level as i64) << 40 && key < (level as i64 + 1) << 40);
        }
    }

    #[test]
    fn a_second_of_a_thousand_readings_takes_about_eight_bytes() {
        let mut block = Block::empty(Level::Second, 0);
        for second in 0..60i64 {
            let temperatures = (0..1000i64).map(|sensor| {
                let hundredths = 1_000 + (sensor * 7919 + second * 31) % 3_000;
                Temperature::from_micro_degrees(hundredths * 10_000).unwrap()
            });
            let total = block.entry(second as u8);
            total.sum = Aggregate::of_stats(&temperatures.collect());
            total.include(
                Level::Second,
                second * 1_000_000,
                second * 1_000_000,
                second * 1_000_000,
            );
        }
        let bytes = block.encode().len();
        assert!(bytes < 60 * 9, "{bytes}");
    }
}
