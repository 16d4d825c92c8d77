//! Damaged backups, and backups of damaged data directories.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use sha2::{Digest, Sha256};

use super::{back_up, names, restore, verified, with_everything, with_readings};
use crate::cli::fieldstation;
use crate::support::Random;

/// The relative paths of all files in a backup.
fn files(backup: &Path) -> Vec<String> {
    let mut all: Vec<_> = names(backup)
        .into_iter()
        .filter(|name| name != "files")
        .collect();
    let blobs = names(&backup.join("files"));
    all.extend(blobs.into_iter().map(|name| format!("files/{name}")));
    all
}

/// Asserts that a restore refuses the backup with these words and creates nothing.
#[track_caller]
fn refused(directory: &Path, code: i32, words: &str) {
    let before = names(directory);
    restore(directory, "backup", "restored")
        .with_code(code)
        .says(words);
    assert_eq!(names(directory), before);
}

#[tokio::test]
async fn a_flipped_byte_anywhere_is_refused_and_named() {
    let directory = with_everything().await;
    let path = directory.path();
    back_up(path, "backup").with_code(0);
    let backup = path.join("backup");
    let all = files(&backup);
    // Manifest and digest, two databases, three device files.
    assert_eq!(all.len(), 7, "{all:?}");
    let mut random = Random::new(1);
    for name in &all {
        let file = File::options()
            .read(true)
            .write(true)
            .open(backup.join(name))
            .unwrap();
        let length = file.metadata().unwrap().len();
        if length == 0 {
            continue;
        }
        let some: Vec<_> = (0..6).map(|_| random.below(length)).collect();
        for at in [0, length - 1].into_iter().chain(some) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            let flipped = byte[0] ^ (1 << random.below(8));
            file.write_all_at(&[flipped], at).unwrap();
            refused(path, 1, name);
            file.write_all_at(&byte, at).unwrap();
        }
    }
    restore(path, "backup", "restored").with_code(0);
    assert_eq!(verified(path, "restored")["readings"], 50);
}

#[tokio::test]
async fn a_backup_that_lacks_something_is_refused() {
    let directory = with_everything().await;
    let path = directory.path();
    back_up(path, "backup").with_code(0);
    let backup = path.join("backup");
    for name in files(&backup) {
        let elsewhere = path.join("elsewhere");
        fs::rename(backup.join(&name), &elsewhere).unwrap();
        if name == "backup.json" {
            refused(path, 3, "not a backup, or one that was not completed");
        } else {
            refused(path, 1, &format!("{name} is missing"));
        }
        let whole = fs::read(&elsewhere).unwrap();
        if !whole.is_empty() {
            fs::write(backup.join(&name), &whole[..whole.len() - 1]).unwrap();
            refused(path, 1, &name);
        }
        fs::write(backup.join(&name), [&whole[..], b"\n"].concat()).unwrap();
        refused(path, 1, &name);
        fs::rename(&elsewhere, backup.join(&name)).unwrap();
    }
    restore(path, "backup", "restored").with_code(0);
}

