//! `fieldstation simulate`: it proves what is true, and finds out every lie.

use super::misbehaving_server::{Lie, Server};
use super::{Ended, fieldstation};

fn simulate(lie: Lie, arguments: &[&str]) -> Ended {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(lie);
    let url = server.url();
    let mut all = vec!["simulate", "--url", &url, "--json", "--sensors", "20"];
    all.extend(arguments);
    fieldstation(directory.path(), &all)
}

/// Everything that can happen to a reading happens often.
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
fn a_right_server_is_proven() {
    let report = simulate(Lie::Nothing, &UNRULY).with_code(0).json();
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
        Lie::IsBusy,
        &["--rate", "200", "--duration", "1s", "--corrected", "30"],
    )
    .with_code(0)
    .json();
    assert_eq!(report["proven"], true);
    assert!(report["retried"].as_u64().unwrap() > 10, "{report:#}");
}

#[test]
fn every_lie_is_found_out() {
    for lie in [
        Lie::Loses,
        Lie::CountsTwice,
        Lie::KeepsTheFirst,
        Lie::RoundsWrongly,
        Lie::CutsTheExport,
        Lie::ClosesWindows,
    ] {
        let ended = simulate(lie, &UNRULY);
        assert_eq!(ended.code, Some(1), "{lie:?}: {ended:#?}");
        ended.says("the server differs from the recount");
        let report = ended.json();
        assert_eq!(report["proven"], false, "{lie:?}");
        assert!(report["differenceCount"].as_u64().unwrap() > 0, "{lie:?}");
        assert_ne!(
            report["differences"].as_array().unwrap().len(),
            0,
            "{lie:?}"
        );
    }
}

#[test]
fn the_same_prefix_is_not_used_twice() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(Lie::Nothing);
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
