//! The commands against the real server.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Ended, counts, fieldstation};
use crate::support::Server;

fn run(server: &Server, command: &str, arguments: &[&str]) -> Ended {
    let url = server.url();
    let mut all = vec![command, "--url", &url];
    all.extend(arguments);
    fieldstation(server.directory().path(), &all)
}

/// A file like the log of a real machine: a reading every five minutes, long decimals, some timestamps twice.
fn machine(rows: u32) -> String {
    let mut text = "timestamp,value\n".to_owned();
    for row in 0..rows {
        let minutes = if row % 500 == 499 { row - 1 } else { row } * 5;
        let (day, hour, minute) = (1 + minutes / 1440, minutes / 60 % 24, minutes % 60);
        text.push_str(&format!(
            "2013-12-{day:02} {hour:02}:{minute:02}:00,{}.{:08}\n",
            60 + row % 40,
            u64::from(row) * 7_919_993 % 100_000_000
        ));
    }
    text
}

fn report(server: &Server) -> Value {
    let report = fieldstation(
        server.directory().path(),
        &["verify", "--json", "--data", "data"],
    );
    report.with_code(0).json()
}

#[test]
fn an_import_comes_back_the_same_and_again_changes_nothing() {
    let mut server = Server::start();
    fs::write(server.directory().path().join("machine.csv"), machine(5000)).unwrap();
    let import = [
        "machine.csv",
        "--sensor-id",
        "machine-1",
        "--json",
        "--batch",
        "700",
    ];
    let export = |name: &str| {
        run(&server, "export", &["--output", name]).with_code(0);
        fs::read_to_string(server.directory().path().join(name)).unwrap()
    };
    let first = run(&server, "import", &import).with_code(0).json();
    assert_eq!(counts(&first), [4990, 0, 10, 0]);
    let exported = export("first.csv");
    assert_eq!(exported.lines().count(), 4991);
    let second = run(&server, "import", &import).with_code(0).json();
    // The earlier line replaces the reading of a repeated timestamp, and the later line replaces the reading again.
    assert_eq!(counts(&second), [0, 4980, 20, 0]);
    assert_eq!(export("second.csv"), exported);
    let ndjson = export("first.ndjson");

    let again = [
        "import",
        "--json",
        "--data",
        "other",
        "first.csv",
        "first.ndjson",
    ];
    let again = fieldstation(server.directory().path(), &again)
        .with_code(0)
        .json();
    assert_eq!(counts(&again), [4990, 4990, 0, 0]);
    for (format, text) in [("csv", &exported), ("ndjson", &ndjson)] {
        let directly = ["export", "--data", "other", "--format", format];
        let directly = fieldstation(server.directory().path(), &directly).with_code(0);
        assert_eq!(&directly.stdout, text);
    }
    let part = [
        "--sensor-id",
        "machine-1",
        "--from",
        "2013-12-02",
        "--to",
        "2013-12-03",
    ];
    let part = run(&server, "export", &part).with_code(0);
    // The day has 288 rows. A row repeats the timestamp of the row before.
    assert_eq!(part.stdout.lines().count(), 287);
    server.kill9();
    assert_eq!(report(&server)["readings"], 4990);
}

#[test]
fn a_directory_that_a_server_holds_is_refused() {
    let server = Server::start();
    fs::write(server.directory().path().join("machine.csv"), machine(5)).unwrap();
    for arguments in [
        &[
            "import",
            "machine.csv",
            "--sensor-id",
            "m",
            "--data",
            "data",
        ][..],
        &["export", "--data", "data"],
        &["verify", "--data", "data"],
    ] {
        fieldstation(server.directory().path(), arguments)
            .with_code(3)
            .says("in use by another fieldstation");
    }
}

#[test]
fn readings_that_the_server_refuses_are_all_named() {
    let server = Server::with_args(&["--sensors-max", "3"]);
    let mut text = "sensor,time,temp\n".to_owned();
    for row in 0..500 {
        text.push_str(&format!(
            "s{},2026-11-20T13:00:{:02}Z,1\n",
            row / 2,
            row % 60
        ));
    }
    fs::write(server.directory().path().join("many.csv"), text).unwrap();
    let arguments = ["many.csv", "--json", "--rejects", "rejects.csv"];
    let ended = run(&server, "import", &arguments).with_code(1);
    assert_eq!(counts(&ended.json()), [6, 0, 0, 494]);
    let rejects = fs::read_to_string(server.directory().path().join("rejects.csv")).unwrap();
    let lines: Vec<usize> = rejects
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(1).unwrap().parse().unwrap())
        .collect();
    assert_eq!(lines, (8..=501).collect::<Vec<_>>());
}

#[test]
fn a_server_is_healthy_until_the_server_ends() {
    let mut server = Server::start();
    run(&server, "healthcheck", &[]).with_code(0);
    server.kill9();
    run(&server, "healthcheck", &["--timeout-seconds", "1"]).with_code(1);
}

#[test]
fn a_simulation_proves_the_server() {
    let server = Server::start();
    let arguments = [
        "--sensors",
        "20",
        "--rate",
        "1000",
        "--duration",
        "2s",
        "--late",
        "10",
        "--repeated",
        "10",
        "--corrected",
        "10",
        "--json",
    ];
    let report = run(&server, "simulate", &arguments).with_code(0).json();
    assert_eq!(report["proven"], true);
    assert_eq!(report["sensorsCompared"], 20);
    assert_eq!(report["readingsCompared"], report["readings"]);
    assert!(report["readings"].as_u64().unwrap() > 200, "{report:#}");
}

#[test]
fn a_simulation_proves_a_server_that_is_killed_in_between() {
    let mut server = Server::start();
    let (url, directory) = (server.url(), tempfile::tempdir().unwrap());
    let report = thread::scope(|scope| {
        let simulation = scope.spawn(|| {
            let arguments = [
                "simulate",
                "--url",
                &url,
                "--sensors",
                "20",
                "--rate",
                "500",
                "--duration",
                "3s",
                "--late",
                "10",
                "--repeated",
                "10",
                "--corrected",
                "10",
                "--json",
            ];
            fieldstation(directory.path(), &arguments)
                .with_code(0)
                .json()
        });
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(600));
            server.restart_in_place();
        }
        simulation.join().unwrap()
    });
    assert_eq!(report["proven"], true);
    assert!(report["retried"].as_u64().unwrap() > 0, "{report:#}");
}

#[test]
fn a_simulation_notices_a_reading_of_somebody_else() {
    let server = Server::start();
    let url = server.url();
    let report = thread::scope(|scope| {
        let simulation = scope.spawn(|| {
            let arguments = [
                "simulate",
                "--url",
                &url,
                "--prefix",
                "p-",
                "--sensors",
                "5",
                "--rate",
                "100",
                "--duration",
                "3s",
                "--json",
            ];
            fieldstation(server.directory().path(), &arguments).with_code(1)
        });
        thread::sleep(Duration::from_secs(1));
        let alien = json!({
            "sensorId": "p-3", "timestamp": "2001-01-01T00:00:00Z", "temperature": 0
        });
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("alien.ndjson"), alien.to_string()).unwrap();
        let arguments = ["import", "--url", &url, "alien.ndjson"];
        fieldstation(directory.path(), &arguments).with_code(0);
        simulation.join().unwrap()
    });
    report.says("the server differs from the recount");
    let report = report.json();
    assert_eq!(report["proven"], false);
    let differences = report["differences"].to_string();
    assert!(differences.contains("p-3: count is"), "{differences}");
    assert!(
        differences.contains("2001-01-01T00:00:00Z"),
        "{differences}"
    );
}
