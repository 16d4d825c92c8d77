//! Finds out when an outage of S3 is over.

use std::sync::Arc;
use std::time::Duration;

use super::client::S3Client;
use super::probe;

/// The pause between two probes during an outage: doubled from the first to the last.
const PROBE_PAUSE_MIN: Duration = Duration::from_secs(1);
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Starts a task that probes the bucket after each failure until a probe succeeds, and no request failed meanwhile. Only this task ends an
/// outage. If each successful request ended the outage, an S3 that fails every second request would fill the log.
///
/// The task ends when the client is dropped.
pub(super) fn watch(client: &Arc<S3Client>) {
    let mut failures = client.subscribe_failures();
    let client = Arc::downgrade(client);
    tokio::spawn(async move {
        while failures.changed().await.is_ok() {
            let mut pause = PROBE_PAUSE_MIN;
            loop {
                tokio::time::sleep(pause).await;
                let Some(client) = client.upgrade() else {
                    return;
                };
                failures.mark_unchanged();
                let is_reachable = probe::check(&client).await.is_ok();
                if is_reachable && failures.has_changed().is_ok_and(|changed| !changed) {
                    client.end_outage();
                    break;
                }
                pause = (pause * 2).min(PROBE_PAUSE_MAX);
            }
        }
    });
}
