//! The fields of a todo in a body, and the errors in them.

use crate::http::extract::shortened;
use crate::http::json::{write_array, write_string};
use crate::http::{Problem, ProblemKind};
use crate::timestamp::Timestamp;
use crate::todos::{Change, Description, Status, Title};

/// The fields of a body, in the order of the body.
pub(super) type Entries = Vec<(String, Value)>;

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `null`, or a blank field of a form if the form allows blank fields.
    Null,
    /// Text.
    Text(String),
    /// A value of a kind refused by every field, with the name of the kind.
    Other(&'static str),
}

/// The fields set by clients.
pub(super) const KNOWN: [&str; 4] = ["title", "description", "deadline", "status"];
/// The fields set by the server.
const SET_BY_SERVER: [&str; 3] = ["id", "createdAt", "updatedAt"];

/// All fields of a todo. A missing field has the default.
pub(super) struct AllFields {
    pub(super) title: Title,
    pub(super) description: Description,
    pub(super) deadline: Option<Timestamp>,
    pub(super) status: Status,
}

/// Reads all fields of a todo.
///
/// # Errors
/// 422 when a field is wrong, or the title is missing.
pub(super) fn parse_full(entries: Entries) -> Result<AllFields, Problem> {
    let (change, mut wrong) = read(entries);
    let title_is_wrong = wrong.iter().any(|(field, _)| field == "title");
    match change.title {
        Some(title) if wrong.is_empty() => Ok(AllFields {
            title,
            description: change.description.unwrap_or_default(),
            deadline: change.deadline.flatten(),
            status: change.status.unwrap_or_default(),
        }),
        None if !title_is_wrong => {
            wrong.insert(0, ("title".to_owned(), "is missing".to_owned()));
            Err(refused(&wrong))
        }
        _ => Err(refused(&wrong)),
    }
}

/// Reads the sent fields. A `null` gives a field the default of a new todo.
///
/// # Errors
/// 422 when a field is wrong.
pub(super) fn parse_partial(entries: Entries) -> Result<Change, Problem> {
    let (change, wrong) = read(entries);
    if wrong.is_empty() {
        Ok(change)
    } else {
        Err(refused(&wrong))
    }
}

/// The fields, and the wrong fields with their reasons.
fn read(entries: Entries) -> (Change, Vec<(String, String)>) {
    let mut change = Change::default();
    let mut wrong = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in entries {
        let result = if seen.contains(&name) {
            Err("is sent twice".to_owned())
        } else {
            set(&mut change, &name, &value)
        };
        if let Err(reason) = result {
            // A body may have very many unknown fields.
            const ERRORS_MAX: usize = 100;
            if wrong.len() < ERRORS_MAX {
                wrong.push((shortened(&name).into_owned(), reason));
            }
        } else {
            seen.push(name);
        }
    }
    (change, wrong)
}

fn set(change: &mut Change, name: &str, value: &Value) -> Result<(), String> {
    if SET_BY_SERVER.contains(&name) {
        return Err("is set by the server; leave it out".to_owned());
    }
    if !KNOWN.contains(&name) {
        return Err(format!(
            "is not a field of a todo; the fields are {}",
            KNOWN.join(", ")
        ));
    }
    let text = match value {
        Value::Null => None,
        Value::Text(text) => Some(text.as_str()),
        Value::Other(what) => return Err(format!("is {what}; send text")),
    };
    match (name, text) {
        ("title", None) => return Err("is null; a todo has a title".to_owned()),
        ("title", Some(text)) => {
            change.title = Some(Title::new(text).map_err(|error| error.to_string())?);
        }
        ("description", text) => {
            let text = text.unwrap_or_default();
            change.description = Some(Description::new(text).map_err(|error| error.to_string())?);
        }
        ("deadline", None) => change.deadline = Some(None),
        ("deadline", Some(text)) => {
            let deadline = text.trim().parse();
            change.deadline = Some(Some(deadline.map_err(
                |error: crate::timestamp::TimestampError| format!("`{}` {error}", shortened(text)),
            )?));
        }
        (_, None) => change.status = Some(Status::default()),
        (_, Some(text)) => {
            let status = text.parse();
            change.status = Some(status.map_err(|error: crate::todos::StatusError| {
                format!("`{}` {error}", shortened(text))
            })?);
        }
    }
    Ok(())
}

/// The problem of a wrong field.
pub(super) fn refused_field(field: &str, reason: String) -> Problem {
    refused(&[(field.to_owned(), reason)])
}

fn refused(wrong: &[(String, String)]) -> Problem {
    const NAMED_MAX: usize = 4;
    let mut errors = Vec::new();
    write_array(&mut errors, wrong, |out, (field, reason)| {
        out.extend_from_slice(b"{\"field\":");
        write_string(out, field);
        out.extend_from_slice(b",\"reason\":");
        write_string(out, reason);
        out.push(b'}');
    });
    let named = wrong.iter().take(NAMED_MAX);
    let named: Vec<_> = named
        .map(|(field, reason)| format!("{field} {reason}"))
        .collect();
    let mut text = named.join("; ");
    if wrong.len() > NAMED_MAX {
        text.push_str("; and more");
    }
    let problem = Problem::new(ProblemKind::InvalidTodo, text);
    let problem = match wrong.first() {
        Some((field, _)) => {
            let mut name = Vec::new();
            write_string(&mut name, field);
            problem.with_member("field", name)
        }
        None => problem,
    };
    problem.with_member("errors", errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, text: &str) -> (String, Value) {
        (name.to_owned(), Value::Text(text.to_owned()))
    }

    #[test]
    fn a_field_that_is_not_sent_has_its_default_or_stays_unchanged() {
        let sent = vec![
            text("title", " water "),
            ("deadline".to_owned(), Value::Null),
        ];
        let new = parse_full(sent.clone()).unwrap();
        assert_eq!(new.title.as_str(), "water");
        assert_eq!(new.description.as_str(), "");
        assert_eq!((new.deadline, new.status), (None, Status::Pending));
        let change = parse_partial(sent).unwrap();
        assert_eq!(change.deadline, Some(None));
        assert_eq!((change.description, change.status), (None, None));
        let nulls =
            ["description", "deadline", "status"].map(|name| (name.to_owned(), Value::Null));
        let change = parse_partial(nulls.into()).unwrap();
        assert_eq!(change.description, Some(Description::default()));
        assert_eq!(change.status, Some(Status::Pending));
    }

    #[test]
    fn each_wrong_field_is_named() {
        let sent = vec![
            text("status", "done"),
            text("deadline", "tomorrow"),
            text("colour", "red"),
            text("id", "7"),
            ("description".to_owned(), Value::Other("a number")),
            text("status", "pending"),
            text("status", "completed"),
        ];
        let Err(problem) = parse_full(sent) else {
            panic!("taken");
        };
        let body: serde_json::Value = serde_json::from_slice(&problem.to_json("r")).unwrap();
        let fields: Vec<_> = body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["field"].as_str().unwrap())
            .collect();
        assert_eq!(
            fields,
            [
                "title",
                "status",
                "deadline",
                "colour",
                "id",
                "description",
                "status"
            ]
        );
        assert_eq!(body["field"], "title");
        assert_eq!(body["errors"][6]["reason"], "is sent twice");
    }
}
