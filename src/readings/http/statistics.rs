//! `GET /api/stats`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{ReadingRoutes, queries, wire};
use crate::http::extract::RawQuery;
use crate::http::{Problem, json};
use crate::readings::Stats;

/// Maximum, minimum and average over all readings, or over a sensor, or over a window `[from,to)`.
pub(super) async fn stats(
    State(routes): State<Arc<ReadingRoutes>>,
    query: RawQuery,
) -> Result<Response, Problem> {
    let query = query.parse(&["sensorId", "from", "to"])?;
    let selection = queries::selection(&query)?;
    let stats = routes.store.stats(&selection).await?;
    Ok(json::answer(routes.totals.of(&stats)))
}

/// The body of the last answer. Dividing and printing the statistics takes longer than the rest of the answer, and clients often ask
/// again before a reading changes the statistics.
#[derive(Default)]
pub(super) struct LastTotals(Mutex<Option<(Stats, Bytes)>>);

impl LastTotals {
    /// The body for these statistics.
    fn of(&self, stats: &Stats) -> Bytes {
        if let Some((last, text)) = &*self.0.lock()
            && last == stats
        {
            return text.clone();
        }
        let mut out = Vec::with_capacity(96);
        wire::write_totals(&mut out, stats);
        let text = Bytes::from(out);
        *self.0.lock() = Some((*stats, text.clone()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::Temperature;

    #[test]
    fn the_body_is_that_of_the_given_statistics() {
        let last = LastTotals::default();
        let mut stats = Stats::EMPTY;
        for micro_degrees in [28_000_000, -6_000_000, 8_000_000, 8_000_000] {
            stats.add(Temperature::from_micro_degrees(micro_degrees).unwrap());
            let mut expected = Vec::new();
            wire::write_totals(&mut expected, &stats);
            assert_eq!(last.of(&stats), expected);
            assert_eq!(last.of(&stats), expected);
            assert_eq!(
                last.of(&Stats::EMPTY),
                r#"{"Maximum":null,"Minimum":null,"Average":null}"#
            );
        }
    }
}
