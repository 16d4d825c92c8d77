//! The page with the description of the API.

use maud::{Markup, html};
use serde_json::Value;

use super::document::{Document, Operation, examples, items, members, text};
use super::text::{blocks, line};
use super::{curl, schema};
use crate::pages::frame::{self, Frame};

/// The page, with `{origin}` where the address of the server belongs.
pub(super) fn page(document: &Document, style_version: u64) -> Markup {
    let info = document.part("info");
    let frame = Frame {
        title: "The HTTP API of Fieldstation",
        description: "Every route of this server, with its parameters, bodies, answers, and a line of curl.",
        footer: "Lines of curl are made to be pasted into a shell.",
        style_version,
    };
    let main = html! {
        h1 { "The HTTP API" }
        div.docs {
            (contents(document))
            div.reference {
                (blocks(text(&info["description"])))
                p { "For programs: " a href="/openapi.json" { "openapi.json" } ", OpenAPI 3.1." }
                @for tag in items(document.part("tags")) {
                    (section(document, tag))
                }
                (problems(document))
                (schemas(document))
                (headers(document))
            }
        }
    };
    frame::page(&frame, &main)
}

/// The table of contents.
fn contents(document: &Document) -> Markup {
    html! {
        nav.contents aria-label="Contents" {
            ul {
                @for tag in items(document.part("tags")) {
                    @let name = text(&tag["name"]);
                    li {
                        a href=(format!("#{}", id_of(name))) { (name) }
                        ul {
                            @for operation in document.operations(name) {
                                li {
                                    a href=(format!("#{}", operation.id())) {
                                        (line(text(&operation.value["summary"])))
                                    }
                                }
                            }
                        }
                    }
                }
                li { a href="#problems" { "Problems" } }
                li { a href="#schemas" { "Schemas" } }
            }
        }
    }
}

/// An id has no white space in it.
fn id_of(name: &str) -> String {
    name.replace(' ', "-")
}

/// The operations of a tag.
fn section(document: &Document, tag: &Value) -> Markup {
    let name = text(&tag["name"]);
    let id = id_of(name);
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (name) }
            (blocks(text(&tag["description"])))
            @for operation in document.operations(name) {
                (article(document, &operation))
            }
        }
    }
}

fn article(document: &Document, operation: &Operation<'_>) -> Markup {
    let value = operation.value;
    let id = operation.id();
    let body = &value["requestBody"];
    html! {
        article.operation aria-labelledby=(id) {
            h3 id=(id) {
                span.method { (operation.method.to_uppercase()) } " " code { (operation.path) }
            }
            p { strong { (line(text(&value["summary"]).trim_end_matches(['.', '?']))) "." } }
            (blocks(text(&value["description"])))
            pre { code { (curl::commands(document, operation)) } }
            (parameters(document, value))
            @if body.is_object() {
                h4 { "Body" }
                dl.fields {
                    @for (media, content) in members(&body["content"]) {
                        (entry(&media_name(media), &media_words(content), &html! {}))
                    }
                }
            }
            h4 { "Answers" }
            dl.fields {
                @for (status, response) in members(&value["responses"]) {
                    (answer(document, status, document.follow(response)))
                }
            }
        }
    }
}

fn parameters(document: &Document, operation: &Value) -> Markup {
    html! {
        @if operation["parameters"].is_array() {
            h4 { "Parameters" }
            dl.fields {
                @for parameter in items(&operation["parameters"]) {
                    (self::parameter(document.follow(parameter)))
                }
            }
        }
    }
}

fn parameter(parameter: &Value) -> Markup {
    let location = match text(&parameter["in"]) {
        "header" => "header, ",
        "path" => "in the path, ",
        _ => "",
    };
    let words = html! { (location) (schema::html_words(&parameter["schema"])) };
    let description = html! {
        (line(text(&parameter["description"])))
        @if let Some(example) = parameter.get("example") {
            " Such as " (value_code(example)) "."
        }
    };
    let name = html! { code { (text(&parameter["name"])) } };
    entry(&name, &words, &description)
}

/// A term, the words for its type, and its description.
fn entry(term: &Markup, words: &Markup, description: &Markup) -> Markup {
    html! {
        div {
            dt {
                (term)
                @if !words.0.is_empty() {
                    " " span.quiet { (words) }
                }
            }
            dd { (description) }
        }
    }
}

fn media_name(media: &str) -> Markup {
    html! {
        @match media {
            "*/*" => { "any content type" }
            media => { code { (media) } }
        }
    }
}

