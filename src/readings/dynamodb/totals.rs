//! Count, sum, minimum and maximum of all readings, from a handful of items.

use std::collections::HashMap;
use std::time::Duration;

use super::client::Tables;
use super::items::{Lane, Part, Written, damaged, get_text};
use super::keys;
use super::tables::State;
use crate::error::StoreError;
use crate::readings::Stats;

/// How often extremes that move while they are looked at are looked at again.
const ATTEMPTS_MAX: u32 = 20;

/// All lanes of all slots, as one read found them: also how far each had come, by which later reads tell what is newer.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes(HashMap<String, Lane>);

/// Reads all lanes.
///
/// # Errors
/// Also when the aggregates are being recounted.
pub(super) async fn lanes(tables: &Tables) -> Result<Lanes, StoreError> {
    let mut lanes = HashMap::new();
    let mut state = State::Recounting;
    for item in tables
        .all(&tables.cells(keys::TOTAL, keys::STATE, "s"))
        .await?
    {
        let cell = get_text(&item, "cell").unwrap_or_default().to_owned();
        if cell == keys::STATE {
            state = State::from_item(&item);
        } else {
            let lane = Lane::from_item(&item).ok_or_else(|| damaged("the statistics"))?;
            lanes.insert(cell, lane);
        }
    }
    state.check()?;
    Ok(Lanes(lanes))
}

#[cfg(test)]
impl FromIterator<(String, Lane)> for Lanes {
    fn from_iter<T: IntoIterator<Item = (String, Lane)>>(lanes: T) -> Self {
        Self(lanes.into_iter().collect())
    }
}

impl Lanes {
    /// How many sensors there are.
    pub(super) fn sensors(&self) -> u64 {
        self.0.values().map(|lane| lane.sensors).sum()
    }

    /// Whether a write is part of what was read here.
    pub(super) fn include(&self, written: &Written) -> bool {
        self.reached(&written.lane) >= written.number
    }

    /// How far a lane had come.
    pub(super) fn reached(&self, lane: &str) -> u64 {
        self.0.get(lane).map_or(0, |lane| lane.sequence)
    }

    fn part(&self) -> Part {
        let mut part = Part::EMPTY;
        for lane in self.0.values() {
            part.count += lane.count;
            part.sum += lane.sum;
        }
        part
    }

    /// Whether no extreme has moved between this and another read.
    fn extremes_as(&self, other: &Self) -> bool {
        let moved = |lanes: &Self| lanes.0.values().map(|lane| lane.extremes).sum::<u64>();
        moved(self) == moved(other)
    }
}

/// Statistics of all readings: sums over the lanes, and the first in the order of minima and of maxima. The lanes are read
/// before and after those, since they count how often an extreme has moved.
pub(super) async fn stats(tables: &Tables) -> Result<Stats, StoreError> {
    let mut before = lanes(tables).await?;
    let mut attempt = 0;
    loop {
        let (minimum, maximum) = futures_util::future::try_join(
            extreme(tables, keys::MINIMUM, false),
            extreme(tables, keys::MAXIMUM, true),
        )
        .await?;
        let after = lanes(tables).await?;
        attempt += 1;
        let steady = after.extremes_as(&before);
        if steady || attempt >= ATTEMPTS_MAX {
            let mut part = after.part();
            if part.count == 0 {
                return Ok(Stats::EMPTY);
            }
            (minimum.into_iter().chain(maximum)).for_each(|it| part.widen(it));
            match part.stats() {
                // Extremes that move all the time may not fit the sums; then they are looked at once more.
                Err(_) if !steady && attempt < 2 * ATTEMPTS_MAX => {}
                answer => return answer,
            }
        }
        before = after;
        tokio::time::sleep(Duration::from_millis(u64::from(attempt.min(20)))).await;
    }
}

async fn extreme(
    tables: &Tables,
    period: &str,
    backwards: bool,
) -> Result<Option<i64>, StoreError> {
    let mut range = tables.cells(period, "0", ":");
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
