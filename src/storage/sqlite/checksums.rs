//! Checksums of rows, as SQL functions: triggers write the checksums, and queries check them.
//!
//! * `row_checksum(table, column, …)` is the checksum of a row: of the values, their types, and the name of the table.
//! * `check_row(stored, computed, what, name)` is 1, or an error with the name of the row with a wrong checksum.
//! * `checksums_with(sum, added, taken)` is the sum of the checksums of a table after a change of one row.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ffi};
use xxhash_rust::xxh3::Xxh3;

/// The end of the message of an error of `check_row`. The message identifies the error, because an SQL function cannot return both a code
/// and a message.
const MISMATCH: &str = "does not match its checksum";

/// Registers the functions with a connection.
pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        // They only calculate, so triggers and views of a file may call them.
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("row_checksum", -1, flags, row_checksum)?;
    connection.create_scalar_function("check_row", 4, flags, check_row)?;
    connection.create_scalar_function("checksums_with", 3, flags, |context| {
        let [sum, added, taken] = [context.get::<i64>(0)?, context.get(1)?, context.get(2)?];
        Ok(sum.wrapping_add(added).wrapping_sub(taken))
    })
}

fn row_checksum(context: &Context<'_>) -> rusqlite::Result<i64> {
    let values = (0..context.len()).map(|index| context.get_raw(index));
    Ok(checksum(values).cast_signed())
}

/// Hashes each value with the type, and texts and blobs with the length, so that different rows always give different bytes.
fn checksum<'a>(values: impl Iterator<Item = ValueRef<'a>>) -> u64 {
    let mut hasher = Xxh3::new();
    for value in values {
        match value {
            ValueRef::Null => hasher.update(&[0]),
            ValueRef::Integer(integer) => {
                hasher.update(&[1]);
                hasher.update(&integer.to_le_bytes());
            }
            ValueRef::Real(real) => {
                hasher.update(&[2]);
                hasher.update(&real.to_bits().to_le_bytes());
            }
            ValueRef::Text(bytes) => put(&mut hasher, 3, bytes),
            ValueRef::Blob(bytes) => put(&mut hasher, 4, bytes),
        }
    }
    hasher.digest()
}

fn put(hasher: &mut Xxh3, kind: u8, bytes: &[u8]) {
    hasher.update(&[kind]);
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn check_row(context: &Context<'_>) -> rusqlite::Result<bool> {
    if context.get_raw(0) == context.get_raw(1) {
        return Ok(true);
    }
    let name = shown(context.get_raw(3));
    let what = shown(context.get_raw(2));
    Err(rusqlite::Error::SqliteFailure(
        ffi::Error::new(ffi::SQLITE_ERROR),
        Some(mismatch(&what, &name)),
    ))
}

/// The message about a damaged row: the values differ from the written values.
pub(crate) fn mismatch(what: &str, name: &str) -> String {
    format!("{what} `{name}` {MISMATCH}")
}

/// The message of an error about a row with a wrong checksum; `None` for other errors.
pub(super) fn mismatch_of(error: &rusqlite::Error) -> Option<&str> {
    match error {
        rusqlite::Error::SqliteFailure(code, Some(message))
            if code.extended_code == ffi::SQLITE_ERROR && message.ends_with(MISMATCH) =>
        {
            Some(message)
        }
        _ => None,
    }
}

/// A value for a message. A damaged value may have a wrong type.
pub(crate) fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(integer) => integer.to_string(),
        ValueRef::Real(real) => real.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).escape_debug().to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::types::Value;

    use super::*;
    use crate::error::StoreErrorKind;
    use crate::storage::sqlite::query_error;

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            "[ab\0]{0,3}".prop_map(Value::Text),
            prop::collection::vec(0..3_u8, 0..3).prop_map(Value::Blob),
        ]
    }

    fn of(row: &[Value]) -> u64 {
        checksum(row.iter().map(ValueRef::from))
    }

    proptest! {
        #[test]
        fn rows_have_the_same_checksum_if_they_are_the_same(
            one in prop::collection::vec(values(), 0..4),
            other in prop::collection::vec(values(), 0..4),
        ) {
            prop_assert_eq!(of(&one) == of(&other), one == other);
        }

        #[test]
        fn a_sum_after_changes_is_the_sum_of_what_is_there(all: Vec<i64>, taken in any::<prop::sample::Index>()) {
            let connection = Connection::open_in_memory().unwrap();
            register(&connection).unwrap();
            let with = |sum: i64, added: i64, taken: i64| -> i64 {
                let sql = "SELECT checksums_with(?1, ?2, ?3)";
                connection.query_row(sql, [sum, added, taken], |row| row.get(0)).unwrap()
            };
            let sum = all.iter().fold(0, |sum, checksum| with(sum, *checksum, 0));
            let Some(gone) = all.get(taken.index(all.len().max(1))) else {
                return Ok(());
            };
            let rest = all.iter().fold(0_i64, |sum, checksum| sum.wrapping_add(*checksum)).wrapping_sub(*gone);
            prop_assert_eq!(with(sum, 0, *gone), rest);
        }
    }

    #[test]
    fn a_row_that_does_not_match_is_damage_that_names_it() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let check = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, bool>(0));
        let sound = "SELECT check_row(row_checksum('t', 1, 'a'), row_checksum('t', 1, 'a'), 'the word', 'a')";
        assert!(check(sound).unwrap());
        for damaged in [
            "SELECT check_row(row_checksum('t', 1), row_checksum('u', 1), 'the word', 'a')",
            "SELECT check_row(NULL, row_checksum('t', 1), 'the word', 'a')",
            "SELECT check_row('1', 1, 'the word', 'a')",
        ] {
            let error = query_error("some.db", "read a word", check(damaged).unwrap_err());
            assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
            let words = "some.db is damaged: the word `a` does not match its checksum";
            assert!(error.message().starts_with(words), "{error}");
        }
    }
}
