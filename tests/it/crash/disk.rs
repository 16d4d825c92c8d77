//! A disk refuses a write: the server does not acknowledge the write.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{Answer, Server, lines};

/// 3 MiB, in units of 512 bytes.
const FILE_BLOCKS_MAX: u64 = 6144;

#[tokio::test]
async fn a_write_that_fails_on_disk_is_never_acknowledged() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mut server = Server::with_file_limit(&directory, FILE_BLOCKS_MAX);
    let client = server.client();
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    for n in 0.. {
        assert!(Instant::now() < deadline, "the disk never had enough");
        let batch = lines(&format!("sensor-{n:04}"), 2000);
        let request = client.request("POST", "/api/readings");
        let request = request
            .header("content-type", "application/x-ndjson")
            .body(batch.clone());
        match Answer::try_to(request).await {
            Ok(answer) if answer.status == 200 => acknowledged.push((n, batch)),
            Ok(answer) => {
                assert!(
                    matches!(answer.status, 500 | 503 | 507),
                    "{}",
                    answer.text()
                );
                assert_eq!(
                    answer.header("content-type"),
                    Some("application/problem+json")
                );
                refused += 1;
            }
            Err(error) => assert!(refused > 0, "gone without a word: {error}"),
        }
        // The server answers 503 and stops.
        if refused > 0 && server.has_ended() {
            break;
        }
    }
    assert!(!acknowledged.is_empty());
    let exited = server.wait();
    assert_eq!(exited.code, Some(4), "{}", exited.output);
    assert!(exited.output.contains("readings.db"), "{}", exited.output);

    let server = Server::try_in(&directory, &[]).unwrap();
    let client = server.client();
    let stats = client.stats("").await;
    assert_eq!(stats, r#"{"Maximum":99,"Minimum":0,"Average":49.5}"#);
    let everything = client.everything().await;
    let stored: HashSet<&str> = everything.lines().collect();
    for (n, batch) in &acknowledged {
        assert!(
            batch.lines().all(|line| stored.contains(line)),
            "batch {n} was acknowledged and is not there"
        );
    }
    // A refused write is stored completely or not at all.
    assert_eq!(stored.len() % 2000, 0);
    let data = server.data();
    assert_eq!(server.stop().code, Some(0));
    let report = fieldstation::readings::embedded::verify(&data, &mut |_, _| {}).unwrap();
    assert!(report.is_sound(), "{report:#?}");
}
