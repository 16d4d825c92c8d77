//! The description as a tree, whose references can be followed.

use serde_json::{Map, Value};

/// The methods that a path may have, in the order in which they are written in lower case.
const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// A description.
pub(super) struct Document(Value);

/// A method of a path.
pub(super) struct Operation<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// The path item, which all methods of the path share.
    pub(super) item: &'a Value,
    pub(super) value: &'a Value,
}

impl Document {
    /// Reads a description.
    ///
    /// # Errors
    /// When the text is not JSON.
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// A member at the top, such as `info`.
    pub(super) fn part(&self, name: &str) -> &Value {
        &self.0[name]
    }

    /// The target of a value that is a reference, otherwise the value.
    pub(super) fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        let target = value["$ref"]
            .as_str()
            .and_then(|pointer| pointer.strip_prefix('#'))
            .and_then(|pointer| self.0.pointer(pointer));
        target.unwrap_or(value)
    }

    /// All operations of a tag, in the order of the description.
    pub(super) fn operations<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = Operation<'a>> {
        let all = members(&self.0["paths"]).flat_map(|(path, item)| {
            let methods = members(item).filter(|(method, _)| METHODS.contains(&method.as_str()));
            methods.map(move |(method, value)| Operation {
                method,
                path,
                item,
                value,
            })
        });
        all.filter(move |operation| operation.value["tags"][0] == tag)
    }
}

impl<'a> Operation<'a> {
    /// The id of the operation, for links.
    pub(super) fn id(&self) -> &'a str {
        text(&self.value["operationId"])
    }
}

/// The members of an object, in order. Other values have no members.
pub(super) fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// The items of an array. Other values have no items.
pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The text of a value; empty for a value that is not text.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The examples of a parameter, a header or a body, with their names. A single example has an empty name.
pub(super) fn examples<'a>(
    document: &'a Document,
    value: &'a Value,
) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let single = value.get("example").map(|example| ("", example));
    let several = members(&value["examples"])
        .map(|(name, example)| (name.as_str(), &document.follow(example)["value"]));
    single.into_iter().chain(several)
}
