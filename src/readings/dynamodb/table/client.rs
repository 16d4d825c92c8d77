//! The client of the two tables: requests with timeouts, and errors for the caller to act on.

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
/// A transaction of 100 items takes 10 to 100 ms. A slower transaction is sent again, which is safe.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
const READ_ATTEMPTS: u32 = 4;
/// How long a read may take with all retries, so that the caller gets an answer in time.
const READ_TIMEOUT: Duration = Duration::from_secs(8);
/// The error code for a missing table.
const MISSING: &str = "ResourceNotFoundException";
/// The most keys of a `BatchGetItem`.
pub(crate) const BATCH_KEYS_MAX: usize = 100;

/// The clients and the names of the two tables.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    /// Retries by itself: for reads.
    pub(crate) reader: Client,
    /// Tries once: for writes, because this program has to find out whether a failed write was committed.
    pub(crate) writer: Client,
    pub(crate) names: TableNames,
}

/// Some items of a partition, in order.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) table: String,
    pub(crate) hash: (&'static str, String),
    pub(crate) range: &'static str,
    /// Both ends are inclusive.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) backwards: bool,
}

/// A page of a [`Range`], and the key after which the next page begins.
#[derive(Debug)]
pub(crate) struct RangePage {
    pub(crate) items: Vec<Item>,
    pub(crate) next: Option<Item>,
}

impl Tables {
    /// Makes the clients for a location, with credentials from the standard chain. Sends no request.
    pub(crate) async fn connect(location: &DynamoUrl, credentials: Option<&Credentials>) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .operation_timeout(READ_TIMEOUT)
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

    /// The same tables without retries, for requests that are sent again later anyway.
    pub(crate) fn without_retries(&self) -> Self {
        Self {
            reader: self.writer.clone(),
            ..self.clone()
        }
    }

    /// All items of a partition of the aggregation table between two keys.
    pub(crate) fn aggregate_range(
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

    /// A page of at most `limit` items and one mebibyte.
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
            .map_err(request_error)?;
        Ok(RangePage {
            items: answer.items.unwrap_or_default(),
            next: answer.last_evaluated_key.filter(|key| !key.is_empty()),
        })
    }

    /// All items of a short range.
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

    /// A single item, read consistently.
    pub(crate) async fn get(&self, table: &str, key: Item) -> Result<Option<Item>, StoreError> {
        let answer = self
            .reader
            .get_item()
            .table_name(table)
            .consistent_read(true)
            .set_key(Some(key))
            .send()
            .await
            .map_err(request_error)?;
        Ok(answer.item)
    }

    /// Several items by their keys, read consistently, in any order. All `keys` are different.
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
                .map_err(|error| build_error("a lookup").with_source(error))?;
            let answer = self
                .reader
                .batch_get_item()
                .request_items(table, asked)
                .send()
                .await
                .map_err(request_error)?;
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
                // The answer had no room for these keys, or the table had no capacity.
                waiting.extend(unprocessed);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
        Ok(items)
    }
}

/// The key attributes of an item.
pub(crate) fn key_of(item: &Item, names: [&str; 2]) -> Item {
    names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), item.get(*name)?.clone())))
        .collect::<HashMap<_, _>>()
}

/// The error of a request that this program could not build: a bug.
pub(crate) fn build_error(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Internal,
        format!("could not build {what} for DynamoDB"),
    )
}

/// Whether DynamoDB throttled the request.
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

/// Whether DynamoDB could not answer for the moment.
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

/// The source of every error from DynamoDB or the network.
#[derive(Debug)]
struct DynamoFailure {
    /// Whether DynamoDB did not answer, or throttled the request: the same request may succeed later.
    is_unavailable: bool,
    /// Whether the answer stays the same until somebody changes the setup.
    is_permanent: bool,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for DynamoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for DynamoFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}

fn dynamo_failure(error: &StoreError) -> Option<&DynamoFailure> {
    error.source()?.downcast_ref()
}

/// Whether DynamoDB or the network caused an error, and not the stored data or the caller.
pub(crate) fn is_dynamodb_error(error: &StoreError) -> bool {
    dynamo_failure(error).is_some()
}

/// Whether DynamoDB answered, and the answer stays the same until somebody changes the setup.
pub(crate) fn is_permanent(error: &StoreError) -> bool {
    dynamo_failure(error).is_some_and(|failure| failure.is_permanent)
}

/// Whether DynamoDB was unavailable or throttled the request. If so, the same request may succeed later.
pub(crate) fn is_unavailable(error: &StoreError) -> bool {
    dynamo_failure(error).is_some_and(|failure| failure.is_unavailable)
}

/// The error for a late answer: DynamoDB did not finish in time. The message names the unfinished work.
pub(crate) fn unavailable_error(message: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, message).with_source(DynamoFailure {
        is_unavailable: true,
        is_permanent: false,
        source: "no answer".into(),
    })
}

/// The error when no answer came in time.
pub(crate) fn timeout_error() -> StoreError {
    unavailable_error("DynamoDB did not answer in time")
}

/// The error when DynamoDB did not allow a part of a request.
pub(crate) fn denied_error(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Denied, message).with_source(DynamoFailure {
        is_unavailable: false,
        is_permanent: true,
        source: "a part of the request was not allowed".into(),
    })
}

/// The error of a failed request, in this program's words. The words of DynamoDB are the source, for the log.
pub(crate) fn request_error<E>(error: SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    if let Some(denial) = denial(&error) {
        let source = match denial.is_for_log {
            true => error.into(),
            false => "DynamoDB's own words may have a secret in them".into(),
        };
        return StoreError::new(StoreErrorKind::Denied, denial.message).with_source(
            DynamoFailure {
                is_unavailable: false,
                is_permanent: true,
                source,
            },
        );
    }
    let unavailable = |message: &str| StoreError::new(StoreErrorKind::Unavailable, message);
    let (is_unavailable, meaning) = match (&error, code.as_deref()) {
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
        (SdkError::ConstructionFailure(_), _) => {
            (false, unavailable("could not build a request to DynamoDB"))
        }
        _ => (true, unavailable("DynamoDB cannot be reached")),
    };
    meaning.with_source(DynamoFailure {
        is_unavailable,
        is_permanent: code.as_deref() == Some(MISSING),
        source: error.into(),
    })
}
