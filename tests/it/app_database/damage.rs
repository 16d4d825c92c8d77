//! A flipped bit of `station.db` gives an error with the name of the file, or changes no answer, or a check finds the flipped bit.
//! A flipped bit never gives a wrong answer.

use std::fs;
use std::path::Path;

use fieldstation::backup;
use fieldstation::error::{StoreError, StoreErrorKind};
use fieldstation::files::FileStore;
use fieldstation::greeting::GreetingStore;
use fieldstation::timestamp::Timestamp;
use fieldstation::todos::{Change, Filter, Precondition, Status};

use super::{Known, Seen, Stores, assert_named, copy, fill, look, spoil, verified};
use crate::support::Random;

/// The answers of the stores of a data directory.
async fn opened(data: &Path, known: &Known) -> Result<Seen, StoreError> {
    let stores = Stores::open(data).await?;
    let seen = look(&stores, known).await;
    stores.close().await;
    seen
}

fn is_named(error: &StoreError) -> bool {
    let is_damage = matches!(
        error.kind(),
        StoreErrorKind::Damaged | StoreErrorKind::Unsupported
    );
    is_damage && error.message().contains("station.db")
}

#[tokio::test]
async fn any_flipped_bit_is_named_or_changes_nothing_or_is_found_by_verify_and_backup() {
    const FLIPS: usize = 200;
    let directory = tempfile::tempdir().unwrap();
    let (known, expected) = fill(directory.path()).await;
    let whole = fs::read(directory.path().join("station.db")).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut random = Random::new(20_261_121);
    let (mut named, mut harmless, mut found) = (0, 0, 0);
    for flip in 0..FLIPS {
        // A large part of a page is unused.
        let at = match flip % 3 {
            0 => random.below(whole.len() as u64) as usize,
            _ => used[random.below(used.len() as u64) as usize],
        };
        let bit = random.below(8);
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << bit;
        let damaged = copy(directory.path());
        fs::write(damaged.path().join("station.db"), &bytes).unwrap();
        let report = verified(damaged.path());
        let passes = report.as_ref().is_ok_and(|report| report.is_sound());
        assert_eq!(
            fs::read(damaged.path().join("station.db")).unwrap(),
            bytes,
            "verify has changed the file: bit {bit} of byte {at}"
        );
        // Copies are checked in the same way, and take longer.
        if flip % 6 == 0 {
            let to = tempfile::tempdir().unwrap();
            let backed_up = backup::take(damaged.path(), to.path(), true, &mut |_| {});
            assert_eq!(
                backed_up.is_ok(),
                passes,
                "bit {bit} of byte {at}: {backed_up:?}, {report:?}"
            );
        }
        match opened(damaged.path(), &known).await {
            Ok(seen) if seen == expected => harmless += 1,
            Ok(_) => {
                assert!(
                    !passes,
                    "bit {bit} of byte {at} changed an answer, and nobody noticed"
                );
                found += 1;
            }
            Err(error) => {
                assert!(
                    is_named(&error) || !passes,
                    "bit {bit} of byte {at}: {error}"
                );
                named += 1;
            }
        }
    }
    assert!(
        named > FLIPS / 4,
        "{named} named, {found} found, {harmless} harmless"
    );
    // The pages of an index have no checksums, so a todo may seem to be missing.
    assert!(
        found < FLIPS / 10,
        "{named} named, {found} found, {harmless} harmless"
    );
}

