//! How todos look on the wire, and what a cursor holds.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use xxhash_rust::xxh3::xxh3_64;

use crate::http::json::write_string;
use crate::http::page;
use crate::timestamp::Timestamp;
use crate::todos::{Cursor, Filter, Status, Title, Todo, TodoPage};

/// Keeps the cursors of this list apart from those of others.
pub(super) const TODOS: char = 't';

pub(super) fn json(body: Vec<u8>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], body).into_response()
}

/// `{"todos":[…],"next":…}`
pub(super) fn list(found: &TodoPage, filter: &Filter) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + found.items.len() * 320);
    out.extend_from_slice(b"{\"todos\":[");
    for (at, todo) in found.items.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_todo(&mut out, todo);
    }
    out.extend_from_slice(b"],\"next\":");
    match found.items.last().filter(|_| found.more) {
        Some(last) => write_string(
            &mut out,
            &page::cursor(TODOS, &write_cursor(&last.cursor(), filter)),
        ),
        None => out.extend_from_slice(b"null"),
    }
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
    match todo.deadline {
        Some(deadline) => write_time(out, deadline),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"status\":");
    write_string(out, todo.status.as_str());
    out.extend_from_slice(b",\"createdAt\":");
    write_time(out, todo.created_at);
    out.extend_from_slice(b",\"updatedAt\":");
    write_time(out, todo.updated_at);
    out.push(b'}');
}

fn write_time(out: &mut Vec<u8>, time: Timestamp) {
    out.push(b'"');
    time.write_to(out);
    out.push(b'"');
}

/// A place in the list that a filter makes.
fn write_cursor(cursor: &Cursor, filter: &Filter) -> String {
    let micros = |time: Timestamp| time.micros().to_string();
    format!(
        "{:016x} {} {} {} {}",
        list_name(filter),
        cursor.deadline.map_or_else(String::new, micros),
        micros(cursor.created_at),
        cursor.id,
        cursor.title,
    )
}

/// The place; `None` when it is not one of this list.
pub(super) fn read_cursor(text: &str, filter: &Filter) -> Option<Cursor> {
    let mut parts = text.splitn(5, ' ');
    let mut part = || parts.next();
    if part()? != format!("{:016x}", list_name(filter)) {
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

/// Tells lists with different filters apart, so that a cursor of one is not taken for a place in another.
fn list_name(filter: &Filter) -> u64 {
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
    fn a_place_is_read_back_in_its_own_list_only() {
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
