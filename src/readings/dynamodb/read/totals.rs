//! Count, sum, minimum and maximum of all readings, from a handful of items.

use std::collections::HashMap;
use std::time::Duration;

use super::super::table::client::Tables;
use super::super::table::items::{Lane, Part, Written, damaged, get_text};
use super::super::table::keys;
use super::super::table::setup::State;
use crate::error::StoreError;
use crate::readings::Stats;

/// How often extremes that move while they are looked at are looked at again.
const ATTEMPTS_MAX: u32 = 20;

/// All lanes of all slots, as one read found them: also how far each had come, by which later reads tell what is newer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes(HashMap<String, Lane>);

/// Reads all lanes.
///
/// # Errors
/// Also when the aggregates are being recounted.
pub(crate) async fn lanes(tables: &Tables) -> Result<Lanes, StoreError> {
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
    pub(crate) fn sensors(&self) -> u64 {
        self.0.values().map(|lane| lane.sensors).sum()
    }

    /// Whether a write is part of what was read here.
    pub(crate) fn include(&self, written: &Written) -> bool {
        self.reached(&written.lane) >= written.number
    }

    /// How far a lane had come.
    pub(crate) fn reached(&self, lane: &str) -> u64 {
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

    /// Whether no extreme of any sensor has moved between this and another read.
    fn extremes_as(&self, other: &Self) -> bool {
        let moved = |lanes: &Self| lanes.0.values().map(|lane| lane.extremes).sum::<u64>();
        moved(self) == moved(other)
    }

    /// Whether no extreme of any sensor has gone back inside between this and another read.
    fn retreats_as(&self, other: &Self) -> bool {
        let went_back = |lanes: &Self| lanes.0.values().map(|lane| lane.retreats).sum::<u64>();
        went_back(self) == went_back(other)
    }

    /// How far all lanes together reach; more than any temperature where there is none. `None` when one does not say.
    fn reach(&self) -> Option<(i64, i64)> {
        // One that has only replaced readings of others has no count.
        let lanes = self.0.values();
        let lanes = lanes.filter(|lane| lane.count > 0 || lane.reach.is_some());
        lanes
            .map(|lane| lane.reach)
            .try_fold((i64::MAX, i64::MIN), |all, reach| {
                let (lowest, highest) = reach?;
                Some((all.0.min(lowest), all.1.max(highest)))
            })
    }

    /// The statistics that these sums have with the lowest and the highest temperature.
    fn stats(&self, extremes: Extremes) -> Result<Stats, StoreError> {
        let mut part = self.part();
        if part.count == 0 {
            return Ok(Stats::EMPTY);
        }
        (extremes.minimum.into_iter().chain(extremes.maximum)).for_each(|it| part.widen(it));
        part.stats()
    }
}

/// The lowest and the highest temperature of all, in micro-degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extremes {
    minimum: Option<i64>,
    maximum: Option<i64>,
}

impl Extremes {
    fn cover(&self, (lowest, highest): (i64, i64)) -> bool {
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

/// Statistics of all readings: sums over the lanes, and the first in the order of minima and of maxima. Lanes and extremes are
/// read in turns, and one of three reasons tells which belong together:
/// * No extreme of any sensor has moved between two reads of the lanes: the extremes in between are those of the latter.
/// * None has gone back inside between two reads of the lanes, and the extremes in between reach as far as the former ever did: then
///   how far the latter reaches are its extremes.
/// * None has gone back inside between three reads of the lanes, and the extremes between them are the same: they are those of the
///   second, since what only goes outwards and ends where it began has not moved.
pub(crate) async fn stats(tables: &Tables) -> Result<Stats, StoreError> {
    let mut earlier: Option<(Lanes, Extremes)> = None;
    let mut before = lanes(tables).await?;
    let mut attempt = 0;
    loop {
        let extremes = extremes(tables).await?;
        let after = lanes(tables).await?;
        attempt += 1;
        if after.extremes_as(&before) {
            return after.stats(extremes);
        }
        if let (Some(reached), Some((lowest, highest))) = (before.reach(), after.reach())
            && after.retreats_as(&before)
            && extremes.cover(reached)
        {
            return after.stats(Extremes {
                minimum: Some(lowest),
                maximum: Some(highest),
            });
        }
        if let Some((lanes, found)) = &earlier
            && *found == extremes
            && after.retreats_as(lanes)
        {
            return before.stats(extremes);
        }
        if attempt >= ATTEMPTS_MAX {
            match after.stats(extremes) {
                // Extremes that move all the time may not fit the sums; then they are looked at once more.
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
