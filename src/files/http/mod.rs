//! The routes of device files.

mod base64;
mod conditional;
mod digester;
mod digests;
mod disposition;
mod download;
mod queries;
mod range;
mod receive;
mod upload;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{DeviceId, FileStore};
use crate::http::extract::shortened;
use crate::http::{Problem, ProblemKind};

/// The limits of requests.
#[derive(Clone, Debug)]
pub struct FileLimits {
    /// The largest file, in bytes.
    pub upload_bytes_max: u64,
    /// How many uploads and downloads may be under way at a time.
    pub transfers_max: usize,
    /// How long a client may take to send the next piece of a body.
    pub body_idle: Duration,
}

/// The state that the handlers share.
pub(crate) struct FileRoutes {
    store: Arc<dyn FileStore>,
    limits: FileLimits,
    transfers: Arc<Semaphore>,
}

/// The routes over a store.
pub fn router(store: Arc<dyn FileStore>, limits: FileLimits) -> Router {
    let routes = Arc::new(FileRoutes {
        store,
        transfers: Arc::new(Semaphore::new(limits.transfers_max)),
        limits,
    });
    Router::new()
        .route("/api/devices", get(queries::list))
        .route("/api/devices/", get(queries::list))
        .route(
            "/api/devices/{id}",
            get(download::text)
                .put(upload::upload)
                .delete(queries::remove),
        )
        .route("/api/devices/{id}/content", get(download::content))
        .route("/api/devices/{id}/info", get(queries::info))
        .with_state(routes)
}

impl FileRoutes {
    /// Counts a transfer until the permit is dropped.
    ///
    /// # Errors
    /// 503 when the limit on transfers is reached.
    fn transfer(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.transfers)
            .try_acquire_owned()
            .map_err(|_| {
                let most = self.limits.transfers_max;
                Problem::new(
                    ProblemKind::Overloaded,
                    format!("{most} files are being transferred, which is the limit; try again when one has ended"),
                )
                .retry_after_seconds(5)
            })
    }
}

/// The device id in a path.
fn device_id(text: &str) -> Result<DeviceId, Problem> {
    DeviceId::new(text).map_err(|error| {
        Problem::parameter(
            "id",
            format_args!("in the path, `{}`, {error}", shortened(text)),
        )
    })
}

fn unknown(device: &DeviceId) -> Problem {
    let device = shortened(device.as_str());
    Problem::new(
        ProblemKind::UnknownFile,
        format!(
            "there is no file of the device `{device}`; GET /api/devices/ lists the devices that have one"
        ),
    )
}
