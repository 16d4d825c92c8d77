//! `GET /api/stats`

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use parking_lot::Mutex;

use super::ReadingRoutes;
use super::wire;
use crate::http::Problem;
use crate::http::extract::RawQuery;
use crate::readings::{Selection, Stats};

/// Maximum, minimum and average over all readings, or over a sensor, or over a window `[from,to)`.
pub(super) async fn stats(
    State(routes): State<Arc<ReadingRoutes>>,
    query: RawQuery,
) -> Result<Response, Problem> {
    let query = query.parse(&["sensorId", "from", "to"])?;
    let selection = Selection {
        sensor: wire::sensor_parameter(&query)?,
        window: wire::window(&query)?,
    };
    let stats = routes.store.stats(&selection).await?;
    Ok(wire::json(routes.totals.of(&stats)))
}

/// The last statistics that were asked for, as text: dividing and printing them takes longer than all else of the answer, and they are
/// often asked for again before a reading has changed them.
#[derive(Default)]
pub(super) struct LastTotals(Mutex<Option<(Stats, Bytes)>>);

impl LastTotals {
    /// The text of these statistics.
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
    fn a_text_is_that_of_the_statistics_it_is_asked_for() {
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
