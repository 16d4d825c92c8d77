//! Renders the description as a page.

use std::fmt::Write as _;

use serde_json::Value;

use super::document::{Document, Operation, examples, items, members, text};
use super::text::{blocks, line};
use super::{curl, schema};
use crate::pages::frame;
use crate::pages::html::escape;

/// The page as HTML, with the placeholder `{origin}` for the origin of the server.
pub(super) fn render(document: &Document, style_version: u64) -> String {
    let info = document.part("info");
    let mut page = String::with_capacity(192 * 1024);
    frame::open(
        &mut page,
        "The HTTP API of Fieldstation",
        "Every route of this server, with its parameters, bodies, answers, and a line of curl.",
        style_version,
    );
    // Writing to memory does not fail.
    let _ = write!(
        page,
        "<h1>The HTTP API</h1>\n<div class=\"docs\">\n{}<div class=\"reference\">\n{}\
         <p>For programs: <a href=\"/openapi.json\">openapi.json</a>, OpenAPI 3.1.</p>\n",
        contents(document),
        blocks(text(&info["description"])),
    );
    for tag in items(document.part("tags")) {
        write_tag(&mut page, document, tag);
    }
    write_problems(&mut page, document);
    write_schemas(&mut page, document);
    page.push_str("</div>\n</div>\n");
    frame::close(
        &mut page,
        "Lines of curl are made to be pasted into a shell.",
    );
    page
}

/// The table of contents.
fn contents(document: &Document) -> String {
    let mut html = String::from("<nav class=\"contents\" aria-label=\"Contents\">\n<ul>\n");
    for tag in items(document.part("tags")) {
        let name = escape(text(&tag["name"]));
        let _ = writeln!(html, "<li><a href=\"#{}\">{name}</a>\n<ul>", id_of(&name));
        for operation in document.operations(text(&tag["name"])) {
            let _ = writeln!(
                html,
                "<li><a href=\"#{}\">{}</a></li>",
                operation.id(),
                line(text(&operation.value["summary"])),
            );
        }
        html.push_str("</ul>\n</li>\n");
    }
    html.push_str(
        "<li><a href=\"#problems\">Problems</a></li>\n<li><a href=\"#schemas\">Schemas</a></li>\n</ul>\n</nav>\n",
    );
    html
}

/// The id of a heading, which has no white space.
fn id_of(name: &str) -> String {
    name.replace(' ', "-")
}

fn write_tag(page: &mut String, document: &Document, tag: &Value) {
    let name = escape(text(&tag["name"]));
    let id = id_of(&name);
    let _ = write!(
        page,
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{name}</h2>\n{}",
        blocks(text(&tag["description"])),
    );
    for operation in document.operations(text(&tag["name"])) {
        write_operation(page, document, &operation);
    }
    page.push_str("</section>\n");
}

fn write_operation(page: &mut String, document: &Document, operation: &Operation<'_>) {
    let value = operation.value;
    let _ = write!(
        page,
        "<article class=\"operation\" aria-labelledby=\"{id}\">\n\
         <h3 id=\"{id}\"><span class=\"method\">{method}</span> <code>{path}</code></h3>\n\
         <p><strong>{summary}.</strong></p>\n{description}<pre><code>{curl}</code></pre>\n",
        id = operation.id(),
        method = operation.method.to_uppercase(),
        path = escape(operation.path),
        summary = line(text(&value["summary"]).trim_end_matches(['.', '?'])),
        description = blocks(text(&value["description"])),
        curl = escape(&curl::commands(document, operation)),
    );
    write_parameters(page, document, value);
    let body = &value["requestBody"];
    if body.is_object() {
        page.push_str("<h4>Body</h4>\n<dl class=\"fields\">\n");
        for (media, content) in members(&body["content"]) {
            write_entry(page, &media_name(media), &media_words(content), "");
        }
        page.push_str("</dl>\n");
    }
    page.push_str("<h4>Answers</h4>\n<dl class=\"fields\">\n");
    for (status, response) in members(&value["responses"]) {
        write_response(page, document, status, document.follow(response));
    }
    page.push_str("</dl>\n</article>\n");
}

fn write_parameters(page: &mut String, document: &Document, operation: &Value) {
    if !operation["parameters"].is_array() {
        return;
    }
    page.push_str("<h4>Parameters</h4>\n<dl class=\"fields\">\n");
    for parameter in items(&operation["parameters"]) {
        let parameter = document.follow(parameter);
        let name = format!("<code>{}</code>", escape(text(&parameter["name"])));
        let location = match text(&parameter["in"]) {
            "header" => "header, ",
            "path" => "in the path, ",
            _ => "",
        };
        let words = format!("{location}{}", schema::words(&parameter["schema"]));
        let mut description = line(text(&parameter["description"]));
        if let Some(example) = parameter.get("example") {
            let _ = write!(description, " Such as {}.", value_code(example));
        }
        write_entry(page, &name, &words, &description);
    }
    page.push_str("</dl>\n");
}

/// Writes a term with its constraints and its description.
fn write_entry(page: &mut String, term: &str, words: &str, description: &str) {
    let _ = write!(page, "<div><dt>{term}");
    if !words.is_empty() {
        let _ = write!(page, " <span class=\"quiet\">{words}</span>");
    }
    let _ = writeln!(page, "</dt><dd>{description}</dd></div>");
}

fn media_name(media: &str) -> String {
    match media {
        "*/*" => "any content type".to_owned(),
        media => format!("<code>{}</code>", escape(media)),
    }
}

