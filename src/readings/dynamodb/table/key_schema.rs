//! The key of a table, as DynamoDB describes it.

use std::fmt;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{KeyType, ScalarAttributeType};

use super::client::request_error;
use crate::error::StoreError;

/// The attributes of a table's key: the hash key, and the range key if the table has a range key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySchema(Vec<KeyAttribute>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyAttribute {
    name: String,
    kind: ScalarAttributeType,
    role: KeyType,
}

impl KeySchema {
    /// Asks DynamoDB for the key; `None` when the table does not exist.
    pub(crate) async fn describe(client: &Client, table: &str) -> Result<Option<Self>, StoreError> {
        let described = match client.describe_table().table_name(table).send().await {
            Ok(described) => described,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_resource_not_found_exception()) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(request_error(error)),
        };
        let table = described.table();
        let kinds = table
            .map(|table| table.attribute_definitions())
            .unwrap_or_default();
        let keys = table.map(|table| table.key_schema()).unwrap_or_default();
        let keys = keys.iter().map(|key| {
            let name = key.attribute_name();
            let kind = kinds.iter().find(|kind| kind.attribute_name() == name);
            KeyAttribute {
                name: name.to_owned(),
                kind: kind.map_or(ScalarAttributeType::S, |kind| kind.attribute_type().clone()),
                role: key.key_type().clone(),
            }
        });
        Ok(Some(Self(keys.collect())))
    }

    /// Whether the key has these attributes, all strings, with the hash key first.
    pub(crate) fn is(&self, names: &[&str]) -> bool {
        let roles = [KeyType::Hash, KeyType::Range];
        self.0.len() == names.len()
            && self
                .0
                .iter()
                .zip(names)
                .zip(roles)
                .all(|((key, name), role)| {
                    key.name == *name && key.kind == ScalarAttributeType::S && key.role == role
                })
    }
}

impl fmt::Display for KeySchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, key) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            let KeyAttribute { name, kind, role } = key;
            write!(f, "{separator}{name} ({role}, {kind})")?;
        }
        Ok(())
    }
}
