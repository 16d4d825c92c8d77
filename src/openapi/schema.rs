//! Schemas in words.

use maud::{PreEscaped, html};
use serde_json::Value;

use super::document::{items, text};
use crate::http::json::grouped;

/// How a page writes words, code and links.
pub(super) trait Markup {
    /// Plain text.
    fn text(text: &str) -> String;
    /// A value, as it is written in code.
    fn code(text: &str) -> String;
    /// A link to the schema of this name.
    fn schema_link(name: &str) -> String;
}

/// The markup of the page at `/docs`.
pub(super) struct Html;

impl Markup for Html {
    fn text(text: &str) -> String {
        html! { (text) }.into_string()
    }

    fn code(text: &str) -> String {
        html! { code { (text) } }.into_string()
    }

    fn schema_link(name: &str) -> String {
        html! { a href=(format!("#schema-{name}")) { (name) } }.into_string()
    }
}

/// [`words`] for the page at `/docs`.
pub(super) fn html_words(schema: &Value) -> PreEscaped<String> {
    PreEscaped(words::<Html>(schema))
}

/// The values that a schema allows, such as `integer, 1 to 1,000, default 100`.
pub(super) fn words<M: Markup>(schema: &Value) -> String {
    if let Some(name) = text(&schema["$ref"])
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
    {
        return M::schema_link(name);
    }
    if schema["oneOf"].is_array() {
        return join(items(&schema["oneOf"]).map(words::<M>), " or ");
    }
    let mut parts = Vec::new();
    if schema["enum"].is_array() {
        parts.push(join(items(&schema["enum"]).map(code::<M>), ", "));
    } else {
        parts.push(kind::<M>(schema));
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
                .map(|value| format!("{words}{}", code::<M>(value))),
        );
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

fn kind<M: Markup>(schema: &Value) -> String {
    let name = |kind: &Value| match text(kind) {
        "array" => format!("list of {}", words::<M>(&schema["items"])),
        "null" => code::<M>(&Value::Null),
        "string" if schema["contentMediaType"].is_string() => "bytes".to_owned(),
        "string" => "text".to_owned(),
        other => M::text(other),
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

fn code<M: Markup>(value: &Value) -> String {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    M::code(if text.is_empty() { "\"\"" } else { &text })
}

fn join(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
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
            assert_eq!(words::<Html>(&schema), expected);
        }
    }
}
