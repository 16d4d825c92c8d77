//! Checks that the tables exist and are usable, and creates them for development.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};

use super::super::url::DynamoUrl;
use super::client::{Tables, build_error, request_error};
use super::items::{aggregate_key, get_text, number, text};
use super::key_schema::KeySchema;
use super::keys;
use crate::error::{StoreError, StoreErrorKind};

/// The version of the layout of the aggregates.
const LAYOUT: u32 = 1;

/// How long a new table may take to become active.
const CREATE_TIMEOUT: Duration = Duration::from_secs(120);

fn schema(tables: &Tables) -> [(&str, [&'static str; 2]); 2] {
    [
        (&tables.names.readings, ["sensor_id", "timestamp"]),
        (&tables.names.aggregation, ["aggregation_period", "cell"]),
    ]
}

/// Checks that both tables exist with the right keys.
///
/// # Errors
/// The message names the table, and tells how to create or correct the table.
pub(crate) async fn check(tables: &Tables, location: &DynamoUrl) -> Result<(), StoreError> {
    for (name, keys) in schema(tables) {
        let Some(key_schema) = KeySchema::describe(&tables.reader, name).await? else {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!(
                    "there is no DynamoDB table {name}; in AWS, Terraform makes it; for development, `fieldstation dynamodb \
                     create-tables --readings {}` does",
                    url_of(location)
                ),
            ));
        };
        check_key_schema(tables, location, name, keys, &key_schema)?;
    }
    Ok(())
}

fn check_key_schema(
    tables: &Tables,
    location: &DynamoUrl,
    name: &str,
    keys: [&str; 2],
    key_schema: &KeySchema,
) -> Result<(), StoreError> {
    if key_schema.is(&keys) {
        return Ok(());
    }
    let message = if name == tables.names.aggregation && key_schema.is(&keys[..1]) {
        older_aggregation_message(location)
    } else {
        format!(
            "the DynamoDB table {name} has the key {key_schema}; it takes the hash key {} and the range key {}, both strings",
            keys[0], keys[1]
        )
    };
    Err(StoreError::new(StoreErrorKind::Unsupported, message))
}

/// The message for an aggregation table of an older program.
fn older_aggregation_message(location: &DynamoUrl) -> String {
    let url = url_of(location);
    let aggregation = location.aggregation_table();
    let older = DynamoUrl {
        prefix: location.readings_table(),
        ..location.clone()
    };
    let older = url_of(&older).replacen("dynamodb:", "dynamodb-table:", 1);
    format!(
        "the DynamoDB table {aggregation} is of an older program: its key is aggregation_period alone, and it holds statistics that \
         were derived from the readings. Nothing in it is needed, and it is in the way. Either copy the readings to another prefix, which \
         leaves both tables as they are: `fieldstation migrate --from {older} --to dynamodb://ANOTHER-PREFIX`. Or go on with these \
         tables: delete {aggregation} (`aws dynamodb delete-table --table-name {aggregation}`), make it anew with Terraform or \
         `fieldstation dynamodb create-tables --readings {url}`, and count the readings with `fieldstation dynamodb recount \
         --readings {url}`"
    )
}

/// The location as an argument on a command line.
pub(crate) fn url_of(location: &DynamoUrl) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [
        ("region", &location.region),
        ("endpoint", &location.endpoint),
    ] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    let separator = if query.is_empty() { "" } else { "?" };
    format!("'dynamodb://{}{separator}{query}'", location.prefix)
}

