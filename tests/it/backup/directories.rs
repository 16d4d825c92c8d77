//! The directories of a backup and of a restore.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{back_up, names, restore, verified, with_everything, with_readings};
use crate::cli::fieldstation;
use crate::support::{Server, random_bytes};

#[tokio::test]
async fn a_stopped_station_comes_back_the_same() {
    let directory = with_everything().await;
    let path = directory.path();
    back_up(path, "backup").with_code(0);
    let arguments = ["backup", "--data", "data", "--to", "again", "--json"];
    let again = fieldstation(path, &arguments).with_code(0).json();
    assert_eq!(again["readings"], 50);
    assert_eq!(again["sensors"], 1);
    assert_eq!(again["files"], 5);
    let arguments = ["restore", "--from", "again", "--data", "restored", "--json"];
    let restored = fieldstation(path, &arguments).with_code(0).json();
    assert_eq!(restored["began"], again["began"]);
    assert_eq!(restored["bytes"], again["bytes"]);
    assert_eq!(restored["readings"], 50);
    assert_eq!(restored["sound"], true);
    let report = verified(path, "restored");
    for name in ["readings", "sensors", "maximum", "minimum", "average"] {
        assert_eq!(report[name], verified(path, "data")[name]);
    }
    // The server answers with the sent data, and accepts writes.
    fs::rename(path.join("data"), path.join("before")).unwrap();
    fs::rename(path.join("restored"), path.join("data")).unwrap();
    let server = Server::try_in(&directory, &[]).unwrap();
    let client = server.client();
    assert_eq!(client.devices().await, ["../../etc/passwd", "202", "empty"]);
    assert_eq!(client.file("202").await, random_bytes(100_000));
    client
        .put(r#"{"sensorId":"b","temperature":1}"#)
        .await
        .with_status(200);
    assert_eq!(server.stop().code, Some(0));
    assert_eq!(verified(path, "data")["readings"], 51);
}

#[test]
fn a_station_without_files_or_without_readings_is_backed_up() {
    let directory = with_readings(100);
    let path = directory.path();
    assert!(!path.join("data/station.db").exists());
    back_up(path, "backup").with_code(0);
    assert_eq!(
        names(&path.join("backup")),
        ["backup.json", "backup.json.sha256", "readings.db"]
    );
    restore(path, "backup", "restored").with_code(0);
    assert_eq!(verified(path, "restored")["readings"], 100);
}

#[tokio::test]
async fn a_station_whose_readings_are_elsewhere_is_backed_up() {
    let directory = with_everything().await;
    let path = directory.path();
    for name in names(&path.join("data")) {
        if name.starts_with("readings.db") {
            fs::remove_file(path.join("data").join(name)).unwrap();
        }
    }
    back_up(path, "backup").with_code(0);
    let ended = restore(path, "backup", "restored").with_code(0);
    assert!(ended.stdout.contains("without readings"), "{ended:#?}");
    assert_eq!(names(&path.join("restored")), ["files", "station.db"]);
    assert_eq!(names(&path.join("restored/files")).len(), 3);
}

#[test]
fn a_station_that_holds_nothing_yet_is_backed_up() {
    let server = Server::start();
    let directory = server.directory().path();
    back_up(directory, "backup").with_code(0);
    restore(directory, "backup", "restored").with_code(0);
    assert_eq!(verified(directory, "restored")["readings"], 0);
}

#[test]
fn a_database_that_is_being_made_holds_nothing_yet() {
    let directory = with_readings(10);
    let path = directory.path();
    fs::write(path.join("data/station.db"), "").unwrap();
    back_up(path, "backup").with_code(0);
    restore(path, "backup", "restored").with_code(0);
    assert_eq!(names(&path.join("restored")), ["readings.db"]);
}

#[test]
fn a_directory_that_is_there_and_empty_is_filled_and_keeps_its_mode() {
    let directory = with_readings(100);
    let path = directory.path();
    for name in ["backup", "restored"] {
        fs::create_dir(path.join(name)).unwrap();
        // As on a freshly mounted disk.
        fs::create_dir(path.join(name).join("lost+found")).unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o750)).unwrap();
        // The leftover of a killed backup.
        fs::create_dir(path.join(name).join(".unfinished")).unwrap();
        fs::write(path.join(name).join(".unfinished/readings.db"), "x").unwrap();
    }
    back_up(path, "backup").with_code(0);
    assert_eq!(
        names(&path.join("backup")),
        [
            "backup.json",
            "backup.json.sha256",
            "lost+found",
            "readings.db"
        ]
    );
    restore(path, "backup", "restored").with_code(0);
    assert_eq!(verified(path, "restored")["readings"], 100);
    for name in ["backup", "restored"] {
        let mode = fs::metadata(path.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o750);
    }
}

#[test]
fn only_its_owner_can_look_into_a_backup() {
    let directory = with_readings(10);
    let path = directory.path();
    back_up(path, "backup").with_code(0);
    let mode = fs::metadata(path.join("backup"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn links_lead_where_they_lead() {
    let directory = with_readings(10);
    let path = directory.path();
    symlink("data", path.join("link")).unwrap();
    fs::create_dir(path.join("disk")).unwrap();
    symlink("disk", path.join("to")).unwrap();
    let arguments = ["backup", "--data", "link", "--to", "to/monday"];
    fieldstation(path, &arguments).with_code(0);
    assert_eq!(names(&path.join("disk")), ["monday"]);
    let arguments = ["backup", "--data", "data", "--to", "link/inside"];
    fieldstation(path, &arguments).with_code(2);
    symlink("nowhere", path.join("dangling")).unwrap();
    back_up(path, "dangling").with_code(3);
    assert_eq!(names(path), ["dangling", "data", "disk", "link", "to"]);
}
