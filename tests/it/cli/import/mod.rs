//! `fieldstation import` into a data directory.

mod columns;
mod rejections;

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tempfile::TempDir;

use super::{counts, fieldstation, import_into_data, with_input};

fn directory_with(name: &str, content: impl AsRef<[u8]>) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(name), content).unwrap();
    directory
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A reading per second, in columns with unusual names.
fn many_rows(rows: u32) -> String {
    let mut text = "Date Time,Value,Station\r\n".to_owned();
    for row in 0..rows {
        let (hour, minute, second) = (row / 3600, row / 60 % 60, row % 60);
        let tenths = row % 7;
        text.push_str(&format!(
            "2026-11-20 {hour:02}:{minute:02}:{second:02},{tenths}.5,s{}\r\n",
            row % 3
        ));
    }
    text
}

fn rejected_lines(summary: &Value) -> Vec<(u64, String)> {
    summary["rejects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| {
            let field = reject["field"].as_str().unwrap_or("");
            let reason = reject["reason"].as_str().unwrap();
            (
                reject["line"].as_u64().unwrap(),
                format!("{field} {reason}"),
            )
        })
        .collect()
}

fn export(directory: &Path) -> String {
    fieldstation(directory, &["export", "--data", "data", "--format", "csv"])
        .with_code(0)
        .stdout
}

#[test]
fn a_file_with_a_duplicate_is_imported_and_a_second_import_changes_nothing() {
    let directory = directory_with(
        "machine.csv",
        "timestamp,value\n\
         2013-12-02 21:15:00,73.96732207\n\
         2013-12-02 21:20:00,74.93588199999998\n\
         2013-12-02 21:15:00,70\n\
         2013-12-02 21:25:00,76.12416182\n",
    );
    let arguments = ["machine.csv", "--sensor-id", "machine-1"];
    let first = import_into_data(directory.path(), &arguments)
        .with_code(0)
        .json();
    assert_eq!(counts(&first), [3, 0, 1, 0]);
    assert_eq!(first["complete"], true);
    let exported = export(directory.path());
    assert_eq!(
        exported,
        "sensorId,timestamp,temperature\n\
         machine-1,2013-12-02T21:15:00Z,70\n\
         machine-1,2013-12-02T21:20:00Z,74.935882\n\
         machine-1,2013-12-02T21:25:00Z,76.124162\n"
    );
    let second = import_into_data(directory.path(), &arguments)
        .with_code(0)
        .json();
    assert_eq!(counts(&second), [0, 2, 2, 0]);
    assert_eq!(export(directory.path()), exported);
    let text = fieldstation(
        directory.path(),
        &[
            "import",
            "machine.csv",
            "--sensor-id",
            "machine-1",
            "--data",
            "data",
        ],
    )
    .with_code(0)
    .stdout;
    assert!(
        text.contains("unchanged  2\n") && text.contains("replaced   2\n"),
        "{text}"
    );
}

#[test]
fn ndjson_is_read_with_all_spellings() {
    let text = "\u{feff}{\"sensorId\":\"a\",\"timestamp\":\"2026-11-20T13:00:00Z\",\"temperature\":1.5}\r\n\
        \n\
        {\"sensorID\":7,\"time\":\"2026-11-20 13:00\",\"temperature\":\"2\",\"extra\":[1]}\n\
        [1]\n\
        {\"sensorId\":\"a\",\"timestamp\":\"2026-11-20T13:00:01Z\",\"temperature\":1e400}";
    let directory = directory_with("a", text);
    let summary = import_into_data(directory.path(), &["a"])
        .with_code(1)
        .json();
    assert_eq!(counts(&summary), [2, 0, 0, 2]);
    let lines: Vec<u64> = rejected_lines(&summary)
        .iter()
        .map(|(line, _)| *line)
        .collect();
    assert_eq!(lines, [4, 5]);
    assert_eq!(
        export(directory.path()),
        "sensorId,timestamp,temperature\n7,2026-11-20T13:00:00Z,2\na,2026-11-20T13:00:00Z,1.5\n"
    );
    import_into_data(directory.path(), &["a", "--sensor-id", "b"])
        .with_code(2)
        .says("are for CSV");
    fs::write(directory.path().join("array"), "[{}]").unwrap();
    import_into_data(directory.path(), &["array"])
        .with_code(1)
        .says("one JSON array");
}

