//! The bounds of the embedded store.

use std::time::Duration;

/// The bounds of the embedded store. The defaults suit a server; tests use smaller values.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The largest number of sensors. A reading of a further sensor is refused.
    pub sensors_max: usize,
    /// How many readings may wait for a commit (24 bytes each). Further readings are refused as overload. Half as many more may
    /// wait for lookups (56 bytes each).
    pub queue_readings_max: usize,
    /// About how many readings a commit holds. Bounds the time to an acknowledgement under overload.
    pub commit_readings_max: usize,
    /// How many readings the tails hold before a sealing cycle starts (16 bytes each, up to twice as much while a tail grows).
    pub tail_points_max: usize,
    /// About how many readings a chunk holds. A chunk holds at most half as many more.
    pub chunk_points_max: usize,
    /// A tail with fewer readings stays in the log and does not become a chunk, as long as memory allows.
    pub chunk_points_min: usize,
    /// About how long a commit may look up stored readings for late readings. A batch with longer lookups waits for the next
    /// commits, and does not delay other batches.
    pub lookup_time: Duration,
    /// The longest time of a reading in the log before a sealing cycle starts.
    pub seal_age: Duration,
    /// How long the start of a server waits for recovery. After this time the server listens while recovery goes on.
    pub start_timeout: Duration,
    /// How many connections may read at once. Each has a cache of 1 MiB.
    pub readers_max: u32,
    /// How many readings of all sensors a period (an hour, a minute, a second) needs on average before its totals are kept (about
    /// 10 bytes each). In a large fleet fewer suffice, because a question to every sensor takes long.
    pub period_readings_min: usize,
    /// How many seconds with uncounted readings memory may hold (about 100 bytes each) before their totals are written to disk.
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
            start_timeout: Duration::from_secs(1),
            readers_max: 8,
            period_readings_min: 256,
            uncounted_seconds_max: 8_192,
        }
    }
}
