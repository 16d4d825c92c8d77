//! Count, sum, minimum and maximum of all readings, from a few items.

use std::collections::HashMap;
use std::time::Duration;

use super::super::table::client::Tables;
use super::super::table::items::{PartialStats, WriteShard, Written, damaged, get_text};
use super::super::table::keys;
use super::super::table::setup::State;
use crate::error::StoreError;
use crate::readings::Stats;

/// How often extremes are read again while they change.
const ATTEMPTS_MAX: u32 = 20;

/// All write shards from a single read. Later reads compare the sequences, and so tell which writes are newer.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteShards(HashMap<String, WriteShard>);

/// Reads all write shards.
///
/// # Errors
/// Also when the aggregates are being recounted.
pub(crate) async fn write_shards(tables: &Tables) -> Result<WriteShards, StoreError> {
    let mut shards = HashMap::new();
    let mut state = State::Recounting;
    for item in tables
        .all(&tables.aggregate_range(keys::TOTAL, keys::STATE, "s"))
        .await?
    {
        let key = get_text(&item, "cell").unwrap_or_default().to_owned();
        if key == keys::STATE {
            state = State::from_item(&item);
        } else {
            let shard = WriteShard::from_item(&item).ok_or_else(|| damaged("the statistics"))?;
            shards.insert(key, shard);
        }
    }
    state.check()?;
    Ok(WriteShards(shards))
}

#[cfg(test)]
impl FromIterator<(String, WriteShard)> for WriteShards {
    fn from_iter<T: IntoIterator<Item = (String, WriteShard)>>(shards: T) -> Self {
        Self(shards.into_iter().collect())
    }
}

impl WriteShards {
    /// How many sensors there are.
    pub(crate) fn sensors(&self) -> u64 {
        self.0.values().map(|shard| shard.sensors).sum()
    }

    /// Whether this read includes a write.
    pub(crate) fn includes(&self, written: &Written) -> bool {
        self.sequence_of(&written.shard) >= written.number
    }

    /// The sequence of a shard; 0 when the read did not find the shard.
    pub(crate) fn sequence_of(&self, shard: &str) -> u64 {
        self.0.get(shard).map_or(0, |shard| shard.sequence)
    }

    fn partial(&self) -> PartialStats {
        let mut partial = PartialStats::EMPTY;
        for shard in self.0.values() {
            partial.count += shard.count;
            partial.sum += shard.sum;
        }
        partial
    }

    /// Whether no shard moved an extreme between this read and another read.
    fn has_same_extremes(&self, other: &Self) -> bool {
        let moved = |shards: &Self| shards.0.values().map(|shard| shard.extremes).sum::<u64>();
        moved(self) == moved(other)
    }

    /// Whether no shard recorded a retracted extreme between this read and another read.
    fn has_same_retractions(&self, other: &Self) -> bool {
        let went_back = |shards: &Self| {
            shards
                .0
                .values()
                .map(|shard| shard.retracted_extremes)
                .sum::<u64>()
        };
        went_back(self) == went_back(other)
    }

    /// The lowest and the highest temperature ever written by any shard; an empty range when there is no shard. `None` when a shard
    /// of an older version does not record these temperatures.
    fn observed_range(&self) -> Option<(i64, i64)> {
        // A shard with only replacements of readings of other shards has a count of zero.
        let shards = self.0.values();
        let shards = shards.filter(|shard| shard.count > 0 || shard.observed_range.is_some());
        shards.map(|shard| shard.observed_range).try_fold(
            (i64::MAX, i64::MIN),
            |all, observed_range| {
                let (lowest, highest) = observed_range?;
                Some((all.0.min(lowest), all.1.max(highest)))
            },
        )
    }

    /// These sums with the lowest and the highest temperature.
    fn stats(&self, extremes: Extremes) -> Result<Stats, StoreError> {
        let mut partial = self.partial();
        if partial.count == 0 {
            return Ok(Stats::EMPTY);
        }
        (extremes.minimum.into_iter().chain(extremes.maximum)).for_each(|it| partial.widen(it));
        partial.stats()
    }
}

/// The lowest and the highest temperature of all, in micro-degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extremes {
    minimum: Option<i64>,
    maximum: Option<i64>,
}

impl Extremes {
    fn covers(&self, (lowest, highest): (i64, i64)) -> bool {
        self.minimum.unwrap_or(i64::MAX) <= lowest && self.maximum.unwrap_or(i64::MIN) >= highest
    }
}

async fn extremes(tables: &Tables) -> Result<Extremes, StoreError> {
    let (minimum, maximum) = futures_util::future::try_join(
        extreme(tables, keys::MINIMUM, false),
        extreme(tables, keys::MAXIMUM, true),
    )
    .await?;
    Ok(Extremes { minimum, maximum })
}

/// Statistics of all readings: the sums of the write shards, with the first key in the order of minima and in the order of maxima.
/// Shards and extremes are read in turns, until a rule applies. Three rules tell which shards and extremes belong together:
/// * No shard moved an extreme between the two shard reads. So the extremes read in between belong to the second shard read.
/// * No shard recorded a retracted extreme between the two shard reads, and the extremes read in between cover every value of the
///   first shard read. So the minimum and maximum are the widest values recorded in the second read.
/// * No shard recorded a retracted extreme between three shard reads, and both reads of the extremes in between are equal. Without
///   retractions extremes only widen. So equal extremes did not change in between, and belong to the second shard read.
pub(crate) async fn stats(tables: &Tables) -> Result<Stats, StoreError> {
    let mut earlier: Option<(WriteShards, Extremes)> = None;
    let mut before = write_shards(tables).await?;
    let mut attempt = 0;
    loop {
        let extremes = extremes(tables).await?;
        let after = write_shards(tables).await?;
        attempt += 1;
        if after.has_same_extremes(&before) {
            return after.stats(extremes);
        }
        if let (Some(sequence_of), Some((lowest, highest))) =
            (before.observed_range(), after.observed_range())
            && after.has_same_retractions(&before)
            && extremes.covers(sequence_of)
        {
            return after.stats(Extremes {
                minimum: Some(lowest),
                maximum: Some(highest),
            });
        }
        if let Some((shards, found)) = &earlier
            && *found == extremes
            && after.has_same_retractions(shards)
        {
            return before.stats(extremes);
        }
        if attempt >= ATTEMPTS_MAX {
            match after.stats(extremes) {
                // Extremes with constant changes may not fit the sums; a further attempt may succeed.
                Err(_) if attempt < 2 * ATTEMPTS_MAX => {}
                answer => return answer,
            }
        }
        earlier = Some((before, extremes));
        before = after;
        tokio::time::sleep(Duration::from_millis(u64::from(attempt.min(20) - 1))).await;
    }
}

async fn extreme(
    tables: &Tables,
    period: &str,
    backwards: bool,
) -> Result<Option<i64>, StoreError> {
    let mut range = tables.aggregate_range(period, "0", ":");
    range.backwards = backwards;
    let page = tables.page(&range, None, Some(1)).await?;
    let Some(item) = page.items.first() else {
        return Ok(None);
    };
    get_text(item, "cell")
        .and_then(keys::extreme_temperature)
        .map(Some)
        .ok_or_else(|| damaged("the order of extremes"))
}
