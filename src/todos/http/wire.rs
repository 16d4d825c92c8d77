//! The JSON of todos, and the content of a cursor.

use xxhash_rust::xxh3::xxh3_64;

use crate::http::json::{write_array, write_or_null, write_string, write_timestamp};
use crate::http::page;
use crate::timestamp::Timestamp;
use crate::todos::{Cursor, Filter, Status, Title, Todo, TodoPage};

/// The kind of the cursors of this list.
pub(super) const TODOS: char = 't';

/// `{"todos":[…],"next":…}`
pub(super) fn list(found: &TodoPage, filter: &Filter) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + found.items.len() * 320);
    out.extend_from_slice(b"{\"todos\":");
    write_array(&mut out, &found.items, write_todo);
    out.extend_from_slice(b",\"next\":");
    let last = found.items.last().filter(|_| found.more);
    let next = last.map(|last| page::cursor(TODOS, &write_cursor(&last.cursor(), filter)));
    write_or_null(&mut out, next.as_deref(), write_string);
    out.push(b'}');
    out
}

pub(super) fn write_todo(out: &mut Vec<u8>, todo: &Todo) {
    out.extend_from_slice(b"{\"id\":\"");
    out.extend_from_slice(todo.id.to_string().as_bytes());
    out.extend_from_slice(b"\",\"title\":");
    write_string(out, todo.title.as_str());
    out.extend_from_slice(b",\"description\":");
    write_string(out, todo.description.as_str());
    out.extend_from_slice(b",\"deadline\":");
    write_or_null(out, todo.deadline, write_timestamp);
    out.extend_from_slice(b",\"status\":");
    write_string(out, todo.status.as_str());
    out.extend_from_slice(b",\"createdAt\":");
    write_timestamp(out, todo.created_at);
    out.extend_from_slice(b",\"updatedAt\":");
    write_timestamp(out, todo.updated_at);
    out.push(b'}');
}

/// The text of a position in the list of a filter.
fn write_cursor(cursor: &Cursor, filter: &Filter) -> String {
    let micros = |time: Timestamp| time.micros().to_string();
    format!(
        "{:016x} {} {} {} {}",
        filter_hash(filter),
        cursor.deadline.map_or_else(String::new, micros),
        micros(cursor.created_at),
        cursor.id,
        cursor.title,
    )
}

/// The position from a text of [`write_cursor`]; `None` for a position in the list of another filter.
pub(super) fn read_cursor(text: &str, filter: &Filter) -> Option<Cursor> {
    let mut parts = text.splitn(5, ' ');
    let mut part = || parts.next();
    if part()? != format!("{:016x}", filter_hash(filter)) {
        return None;
    }
    let micros = |text: &str| Timestamp::from_micros(text.parse().ok()?);
    let deadline = match part()? {
        "" => None,
        number => Some(micros(number)?),
    };
    Some(Cursor {
        deadline,
        created_at: micros(part()?)?,
        id: part()?.parse().ok()?,
        title: Title::new(part()?).ok()?.as_str().to_owned(),
    })
}

/// A hash of a filter, so that a list refuses a cursor from the list of another filter.
fn filter_hash(filter: &Filter) -> u64 {
    let micros = |time: Option<Timestamp>| time.map(Timestamp::micros);
    let text = format!(
        "{:?} {:?} {:?} {:?}",
        filter.status.map(Status::as_str),
        micros(filter.deadline_from),
        micros(filter.deadline_to),
        filter.text,
    );
    xxh3_64(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::todos::TodoId;

    #[test]
    fn a_position_is_read_back_in_its_own_list_only() {
        let all = Filter::default();
        let open = Filter {
            status: Some(Status::Pending),
            ..Filter::default()
        };
        for deadline in [None, Timestamp::from_micros(-5)] {
            let cursor = Cursor {
                deadline,
                created_at: Timestamp::from_micros(7).unwrap(),
                title: "buy milk  now é".to_owned(),
                id: TodoId::generate(Timestamp::now()).unwrap(),
            };
            let text = write_cursor(&cursor, &all);
            assert_eq!(read_cursor(&text, &all), Some(cursor));
            assert_eq!(read_cursor(&text, &open), None);
            for end in 0..text.len() - 20 {
                if text.is_char_boundary(end) {
                    assert_eq!(read_cursor(&text[..end], &all), None);
                }
            }
        }
    }
}
