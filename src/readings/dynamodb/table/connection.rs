//! The connection to the tables. If DynamoDB no longer accepts the credentials, the connection looks for new credentials and makes
//! new clients, because a client keeps its first credentials.

use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::super::url::{Credentials, DynamoUrl};
use super::client::Tables;
use crate::error::{StoreError, StoreErrorKind};

/// How often the connection looks for new credentials, and how long a search may take.
const RENEWAL_PAUSE: Duration = Duration::from_secs(3);
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(3);

/// The location of the tables, and the clients in use.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) location: DynamoUrl,
    credentials: Option<Credentials>,
    tables: RwLock<Tables>,
    renewed: Mutex<Instant>,
}

impl Connection {
    /// Looks for credentials and a region. Sends no request.
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

    /// Looks for new credentials, at most once in [`RENEWAL_PAUSE`].
    pub(crate) async fn renew(&self) {
        {
            let mut renewed = self.renewed.lock();
            if renewed.elapsed() < RENEWAL_PAUSE {
                return;
            }
            *renewed = Instant::now();
        }
        let connecting = Tables::connect(&self.location, self.credentials.as_ref());
        // If the source of the credentials is unavailable, the present clients stay.
        if let Ok(tables) = tokio::time::timeout(RENEWAL_TIMEOUT, connecting).await {
            *self.tables.write() = tables;
        }
    }
}
