//! Describes schemas in words.

use serde_json::Value;

use super::document::{items, text};
use crate::http::json::grouped;
use crate::pages::html::escape;

/// The constraints of a schema as HTML, such as `integer, 1 to 1,000, default 100`.
pub(super) fn words(schema: &Value) -> String {
    if let Some(name) = text(&schema["$ref"])
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
    {
        let name = escape(name);
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    if schema["oneOf"].is_array() {
        return join(items(&schema["oneOf"]).map(words), " or ");
    }
    let mut parts = Vec::new();
    if schema["enum"].is_array() {
        parts.push(join(items(&schema["enum"]).map(code), ", "));
    } else {
        parts.push(kind(schema));
    }
    parts.extend(bounds(schema, "minLength", "maxLength", " characters"));
    parts.extend(bounds(schema, "minItems", "maxItems", " items"));
    parts.extend(bounds(schema, "minimum", "maximum", ""));
    for (member, words) in [
        ("format", "format "),
        ("contentEncoding", "as "),
        ("pattern", "like "),
        ("const", "always "),
        ("default", "default "),
    ] {
        parts.extend(
            schema
                .get(member)
                .map(|value| format!("{words}{}", code(value))),
        );
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

fn kind(schema: &Value) -> String {
    let name = |kind: &Value| match text(kind) {
        "array" => format!("list of {}", words(&schema["items"])),
        "null" => code(&Value::Null),
        "string" if schema["contentMediaType"].is_string() => "bytes".to_owned(),
        "string" => "text".to_owned(),
        other => escape(other),
    };
    match &schema["type"] {
        Value::Array(kinds) => join(kinds.iter().map(name), " or "),
        kind => name(kind),
    }
}

fn bounds(schema: &Value, least: &str, most: &str, unit: &str) -> Option<String> {
    let bound = |name: &str| {
        let value = schema.get(name)?;
        Some(value.as_u64().map_or_else(|| value.to_string(), grouped))
    };
    match (bound(least), bound(most)) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (None, None) => None,
    }
}

fn code(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let text = if text.is_empty() { "\"\"" } else { &text };
    format!("<code>{}</code>", escape(text))
}

fn join(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_described_in_words() {
        for (schema, expected) in [
            (
                json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
                "integer, 1 to 1,000, default <code>100</code>",
            ),
            (
                json!({"type": "array", "maxItems": 5, "items": {"$ref": "#/components/schemas/Todo"}}),
                "list of <a href=\"#schema-Todo\">Todo</a>, at most 5 items",
            ),
            (
                json!({"oneOf": [{"type": "string", "minLength": 1}, {"type": "null"}]}),
                "text, at least 1 characters or <code>null</code>",
            ),
            (
                json!({"enum": ["a", "<b>"]}),
                "<code>a</code>, <code>&lt;b&gt;</code>",
            ),
            (
                json!({"type": ["number", "null"]}),
                "number or <code>null</code>",
            ),
            (json!({}), ""),
        ] {
            assert_eq!(words(&schema), expected);
        }
    }
}
