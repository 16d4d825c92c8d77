//! A series in the making.

use super::{Bucket, Series, Stats, Timestamp, Window};

/// Equal spans of time, in which readings are counted.
#[derive(Debug)]
pub(crate) struct Grid {
    series: Series,
    spans: Spans,
    window: Window,
}

/// Where the spans of a [`Grid`] lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    from: Timestamp,
    width_micros: u64,
    last: usize,
}

impl Spans {
    /// In which span a moment of the window lies, by number.
    pub(crate) fn of(&self, moment: Timestamp) -> usize {
        let after_from = (moment.micros() - self.from.micros()).unsigned_abs();
        // The last moment there is belongs to the last span, which ends there.
        ((after_from / self.width_micros) as usize).min(self.last)
    }
}

impl Grid {
    /// At most `buckets_max` spans over a window; the sensor's `first` and `last` readings are its ends where it has none.
    pub(crate) fn new(
        window: Window,
        first: Timestamp,
        last: Timestamp,
        buckets_max: usize,
    ) -> Self {
        let from = window.from.unwrap_or(first);
        // The last moment there is has no moment after it: then the window stays open.
        let before = window
            .to
            .or_else(|| Timestamp::from_micros(last.micros() + 1));
        let to = before.unwrap_or(Timestamp::MAX).max(from);
        // A timestamp is below 2⁵⁸ in size, so none of this overflows.
        let span = (to.micros() - from.micros()).unsigned_abs();
        let width_micros = span.div_ceil(buckets_max.max(1) as u64).max(1);
        let is_last_moment = before.is_none() && from == to;
        let count = span.div_ceil(width_micros).max(u64::from(is_last_moment));
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

    /// What lies in some bucket.
    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Where the buckets lie.
    pub(crate) fn spans(&self) -> Spans {
        self.spans
    }

    /// Counts readings that all lie in the bucket of a moment.
    pub(crate) fn add(&mut self, moment: Timestamp, stats: &Stats) {
        let at = self.spans.of(moment);
        if let Some(bucket) = self.series.buckets.get_mut(at) {
            bucket.stats.merge(stats);
        }
    }

    /// The series, with all that was counted.
    pub(crate) fn series(self) -> Series {
        self.series
    }
}
