//! The two tables behind the DynamoDB API: bounded in time, and with errors that a caller can act on.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};

use super::super::url::{Credentials, DynamoUrl};
use super::denial::denial;
use super::items::Item;
use super::names::TableNames;
use crate::error::{StoreError, StoreErrorKind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A transaction of 100 items takes 10 to 100 ms. What takes longer is sent again, which does no harm.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
const READ_ATTEMPTS: u32 = 4;
/// How long a request that reads may take with all its attempts: who waits for it is told in time that there is no answer.
const READ_PATIENCE: Duration = Duration::from_secs(8);
/// The code of a table that is not there.
const MISSING: &str = "ResourceNotFoundException";
/// What one `BatchGetItem` takes.
pub(crate) const BATCH_KEYS_MAX: usize = 100;

/// The tables, and the ways to ask them.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    /// Tries again by itself, as is right for reads.
    pub(crate) reader: Client,
    /// Tries once: what a failed write means is ours to find out.
    pub(crate) writer: Client,
    pub(crate) names: TableNames,
}

/// Some items of a partition, in order.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) table: String,
    pub(crate) hash: (&'static str, String),
    pub(crate) range: &'static str,
    /// Both ends are inside.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) backwards: bool,
}

/// A page of a [`Range`], and where the next one begins.
#[derive(Debug)]
pub(crate) struct RangePage {
    pub(crate) items: Vec<Item>,
    pub(crate) next: Option<Item>,
}

impl Tables {
    /// A client for a location, with credentials from the standard chain. Asks nothing yet.
    pub(crate) async fn connect(location: &DynamoUrl, credentials: Option<&Credentials>) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .operation_timeout(READ_PATIENCE)
                    .build(),
            )
            .retry_config(RetryConfig::standard().with_max_attempts(READ_ATTEMPTS));
        if let Some(region) = &location.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &location.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(Credentials { access_key, secret }) = credentials {
            loader = loader.credentials_provider(aws_sdk_dynamodb::config::Credentials::new(
                access_key, secret, None, None, "fixed",
            ));
        }
        let shared = loader.load().await;
        let once = aws_sdk_dynamodb::config::Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .build();
        Self {
            reader: Client::new(&shared),
            writer: Client::from_conf(once),
            names: TableNames {
                readings: location.readings_table(),
                aggregation: location.aggregation_table(),
            },
        }
    }

    /// The same tables, asked once: for what is tried again later anyhow.
    pub(crate) fn impatient(&self) -> Self {
        Self {
            reader: self.writer.clone(),
            ..self.clone()
        }
    }

    /// All cells of a period between two keys.
    pub(crate) fn cells(
        &self,
        period: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
    ) -> Range {
        Range {
            table: self.names.aggregation.clone(),
            hash: ("aggregation_period", period.into()),
            range: "cell",
            from: from.into(),
            to: to.into(),
            backwards: false,
        }
    }

    /// A page of at most `limit` items and a mebibyte.
    pub(crate) async fn page(
        &self,
        range: &Range,
        start: Option<Item>,
        limit: Option<usize>,
    ) -> Result<RangePage, StoreError> {
        let limit = limit.and_then(|limit| i32::try_from(limit).ok());
        let answer = self
            .reader
            .query()
            .table_name(&range.table)
            .consistent_read(true)
            .key_condition_expression("#h = :h AND #r BETWEEN :from AND :to")
            .expression_attribute_names("#h", range.hash.0)
            .expression_attribute_names("#r", range.range)
            .expression_attribute_values(":h", AttributeValue::S(range.hash.1.clone()))
            .expression_attribute_values(":from", AttributeValue::S(range.from.clone()))
            .expression_attribute_values(":to", AttributeValue::S(range.to.clone()))
            .scan_index_forward(!range.backwards)
            .set_exclusive_start_key(start)
            .set_limit(limit)
            .send()
            .await
            .map_err(read_error)?;
        Ok(RangePage {
            items: answer.items.unwrap_or_default(),
            next: answer.last_evaluated_key.filter(|key| !key.is_empty()),
        })
    }

    /// All items of a range that is known to be short.
    pub(crate) async fn all(&self, range: &Range) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let page = self.page(range, start, None).await?;
            items.extend(page.items);
            start = page.next;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// One item, as it is now.
    pub(crate) async fn get(&self, table: &str, key: Item) -> Result<Option<Item>, StoreError> {
        let answer = self
            .reader
            .get_item()
            .table_name(table)
            .consistent_read(true)
            .set_key(Some(key))
            .send()
            .await
            .map_err(read_error)?;
        Ok(answer.item)
    }

    /// Items by their keys, as they are now, in no order. `keys` are all different.
    pub(crate) async fn get_many(
        &self,
        table: &str,
        keys: Vec<Item>,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(keys.len());
        let mut waiting = keys;
        let mut pause = Duration::from_millis(10);
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(BATCH_KEYS_MAX));
            let asked = KeysAndAttributes::builder()
                .set_keys(Some(waiting))
                .consistent_read(true)
                .build()
                .map_err(|error| internal("a lookup").with_source(error))?;
            let answer = self
                .reader
                .batch_get_item()
                .request_items(table, asked)
                .send()
                .await
                .map_err(read_error)?;
            let found = answer.responses.unwrap_or_default().remove(table);
            items.extend(found.unwrap_or_default());
            let unprocessed = answer
                .unprocessed_keys
                .unwrap_or_default()
                .remove(table)
                .map(|keys| keys.keys)
                .unwrap_or_default();
            waiting = rest;
            if !unprocessed.is_empty() {
                // What the answer had no room for, or the table no capacity.
                waiting.extend(unprocessed);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
        Ok(items)
    }
}

