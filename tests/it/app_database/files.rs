//! Damaged device files.

use std::fs;
use std::path::{Path, PathBuf};

use fieldstation::backup;
use fieldstation::error::StoreErrorKind;
use fieldstation::files::FileStore;

use super::{Stores, assert_named, copy, fill, verified};
use crate::support::Random;

/// The paths of the non-empty files, in any order.
fn blobs(data: &Path) -> Vec<PathBuf> {
    fs::read_dir(data.join("files"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| fs::metadata(path).unwrap().len() > 0)
        .collect()
}

#[tokio::test]
async fn a_flipped_bit_of_any_file_is_found_by_verify_and_backup() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    let mut random = Random::new(7);
    for _ in 0..5 {
        for blob in blobs(directory.path()) {
            let damaged = copy(directory.path());
            let path = damaged.path().join("files").join(blob.file_name().unwrap());
            let mut bytes = fs::read(&path).unwrap();
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            fs::write(&path, bytes).unwrap();
            let report = verified(damaged.path()).unwrap();
            assert_named(&report, "is not what was stored: its digest or its length");
            assert_named(&report, "the file of the device `device ");
            assert_eq!(report.problem_count, 1);
            let to = tempfile::tempdir().unwrap();
            let error = backup::take(damaged.path(), to.path(), true, &mut |_| {}).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_longer_shorter_or_gone_is_found_and_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let (known, _) = fill(directory.path()).await;
    for length in [Some(0), Some(3), Some(100_000), None] {
        let damaged = copy(directory.path());
        for path in blobs(damaged.path()) {
            match length {
                Some(length) => fs::File::options()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(length)
                    .unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
        let report = verified(damaged.path()).unwrap();
        assert_eq!(report.problem_count, 11, "{report:?}");
        let words = match length {
            Some(_) => "is not what was stored",
            None => "is missing",
        };
        assert_named(&report, words);
        let stores = Stores::open(damaged.path()).await.unwrap();
        for device in &known.devices[1..] {
            let error = stores.files.open(device).await.err().unwrap();
            assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
            assert!(error.message().contains(device.as_str()), "{error}");
            assert!(error.message().contains(words), "{error}");
        }
        stores.close().await;
    }
}

#[tokio::test]
async fn what_no_device_has_is_a_note_and_not_damage() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    let data = directory.path();
    fs::write(data.join("files/0123456789abcdef0123456789abcdef"), "x").unwrap();
    fs::write(
        data.join("files/0123456789abcdef0123456789abcde0.part"),
        "x",
    )
    .unwrap();
    fs::write(data.join("notes.txt"), "x").unwrap();
    let report = verified(data).unwrap();
    assert!(report.is_sound(), "{report:?}");
    for words in [
        "2 files in files/ belong to no device",
        "notes.txt in the directory",
        "there is no readings.db",
        "DynamoDB, S3, PostgreSQL, Redis",
    ] {
        assert!(
            report.notes.iter().any(|note| note.contains(words)),
            "{words}: {report:?}"
        );
    }
}

#[tokio::test]
async fn files_without_the_database_that_tells_of_them_are_damage() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    fs::remove_file(directory.path().join("station.db")).unwrap();
    // Without any database there is nothing to verify.
    let error = verified(directory.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    drop(crate::embedded::open(
        directory.path(),
        crate::embedded::small(),
    ));
    let report = verified(directory.path()).unwrap();
    assert_named(
        &report,
        "station.db: it is missing, and with it what 12 files in files/ are",
    );
}
