//! `fieldstation backup` and `fieldstation restore`: tests with the real binary and a running real server.

mod damage;
mod directories;
mod kills;
mod load;
mod refusals;
mod sealing;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::cli::{Ended, fieldstation, import_into_data};
use crate::support::{Server, random_bytes};

/// Backs up `data` in a directory.
fn back_up(directory: &Path, to: &str) -> Ended {
    fieldstation(directory, &["backup", "--data", "data", "--to", to])
}

/// Restores a backup in a directory.
fn restore(directory: &Path, from: &str, data: &str) -> Ended {
    fieldstation(directory, &["restore", "--from", from, "--data", data])
}

/// `verify --json` of a sound data directory.
#[track_caller]
fn verified(directory: &Path, data: &str) -> serde_json::Value {
    fieldstation(directory, &["verify", "--data", data, "--json"])
        .with_code(0)
        .json()
}

/// The names in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Imports readings into `data`, without a server.
fn with_readings(readings: u32) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut text = "sensorId,timestamp,temperature\n".to_owned();
    for number in 0..readings {
        let (day, hour) = (1 + number / 86_400, number / 3600 % 24);
        let (minute, second) = (number / 60 % 60, number % 60);
        let hundredths = u64::from(number) * 7_919 % 10_007;
        text.push_str(&format!(
            "s{},2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}Z,{hundredths}e-2\n",
            number % 3
        ));
    }
    fs::write(directory.path().join("a.csv"), text).unwrap();
    import_into_data(directory.path(), &["a.csv"]).with_code(0);
    fs::remove_file(directory.path().join("a.csv")).unwrap();
    directory
}

/// Fills `data` with readings, files, todos and a greeting, and stops the server.
async fn with_everything() -> Arc<TempDir> {
    let server = Server::start();
    let client = server.client();
    for number in 0..50 {
        let reading = format!(
            r#"{{"sensorId":"a","timestamp":"2026-11-20T13:00:{number:02}Z","temperature":{number}}}"#
        );
        client.put(reading).await.with_status(200);
    }
    for (device, length) in [("202", 100_000), ("../../etc/passwd", 7), ("empty", 0)] {
        let device = device.replace('/', "%2F");
        let sent = client.send_file(&device, random_bytes(length)).await;
        sent.with_status(200);
    }
    let directory = Arc::clone(server.directory());
    assert_eq!(server.stop().code, Some(0));
    directory
}
