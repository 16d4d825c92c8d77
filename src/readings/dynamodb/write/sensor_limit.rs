//! The limit on the number of sensors.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::read::totals;
use super::super::table::client::Tables;
use crate::error::StoreError;

/// How long a count is valid while there is ample room.
const AGE_MAX: Duration = Duration::from_secs(1);
/// More sensors than all replicas add while a count is valid: the order of extremes accepts some hundred new sensors a second.
const AMPLE_ROOM: u64 = 50_000;

/// The number of sensors of all replicas. Near the limit, each check reads the number; otherwise, once a second at most.
#[derive(Debug, Default)]
pub(crate) struct SensorLimit {
    last: Mutex<Option<(Instant, u64)>>,
}

impl SensorLimit {
    /// How many more sensors are allowed.
    pub(crate) async fn room(&self, tables: &Tables, sensors_max: u64) -> Result<u64, StoreError> {
        let last = *self.last.lock();
        if let Some((at, count)) = last {
            let room = sensors_max.saturating_sub(count);
            if room > AMPLE_ROOM && at.elapsed() < AGE_MAX {
                return Ok(room);
            }
        }
        let asked_at = Instant::now();
        let count = totals::write_shards(tables).await?.sensors();
        *self.last.lock() = Some((asked_at, count));
        Ok(sensors_max.saturating_sub(count))
    }
}
