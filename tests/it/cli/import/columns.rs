//! The columns of CSV files, by name and by number.

use std::fs;

use super::{directory_with, many_rows};
use crate::cli::{counts, fieldstation, import_into_data};

#[test]
fn columns_are_chosen_by_name_and_by_number() {
    let directory = directory_with("a.csv", many_rows(100));
    let by_name = import_into_data(directory.path(), &["a.csv", "--sensor-column", "STATION"]);
    assert_eq!(counts(&by_name.with_code(0).json()), [100, 0, 0, 0]);
    let by_number = import_into_data(
        directory.path(),
        &[
            "a.csv",
            "--sensor-column",
            "3",
            "--timestamp-column",
            "1",
            "--temperature-column",
            "2",
        ],
    );
    assert_eq!(counts(&by_number.with_code(0).json()), [0, 100, 0, 0]);

    let bare = many_rows(100)
        .split_once("\r\n")
        .unwrap()
        .1
        .replace(',', ";");
    fs::write(directory.path().join("bare"), bare).unwrap();
    let bare = import_into_data(
        directory.path(),
        &[
            "bare",
            "--no-header",
            "--delimiter",
            ";",
            "--sensor-column",
            "3",
            "--timestamp-column",
            "1",
            "--temperature-column",
            "2",
        ],
    );
    assert_eq!(counts(&bare.with_code(0).json()), [0, 100, 0, 0]);
}

#[test]
fn missing_columns_are_an_error_that_names_the_options() {
    let directory = directory_with("a.csv", "timestamp,value\n2013-12-02 21:15:00,73\n");
    import_into_data(directory.path(), &["a.csv"])
        .with_code(2)
        .says("a.csv")
        .says("--sensor-column NAME, or --sensor-id ID")
        .says("1 \"timestamp\", 2 \"value\"");
    import_into_data(
        directory.path(),
        &["a.csv", "--sensor-id", "s", "--temperature-column", "x"],
    )
    .with_code(2)
    .says("--temperature-column x: there is no such column");
    import_into_data(
        directory.path(),
        &["a.csv", "--sensor-id", "s", "--no-header"],
    )
    .with_code(2)
    .says("--timestamp-column N");
    let both = ["a.csv", "--sensor-id", "s", "--sensor-column", "1"];
    import_into_data(directory.path(), &both).with_code(2);
    import_into_data(directory.path(), &["a.csv", "--sensor-id", "\u{7}"]).with_code(2);
    let second_missing = [
        "import",
        "a.csv",
        "missing.csv",
        "--data",
        "other",
        "--sensor-id",
        "s",
    ];
    fieldstation(directory.path(), &second_missing)
        .with_code(1)
        .says("missing.csv");
    assert!(!directory.path().join("other").exists());
    import_into_data(directory.path(), &["missing.csv"])
        .with_code(1)
        .says("missing.csv");
    import_into_data(directory.path(), &["."])
        .with_code(1)
        .says("directory");
}
