//! The description as a Markdown page, which is kept as `docs/reference/routes.md`.

use std::fmt::Write as _;

use serde_json::Value;

use super::document::{Document, Operation, examples, items, members, text};
use super::schema::{self, Notation};
use super::{ORIGIN, curl};

/// The address of a server that runs with default settings.
const DEFAULT_ORIGIN: &str = "http://127.0.0.1:5000";

/// The markup of Markdown.
struct Markdown;

impl Notation for Markdown {
    fn text(text: &str) -> String {
        text.to_owned()
    }

    /// A span of code begins and ends with more backticks than the text has in a row.
    fn code(text: &str) -> String {
        if text.contains('`') {
            format!("`` {text} ``")
        } else {
            format!("`{text}`")
        }
    }

    fn schema_link(name: &str) -> String {
        format!("[{name}](#schema-{name})")
    }
}

/// Renders the whole page.
pub(super) fn render(document: &Document) -> String {
    let mut page = format!(
        "# Routes\n\n\
         Every route of the server: parameters, bodies, answers, and a command to try the route. This page is generated from the\n\
         OpenAPI description. Conventions and longer examples are in [api.md](api.md), problems in [errors.md](errors.md).\n\n\
         {}\n",
        text(&document.part("info")["description"]),
    );
    // Writing to a String does not fail.
    for tag in items(document.part("tags")) {
        let name = text(&tag["name"]);
        let _ = write!(page, "\n## {name}\n\n{}\n", text(&tag["description"]));
        for operation in document.operations(name) {
            write_operation(&mut page, document, &operation);
        }
    }
    write_schemas(&mut page, document);
    write_headers(&mut page, document);
    page
}

fn write_operation(page: &mut String, document: &Document, operation: &Operation<'_>) {
    let value = operation.value;
    let _ = write!(
        page,
        "\n<a id=\"{}\"></a>\n\n### `{} {}`\n\n**{}**{}\n\n```sh\n{}\n```\n",
        operation.id(),
        operation.method.to_uppercase(),
        operation.path,
        sentence(text(&value["summary"])),
        after_space(text(&value["description"])),
        curl::commands(document, operation).replace(ORIGIN, DEFAULT_ORIGIN),
    );
    if value["parameters"].is_array() {
        page.push_str("\nParameters:\n\n");
        for parameter in items(&value["parameters"]) {
            write_parameter(page, document.follow(parameter));
        }
    }
    let body = &value["requestBody"];
    if body.is_object() {
        page.push_str("\nBody:\n\n");
        for (media, content) in members(&body["content"]) {
            let _ = writeln!(page, "- {}", media_type(media, content));
        }
    }
    page.push_str("\nAnswers:\n\n");
    for (status, response) in members(&value["responses"]) {
        write_response(page, document, status, document.follow(response));
    }
}

fn write_parameter(page: &mut String, parameter: &Value) {
    let _ = write!(
        page,
        "- {} ({}): {}.{}",
        Markdown::code(text(&parameter["name"])),
        text(&parameter["in"]),
        schema::words::<Markdown>(&parameter["schema"]),
        after_space(text(&parameter["description"])),
    );
    if let Some(example) = parameter.get("example") {
        let _ = write!(page, " Example: {}.", Markdown::code(&shown(example)));
    }
    page.push('\n');
}

fn write_response(page: &mut String, document: &Document, status: &str, response: &Value) {
    let _ = write!(
        page,
        "- **{status}**{}",
        after_space(text(&response["description"]))
    );
    let headers = members(&response["headers"]).map(|(name, _)| name.as_str());
    // The introduction says that every answer has this header.
    let headers = headers.filter(|name| *name != "X-Request-Id");
    let links: Vec<_> = headers
        .map(|name| format!("[{name}](#header-{name})"))
        .collect();
    if !links.is_empty() {
        let _ = write!(page, " Headers: {}.", links.join(", "));
    }
    let mut shown_examples = String::new();
    for (media, content) in members(&response["content"]) {
        if media == "application/problem+json" {
            let links =
                examples(document, content).map(|(name, _)| format!("[{name}](errors.md#{name})"));
            let _ = write!(page, " Problems: {}.", links.collect::<Vec<_>>().join(", "));
            continue;
        }
        let _ = write!(page, " Body: {}", media_type(media, content));
        for (_, example) in examples(document, content) {
            write_example(&mut shown_examples, &shown(example));
        }
    }
    page.push('\n');
    page.push_str(&shown_examples);
    if !shown_examples.is_empty() {
        page.push('\n');
    }
}

