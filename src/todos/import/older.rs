//! Converts a row of the older todo app to todos. A column may hold any value or none. The description keeps every value that the
//! other fields cannot hold, and a note reports the change.

use sha2::{Digest, Sha256};

use super::ImportItem;
use super::texts::{
    decode, escape_controls, part_title, shorten_title, split_description, valid_title,
};
use crate::timestamp::Timestamp;
use crate::todos::{Status, Title, Todo, TodoId, free_status};

/// The title of a todo without a title.
const NO_TITLE: &str = "(no title)";

/// A row of the older todo app. Texts are bytes, because not every database checks the encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OlderRow {
    /// The column `id`.
    pub id: i64,
    /// The column `title`.
    pub title: Option<Vec<u8>>,
    /// The column `description`.
    pub description: Option<Vec<u8>>,
    /// The column `deadline` in microseconds since 1970; `None` when the column is empty or not a finite time.
    pub deadline: Option<i64>,
    /// The column `deadline` as text.
    pub deadline_text: Option<String>,
    /// The column `status`.
    pub status: Option<Vec<u8>>,
}

/// A difference between the row and the todo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// The row had no title.
    NoTitle,
    /// White space around the title was removed.
    TitleTrimmed,
    /// The title was too long, or had control characters. The description begins with the complete title.
    TitleInDescription,
    /// The description had control characters, which are written like `\x07`.
    ControlsWritten,
    /// The description was too long, and continues in further todos.
    Continued,
    /// The deadline is outside the years 1 to 9999. The description begins with its text.
    DeadlineInDescription,
    /// A text was not UTF-8, and was read as ISO 8859-1.
    NotUtf8,
}

impl Note {
    /// The text in a report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoTitle => "had no title: it is (no title)",
            Self::TitleTrimmed => "had white space around the title: it is left out",
            Self::TitleInDescription => {
                "had a title over 200 characters, or with control characters: all of it begins the description"
            }
            Self::ControlsWritten => {
                "had control characters in the description: they are written like \\x07"
            }
            Self::Continued => {
                "had a description over 10,000 characters: it goes on in further todos, (2), (3) …"
            }
            Self::DeadlineInDescription => {
                "had a deadline outside the years 1 to 9999: it begins the description"
            }
            Self::NotUtf8 => "had text that is not UTF-8: it is read as ISO 8859-1",
        }
    }
}

/// The todos of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OlderTodo {
    /// The todo, and the further todos with the rest of its description.
    pub items: Vec<ImportItem>,
    /// The differences.
    pub notes: Vec<Note>,
    /// The status of the row, when it is not a status of this program.
    pub free_status: Option<String>,
    /// The status of the todo.
    pub status: Status,
}

impl OlderRow {
    /// Converts the row to todos that keep all its values. `now` is the time of the import.
    pub fn convert(&self, now: Timestamp) -> OlderTodo {
        let mut notes = Vec::new();
        let mut text = |bytes: &Option<Vec<u8>>| {
            let (text, is_utf8) = decode(bytes.as_deref().unwrap_or_default());
            if !is_utf8 {
                notes.push(Note::NotUtf8);
            }
            text
        };
        let (full_title, full_description) = (text(&self.title), text(&self.description));
        let status_text = text(&self.status);
        let (title, title_in_description) = title(&full_title, &mut notes);
        let deadline = self.deadline.and_then(Timestamp::from_micros);

        let mut description = String::new();
        if title_in_description {
            description.push_str(&escape_controls(&full_title));
        }
        if let (None, Some(text)) = (deadline, &self.deadline_text) {
            notes.push(Note::DeadlineInDescription);
            append_separator(&mut description, "\n");
            description.push_str("Deadline: ");
            description.push_str(&escape_controls(text));
        }
        let escaped = escape_controls(&full_description);
        if escaped != full_description {
            notes.push(Note::ControlsWritten);
        }
        if !escaped.is_empty() {
            append_separator(&mut description, "\n\n");
        }
        description.push_str(&escaped);
        let parts = split_description(&description);
        if parts.len() > 1 {
            notes.push(Note::Continued);
        }
        notes.sort_unstable();
        notes.dedup();

        let status = free_status(&status_text);
        let items = (1..).zip(parts).map(|(part, description)| ImportItem {
            number: (part == 1).then_some(self.id),
            todo: Todo {
                id: id(self.id, part),
                title: part_title(&title, part),
                description,
                deadline,
                status,
                created_at: now,
                updated_at: now,
            },
        });
        let is_known = self.status.is_some() && status.as_str() == status_text;
        OlderTodo {
            items: items.collect(),
            notes,
            free_status: (!is_known).then_some(status_text),
            status,
        }
    }
}