/// A key's own attributes, out of a whole item.
pub(crate) fn key_of(item: &Item, names: [&str; 2]) -> Item {
    names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), item.get(*name)?.clone())))
        .collect::<HashMap<_, _>>()
}

/// A fault of this program.
pub(crate) fn internal(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Internal,
        format!("{what} could not be put together"),
    )
}

/// Whether DynamoDB asks for patience.
pub(crate) fn is_throttling(code: Option<&str>) -> bool {
    matches!(
        code,
        Some(
            "ProvisionedThroughputExceededException"
                | "ProvisionedThroughputExceeded"
                | "ThrottlingException"
                | "ThrottlingError"
                | "RequestLimitExceeded"
                | "LimitExceededException"
        )
    )
}

/// Whether DynamoDB had no answer for the moment.
fn is_outage(code: &str) -> bool {
    matches!(
        code,
        "InternalFailure"
            | "InternalServerError"
            | "RequestAbortedException"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
    )
}

/// Below an error: that it is DynamoDB's doing.
#[derive(Debug)]
struct Failure {
    /// Whether there was no answer, or one that asks for patience: the same may go well a little later.
    is_away: bool,
    /// Whether the answer is the same until somebody changes something.
    is_lasting: bool,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

fn failure(error: &StoreError) -> Option<&Failure> {
    error.source()?.downcast_ref()
}

/// Whether an error is DynamoDB's doing, and not that of what is stored or of who asked.
pub(crate) fn is_trouble(error: &StoreError) -> bool {
    failure(error).is_some()
}

/// Whether DynamoDB has answered, and answers the same until somebody changes something there.
pub(crate) fn is_lasting(error: &StoreError) -> bool {
    failure(error).is_some_and(|failure| failure.is_lasting)
}

/// Whether DynamoDB was away or asked for patience, so that the same may go well a little later.
pub(crate) fn is_away(error: &StoreError) -> bool {
    failure(error).is_some_and(|failure| failure.is_away)
}

/// What it means that no answer came in time.
pub(crate) fn unanswered(message: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, message).with_source(Failure {
        is_away: true,
        is_lasting: false,
        source: "no answer".into(),
    })
}

/// What it means that nothing came for so long.
pub(crate) fn no_answer() -> StoreError {
    unanswered("DynamoDB did not answer in time")
}

/// What it means that a part of a request was not allowed.
pub(crate) fn not_allowed(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Denied, message).with_source(Failure {
        is_away: false,
        is_lasting: true,
        source: "a part of the request was not allowed".into(),
    })
}

/// What a failed request means to whoever asked. The store's own words, not DynamoDB's: those go to the log.
pub(crate) fn read_error<E>(error: SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    if let Some(denial) = denial(&error) {
        let source = match denial.is_for_log {
            true => error.into(),
            false => "DynamoDB's own words may have a secret in them".into(),
        };
        return StoreError::new(StoreErrorKind::Denied, denial.message).with_source(Failure {
            is_away: false,
            is_lasting: true,
            source,
        });
    }
    let unavailable = |message: &str| StoreError::new(StoreErrorKind::Unavailable, message);
    let (is_away, meaning) = match (&error, code.as_deref()) {
        (SdkError::ServiceError(_), code) if is_throttling(code) => (
            true,
            StoreError::new(
                StoreErrorKind::Overloaded,
                "DynamoDB is throttling the tables of the readings",
            ),
        ),
        (SdkError::ServiceError(_), Some(MISSING)) => (
            false,
            unavailable("a DynamoDB table of the readings is missing"),
        ),
        (SdkError::ServiceError(_), Some(code)) => (
            is_outage(code),
            unavailable(&format!("DynamoDB refused a request for readings: {code}")),
        ),
        (SdkError::TimeoutError(_), _) => (true, unavailable("DynamoDB did not answer in time")),
        (SdkError::ConstructionFailure(_), _) => (
            false,
            unavailable("a request to DynamoDB could not be put together"),
        ),
        _ => (true, unavailable("DynamoDB cannot be reached")),
    };
    meaning.with_source(Failure {
        is_away,
        is_lasting: code.as_deref() == Some(MISSING),
        source: error.into(),
    })
}
