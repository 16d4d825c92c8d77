//! `fieldstation verify`.

use std::fs;
use std::os::unix::fs::FileExt;

use super::{fieldstation, import_into_data};

#[test]
fn what_was_imported_is_sound() {
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
    // In the middle of every page but the first, which says what the file is.
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

#[test]
fn what_is_not_there_is_3() {
    let directory = tempfile::tempdir().unwrap();
    fieldstation(directory.path(), &["verify", "--data", "nothing"])
        .with_code(3)
        .says("nothing");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
