//! Lines without a reading.

use std::fs;

use super::{directory_with, rejected_lines};
use crate::cli::{counts, fieldstation, import_into_data};

#[test]
fn bad_lines_are_named_and_the_others_recorded() {
    let directory = directory_with(
        "a.csv",
        "sensorId,timestamp,temperature,note\n\
         a,2026-11-20T13:00:00Z,1,\n\
         \n\
         a,yesterday,2,\n\
         \"b\",2026-11-20T13:00:00Z,warm,\"two\nlines, \"\"quoted\"\"\"\n\
         a,2026-11-20T13:00:01Z,3\n\
         ,2026-11-20T13:00:02Z,4,\n\
         a,,5,\n\
         a,2026-11-20T13:00:03Z,NaN,\n\
         \"a\"x,2026-11-20T13:00:03Z,5,\n\
         c,2026-11-20T13:00:03Z,6,\"the\r\n\r\nend\"\n\
         c,2026-11-20T13:00:60Z,7,\n\
         c,2026-11-20T13:00:04Z,-300,\n",
    );
    let arguments = ["a.csv", "--rejects", "rejects.csv"];
    let ended = import_into_data(directory.path(), &arguments).with_code(1);
    ended.says("9 of 11 lines were rejected");
    let summary = ended.json();
    assert_eq!(counts(&summary), [2, 0, 0, 9]);
    let rejected = rejected_lines(&summary);
    let expected = [
        (4, "timestamp `yesterday` is not a time"),
        (5, "temperature `warm` is not a number"),
        (7, "has 3 fields"),
        (8, "sensorId is empty"),
        (9, "timestamp is missing"),
        (10, "temperature `NaN`"),
        (11, "closing quote"),
        (15, "no such second"),
        (16, "outside -273.15"),
    ];
    for ((line, reason), (line_expected, part)) in rejected.iter().zip(expected) {
        assert_eq!(*line, line_expected, "{reason}");
        assert!(reason.contains(part), "{reason:?} has no {part:?}");
    }
    let rejects = fs::read_to_string(directory.path().join("rejects.csv")).unwrap();
    assert_eq!(rejects.lines().count(), 10);
    assert!(
        rejects.starts_with("file,line,field,reason\na.csv,4,timestamp,"),
        "{rejects}"
    );

    let text = fieldstation(directory.path(), &["import", "a.csv", "--data", "data"]).with_code(1);
    text.says("a.csv:4: timestamp `yesterday`");
    import_into_data(directory.path(), &["a.csv", "--allow-rejects"]).with_code(0);
}

#[test]
fn the_first_rejected_lines_are_shown_and_all_are_written_to_a_file() {
    let mut text = String::new();
    for _ in 0..50 {
        text.push_str("{\"sensorId\":\"a\",\"temperature\":1}\n");
    }
    let directory = directory_with("a.ndjson", text);
    let ended =
        fieldstation(directory.path(), &["import", "a.ndjson", "--data", "data"]).with_code(1);
    ended
        .says("a.ndjson:20: timestamp is missing")
        .says("and 30 more; --rejects FILE");
    assert!(!ended.stderr.contains("a.ndjson:21:"), "{ended:#?}");
    let arguments = [
        "import",
        "a.ndjson",
        "--data",
        "data",
        "--rejects",
        "r.csv",
        "--batch",
        "7",
    ];
    fieldstation(directory.path(), &arguments)
        .with_code(1)
        .says("All rejected lines are in r.csv");
    let rejects = fs::read_to_string(directory.path().join("r.csv")).unwrap();
    let lines: Vec<u64> = rejects
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(lines, (1..=50).collect::<Vec<u64>>());
}