#[tokio::test]
async fn every_kind_of_damage_is_named_by_verify() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    let report = verified(directory.path()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(
        (report.todos, report.files.map(|(files, _)| files)),
        (Some(80), Some(12))
    );
    let files = "the row of the file of the device `device 7` does not match";
    for (sql, named) in [
        (
            "UPDATE todos SET title = 'other' WHERE number = 7",
            "the todo `",
        ),
        (
            "UPDATE todos SET title_folded = title_folded || 'x' WHERE number = 7",
            "the todo `",
        ),
        (
            "UPDATE todos SET description = '' WHERE number = 7",
            "the todo `",
        ),
        (
            "UPDATE todos SET deadline = deadline + 1 WHERE number = 7",
            "the todo `",
        ),
        (
            "UPDATE todos SET status = 'completed' WHERE number = 7",
            "the todo `",
        ),
        (
            "UPDATE todos SET created_at = created_at + 1 WHERE number = 7",
            "the todo `",
        ),
        (
            "UPDATE todos SET updated_at = updated_at - 1 WHERE number = 7",
            "the todo `",
        ),
        (
            "UPDATE todos SET number = 1000 WHERE number = 7",
            "the todo `",
        ),
        (
            "UPDATE todos SET number = NULL WHERE number = 7",
            "the todo `",
        ),
        (
            "UPDATE todos SET checksum = 0 WHERE number = 7",
            "the todo `",
        ),
        ("UPDATE todos SET key = 1000 WHERE number = 7", "the todo `"),
        (
            "DELETE FROM todos WHERE number = 7",
            "there are 79 rows in todos, and the ledger says that there are 80",
        ),
        (
            "DELETE FROM todos WHERE number = 7",
            "the index of the texts",
        ),
        (
            "UPDATE todo_numbers SET last = last - 1",
            "the last number of a todo",
        ),
        ("DELETE FROM todo_numbers", "rows in todo_numbers"),
        (
            "UPDATE todos_moved SET origin = 'x' WHERE rowid = 3",
            "what was moved of the todo `",
        ),
        (
            "DELETE FROM todos_moved WHERE rowid = 3",
            "rows in todos_moved",
        ),
        (
            "UPDATE files SET blob = 'x' WHERE device = 'device 7'",
            files,
        ),
        (
            "UPDATE files SET size_bytes = 0 WHERE device = 'device 7'",
            files,
        ),
        (
            "UPDATE files SET sha256 = zeroblob(32) WHERE device = 'device 7'",
            files,
        ),
        (
            "UPDATE files SET name = NULL WHERE device = 'device 7'",
            files,
        ),
        (
            "UPDATE files SET content_type = 'text/html' WHERE device = 'device 7'",
            files,
        ),
        (
            "UPDATE files SET time_micros = 0 WHERE device = 'device 7'",
            files,
        ),
        (
            "UPDATE files SET device = 'device 99' WHERE device = 'device 7'",
            "`device 99` does not match",
        ),
        (
            "DELETE FROM files WHERE device = 'device 7'",
            "rows in files",
        ),
        (
            "UPDATE greeting SET word = 'Hello'",
            "the greeting `Hello` does not match",
        ),
        ("DELETE FROM greeting", "rows in greeting"),
        (
            "UPDATE ledger SET checksums = checksums + 1 WHERE table_name = 'files'",
            "do not add up",
        ),
        (
            "DELETE FROM ledger WHERE table_name = 'todos'",
            "the ledger does not tell of todos",
        ),
    ] {
        let damaged = copy(directory.path());
        spoil(damaged.path(), sql);
        let report = verified(damaged.path()).unwrap();
        assert_named(&report, named);
        assert!(
            report.problems[0].starts_with("station.db"),
            "{:?}",
            report.problems
        );
        let to = tempfile::tempdir().unwrap();
        let error = backup::take(damaged.path(), to.path(), true, &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{sql}: {error}");
        // The file of a damaged row is looked up first.
        let is_named = ["station.db", "`device 7`"]
            .iter()
            .any(|name| error.message().contains(name));
        assert!(is_named, "{sql}: {error}");
    }
}

#[tokio::test]
async fn definitions_that_are_not_those_of_this_program_are_refused() {
    for sql in [
        "DROP TRIGGER todos_updated_checksum",
        "DROP INDEX todos_of_status",
        "CREATE TABLE more (x)",
        "PRAGMA user_version = 5",
    ] {
        let directory = tempfile::tempdir().unwrap();
        Stores::open(directory.path()).await.unwrap().close().await;
        rusqlite::Connection::open(directory.path().join("station.db"))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        assert_named(
            &verified(directory.path()).unwrap(),
            "its tables are not the ones",
        );
        let error = Stores::open(directory.path()).await.err().unwrap();
        assert!(error.message().contains("station.db"), "{sql}: {error}");
    }
}

/// A directory with a damaged todo, file row or greeting.
async fn with(sql: &str) -> (tempfile::TempDir, Known, Stores) {
    let directory = tempfile::tempdir().unwrap();
    let (known, _) = fill(directory.path()).await;
    spoil(directory.path(), sql);
    let stores = Stores::open(directory.path()).await.unwrap();
    (directory, known, stores)
}

#[tokio::test]
async fn a_damaged_todo_is_an_error_that_names_it_and_no_change_hides_it() {
    let sql = "UPDATE todos SET description = 'x' WHERE number = 7";
    let (directory, known, stores) = with(sql).await;
    let store = stores.todos.as_ref();
    let (damaged, sound) = (known.todos[67].0, known.todos[66].0);
    assert_eq!(known.todos[67].1, 7);
    let words = format!("station.db is damaged: the todo `{damaged}` does not match its checksum");
    let change = Change {
        status: Some(Status::Completed),
        ..Change::default()
    };
    let now = Timestamp::now();
    let any = Precondition::Any;
    let text = |text: &str| Filter {
        text: Some(text.to_owned()),
        ..Filter::default()
    };
    for error in [
        store.get(damaged).await.unwrap_err(),
        store.number_of(damaged).await.unwrap_err(),
        store.id_of(7).await.unwrap_err(),
        store.find(&[sound, damaged]).await.unwrap_err(),
        store.by_number(0, 100).await.unwrap_err(),
        store.list(&Filter::default(), None, 100).await.unwrap_err(),
        // Whether the damaged todo has the text is unknown.
        store.list(&text("came"), None, 100).await.unwrap_err(),
        store.list(&text("tv"), None, 100).await.unwrap_err(),
        store.change(damaged, &any, &change, now).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        assert!(error.message().starts_with(&words), "{error}");
    }
    store.get(sound).await.unwrap().unwrap();
    store.change(sound, &any, &change, now).await.unwrap();
    stores.close().await;
    assert_named(&verified(directory.path()).unwrap(), "the todo `");
}

#[tokio::test]
async fn a_damaged_row_of_a_file_is_an_error_that_names_the_device() {
    let sql = "UPDATE files SET name = NULL WHERE device = 'device 7'";
    let (_directory, known, stores) = with(sql).await;
    let words =
        "station.db is damaged: the row of the file of the device `device 7` does not match";
    let store = &stores.files;
    let device = &known.devices[7];
    for error in [
        store.info(device).await.unwrap_err(),
        store.open(device).await.err().unwrap(),
        store.list(None, 100).await.unwrap_err(),
        store.remove(device, &Default::default()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        assert!(error.message().starts_with(words), "{error}");
    }
    store.info(&known.devices[6]).await.unwrap().unwrap();
    stores.close().await;
}

#[tokio::test]
async fn a_damaged_or_lost_greeting_is_no_greeting() {
    for (sql, words) in [
        (
            "UPDATE greeting SET word = 'Hello'",
            "the greeting `Hello` does not match",
        ),
        ("DELETE FROM greeting", "the greeting is missing"),
    ] {
        let (_directory, _, stores) = with(sql).await;
        let error = stores.greeting.word().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        assert!(error.message().contains(words), "{error}");
        stores.close().await;
    }
}

#[tokio::test]
async fn todos_that_were_lost_are_not_counted_over() {
    let (_directory, _, stores) = with("DELETE FROM todos WHERE number = 7").await;
    let error = stores.todos.count().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
    stores.close().await;
}

#[tokio::test]
async fn the_file_of_a_row_that_is_damaged_or_lost_is_not_swept() {
    for sql in [
        "UPDATE files SET blob = 'x' WHERE device = 'device 7'",
        "DELETE FROM files WHERE device = 'device 7'",
    ] {
        let (directory, _, stores) = with(sql).await;
        let error = stores.files.sweep().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        stores.close().await;
        let files = fs::read_dir(directory.path().join("files")).unwrap();
        assert_eq!(files.count(), 12);
    }
}
