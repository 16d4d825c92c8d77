//! Commands for curl, built from the examples of the description, to paste into a shell.

use serde_json::Value;

use super::ORIGIN;
use super::document::{Document, Operation, examples, items, members, text};

/// The commands that call an operation. They work after the commands at the beginning of the description.
pub(super) fn commands(document: &Document, operation: &Operation<'_>) -> String {
    let mut commands = Vec::new();
    // Creates the resource whose id is `$id` in the path.
    let prepare = text(&operation.item["x-prepare"]);
    if !prepare.is_empty() {
        commands.push(prepare.to_owned());
    }
    let path = path(document, operation, !prepare.is_empty());
    let bodies = members(&operation.value["requestBody"]["content"]);
    let bodies: Vec<_> = bodies
        .flat_map(|(media, body)| {
            examples(document, body).map(move |(_, example)| (media.as_str(), body, example))
        })
        .collect();
    if bodies.is_empty() {
        commands.push(command(operation.method, &path, "", &[]));
        if let Some(query) = query(document, operation) {
            let address = quoted(&format!("{path}?{query}"));
            commands.push(command(operation.method, &address, "", &[]));
        }
    }
    for (media, body, example) in bodies {
        let (before, arguments) = data(document, media, body, example);
        commands.push(command(operation.method, &path, &before, &arguments));
    }
    commands.join("\n")
}

fn command(method: &str, address: &str, before: &str, arguments: &[String]) -> String {
    let method = match method {
        "get" if arguments.is_empty() => String::new(),
        "post" if !arguments.is_empty() => String::new(),
        other => format!(" -X {}", other.to_uppercase()),
    };
    let mut command = format!("{before}curl{method} {address}");
    for argument in arguments {
        command.push_str(" \\\n  ");
        command.push_str(argument);
    }
    command
}

fn path(document: &Document, operation: &Operation<'_>, has_id: bool) -> String {
    let mut path = operation.path.to_owned();
    for parameter in items(&operation.value["parameters"]) {
        let parameter = document.follow(parameter);
        if parameter["in"] == "path" {
            let name = text(&parameter["name"]);
            let value = if has_id {
                format!("${name}")
            } else {
                encoded(&parameter["example"])
            };
            path = path.replace(&format!("{{{name}}}"), &value);
        }
    }
    format!("{ORIGIN}{path}")
}

/// The query with all parameters that have an example.
fn query(document: &Document, operation: &Operation<'_>) -> Option<String> {
    let parameters = items(&operation.value["parameters"]).map(|value| document.follow(value));
    let pairs: Vec<_> = parameters
        .filter(|parameter| parameter["in"] == "query" && parameter.get("example").is_some())
        .map(|parameter| {
            format!(
                "{}={}",
                text(&parameter["name"]),
                encoded(&parameter["example"])
            )
        })
        .collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

/// The text before the command, and the arguments of the command.
fn data(document: &Document, media: &str, body: &Value, example: &Value) -> (String, Vec<String>) {
    let typed = |media: &str| format!("-H {}", quoted(&format!("Content-Type: {media}")));
    match (media, example) {
        ("application/x-www-form-urlencoded", Value::Object(fields)) => {
            let fields = fields.iter().map(|(name, value)| {
                format!(
                    "--data-urlencode {}",
                    quoted(&format!("{name}={}", plain(value)))
                )
            });
            (String::new(), fields.collect())
        }
        ("multipart/form-data", Value::Object(fields)) => {
            let properties = &document.follow(&body["schema"])["properties"];
            let file = fields
                .iter()
                .find(|(name, _)| properties[name.as_str()]["contentMediaType"].is_string());
            match file {
                Some((name, content)) => {
                    let kind = text(&body["encoding"][name.as_str()]["contentType"]);
                    let part = format!("{name}=@-;filename=photo.png;type={kind}");
                    (
                        printed(&plain(content)),
                        vec![format!("-F {}", quoted(&part))],
                    )
                }
                None => {
                    let fields = fields.iter().map(|(name, value)| {
                        format!("-F {}", quoted(&format!("{name}={}", plain(value))))
                    });
                    (String::new(), fields.collect())
                }
            }
        }
        (media, Value::String(content)) => {
            let media = if media == "*/*" {
                "application/octet-stream"
            } else {
                media
            };
            if content.contains('\n') {
                let arguments = vec![typed(media), "--data-binary @-".to_owned()];
                (printed(content), arguments)
            } else {
                let data = format!("--data-binary {}", quoted(content));
                (String::new(), vec![typed(media), data])
            }
        }
        (media, example) => {
            let data = format!("-d {}", quoted(&example.to_string()));
            (String::new(), vec![typed(media), data])
        }
    }
}

/// A pipe that prints a text.
fn printed(text: &str) -> String {
    let format = text
        .replace('\\', "\\\\")
        .replace('%', "%%")
        .replace('\n', "\\n");
    format!("printf {} |\n  ", quoted(&format))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A value in a URL. Characters that need no encoding stay readable.
fn encoded(value: &Value) -> String {
    let text = plain(value);
    let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    encoded.replace('+', "%20").replace("%3A", ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_quoted_for_a_shell_and_for_a_url() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(printed("5 %\n\\"), "printf '5 %%\\n\\\\' |\n  ");
        assert_eq!(
            encoded(&"a b&c/2026-11-20T13:00".into()),
            "a%20b%26c%2F2026-11-20T13:00"
        );
    }
}
