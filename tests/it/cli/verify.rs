//! `fieldstation verify`.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{fieldstation, import_into_data};
use crate::support::{Answer, Server};

#[test]
fn an_imported_directory_is_sound() {
    let directory = tempfile::tempdir().unwrap();
    let text =
        "sensorId,timestamp,temperature\na,2026-11-20T13:00:00Z,20.5\nb,2026-11-20T13:00:00Z,-1\n";
    fs::write(directory.path().join("a.csv"), text).unwrap();
    import_into_data(directory.path(), &["a.csv"]).with_code(0);
    let report = fieldstation(directory.path(), &["verify", "--data", "data", "--json"])
        .with_code(0)
        .json();
    assert_eq!(report["sound"], true);
    assert_eq!(report["readings"], 2);
    assert_eq!(report["sensors"], 2);
    assert_eq!(report["maximum"].to_string(), "20.5");
    assert_eq!(report["minimum"].to_string(), "-1");
    assert_eq!(report["average"].to_string(), "9.75");
    let ended = fieldstation(directory.path(), &["verify", "--data", "data"]).with_code(0);
    assert!(ended.stdout.contains("Sound"), "{ended:#?}");
}

#[test]
fn damage_is_1_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut text = "sensorId,timestamp,temperature\n".to_owned();
    for number in 0..20_000 {
        let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
        let hundredths = number * 7_919 % 10_007;
        text.push_str(&format!(
            "a,2026-11-20T{hour:02}:{minute:02}:{second:02}Z,{hundredths}e-2\n"
        ));
    }
    fs::write(directory.path().join("a.csv"), text).unwrap();
    import_into_data(directory.path(), &["a.csv"]).with_code(0);
    let path = directory.path().join("data/readings.db");
    // In the middle of every page except the first page, because the first page holds the file header.
    let length = fs::metadata(&path).unwrap().len();
    let file = fs::File::options().write(true).open(&path).unwrap();
    for page in 1..length / 4096 {
        file.write_all_at(&[0x5a], page * 4096 + 2048).unwrap();
    }
    let ended =
        fieldstation(directory.path(), &["verify", "--data", "data", "--json"]).with_code(1);
    ended.says("is damaged");
    let report = ended.json();
    assert_eq!(report["sound"], false);
    assert_ne!(report["problems"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn todos_and_files_are_counted_and_unchecked_parts_are_named() {
    let server = Server::start();
    let client = server.client();
    let request = client.request("POST", "/api/todos");
    let request = request.header("content-type", "application/json");
    let added = Answer::to(request.body(r#"{"title":"Fix TV"}"#)).await;
    added.with_status(201);
    client.send_file("boiler", "abc").await.with_status(200);
    let directory = Arc::clone(server.directory());
    let path = directory.path();
    fieldstation(path, &["verify", "--data", "data"]).with_code(3);
    assert_eq!(server.stop().code, Some(0));
    fs::write(path.join("data/mine.txt"), "x").unwrap();
    let report = fieldstation(path, &["verify", "--data", "data", "--json"])
        .with_code(0)
        .json();
    assert_eq!(report["sound"], true);
    assert_eq!(report["todos"], 1);
    assert_eq!(report["deviceFiles"], 1);
    assert_eq!(report["deviceFileBytes"], 3);
    let ended = fieldstation(path, &["verify", "--data", "data"]).with_code(0);
    for words in [
        "todos      1\n",
        "files      1 of devices, 3 B\n",
        "note: what is kept elsewhere (DynamoDB, S3, PostgreSQL, Redis) was not looked at\n",
        "note: mine.txt in the directory: not a part of the data, and not looked at\n",
        "Sound",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {ended:#?}");
    }
    let blobs = path.join("data/files");
    let blob = fs::read_dir(blobs).unwrap().next().unwrap().unwrap().path();
    fs::write(&blob, "abd").unwrap();
    let ended = fieldstation(path, &["verify", "--data", "data"]).with_code(1);
    let words = "the file of the device `boiler`, is not what was stored";
    assert!(ended.stdout.contains(words), "{ended:#?}");
    fs::remove_file(path.join("data/readings.db")).unwrap();
    let ended = fieldstation(path, &["verify", "--data", "data"]).with_code(1);
    let words = "note: there is no readings.db: no readings were looked at\n";
    assert!(ended.stdout.contains(words), "{ended:#?}");
}

#[test]
fn a_directory_of_a_newer_version_exits_with_2() {
    for (name, application_id) in [("readings.db", 0x4653_544e), ("station.db", 0x4653_5453)] {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("data")).unwrap();
        rusqlite::Connection::open(directory.path().join("data").join(name))
            .unwrap()
            .execute_batch(&format!(
                "PRAGMA application_id = {application_id}; PRAGMA user_version = 1000"
            ))
            .unwrap();
        for arguments in [
            &["verify", "--data", "data"][..],
            &["backup", "--data", "data", "--to", "backup"],
            &["serve", "--data", "data", "--listen", "127.0.0.1:0"],
        ] {
            fieldstation(directory.path(), arguments)
                .with_code(2)
                .says("written by a newer version");
        }
    }
}

#[test]
fn a_missing_directory_exits_with_3() {
    let directory = tempfile::tempdir().unwrap();
    fieldstation(directory.path(), &["verify", "--data", "nothing"])
        .with_code(3)
        .says("nothing");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
