//! The tables as they are reached now. Credentials that are no longer accepted are looked for anew, with clients of their own: those
//! that there were keep what they found first.

use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::super::url::{Credentials, DynamoUrl};
use super::client::Tables;
use crate::error::{StoreError, StoreErrorKind};

/// How often credentials are looked for anew, and how long that may take.
const RENEWAL_PAUSE: Duration = Duration::from_secs(3);
const RENEWAL_PATIENCE: Duration = Duration::from_secs(3);

/// The way to the tables.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) location: DynamoUrl,
    credentials: Option<Credentials>,
    tables: RwLock<Tables>,
    renewed: Mutex<Instant>,
}

impl Connection {
    /// Looks for credentials and a region, and asks nothing yet.
    ///
    /// # Errors
    /// When there is no region.
    pub(crate) async fn open(
        location: &DynamoUrl,
        credentials: Option<&Credentials>,
    ) -> Result<Self, StoreError> {
        let tables = Tables::connect(location, credentials).await;
        if tables.reader.config().region().is_none() {
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "there is no region for DynamoDB; write dynamodb://PREFIX?region=…, or set AWS_REGION",
            ));
        }
        Ok(Self {
            location: location.clone(),
            credentials: credentials.cloned(),
            tables: RwLock::new(tables),
            renewed: Mutex::new(Instant::now()),
        })
    }

    pub(crate) fn tables(&self) -> Tables {
        self.tables.read().clone()
    }

    /// Looks for credentials anew, unless that was just done.
    pub(crate) async fn renew(&self) {
        {
            let mut renewed = self.renewed.lock();
            if renewed.elapsed() < RENEWAL_PAUSE {
                return;
            }
            *renewed = Instant::now();
        }
        let connecting = Tables::connect(&self.location, self.credentials.as_ref());
        // Where they come from may be away; then the ones that there are stay.
        if let Ok(tables) = tokio::time::timeout(RENEWAL_PATIENCE, connecting).await {
            *self.tables.write() = tables;
        }
    }
}
