//! `fieldstation simulate`: proves the counts of a correct server, and detects every misbehavior.

use super::misbehaving_server::{MisbehavingServer, Misbehavior};
use super::{Ended, fieldstation};

fn simulate(misbehavior: Misbehavior, arguments: &[&str]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let server = MisbehavingServer::start(misbehavior);
    let url = server.url();
    let mut all = vec!["simulate", "--url", &url, "--json", "--sensors", "20"];
    all.extend(arguments);
    fieldstation(directory.path(), &all)
}

/// Late, repeated and corrected readings are frequent.
const UNRULY: [&str; 10] = [
    "--rate",
    "2000",
    "--duration",
    "1s",
    "--late",
    "20",
    "--repeated",
    "20",
    "--corrected",
    "20",
];

#[test]
fn a_correct_server_is_proven() {
    let report = simulate(Misbehavior::Nothing, &UNRULY).with_code(0).json();
    assert_eq!(report["proven"], true);
    assert_eq!(report["sensorsCompared"], 20);
    assert_eq!(report["readingsCompared"], report["readings"]);
    for name in [
        "readings",
        "acknowledged",
        "late",
        "repeated",
        "corrected",
        "requests",
    ] {
        assert!(report[name].as_u64().unwrap() > 50, "{name}: {report:#}");
    }
    let acknowledged = report["acknowledged"].as_u64().unwrap();
    let again = report["repeated"].as_u64().unwrap() + report["corrected"].as_u64().unwrap();
    assert_eq!(acknowledged, report["readings"].as_u64().unwrap() + again);
}

#[test]
fn a_busy_server_is_proven_with_retries() {
    let report = simulate(
        Misbehavior::IsBusy,
        &["--rate", "200", "--duration", "1s", "--corrected", "30"],
    )
    .with_code(0)
    .json();
    assert_eq!(report["proven"], true);
    assert!(report["retried"].as_u64().unwrap() > 10, "{report:#}");
}

#[test]
fn every_misbehavior_is_detected() {
    for misbehavior in [
        Misbehavior::Loses,
        Misbehavior::CountsTwice,
        Misbehavior::KeepsTheFirst,
        Misbehavior::RoundsWrongly,
        Misbehavior::CutsTheExport,
        Misbehavior::ClosesWindows,
    ] {
        let ended = simulate(misbehavior, &UNRULY);
        assert_eq!(ended.code, Some(1), "{misbehavior:?}: {ended:#?}");
        ended.says("the server differs from the recount");
        let report = ended.json();
        assert_eq!(report["proven"], false, "{misbehavior:?}");
        assert!(
            report["differenceCount"].as_u64().unwrap() > 0,
            "{misbehavior:?}"
        );
        assert_ne!(
            report["differences"].as_array().unwrap().len(),
            0,
            "{misbehavior:?}"
        );
    }
}

#[test]
fn the_same_prefix_is_not_used_twice() {
    let directory = tempfile::tempdir().unwrap();
    let server = MisbehavingServer::start(Misbehavior::Nothing);
    let url = server.url();
    let arguments = [
        "simulate",
        "--url",
        &url,
        "--prefix",
        "p-",
        "--duration",
        "300ms",
        "--seed",
        "7",
    ];
    let ended = fieldstation(directory.path(), &arguments).with_code(0);
    assert!(ended.stdout.contains("PROVEN"), "{ended:#?}");
    fieldstation(directory.path(), &arguments)
        .with_code(1)
        .says("choose another --prefix");
}

#[test]
fn bad_usage_is_2() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["simulate", "--duration", "soon"][..],
        &["simulate", "--late", "101"],
        &["simulate", "--sensors", "0"],
        &["simulate", "--sensors", "1", "--rate", "1000001"],
        &["simulate", "--prefix", "\u{1}"],
    ] {
        fieldstation(directory.path(), arguments).with_code(2);
    }
}