/// Writes another manifest and the digest of this manifest.
fn forge(backup: &Path, manifest: &str) {
    fs::write(backup.join("backup.json"), manifest).unwrap();
    let digest: String = Sha256::digest(manifest.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let line = format!("{digest}  backup.json\n");
    fs::write(backup.join("backup.json.sha256"), line).unwrap();
}

#[test]
fn a_manifest_of_a_newer_format_or_with_odd_names_is_refused() {
    let directory = with_readings(100);
    let path = directory.path();
    back_up(path, "backup").with_code(0);
    let backup = path.join("backup");
    let manifest = fs::read_to_string(backup.join("backup.json")).unwrap();
    forge(&backup, &manifest);
    restore(path, "backup", "same").with_code(0);
    forge(&backup, &manifest.replace("\"format\": 1", "\"format\": 2"));
    refused(path, 2, "format 2");
    // A possible later format.
    forge(&backup, r#"{"format":3,"parts":{}}"#);
    refused(path, 2, "format 3");
    for odd in [
        "../readings.db",
        "/etc/passwd",
        "lock",
        "files/..",
        "files/x",
        "files/0000000000000000000000000000000/",
        "",
    ] {
        forge(&backup, &manifest.replace("readings.db", odd));
        refused(path, 1, "backup.json");
    }
    let nothing = r#"{"format":1,"program":"","began":"","files":[]}"#;
    for odd in [
        nothing,
        "",
        "{",
        "[]",
        "null",
        "{\"format\":1}",
        "{\"format\":-1}",
    ] {
        forge(&backup, odd);
        refused(path, 1, "backup.json");
    }
}

#[test]
fn a_damaged_station_is_not_backed_up_unless_asked_for() {
    let directory = with_readings(20_000);
    let path = directory.path();
    let database = path.join("data/readings.db");
    let length = fs::metadata(&database).unwrap().len();
    let file = File::options().write(true).open(&database).unwrap();
    // Damages all pages except the first page, because the header on the first page identifies the file.
    for at in (4096..length).step_by(97) {
        file.write_all_at(&[0x5a], at).unwrap();
    }
    let before = names(path);
    back_up(path, "backup").with_code(1).says("damaged");
    assert_eq!(names(path), before);
    let arguments = ["backup", "--data", "data", "--to", "backup", "--skip-check"];
    fieldstation(path, &arguments).with_code(0);
    refused(path, 1, "damaged");
}

#[tokio::test]
async fn a_device_file_that_is_damaged_or_gone_is_named() {
    let directory = with_everything().await;
    let path = directory.path();
    let blobs = path.join("data/files");
    let large = names(&blobs)
        .into_iter()
        .find(|name| fs::metadata(blobs.join(name)).unwrap().len() == 100_000)
        .unwrap();
    let blob = blobs.join(large);
    let whole = fs::read(&blob).unwrap();
    let mut torn = whole.clone();
    torn[77_777] ^= 1;
    let before = names(path);
    for bytes in [&torn[..], &whole[1..], b""] {
        fs::write(&blob, bytes).unwrap();
        back_up(path, "backup").with_code(1).says("`202`");
    }
    fs::remove_file(&blob).unwrap();
    back_up(path, "backup").with_code(1).says("is missing");
    fs::create_dir(&blob).unwrap();
    back_up(path, "backup").with_code(1).says("files/");
    fs::remove_dir(&blob).unwrap();
    assert_eq!(names(path), before);
    // The backup refuses a path to a file outside the directory.
    let station = Connection::open(path.join("data/station.db")).unwrap();
    station
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
        .unwrap();
    let sql = "UPDATE files SET blob = '../lock' WHERE device = '202'";
    assert_eq!(station.execute(sql, []).unwrap(), 1);
    drop(station);
    back_up(path, "backup").with_code(1).says("`202`");
    assert_eq!(names(path), before);
}

#[test]
fn a_newer_or_foreign_database_is_refused() {
    for (name, code, pragma) in [
        ("readings.db", 2, "user_version = 1000"),
        ("readings.db", 1, "application_id = 7"),
        ("station.db", 1, "user_version = 7"),
    ] {
        let directory = with_readings(10);
        let path = directory.path();
        let database = Connection::open(path.join("data").join(name)).unwrap();
        database.execute_batch(&format!("PRAGMA {pragma}")).unwrap();
        drop(database);
        back_up(path, "backup").with_code(code).says(name);
        assert_eq!(names(path), ["data"]);
    }
    let directory = with_readings(10);
    let path = directory.path();
    fs::write(path.join("data/readings.db"), "x".repeat(10_000)).unwrap();
    back_up(path, "backup").with_code(1).says("readings.db");
    assert_eq!(names(path), ["data"]);
}
