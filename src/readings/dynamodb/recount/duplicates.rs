//! Two items for the same timestamp of a sensor, in two spellings: decides whether the two items can be joined.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::entry::Fault;
use crate::error::StoreError;
use crate::readings::dynamodb::table::client::Tables;
use crate::readings::dynamodb::table::items::{Item, StoredReading, text};
use crate::readings::dynamodb::table::scan::with_retries;

/// The attributes that this program writes. The remaining item keeps its own values of these attributes.
const OURS: [&str; 5] = ["timestamp", "w", "n", "p", "pw"];

/// Two items with the same timestamp, as the first pass found them.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) sensor: String,
    pub(super) first: String,
    pub(super) second: String,
}

/// Reads the current state of an item.
pub(super) async fn look_up(
    tables: &Tables,
    sensor: &str,
    when: &str,
) -> Result<Option<Item>, StoreError> {
    let key = key(sensor, when);
    with_retries(async || tables.get(&tables.names.readings, key.clone()).await).await
}

pub(super) fn key(sensor: &str, when: &str) -> Item {
    Item::from([
        ("sensor_id".to_owned(), text(sensor)),
        ("timestamp".to_owned(), text(when)),
    ])
}

/// The reason why the two items of a pair cannot be joined; `None` if they can, or if an item no longer exists.
pub(super) async fn conflict(tables: &Tables, pair: &Pair) -> Result<Option<Fault>, StoreError> {
    let Pair {
        sensor,
        first,
        second,
    } = pair;
    let (Some(kept), Some(other)) = (
        look_up(tables, sensor, first).await?,
        look_up(tables, sensor, second).await?,
    ) else {
        return Ok(None);
    };
    let why = join(&kept, &other).err();
    Ok(why.map(|differing| Fault::new(sensor, second, twice(first, &differing))))
}

/// The message for two items with different attributes.
pub(super) fn twice(first: &str, differing: &[String]) -> String {
    let names = differing.join("`, `");
    format!("exists a second time, as `{first}`, with another `{names}`")
}

/// Joins two items: the result has all attributes of both.
///
/// # Errors
/// The names of the attributes with different values.
pub(super) fn join(kept: &Item, other: &Item) -> Result<Item, Vec<String>> {
    let mut joined = kept.clone();
    let mut differing = Vec::new();
    let ordered: BTreeMap<_, _> = other.iter().collect();
    for (name, value) in ordered {
        if OURS.contains(&name.as_str()) {
            continue;
        }
        match kept.get(name) {
            None => {
                joined.insert(name.clone(), value.clone());
            }
            Some(own) if is_same(name, own, value) => {}
            Some(_) => differing.push(name.clone()),
        }
    }
    if differing.is_empty() {
        Ok(joined)
    } else {
        Err(differing)
    }
}

fn is_same(name: &str, one: &AttributeValue, other: &AttributeValue) -> bool {
    if name == "temperature" {
        let temperature = |value: &AttributeValue| {
            let item = Item::from([(name.to_owned(), value.clone())]);
            StoredReading::from_item(&item).map(|stored| stored.temperature)
        };
        return temperature(one) == temperature(other);
    }
    one == other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::dynamodb::table::items::number;

    fn item(attributes: &[(&str, AttributeValue)]) -> Item {
        let attributes = attributes.iter();
        attributes
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn two_items_become_one_when_nothing_is_lost() {
        let kept = item(&[
            ("timestamp", text("a")),
            ("temperature", number("18")),
            ("w", text("r000.0#1")),
        ]);
        let other = item(&[
            ("timestamp", text("b")),
            ("temperature", text("18.0")),
            ("firmware", text("1")),
        ]);
        let joined = join(&kept, &other).unwrap();
        let mut expected = kept;
        expected.insert("firmware".to_owned(), text("1"));
        assert_eq!(joined, expected);
        let third = item(&[("temperature", number("19")), ("firmware", text("2"))]);
        assert_eq!(
            join(&joined, &third).unwrap_err(),
            ["firmware", "temperature"]
        );
    }
}
