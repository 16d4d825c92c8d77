//! Closing the aggregates while they are made anew, and opening them afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{StoreError, StoreErrorKind};
use crate::readings::dynamodb::random::random_name;
use crate::readings::dynamodb::replica::lease::{hand_over, read_lanes};
use crate::readings::dynamodb::table::client::{Tables, read_error};
use crate::readings::dynamodb::table::items::{Lane, aggregate_key, get_text, text};
use crate::readings::dynamodb::table::keys;
use crate::readings::dynamodb::table::scan::patiently;
use crate::readings::dynamodb::table::setup::{State, state_item};

/// How often a lane that moves while it is taken is taken again.
const ATTEMPTS_MAX: u32 = 50;

/// Aggregates that are closed by this recount.
pub(super) struct Closed {
    /// Another recount that begins has another name, and only the last one opens them.
    run: String,
    was_ready: bool,
}

/// How far all lanes have come: the same twice when no server has written in between.
pub(super) async fn sequences(tables: &Tables) -> Result<BTreeMap<String, u64>, StoreError> {
    let range = tables.cells(keys::TOTAL, "r", "s");
    let mut sequences = BTreeMap::new();
    for item in patiently(async || tables.all(&range).await).await? {
        let cell = get_text(&item, "cell").unwrap_or_default();
        let sequence = Lane::from_item(&item).map_or(0, |lane| lane.sequence);
        // A lane that somebody has only just taken has seen nothing.
        if sequence > 0 {
            sequences.insert(cell.to_owned(), sequence);
        }
    }
    Ok(sequences)
}

/// Closes the aggregates, and takes every lane from its owner: no transaction begun before commits any more.
pub(super) async fn close(tables: &Tables) -> Result<Closed, StoreError> {
    let key = aggregate_key(keys::TOTAL, keys::STATE);
    let before =
        patiently(async || tables.get(&tables.names.aggregation, key.clone()).await).await?;
    let closed = Closed {
        run: random_name()?,
        was_ready: before.is_some_and(|item| State::from_item(&item) == State::Ready),
    };
    let mut item = state_item(State::Recounting);
    item.insert("run".to_owned(), text(&closed.run));
    patiently(async || {
        let put = tables
            .reader
            .put_item()
            .table_name(&tables.names.aggregation);
        let put = put.set_item(Some(item.clone())).send().await;
        put.map(drop).map_err(read_error)
    })
    .await?;
    fence(tables).await?;
    Ok(closed)
}

impl Closed {
    /// Opens the aggregates, unless another recount has begun.
    pub(super) async fn open(&self, tables: &Tables) -> Result<(), StoreError> {
        let mut item = state_item(State::Ready);
        // Kept, so that the same request may be made again.
        item.insert("run".to_owned(), text(&self.run));
        patiently(async || {
            let opened = tables
                .reader
                .put_item()
                .table_name(&tables.names.aggregation)
                .set_item(Some(item.clone()))
                .condition_expression("#r = :run")
                .expression_attribute_names("#r", "run")
                .expression_attribute_values(":run", text(&self.run))
                .send()
                .await;
            match opened {
                Ok(_) => Ok(()),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
                {
                    Err(StoreError::new(
                        StoreErrorKind::Damaged,
                        "another recount has begun meanwhile; the statistics stay closed until it ends",
                    ))
                }
                Err(error) => Err(read_error(error)),
            }
        })
        .await
    }

    /// Leaves everything as it was, where nothing has been changed yet.
    pub(super) async fn undo(&self, tables: &Tables) -> Result<(), StoreError> {
        if self.was_ready {
            self.open(tables).await?;
        }
        Ok(())
    }
}

async fn fence(tables: &Tables) -> Result<(), StoreError> {
    let range = tables.cells(keys::SLOTS, "r", "s");
    let mut slots = Vec::new();
    for item in patiently(async || tables.all(&range).await).await? {
        slots.extend(get_text(&item, "cell").map(str::to_owned));
    }
    for slot in slots {
        // A transaction may commit between the look and the step; then there is another one.
        for attempt in 0.. {
            let owner = random_name()?;
            let lanes = patiently(async || read_lanes(tables, &slot).await).await?;
            let mut items = Vec::new();
            for (index, lane) in lanes.iter().enumerate() {
                if lane.is_some() {
                    items.push(hand_over(tables, &keys::lane(&slot, index), lane, &owner)?);
                }
            }
            if items.is_empty() {
                break;
            }
            let fenced = tables
                .writer
                .transact_write_items()
                .set_transact_items(Some(items))
                .send()
                .await;
            match fenced {
                Ok(_) => break,
                Err(error) if attempt >= ATTEMPTS_MAX => return Err(read_error(error)),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
    Ok(())
}