fn media_words(content: &Value) -> Markup {
    let schema = &content["schema"];
    let description = text(&schema["description"]);
    html! {
        (schema::html_words(schema))
        @if !description.is_empty() {
            ". " (line(description))
        }
    }
}

fn answer(document: &Document, status: &str, response: &Value) -> Markup {
    let headers = members(&response["headers"]).map(|(name, _)| name.as_str());
    // Every answer has this header, as the introduction says.
    let headers: Vec<_> = headers.filter(|name| *name != "X-Request-Id").collect();
    let description = html! {
        (line(text(&response["description"])))
        @if !headers.is_empty() {
            br;
            "Headers: " (links("header", &headers)) "."
        }
        @for (media, content) in members(&response["content"]) {
            br;
            @if media == "application/problem+json" {
                @let problems: Vec<_> = examples(document, content).map(|(name, _)| name).collect();
                "Problems: " (links("problem", &problems)) "."
            } @else {
                @let words = media_words(content);
                (media_name(media))
                @if !words.0.is_empty() {
                    ": " (words)
                }
                @for (_, example) in examples(document, content) {
                    pre { code { (shown(example)) } }
                }
            }
        }
    };
    entry(&html! { code { (status) } }, &html! {}, &description)
}

/// Links to named parts of this page, with commas between them.
fn links(part: &str, names: &[&str]) -> Markup {
    html! {
        @for (index, name) in names.iter().enumerate() {
            @if index > 0 { ", " }
            a href=(format!("#{part}-{name}")) { (name) }
        }
    }
}

/// An example as it is sent.
fn shown(example: &Value) -> String {
    example
        .as_str()
        .map_or_else(|| example.to_string(), str::to_owned)
}

fn value_code(value: &Value) -> Markup {
    html! { code { (shown(value)) } }
}

fn problems(document: &Document) -> Markup {
    let components = document.part("components");
    html! {
        section aria-labelledby="problems" {
            h2 id="problems" { "Problems" }
            p {
                "The last part of the " code { "type" } " of a " a href="#schema-Problem" { "Problem" } "."
            }
            dl.fields {
                @for (name, example) in members(&components["examples"]) {
                    (problem(name, example))
                }
            }
        }
    }
}

fn problem(name: &str, example: &Value) -> Markup {
    let value = &example["value"];
    let term = html! { code id=(format!("problem-{name}")) { (name) } };
    let words = html! { (shown(&value["status"])) ", " (line(text(&value["title"]))) };
    let description = html! {
        (line(text(&example["summary"])))
        pre { code { (value.to_string()) } }
    };
    entry(&term, &words, &description)
}

fn schemas(document: &Document) -> Markup {
    let components = document.part("components");
    html! {
        section aria-labelledby="schemas" {
            h2 id="schemas" { "Schemas" }
            @for (name, schema) in members(&components["schemas"]) {
                (self::schema(name, schema))
            }
        }
    }
}

fn schema(name: &str, schema: &Value) -> Markup {
    let id = format!("schema-{name}");
    html! {
        article.operation aria-labelledby=(id) {
            h3 id=(id) { (name) }
            p { (line(text(&schema["description"]))) " " span.quiet { (schema::html_words(schema)) } }
            @if schema["properties"].is_object() {
                dl.fields {
                    @for (name, property) in members(&schema["properties"]) {
                        @let is_required = items(&schema["required"]).any(|required| required == name);
                        (self::property(name, property, is_required))
                    }
                }
            }
        }
    }
}

fn property(name: &str, property: &Value, is_required: bool) -> Markup {
    let words = html! {
        (schema::html_words(property))
        @if !is_required { "; may be absent" }
    };
    let description = line(text(&property["description"]));
    entry(&html! { code { (name) } }, &words, &description)
}

fn headers(document: &Document) -> Markup {
    let components = document.part("components");
    html! {
        section aria-labelledby="headers" {
            h2 id="headers" { "Headers" }
            dl.fields {
                @for (name, header) in members(&components["headers"]) {
                    (self::header(name, header))
                }
            }
        }
    }
}

fn header(name: &str, header: &Value) -> Markup {
    let term = html! { code id=(format!("header-{name}")) { (name) } };
    let description = html! {
        (line(text(&header["description"]))) " Such as " (value_code(&header["example"])) "."
    };
    entry(&term, &schema::html_words(&header["schema"]), &description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::{DESCRIPTION, ORIGIN};

    #[test]
    fn every_operation_is_shown_and_every_link_has_a_target() {
        let document = Document::read(DESCRIPTION).unwrap();
        let page = page(&document, 7).into_string();
        for (path, item) in members(document.part("paths")) {
            let path = html! { code { (path) } }.into_string() + "</h3>";
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
