//! Schemas in words.

use maud::{Markup, html};
use serde_json::Value;

use super::document::{items, text};
use crate::http::json::grouped;

/// The type and the bounds of a value, such as `integer, 1 to 1,000, default 100`.
pub(super) fn words(schema: &Value) -> Markup {
    if let Some(name) = text(&schema["$ref"])
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
    {
        return html! { a href=(format!("#schema-{name}")) { (name) } };
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
    let bounds = [
        bounds(schema, "minLength", "maxLength", " characters"),
        bounds(schema, "minItems", "maxItems", " items"),
        bounds(schema, "minimum", "maximum", ""),
    ];
    parts.extend(bounds.into_iter().flatten().map(|text| html! { (text) }));
    for (member, words) in [
        ("format", "format "),
        ("contentEncoding", "as "),
        ("pattern", "like "),
        ("const", "always "),
        ("default", "default "),
    ] {
        let value = schema.get(member);
        parts.extend(value.map(|value| html! { (words) (code(value)) }));
    }
    parts.retain(|part| !part.0.is_empty());
    join(parts.into_iter(), ", ")
}

fn kind(schema: &Value) -> Markup {
    let name = |kind: &Value| match text(kind) {
        "array" => html! { "list of " (words(&schema["items"])) },
        "null" => code(&Value::Null),
        "string" if schema["contentMediaType"].is_string() => html! { "bytes" },
        "string" => html! { "text" },
        other => html! { (other) },
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

fn code(value: &Value) -> Markup {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let text = if text.is_empty() { "\"\"" } else { &text };
    html! { code { (text) } }
}

fn join(parts: impl Iterator<Item = Markup>, separator: &str) -> Markup {
    html! {
        @for (index, part) in parts.enumerate() {
            @if index > 0 { (separator) }
            (part)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_said_in_words() {
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
            assert_eq!(words(&schema).into_string(), expected);
        }
    }
}