#[test]
fn standard_input_and_several_files_are_read_in_order() {
    let directory = directory_with("1.csv", "sensor,time,temp\na,2026-11-20T13:00:00Z,1\n");
    fs::write(
        directory.path().join("2.csv"),
        "time,temp,sensor\n2026-11-20T13:00:00Z,2,a\n",
    )
    .unwrap();
    let stdin = b"{\"sensorId\":\"a\",\"time\":\"2026-11-20T13:00:00Z\",\"temperature\":3}";
    let arguments = ["import", "--json", "--data", "data", "1.csv", "2.csv", "-"];
    let summary = with_input(directory.path(), &arguments, stdin)
        .with_code(0)
        .json();
    assert_eq!(counts(&summary), [1, 0, 2, 0]);
    assert!(export(directory.path()).ends_with("a,2026-11-20T13:00:00Z,3\n"));
    let summary = with_input(
        directory.path(),
        &["import", "--json", "--data", "data"],
        &gzip(stdin),
    )
    .with_code(0)
    .json();
    assert_eq!(counts(&summary), [0, 1, 0, 0]);
}

#[test]
fn a_truncated_compressed_file_is_an_error_and_the_lines_before_are_recorded() {
    let rows = 30_000;
    let whole = gzip(many_rows(rows).as_bytes());
    let directory = directory_with("whole.csv.gz", &whole);
    fs::write(
        directory.path().join("cut.csv.gz"),
        &whole[..whole.len() * 9 / 10],
    )
    .unwrap();
    let arguments = ["--sensor-column", "station", "--batch", "1000"];
    let cut = import_into_data(
        directory.path(),
        &[&["cut.csv.gz"], &arguments[..]].concat(),
    )
    .with_code(1);
    cut.says("cut.csv.gz: the compressed data ends early")
        .says("read up to line");
    let summary = cut.json();
    let [recorded, unchanged, replaced, rejected] = counts(&summary);
    assert!((1000..u64::from(rows)).contains(&recorded), "{summary}");
    assert_eq!([unchanged, replaced, rejected], [0, 0, 0]);
    assert_eq!(summary["complete"], false);
    assert!(summary["error"].as_str().unwrap().contains("ends early"));
    let whole = import_into_data(
        directory.path(),
        &[&["whole.csv.gz"], &arguments[..]].concat(),
    );
    assert_eq!(
        counts(&whole.with_code(0).json()),
        [u64::from(rows) - recorded, recorded, 0, 0]
    );
}

#[test]
fn a_data_directory_that_is_held_is_refused() {
    let directory = directory_with("a.csv", "sensor,time,temp\na,2026-11-20T13:00:00Z,1\n");
    let held =
        fieldstation::storage::data_directory::DataDirectory::open(&directory.path().join("data"));
    import_into_data(directory.path(), &["a.csv"])
        .with_code(3)
        .says("in use by another fieldstation");
    drop(held);
    import_into_data(directory.path(), &["a.csv"]).with_code(0);
    let both = ["a.csv", "--url", "http://127.0.0.1:1"];
    import_into_data(directory.path(), &both).with_code(2);
}

/// A real machine's readings: `FIELDSTATION_TEST_DATA` is the path of
/// `machine_temperature_system_failure.csv` of the Numenta Anomaly Benchmark.
#[test]
#[ignore = "needs a file: FIELDSTATION_TEST_DATA"]
fn a_real_machine() {
    // Not a setting of the program, but of this test.
    #[allow(clippy::disallowed_methods)]
    let path =
        std::env::var("FIELDSTATION_TEST_DATA").expect("FIELDSTATION_TEST_DATA is the file's path");
    let directory = tempfile::tempdir().unwrap();
    let arguments = [path.as_str(), "--sensor-id", "machine-1"];
    let verified = || {
        fieldstation(directory.path(), &["verify", "--data", "data", "--json"])
            .with_code(0)
            .json()
    };
    let first = import_into_data(directory.path(), &arguments)
        .with_code(0)
        .json();
    assert_eq!(counts(&first), [22_683, 0, 12, 0]);
    let before = verified();
    assert_eq!(before["readings"], 22_683);
    assert_eq!(before["maximum"].to_string(), "108.510543");
    assert_eq!(before["minimum"].to_string(), "2.084721");
    assert!(
        before["average"].to_string().starts_with("85.92215"),
        "{before}"
    );
    let second = import_into_data(directory.path(), &arguments)
        .with_code(0)
        .json();
    assert_eq!(counts(&second), [0, 22_671, 24, 0]);
    let after = verified();
    for name in ["readings", "maximum", "minimum", "average"] {
        assert_eq!(before[name], after[name]);
    }
}
