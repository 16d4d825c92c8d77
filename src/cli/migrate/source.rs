//! The source of readings: a store of this program, or a table of an older program.

use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};

#[cfg(feature = "cloud")]
use super::sorted::Sorted;
use crate::error::StoreError;
use crate::readings::{
    Page, Point, ReadingStore, Selection, SensorId, SensorSummary, Stats, Window,
};

/// The most readings that are read from the sorted file at a time.
#[cfg(feature = "cloud")]
const POINTS_PAGE: usize = 4_096;

/// A source of readings.
pub(super) enum Source {
    Store(Arc<dyn ReadingStore>),
    #[cfg(feature = "cloud")]
    Older(Sorted),
}

/// Pages of a sensor's readings in order of time.
pub(super) type Points<'a> = BoxStream<'a, Result<Vec<Point>, StoreError>>;

impl Source {
    /// The name of the backend for the report.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Store(store) => store.backend(),
            #[cfg(feature = "cloud")]
            Self::Older(_) => "older table",
        }
    }

    /// Closes the source.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        match self {
            Self::Store(store) => store.close().await,
            #[cfg(feature = "cloud")]
            Self::Older(_) => Ok(()),
        }
    }

    /// The statistics over all readings.
    pub(super) async fn stats(&self) -> Result<Stats, StoreError> {
        match self {
            Self::Store(store) => store.stats(&Selection::default()).await,
            #[cfg(feature = "cloud")]
            Self::Older(sorted) => Ok(sorted.stats()),
        }
    }

    /// A page of sensors in order of their ids.
    pub(super) async fn sensors(
        &self,
        after: Option<&SensorId>,
        limit: usize,
    ) -> Result<Page<SensorSummary>, StoreError> {
        match self {
            Self::Store(store) => store.sensors(after, limit).await,
            #[cfg(feature = "cloud")]
            Self::Older(sorted) => {
                let items = sorted.sensors(after, limit);
                let more = items.len() == limit;
                Ok(Page { items, more })
            }
        }
    }

    /// All readings of a sensor.
    pub(super) async fn points(&self, sensor: &SensorId) -> Result<Points<'_>, StoreError> {
        match self {
            Self::Store(store) => points_of(&**store, sensor).await,
            #[cfg(feature = "cloud")]
            Self::Older(sorted) => {
                let sensor = sensor.clone();
                let pages = futures_util::stream::try_unfold(0, move |from| {
                    let points = sorted
                        .points(&sensor, from, POINTS_PAGE)
                        .map_err(temporary_file_error);
                    async move {
                        let points = points?;
                        let next = from + points.len() as u64;
                        Ok((!points.is_empty()).then_some((points, next)))
                    }
                });
                Ok(pages.boxed())
            }
        }
    }
}

/// All readings of a sensor in a store; none for an unknown sensor.
pub(super) async fn points_of(
    store: &dyn ReadingStore,
    sensor: &SensorId,
) -> Result<Points<'static>, StoreError> {
    let selection = Selection {
        sensor: Some(sensor.clone()),
        window: Window::ALL,
    };
    let blocks = store.export(&selection).await?;
    Ok(blocks.map_ok(|block| block.points).boxed())
}

/// A failure of the temporary file with the sorted readings.
#[cfg(feature = "cloud")]
pub(super) fn temporary_file_error(error: std::io::Error) -> StoreError {
    StoreError::new(
        crate::error::StoreErrorKind::Internal,
        "the readings cannot be sorted in a temporary file",
    )
    .with_source(error)
}