/// Appends a separator to a text that is not empty.
fn append_separator(text: &mut String, separator: &str) {
    if !text.is_empty() {
        text.push_str(separator);
    }
}

/// The title, and whether the description has to keep the complete title.
fn title(full: &str, notes: &mut Vec<Note>) -> (Title, bool) {
    let without_controls: String = full
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let trimmed = without_controls.trim();
    let Ok(title) = Title::new(&shorten_title(trimmed)) else {
        notes.push(Note::NoTitle);
        // A title of only control characters is kept in the description.
        let has_characters = !full.trim_matches(' ').is_empty();
        return (valid_title(NO_TITLE), has_characters);
    };
    if title.as_str() == full {
        return (title, false);
    }
    if full.trim() == title.as_str() && !full.chars().any(char::is_control) {
        notes.push(Note::TitleTrimmed);
        return (title, false);
    }
    notes.push(Note::TitleInDescription);
    (title, true)
}

/// The id for a number. A repeated import computes the same id and so finds the imported todo. A UUID of version 8.
fn id(number: i64, part: u32) -> TodoId {
    let digest = Sha256::digest(format!("a todo with an integer id: {number} {part}"));
    let bits = digest
        .iter()
        .take(16)
        .fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    TodoId::from_hash(bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-28T12:00".parse().unwrap()
    }

    fn row(title: &str, description: &str) -> OlderRow {
        OlderRow {
            id: 77,
            title: Some(title.as_bytes().to_vec()),
            description: Some(description.as_bytes().to_vec()),
            deadline: Some(0),
            deadline_text: Some("1970-01-01 00:00:00".to_owned()),
            status: Some(b"pending".to_vec()),
        }
    }

    fn only(row: &OlderRow) -> (Todo, Vec<Note>) {
        let converted = row.convert(now());
        assert_eq!(converted.items.len(), 1);
        assert_eq!(converted.items[0].number, Some(row.id));
        (converted.items[0].todo.clone(), converted.notes)
    }

    #[test]
    fn values_that_fit_are_kept_unchanged() {
        let (todo, notes) = only(&row("Water é", "a\n\tb "));
        assert_eq!(todo.title.as_str(), "Water é");
        assert_eq!(todo.description.as_str(), "a\n\tb ");
        assert_eq!(todo.deadline, Timestamp::from_micros(0));
        assert_eq!((todo.created_at, todo.updated_at), (now(), now()));
        assert!(notes.is_empty());
        assert_eq!(row("a", "").convert(now()).free_status, None);
        // A later import computes the same id.
        assert_eq!(todo.id, only(&row("other", "")).0.id);
        assert_ne!(todo.id, id(78, 1));
        assert_eq!(todo.id.to_string().as_bytes()[14], b'8');
    }

    #[test]
    fn an_empty_row_becomes_a_todo() {
        let empty = OlderRow {
            id: -3,
            ..OlderRow::default()
        };
        let (todo, notes) = only(&empty);
        assert_eq!(todo.title.as_str(), NO_TITLE);
        assert_eq!((todo.deadline, todo.status), (None, Status::Pending));
        assert_eq!(notes, [Note::NoTitle]);
        assert_eq!(empty.convert(now()).free_status.as_deref(), Some(""));
    }

    #[test]
    fn values_that_do_not_fit_are_kept_in_the_description() {
        let long = "x".repeat(201);
        let (todo, notes) = only(&row(&long, "more"));
        assert_eq!(todo.title.as_str().chars().count(), 200);
        assert_eq!(todo.description.as_str(), format!("{long}\n\nmore"));
        assert_eq!(notes, [Note::TitleInDescription]);

        let (todo, notes) = only(&row("two\nlines\u{7}", "bell\u{7}\u{85}"));
        assert_eq!(todo.title.as_str(), "two lines");
        assert_eq!(
            todo.description.as_str(),
            "two\nlines\\x07\n\nbell\\x07\\x85"
        );
        assert_eq!(notes, [Note::TitleInDescription, Note::ControlsWritten]);

        let (todo, notes) = only(&row(" padded ", ""));
        assert_eq!(todo.title.as_str(), "padded");
        assert_eq!(
            (todo.description.as_str(), notes),
            ("", vec![Note::TitleTrimmed])
        );

        let late = OlderRow {
            deadline: None,
            deadline_text: Some("infinity".to_owned()),
            ..row("a", "b")
        };
        let (todo, notes) = only(&late);
        assert_eq!(todo.description.as_str(), "Deadline: infinity\n\nb");
        assert_eq!(
            (todo.deadline, notes),
            (None, vec![Note::DeadlineInDescription])
        );

        let latin = OlderRow {
            title: Some(b"caf\xe9".to_vec()),
            ..row("", "")
        };
        let (todo, notes) = only(&latin);
        assert_eq!(todo.title.as_str(), "café");
        assert_eq!(notes, [Note::NotUtf8]);
    }

    #[test]
    fn a_long_description_continues_in_further_todos() {
        let whole: String = (0..25_000)
            .map(|n| char::from(b'a' + (n % 26) as u8))
            .collect();
        let converted = row(&"t".repeat(200), &whole).convert(now());
        assert_eq!(converted.notes, [Note::Continued]);
        let numbers: Vec<_> = converted.items.iter().map(|part| part.number).collect();
        assert_eq!(numbers, [Some(77), None, None]);
        let together: String = converted
            .items
            .iter()
            .map(|part| part.todo.description.as_str())
            .collect();
        assert_eq!(together, whole);
        assert!(converted.items[2].todo.title.as_str().ends_with("t… (3)"));
    }

    #[test]
    fn an_unknown_status_is_reported() {
        let done = OlderRow {
            status: Some(b"Done".to_vec()),
            ..row("a", "")
        };
        let converted = done.convert(now());
        assert_eq!(converted.status, Status::Completed);
        assert_eq!(converted.free_status.as_deref(), Some("Done"));
    }

    proptest! {
        #[test]
        fn every_value_of_any_row_is_kept(
            title in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
            long in "\\PC{0,30}",
            times in 0..900_usize,
            description in prop::option::of(prop::collection::vec(any::<u8>(), 0..50)),
            deadline in any::<Option<i64>>(),
            status in prop::option::of(prop::collection::vec(any::<u8>(), 0..12)),
        ) {
            let mut whole = description.unwrap_or_default();
            whole.extend(long.repeat(times).into_bytes());
            let row = OlderRow {
                id: 7,
                title: title.clone(),
                description: Some(whole.clone()),
                deadline,
                deadline_text: deadline.map(|micros| format!("micros {micros}")),
                status: status.clone(),
            };
            let converted = row.convert(now());
            let all: String = converted
                .items
                .iter()
                .map(|item| item.todo.description.as_str())
                .collect();
            prop_assert!(all.ends_with(&escape_controls(&decode(&whole).0)));
            let (title, _) = decode(&title.unwrap_or_default());
            let first = &converted.items[0].todo;
            let is_kept = first.title.as_str() == title.trim() || all.starts_with(&escape_controls(&title));
            prop_assert!(is_kept || title.trim_matches(' ').is_empty(), "{title:?}");
            match (deadline, first.deadline) {
                (Some(micros), Some(kept)) => prop_assert_eq!(kept.micros(), micros),
                (Some(micros), None) => {
                    let text = format!("Deadline: micros {micros}");
                    prop_assert!(all.contains(&text));
                }
                (None, kept) => prop_assert_eq!(kept, None),
            }
            let status = decode(&status.unwrap_or_default()).0;
            prop_assert!(converted.free_status.is_none_or(|kept| kept == status));
        }
    }
}
