//! `kill -9` of a backup, and of the server before a backup.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{back_up, names, restore, verified, with_readings};
use crate::support::{Random, Server, lines, random_bytes};

#[test]
fn a_backup_that_is_killed_leaves_none() {
    let seed = Random::any_seed();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let directory = with_readings(100_000);
    let path = directory.path();
    let mut completed = 0;
    for round in 0..20 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fieldstation"))
            .args(["backup", "--data", "data", "--to", "backup"])
            .current_dir(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The test needs a random time, and any state of the process is fine.
        thread::sleep(Duration::from_micros(random.below(400_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        if !path.join("backup").exists() {
            continue;
        }
        completed += 1;
        let restored = format!("restored-{round}");
        restore(path, "backup", &restored).with_code(0);
        assert_eq!(verified(path, &restored)["readings"], 100_000);
        fs::remove_dir_all(path.join("backup")).unwrap();
        fs::remove_dir_all(path.join(restored)).unwrap();
    }
    println!("{completed} of 20 were done before they were killed");
    // The next backup removes the files of the killed backups, and is complete.
    back_up(path, "backup").with_code(0);
    assert_eq!(names(path), ["backup", "data"]);
    restore(path, "backup", "restored").with_code(0);
    assert_eq!(verified(path, "restored")["readings"], 100_000);
}

#[tokio::test]
async fn what_a_killed_server_had_acknowledged_is_backed_up() {
    let mut server = Server::start();
    let client = server.client();
    client.store(lines("a", 1_000)).await;
    let sent = client.send_file("202", random_bytes(70_000)).await;
    sent.with_status(200);
    let path = server.directory().path().to_owned();
    server.kill9();
    back_up(&path, "backup").with_code(0);
    restore(&path, "backup", "restored").with_code(0);
    assert_eq!(verified(&path, "restored")["readings"], 1_000);
    assert_eq!(names(&path.join("restored/files")).len(), 1);
    // The data directory is unchanged.
    assert_eq!(verified(&path, "data")["readings"], 1_000);
}
