//! Reads a whole table, in parallel segments. All items of a hash key are in the same segment, in order of the range key.

use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::client::{Tables, request_error};
use super::items::Item;
use crate::error::{StoreError, StoreErrorKind};

/// How many segments a table has; each segment holds a page in memory.
pub(crate) const SEGMENTS: u32 = 8;
/// A page has a mebibyte, and all segments request pages at the same time.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request is retried while DynamoDB is throttling or unavailable.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The attributes of each item in the answer of a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attributes {
    All,
    /// Only these attributes. Faster when items have large other attributes.
    Only(&'static [&'static str]),
}

/// A segment of a table, read page by page.
pub(crate) struct Segment<'a> {
    tables: &'a Tables,
    table: &'a str,
    number: u32,
    attributes: Attributes,
    start: Option<Item>,
    done: bool,
}

impl<'a> Segment<'a> {
    pub(crate) fn open(
        tables: &'a Tables,
        table: &'a str,
        number: u32,
        attributes: Attributes,
    ) -> Self {
        Self {
            tables,
            table,
            number,
            attributes,
            start: None,
            done: false,
        }
    }

    /// The next page, possibly empty; `None` after the last page.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Item>>, StoreError> {
        if self.done {
            return Ok(None);
        }
        let (items, next) = with_retries(async || self.page().await).await?;
        self.done = next.is_none();
        self.start = next;
        Ok(Some(items))
    }

    /// Whether the last page was read.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    async fn page(&self) -> Result<(Vec<Item>, Option<Item>), StoreError> {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(PAGE_TIMEOUT)
            .build();
        let mut scan = self
            .tables
            .reader
            .scan()
            .table_name(self.table)
            .consistent_read(true)
            .segment(self.number as i32)
            .total_segments(SEGMENTS as i32)
            .set_exclusive_start_key(self.start.clone());
        if let Attributes::Only(names) = self.attributes {
            // Some of the names are reserved words in expressions.
            let places: Vec<_> = (0..names.len()).map(|at| format!("#a{at}")).collect();
            for (place, name) in places.iter().zip(names) {
                scan = scan.expression_attribute_names(place, *name);
            }
            scan = scan.projection_expression(places.join(", "));
        }
        let config = aws_sdk_dynamodb::config::Builder::new().timeout_config(timeouts);
        let page = scan
            .customize()
            .config_override(config)
            .send()
            .await
            .map_err(request_error)?;
        let next = page.last_evaluated_key.filter(|key| !key.is_empty());
        Ok((page.items.unwrap_or_default(), next))
    }
}

/// Retries a request while DynamoDB is throttling or unavailable, for two minutes at most.
pub(crate) async fn with_retries<T>(
    mut request: impl AsyncFnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let deadline = Instant::now() + TIMEOUT;
    let mut backoff = Backoff::new();
    loop {
        match request().await {
            Err(error) if is_transient(&error) => {
                if !backoff.pause(deadline).await {
                    return Err(error);
                }
            }
            answer => return answer,
        }
    }
}

/// Whether the same request may succeed later.
pub(crate) fn is_transient(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        StoreErrorKind::Overloaded | StoreErrorKind::Unavailable
    )
}
