//! Builds a series: readings are counted in buckets of equal width.

use super::{Bucket, Series, Stats, Timestamp, Window};

/// The buckets of a series, in which readings are counted.
#[derive(Debug)]
pub(crate) struct Grid {
    series: Series,
    spans: Spans,
    window: Window,
}

/// The positions of the buckets of a [`Grid`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    from: Timestamp,
    width_micros: u64,
    last: usize,
}

impl Spans {
    /// The index of the bucket of a timestamp in the window.
    pub(crate) fn of(&self, timestamp: Timestamp) -> usize {
        let after_from = (timestamp.micros() - self.from.micros()).unsigned_abs();
        // `Timestamp::MAX` belongs to the last bucket, which ends there.
        ((after_from / self.width_micros) as usize).min(self.last)
    }
}

impl Grid {
    /// At most `buckets_max` buckets over a window. The timestamps of the `first` and the `last` reading replace missing ends of the window.
    pub(crate) fn new(
        window: Window,
        first: Timestamp,
        last: Timestamp,
        buckets_max: usize,
    ) -> Self {
        let from = window.from.unwrap_or(first);
        // After `Timestamp::MAX` there is no timestamp: the window stays open.
        let before = window
            .to
            .or_else(|| Timestamp::from_micros(last.micros() + 1));
        let to = before.unwrap_or(Timestamp::MAX).max(from);
        // A timestamp is below 2⁵⁸ in size, so none of this overflows.
        let span = (to.micros() - from.micros()).unsigned_abs();
        let width_micros = span.div_ceil(buckets_max.max(1) as u64).max(1);
        let is_last_timestamp = before.is_none() && from == to;
        let count = span
            .div_ceil(width_micros)
            .max(u64::from(is_last_timestamp));
        let buckets: Vec<Bucket> = (0..count)
            .filter_map(|bucket| {
                let start = from.micros() + (bucket * width_micros).cast_signed();
                Some(Bucket {
                    start: Timestamp::from_micros(start)?,
                    stats: Stats::EMPTY,
                })
            })
            .collect();
        Self {
            spans: Spans {
                from,
                width_micros,
                last: buckets.len().saturating_sub(1),
            },
            series: Series { from, to, buckets },
            window: Window {
                from: Some(from),
                to: before,
            },
        }
    }

    /// The window of all buckets.
    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// The positions of the buckets.
    pub(crate) fn spans(&self) -> Spans {
        self.spans
    }

    /// Counts readings that all lie in the bucket of a timestamp.
    pub(crate) fn add(&mut self, timestamp: Timestamp, stats: &Stats) {
        let at = self.spans.of(timestamp);
        if let Some(bucket) = self.series.buckets.get_mut(at) {
            bucket.stats.merge(stats);
        }
    }

    /// The finished series.
    pub(crate) fn series(self) -> Series {
        self.series
    }
}