/// Creates the missing tables, waits until they are active, and returns their names.
///
/// # Errors
/// Also when a table exists with another key; then no table is created.
pub(crate) async fn create(
    tables: &Tables,
    location: &DynamoUrl,
) -> Result<Vec<String>, StoreError> {
    let mut missing = Vec::new();
    for (name, keys) in schema(tables) {
        match KeySchema::describe(&tables.reader, name).await? {
            Some(key_schema) => check_key_schema(tables, location, name, keys, &key_schema)?,
            None => missing.push((name, keys)),
        }
    }
    let mut made = Vec::new();
    for (name, keys) in missing {
        let mut request = tables
            .reader
            .create_table()
            .table_name(name)
            .billing_mode(BillingMode::PayPerRequest);
        for (key, kind) in keys.into_iter().zip([KeyType::Hash, KeyType::Range]) {
            let attribute = AttributeDefinition::builder()
                .attribute_name(key)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .map_err(|error| build_error("a table").with_source(error))?;
            let element = KeySchemaElement::builder()
                .attribute_name(key)
                .key_type(kind)
                .build()
                .map_err(|error| build_error("a table").with_source(error))?;
            request = request.attribute_definitions(attribute).key_schema(element);
        }
        match request.send().await {
            Ok(_) => made.push(name.to_owned()),
            // Another process creates the table at the same time.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_resource_in_use_exception()) => {}
            Err(error) => return Err(request_error(error)),
        }
        wait_until_active(tables, name).await?;
    }
    Ok(made)
}

async fn wait_until_active(tables: &Tables, name: &str) -> Result<(), StoreError> {
    let started = tokio::time::Instant::now();
    loop {
        let described = tables.reader.describe_table().table_name(name).send().await;
        let status = described
            .ok()
            .and_then(|described| described.table?.table_status);
        if status == Some(TableStatus::Active) {
            return Ok(());
        }
        if started.elapsed() > CREATE_TIMEOUT {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("the DynamoDB table {name} is not active after two minutes"),
            ));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The state of the aggregates, in the item [`keys::STATE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The aggregates follow every write.
    Ready,
    /// A recount is running, or was interrupted.
    Recounting,
}

impl State {
    pub(crate) fn from_item(item: &super::items::Item) -> Self {
        match get_text(item, "state") {
            Some("ready") => Self::Ready,
            _ => Self::Recounting,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Recounting => "recounting",
        }
    }

    /// Whether reads may use aggregates in this state.
    pub(crate) fn check(self) -> Result<(), StoreError> {
        match self {
            Self::Ready => Ok(()),
            Self::Recounting => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the statistics are being recounted; if no `fieldstation dynamodb recount` is running, the last one did not \
                 end: run it again",
            )),
        }
    }
}

/// The item of a state.
pub(crate) fn state_item(state: State) -> super::items::Item {
    let mut item = aggregate_key(keys::TOTAL, keys::STATE);
    item.insert("state".to_owned(), text(state.name()));
    item.insert("layout".to_owned(), number(LAYOUT));
    item
}

/// Writes the state, in place of any earlier state.
pub(crate) async fn set_state(tables: &Tables, state: State) -> Result<(), StoreError> {
    tables
        .reader
        .put_item()
        .table_name(&tables.names.aggregation)
        .set_item(Some(state_item(state)))
        .send()
        .await
        .map_err(request_error)?;
    Ok(())
}

/// Checks that the aggregates are ready. Creates their state when there are no readings yet.
///
/// # Errors
/// When there are readings without aggregates, or a recount was interrupted; the message names the command to repair the tables.
pub(crate) async fn begin(tables: &Tables, location: &DynamoUrl) -> Result<(), StoreError> {
    let key = aggregate_key(keys::TOTAL, keys::STATE);
    if let Some(item) = tables.get(&tables.names.aggregation, key.clone()).await? {
        return State::from_item(&item).check();
    }
    let any = tables
        .reader
        .scan()
        .table_name(&tables.names.readings)
        .consistent_read(true)
        .limit(1)
        .send()
        .await
        .map_err(request_error)?;
    if !any.items().is_empty() {
        return Err(StoreError::new(
            StoreErrorKind::Unavailable,
            format!(
                "the DynamoDB table {} has readings that were never counted; `fieldstation dynamodb recount --readings {}` counts \
                 them, once",
                tables.names.readings,
                url_of(location)
            ),
        ));
    }
    set_state(tables, State::Ready).await
}
