//! The bounds of the embedded store.

use std::time::Duration;

/// How the embedded store behaves. The defaults suit a server; tests make things small.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// How many sensors there may be. A new one beyond is refused.
    pub sensors_max: usize,
    /// How many readings may wait for a commit before more are refused as overload (24 bytes each); half as many more may
    /// wait to be compared with what is stored (56 bytes each).
    pub queue_readings_max: usize,
    /// About how many readings go into one commit. Bounds how long an acknowledgement takes under overload.
    pub commit_readings_max: usize,
    /// From how many readings in the tails on sealing goes round (16 bytes each, up to twice that while growing).
    pub tail_points_max: usize,
    /// How many readings a chunk holds, about; half as many more at the most.
    pub chunk_points_max: usize,
    /// Fewer readings of a sensor stay in the log rather than become a chunk, while memory allows.
    pub chunk_points_min: usize,
    /// About how long a commit may look for what is stored at the moments of late readings. A batch that needs longer waits for the
    /// next commits, and those that need less are not held up by it.
    pub lookup_time: Duration,
    /// How long a reading stays in the log at the most before sealing goes round.
    pub seal_age: Duration,
    /// How long the start of a server waits for what is stored to be read, before it listens all the same.
    pub start_patience: Duration,
    /// How many connections read at once; each caches 1 MiB.
    pub readers_max: u32,
    /// How many readings of all sensors a period (an hour, a minute, a second) holds on average where totals are kept for it: about
    /// 10 bytes each. Fewer in a fleet of many sensors, where it takes long to ask them all.
    pub period_readings_min: usize,
    /// How many seconds with readings may gather in memory before their totals go to disk (about 100 bytes each).
    pub uncounted_seconds_max: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            sensors_max: 1_000_000,
            queue_readings_max: 1_000_000,
            commit_readings_max: 128_000,
            tail_points_max: 1_000_000,
            chunk_points_max: 4_096,
            chunk_points_min: 64,
            lookup_time: Duration::from_millis(5),
            seal_age: Duration::from_secs(3_600),
            start_patience: Duration::from_secs(1),
            readers_max: 8,
            period_readings_min: 256,
            uncounted_seconds_max: 8_192,
        }
    }
}