/// A block of code within an item of a list, after a blank line.
fn write_example(page: &mut String, example: &str) {
    page.push_str("\n  ```text\n");
    for line in example.lines() {
        let _ = writeln!(page, "  {line}");
    }
    page.push_str("  ```\n");
}

/// A content type with the values that its body may have, as a sentence.
fn media_type(media: &str, content: &Value) -> String {
    let name = match media {
        "*/*" => "any content type".to_owned(),
        media => Markdown::code(media),
    };
    let schema = &content["schema"];
    let words = schema::words::<Markdown>(schema);
    let words = if words.is_empty() {
        words
    } else {
        format!(", {words}")
    };
    format!(
        "{name}{words}.{}",
        after_space(text(&schema["description"]))
    )
}

fn write_schemas(page: &mut String, document: &Document) {
    page.push_str("\n## Schemas\n");
    for (name, value) in members(&document.part("components")["schemas"]) {
        let words = schema::words::<Markdown>(value);
        let _ = write!(
            page,
            "\n<a id=\"schema-{name}\"></a>\n\n### {name}\n\n{}{}\n",
            text(&value["description"]),
            if words.is_empty() {
                words
            } else {
                format!(" ({words})")
            },
        );
        let mut properties = members(&value["properties"]).peekable();
        if properties.peek().is_some() {
            page.push('\n');
        }
        for (property, of) in properties {
            let is_required = items(&value["required"]).any(|name| name == property);
            let _ = writeln!(
                page,
                "- {}: {}{}.{}",
                Markdown::code(property),
                schema::words::<Markdown>(of),
                if is_required { "" } else { "; may be absent" },
                after_space(text(&of["description"])),
            );
        }
    }
}

fn write_headers(page: &mut String, document: &Document) {
    page.push_str("\n## Headers\n\n");
    for (name, header) in members(&document.part("components")["headers"]) {
        let _ = writeln!(
            page,
            "- <a id=\"header-{name}\"></a>{}: {}.{} Example: {}.",
            Markdown::code(name),
            schema::words::<Markdown>(&header["schema"]),
            after_space(text(&header["description"])),
            Markdown::code(&shown(&header["example"])),
        );
    }
}

/// A text with a full stop, unless the text ends a sentence already.
fn sentence(text: &str) -> String {
    if text.ends_with(['.', '?']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

fn after_space(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" {text}")
    }
}

/// An example as it is sent.
fn shown(example: &Value) -> String {
    example
        .as_str()
        .map_or_else(|| example.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::DESCRIPTION;

    #[test]
    fn every_operation_and_schema_is_on_the_page_and_every_link_leads_somewhere() {
        let document = Document::read(DESCRIPTION).unwrap();
        let page = render(&document);
        for (path, item) in members(document.part("paths")) {
            let heading = format!(" {path}`\n");
            let methods = members(item).filter(|(name, _)| !name.starts_with("x-"));
            assert_eq!(page.matches(&heading).count(), methods.count(), "{path}");
        }
        for (name, _) in members(&document.part("components")["schemas"]) {
            assert!(page.contains(&format!("### {name}\n")), "{name}");
        }
        let links = page.split("](#").skip(1);
        for link in links.map(|rest| rest.split(')').next().unwrap()) {
            assert_eq!(page.matches(&format!("id=\"{link}\"")).count(), 1, "{link}");
        }
        for unfinished in [ORIGIN, "$ref", "..\n"] {
            assert!(!page.contains(unfinished), "{unfinished}");
        }
    }

    #[test]
    fn code_may_hold_backticks() {
        assert_eq!(Markdown::code("a"), "`a`");
        assert_eq!(Markdown::code("a`b"), "`` a`b ``");
    }
}
