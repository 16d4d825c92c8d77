//! `fieldstation export`.

use std::fs;
use std::io::Read;

use super::{counts, fieldstation, import_into_data};

/// Two sensors. The id of the first sensor needs quotes in CSV.
const READINGS: &str = "{\"sensorId\":\"a, \\\"b\\\"\",\"timestamp\":\"2026-11-20T13:00:00Z\",\"temperature\":20.5}\n\
    {\"sensorId\":\"a, \\\"b\\\"\",\"timestamp\":\"2026-11-21T13:00:00.25Z\",\"temperature\":-1}\n\
    {\"sensorId\":\"c\",\"timestamp\":\"2026-11-20T13:00:00Z\",\"temperature\":7}\n";

fn imported() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.ndjson"), READINGS).unwrap();
    import_into_data(directory.path(), &["a.ndjson"]).with_code(0);
    directory
}

fn export(directory: &tempfile::TempDir, arguments: &[&str]) -> String {
    let mut all = vec!["export", "--data", "data"];
    all.extend(arguments);
    fieldstation(directory.path(), &all).with_code(0).stdout
}

#[test]
fn an_export_equals_the_import() {
    let directory = imported();
    assert_eq!(export(&directory, &[]), READINGS);
    assert_eq!(
        export(&directory, &["--format", "csv"]),
        "sensorId,timestamp,temperature\n\
         \"a, \"\"b\"\"\",2026-11-20T13:00:00Z,20.5\n\
         \"a, \"\"b\"\"\",2026-11-21T13:00:00.25Z,-1\n\
         c,2026-11-20T13:00:00Z,7\n"
    );
}

#[test]
fn a_part_is_exported() {
    let directory = imported();
    let lines: Vec<&str> = READINGS.split_inclusive('\n').collect();
    assert_eq!(export(&directory, &["--sensor-id", "c"]), lines[2]);
    assert_eq!(export(&directory, &["--from", "2026-11-21"]), lines[1]);
    assert_eq!(
        export(&directory, &["--to", "2026-11-21T13:00:00.25"]),
        [lines[0], lines[2]].concat()
    );
    assert_eq!(export(&directory, &["--sensor-id", "nobody"]), "");
}

#[test]
fn a_compressed_export_can_be_imported_again() {
    let directory = imported();
    for name in ["out.csv.gz", "out.ndjson.gz", "out.csv", "out.ndjson"] {
        assert_eq!(export(&directory, &["--output", name]), "");
        let bytes = fs::read(directory.path().join(name)).unwrap();
        if name.ends_with(".gz") {
            let mut text = String::new();
            flate2::read::GzDecoder::new(&bytes[..])
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text.starts_with("sensorId"), name.contains("csv"));
        }
        let again = import_into_data(directory.path(), &[name])
            .with_code(0)
            .json();
        assert_eq!(counts(&again), [0, 3, 0, 0]);
        let other = fieldstation(
            directory.path(),
            &["import", "--json", "--data", &format!("data-{name}"), name],
        )
        .with_code(0)
        .json();
        assert_eq!(counts(&other), [3, 0, 0, 0]);
    }
}

#[test]
fn a_missing_directory_is_not_created() {
    let directory = tempfile::tempdir().unwrap();
    fieldstation(directory.path(), &["export", "--data", "nothing"])
        .with_code(3)
        .says("nothing");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    fieldstation(
        directory.path(),
        &["export", "--data", ".", "--output", "no/out"],
    )
    .with_code(1);
    let both = ["export", "--data", "a", "--url", "http://host"];
    fieldstation(directory.path(), &both).with_code(2);
    fieldstation(directory.path(), &["export", "--from", "yesterday"])
        .with_code(2)
        .says("RFC 3339");
}
