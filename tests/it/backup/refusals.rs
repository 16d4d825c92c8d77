//! Backups and restores with a refusal or a failure: no file is left.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use super::{back_up, names, restore, with_everything, with_readings};
use crate::cli::fieldstation;
use crate::support::Server;

#[test]
fn what_is_not_there_is_3() {
    let directory = with_readings(10);
    let path = directory.path();
    fs::create_dir(path.join("empty")).unwrap();
    fs::write(path.join("file"), "x").unwrap();
    let before = names(path);
    for data in ["nothing", "empty", "file", "."] {
        let arguments = ["backup", "--data", data, "--to", "elsewhere"];
        let code = if data == "." { 2 } else { 3 };
        fieldstation(path, &arguments).with_code(code);
    }
    for to in [
        "data/../nowhere/backup",
        "file",
        "file/backup",
        "nowhere/../backup",
    ] {
        back_up(path, to).with_code(3);
    }
    for from in ["nothing", "empty", "file", "data"] {
        restore(path, from, "restored").with_code(3);
    }
    assert_eq!(names(path), before);
    assert_eq!(names(&path.join("empty")), [""; 0]);
    assert_eq!(fs::read(path.join("file")).unwrap(), b"x");
}

#[test]
fn one_directory_in_the_other_is_2() {
    let directory = with_readings(10);
    let path = directory.path();
    let before = names(&path.join("data"));
    for to in ["data", "data/backup", "data/../data/backup", "."] {
        back_up(path, to).with_code(2).says("in the other");
    }
    assert!(names(&path.join("data")).iter().all(|name| {
        // A reader of a closed database creates these files beside the database.
        before.contains(name) || name.ends_with("-shm") || name.ends_with("-wal")
    }));
    back_up(path, "backup").with_code(0);
    for data in ["backup", "backup/data", "."] {
        restore(path, "backup", data).with_code(2);
    }
    assert_eq!(names(path), ["backup", "data"]);
}

#[test]
fn what_is_there_already_stays_as_it_is() {
    let directory = with_readings(10);
    let path = directory.path();
    back_up(path, "backup").with_code(0);
    let manifest = fs::read(path.join("backup/backup.json")).unwrap();
    back_up(path, "backup").with_code(3).says("not empty");
    assert_eq!(fs::read(path.join("backup/backup.json")).unwrap(), manifest);
    restore(path, "backup", "restored").with_code(0);
    restore(path, "backup", "restored")
        .with_code(3)
        .says("not empty");
    fs::create_dir(path.join("mine")).unwrap();
    fs::write(path.join("mine/letter"), "x").unwrap();
    back_up(path, "mine").with_code(3).says("not empty");
    restore(path, "backup", "mine")
        .with_code(3)
        .says("not empty");
    assert_eq!(names(&path.join("mine")), ["letter"]);
}

#[test]
fn a_directory_that_a_server_holds_is_not_restored_into() {
    let server = Server::start();
    let path = server.directory().path();
    back_up(path, "backup").with_code(0);
    restore(path, "backup", "data")
        .with_code(3)
        .says("in use by another fieldstation");
}

#[test]
fn a_backup_and_a_directory_half_restored_are_not_served() {
    let directory = with_readings(10);
    let path = directory.path();
    back_up(path, "backup").with_code(0);
    let before = names(&path.join("backup"));
    fs::create_dir_all(path.join("half/.unfinished")).unwrap();
    fs::write(path.join("half/station.db"), "x").unwrap();
    for (data, words) in [("backup", "is a backup"), ("half", "is not complete")] {
        let arguments = ["serve", "--data", data, "--listen", "127.0.0.1:0"];
        fieldstation(path, &arguments).with_code(3).says(words);
    }
    let arguments = ["verify", "--data", "backup"];
    fieldstation(path, &arguments)
        .with_code(3)
        .says("is a backup");
    assert_eq!(names(&path.join("backup")), before);
    restore(path, "backup", "half")
        .with_code(3)
        .says("did not end");
    back_up(path, "half").with_code(3).says("did not end");
}

#[test]
fn a_directory_that_another_one_is_filling_is_left_alone() {
    let directory = with_readings(10);
    let path = directory.path();
    let inside = path.join("backup/.unfinished");
    fs::create_dir_all(&inside).unwrap();
    let beside = path.join(".fieldstation-1-0.unfinished");
    fs::create_dir(&beside).unwrap();
    let held = [&inside, &beside].map(|path| File::open(path).unwrap());
    for held in &held {
        held.try_lock().unwrap();
    }
    back_up(path, "backup").with_code(3).says("still running");
    back_up(path, "other").with_code(0);
    assert!(inside.is_dir() && beside.is_dir());
    drop(held);
    back_up(path, "backup").with_code(0);
    back_up(path, "third").with_code(0);
    assert_eq!(names(path), ["backup", "data", "other", "third"]);
}

/// Runs the binary with a limit of 512-byte blocks for each file, as on a full disk.
fn with_file_limit(directory: &Path, blocks: u64, arguments: &[&str]) -> i32 {
    let script = r#"trap "" XFSZ; ulimit -f "$1"; shift; exec "$@" >/dev/null 2>&1"#;
    let status = Command::new("/bin/sh")
        .args(["-c", script, "sh", &blocks.to_string()])
        .arg(env!("CARGO_BIN_EXE_fieldstation"))
        .args(arguments)
        .current_dir(directory)
        .status()
        .unwrap();
    status.code().unwrap()
}

#[tokio::test]
async fn nothing_is_left_when_the_disk_is_full() {
    let directory = with_everything().await;
    let path = directory.path();
    back_up(path, "backup").with_code(0);
    fs::create_dir(path.join("mounted")).unwrap();
    let before = names(path);
    // While no server has the database open, a reader has to create a file beside the database.
    let _server = Server::try_in(&directory, &[]).unwrap();
    // The limit is reached in a database, in a device file, in the manifest.
    for blocks in [0, 1, 8, 30, 100, 190] {
        for place in ["beside", "mounted"] {
            let arguments = ["backup", "--data", "data", "--to", place];
            assert_eq!(with_file_limit(path, blocks, &arguments), 1, "{blocks}");
            let arguments = ["restore", "--from", "backup", "--data", place];
            assert_eq!(with_file_limit(path, blocks, &arguments), 1, "{blocks}");
        }
        assert_eq!(names(path), before, "{blocks}");
        assert_eq!(names(&path.join("mounted")), [""; 0], "{blocks}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let directory = with_readings(10);
    let path = directory.path();
    fs::remove_file(path.join("data/readings.db")).unwrap();
    fs::create_dir(path.join("data/readings.db")).unwrap();
    back_up(path, "backup").with_code(3).says("readings.db");
    assert_eq!(names(path), ["data"]);
}