fn media_words(content: &Value) -> String {
    let schema = &content["schema"];
    match text(&schema["description"]) {
        "" => schema::words(schema),
        description => format!("{}. {}", schema::words(schema), line(description)),
    }
}

fn write_response(page: &mut String, document: &Document, status: &str, response: &Value) {
    let mut description = line(text(&response["description"]));
    let headers = members(&response["headers"]).map(|(name, _)| name.as_str());
    // Every answer has X-Request-Id; the introduction describes the header.
    let headers: Vec<_> = headers.filter(|name| *name != "X-Request-Id").collect();
    if !headers.is_empty() {
        let links = headers
            .iter()
            .map(|name| format!("<a href=\"#header-{name}\">{name}</a>"));
        let links: Vec<_> = links.collect();
        let _ = write!(description, "<br>Headers: {}.", links.join(", "));
    }
    for (media, content) in members(&response["content"]) {
        if media == "application/problem+json" {
            let links = examples(document, content)
                .map(|(name, _)| format!("<a href=\"#problem-{name}\">{name}</a>"));
            let links: Vec<_> = links.collect();
            let _ = write!(description, "<br>Problems: {}.", links.join(", "));
            continue;
        }
        let _ = write!(description, "<br>{}", media_name(media));
        let words = media_words(content);
        if !words.is_empty() {
            let _ = write!(description, ": {words}");
        }
        for (_, example) in examples(document, content) {
            let _ = write!(
                description,
                "<pre><code>{}</code></pre>",
                escape(&shown(example))
            );
        }
    }
    write_entry(page, &format!("<code>{status}</code>"), "", &description);
}

/// The text of an example.
fn shown(example: &Value) -> String {
    example
        .as_str()
        .map_or_else(|| example.to_string(), str::to_owned)
}

fn value_code(value: &Value) -> String {
    format!("<code>{}</code>", escape(&shown(value)))
}

fn write_problems(page: &mut String, document: &Document) {
    let components = document.part("components");
    page.push_str(
        "<section aria-labelledby=\"problems\">\n<h2 id=\"problems\">Problems</h2>\n\
         <p>The last part of the <code>type</code> of a <a href=\"#schema-Problem\">Problem</a>.</p>\n\
         <dl class=\"fields\">\n",
    );
    for (name, example) in members(&components["examples"]) {
        let term = format!("<code id=\"problem-{name}\">{name}</code>");
        let value = &example["value"];
        let words = format!("{}, {}", value["status"], line(text(&value["title"])));
        let mut description = line(text(&example["summary"]));
        let _ = write!(
            description,
            "<pre><code>{}</code></pre>",
            escape(&value.to_string())
        );
        write_entry(page, &term, &words, &description);
    }
    page.push_str("</dl>\n</section>\n");
}

fn write_schemas(page: &mut String, document: &Document) {
    let components = document.part("components");
    page.push_str("<section aria-labelledby=\"schemas\">\n<h2 id=\"schemas\">Schemas</h2>\n");
    for (name, value) in members(&components["schemas"]) {
        let _ = write!(
            page,
            "<article class=\"operation\" aria-labelledby=\"schema-{name}\">\n\
             <h3 id=\"schema-{name}\">{name}</h3>\n<p>{} <span class=\"quiet\">{}</span></p>\n",
            line(text(&value["description"])),
            schema::words(value),
        );
        if value["properties"].is_object() {
            page.push_str("<dl class=\"fields\">\n");
            for (property, of) in members(&value["properties"]) {
                let is_required = items(&value["required"]).any(|name| name == property);
                let words = match (schema::words(of), is_required) {
                    (words, true) => words,
                    (words, false) => format!("{words}; may be absent"),
                };
                let term = format!("<code>{}</code>", escape(property));
                write_entry(page, &term, &words, &line(text(&of["description"])));
            }
            page.push_str("</dl>\n");
        }
        page.push_str("</article>\n");
    }
    page.push_str("</section>\n<section aria-labelledby=\"headers\">\n<h2 id=\"headers\">Headers</h2>\n<dl class=\"fields\">\n");
    for (name, header) in members(&components["headers"]) {
        let term = format!("<code id=\"header-{name}\">{name}</code>");
        let words = schema::words(&header["schema"]);
        let mut description = line(text(&header["description"]));
        let _ = write!(description, " Such as {}.", value_code(&header["example"]));
        write_entry(page, &term, &words, &description);
    }
    page.push_str("</dl>\n</section>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::{DESCRIPTION, ORIGIN};

    #[test]
    fn every_operation_is_shown_and_every_link_has_a_target() {
        let document = Document::read(DESCRIPTION).unwrap();
        let page = render(&document, 7);
        for (path, item) in members(document.part("paths")) {
            let path = format!("<code>{}</code></h3>", escape(path));
            let methods = members(item)
                .filter(|(name, _)| !name.starts_with("x-"))
                .count();
            assert_eq!(page.matches(&path).count(), methods, "{path}");
        }
        let links = page.split("href=\"#").skip(1);
        let links: Vec<_> = links.map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(links.len() > 200, "{}", links.len());
        for link in links {
            assert_eq!(page.matches(&format!("id=\"{link}\"")).count(), 1, "{link}");
            assert!(!link.contains(char::is_whitespace), "{link}");
        }
        assert!(page.contains(ORIGIN));
        for forbidden in ["<script", " style=", "$ref"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }
}
