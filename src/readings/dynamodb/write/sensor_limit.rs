//! How many sensors there may still be.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::read::totals;
use super::super::table::client::Tables;
use crate::error::StoreError;

/// How long a count is good, when there is ample room.
const AGE_MAX: Duration = Duration::from_secs(1);
/// More than all replicas add while a count is good: the order of extremes takes some hundred new sensors a second.
const AMPLE_ROOM: u64 = 50_000;

/// The sensors of all replicas, counted each time when they may become too many, and else once a second at most.
#[derive(Debug, Default)]
pub(crate) struct Census {
    last: Mutex<Option<(Instant, u64)>>,
}

impl Census {
    /// How many sensors there may be besides those that there are.
    pub(crate) async fn room(&self, tables: &Tables, sensors_max: u64) -> Result<u64, StoreError> {
        let last = *self.last.lock();
        if let Some((at, count)) = last {
            let room = sensors_max.saturating_sub(count);
            if room > AMPLE_ROOM && at.elapsed() < AGE_MAX {
                return Ok(room);
            }
        }
        let asked_at = Instant::now();
        let count = totals::lanes(tables).await?.sensors();
        *self.last.lock() = Some((asked_at, count));
        Ok(sensors_max.saturating_sub(count))
    }
}
