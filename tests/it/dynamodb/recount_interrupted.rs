//! Recounts while servers or other programs write, and killed recounts.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fieldstation::error::StoreErrorKind;
use fieldstation::readings::dynamodb::{DynamoStore, Pass, RecountReport, recount};
use fieldstation::readings::{ReadingStore, RecordMode};

use super::existing::client;
use super::older_data::{canonical, everything, fill, item, number};
use super::recount::{BEGIN, KINDS, as_stored, assert_counted, random_items, recounted, tables};
use super::{assert_consistent, credentials, location, options};
use crate::conformance::oracle::batch;
use crate::support::{DynamoKind, DynamoServer, Random, setting};

/// Runs `meanwhile` once on another thread when a recount reaches a pass. The recount waits for the end of `meanwhile`.
async fn recount_with(
    dynamo: &DynamoServer,
    at: Pass,
    meanwhile: impl Future<Output = ()> + Send + 'static,
) -> Result<RecountReport, fieldstation::error::StoreError> {
    let meanwhile = parking_lot::Mutex::new(Some(meanwhile));
    recount(
        &location(&dynamo.url()),
        Some(&credentials()),
        false,
        &|pass, _| {
            if pass == at
                && let Some(work) = meanwhile.lock().take()
            {
                let work = std::thread::spawn(|| {
                    let mut runtime = tokio::runtime::Builder::new_current_thread();
                    runtime.enable_all().build().unwrap().block_on(work);
                });
                work.join().unwrap();
            }
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_program_that_writes_meanwhile_is_noticed_and_the_statistics_stay_closed() {
    let (dynamo, direct, table) = tables(DynamoKind::Dynoxide).await;
    let at = |n: i64| canonical(BEGIN + n * 1_000_000).replace('T', " ") + "+00:00";
    let items = (0..50).map(|n| item("s", &at(n), number("5")));
    fill(&direct, &table, items.collect()).await;
    for (round, pass) in [Pass::Respell, Pass::Count].into_iter().enumerate() {
        let (client, table) = (client(&dynamo), table.clone());
        let late = item("t", &canonical(BEGIN + round as i64), number("7"));
        let spelled = item("s", &at(1_000 + round as i64), number("5"));
        let writing = async move { fill(&client, &table, vec![late, spelled]).await };
        let error = recount_with(&dynamo, pass, writing).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged);
        assert!(error.message().contains("another program"), "{error}");
        let refused = DynamoStore::open(&location(&dynamo.url()), options()).await;
        let refused = refused.err().unwrap();
        assert!(refused.message().contains("recount"), "{refused}");
    }
    let report = recounted(&dynamo).await;
    assert_eq!((report.stats.count(), report.sensors), (54, 2));
    assert_consistent(&dynamo.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_writes_while_everything_is_read_is_counted_too() {
    let (dynamo, direct, table) = tables(DynamoKind::Dynoxide).await;
    let location = location(&dynamo.url());
    let store = DynamoStore::open(&location, options()).await.unwrap();
    let record = |n| batch([("s", BEGIN + n, 5_000_000)]);
    let recorded = store.record(record(0), RecordMode::AllOrNothing).await;
    recorded.unwrap();
    fill(
        &direct,
        &table,
        vec![item("s", "2021-11-26 20:00:00+00:00", number("7"))],
    )
    .await;
    let late = record(1);
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let writing = async move {
        let written = store.record(late, RecordMode::AllOrNothing).await;
        sender.send((written, store)).unwrap();
    };
    let report = recount_with(&dynamo, Pass::Examine, writing).await.unwrap();
    assert_eq!((report.stats.count(), report.rewritten), (3, 1));
    let (written, store) = receiver.recv().unwrap();
    assert_eq!(written.unwrap().recorded, 1);
    store.close().await.unwrap();
    assert_consistent(&dynamo.url()).await;
}

/// A recount as a process.
fn begin(url: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_fieldstation"))
        .args(["dynamodb", "recount", "--readings", url])
        .env_clear()
        .envs([
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_recount_that_is_killed_at_any_moment_is_right_when_it_is_run_again() {
    let seed = setting("FIELDSTATION_RECOUNT_SEED").unwrap_or_else(Random::any_seed);
    println!("FIELDSTATION_RECOUNT_SEED={seed}");
    for kind in KINDS {
        let mut random = Random::new(seed);
        let (dynamo, client, table) = tables(kind).await;
        let (items, mut naive, _) = random_items(&mut random, 2_500, 1_500);
        fill(&client, &table, items).await;
        as_stored(&mut naive, &everything(&client, &table).await);
        let url = dynamo.url();
        // The test measures how long a recount takes on this machine.
        let (mut kills, mut longest) = (0, Duration::from_millis(1_500));
        while kills < setting("FIELDSTATION_RECOUNT_KILLS").unwrap_or(8) {
            let started = Instant::now();
            let mut recount = begin(&url);
            let delay = longest.mul_f64(random.below(1_000) as f64 / 1_000.0);
            tokio::time::sleep(delay).await;
            if let Some(status) = recount.try_wait().unwrap() {
                assert!(status.success());
                longest = longest.min(started.elapsed());
            }
            recount.kill().unwrap();
            recount.wait().unwrap();
            kills += 1;
            // Each reading exists once, in the old or the new spelling.
            let there = everything(&client, &table).await.len();
            assert!(there >= naive.0.len(), "{there}");
        }
        let status = begin(&url).wait().unwrap();
        assert!(status.success());
        assert_counted(&dynamo, &client, &table, &naive).await;
    }
}
