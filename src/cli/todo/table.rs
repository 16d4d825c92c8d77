//! Todos as a table for people.

use comfy_table::{Table, presets};

use super::Todo;

/// A table with a header and a row for each todo; an empty text for no todos.
pub(super) fn of(todos: &[Todo]) -> String {
    if todos.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["ID", "STATUS", "DEADLINE", "TITLE"]);
    for todo in todos {
        table.add_row([
            printable(&todo.id),
            printable(&todo.status),
            printable(todo.deadline.as_deref().unwrap_or("")),
            printable(&todo.title),
        ]);
    }
    let mut text = String::new();
    for line in table.to_string().lines() {
        // Without borders, each line begins and ends with the padding of its cells.
        text.push_str(line.strip_prefix(' ').unwrap_or(line).trim_end());
        text.push('\n');
    }
    text
}

/// Removes control characters, so that a text from a server cannot control the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn todo(title: &str, deadline: Option<&str>) -> Todo {
        Todo {
            id: "7".to_owned(),
            title: title.to_owned(),
            deadline: deadline.map(str::to_owned),
            status: "in progress".to_owned(),
        }
    }

    #[test]
    fn columns_are_aligned() {
        let todos = [
            todo("Wasser für 花", Some("2026-12-01T08:00:00Z")),
            todo("a\u{1b}[31mb", None),
        ];
        assert_eq!(
            of(&todos),
            "ID  STATUS       DEADLINE              TITLE\n\
             7   in progress  2026-12-01T08:00:00Z  Wasser für 花\n\
             7   in progress                        a\u{fffd}[31mb\n"
        );
        assert_eq!(of(&[]), "");
    }
}
