//! `kill -9` while files are sent: each device has the whole old file or the whole new one, none that was acknowledged is
//! lost, and what was left over goes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::support::{Answer, Random, Server, random_bytes};

const DEVICES: usize = 8;

/// What a device may have: the last file that was acknowledged, or the one that was on its way.
#[derive(Clone, Copy, Default)]
struct Sent {
    acknowledged: Option<usize>,
    under_way: Option<usize>,
}

#[tokio::test]
async fn every_file_is_whole_after_every_kill() {
    let mut random = super::random();
    let mut server = Server::start();
    let mut sent: HashMap<usize, Sent> = HashMap::new();
    let mut acknowledged = 0;
    for _ in 0..super::kills() {
        let kill_after = Duration::from_millis(random.below(400));
        let client = server.client();
        let writers = (0..DEVICES).map(|device| {
            let client = client.clone();
            let mut random = Random::new(random.number());
            let mut state = sent.get(&device).copied().unwrap_or_default();
            async move {
                let mut count = 0;
                loop {
                    // A length says which bytes they are.
                    let size = 1 + random.below(700_000) as usize;
                    state.under_way = Some(size);
                    let request = client.request("PUT", &format!("/api/devices/{device}"));
                    match Answer::try_to(request.body(random_bytes(size))).await {
                        Ok(answer) if answer.status == 200 => {
                            count += 1;
                            state = Sent {
                                acknowledged: Some(size),
                                under_way: None,
                            };
                        }
                        _ => return (device, state, count),
                    }
                }
            }
        });
        let killing = async {
            // The moment is the point: whatever the server does then is what it is killed in.
            tokio::time::sleep(kill_after).await;
            server.kill9();
        };
        let (ended, ()) =
            futures_util::future::join(futures_util::future::join_all(writers), killing).await;
        for (device, state, count) in ended {
            sent.insert(device, state);
            acknowledged += count;
        }
        server = server.restart();
        audit(&server, &mut sent).await;
    }
    assert!(
        acknowledged > 0,
        "nothing was ever acknowledged, so nothing was tested"
    );
    println!("{acknowledged} files acknowledged");
}

async fn audit(server: &Server, sent: &mut HashMap<usize, Sent>) {
    let client = server.client();
    let devices = client.devices().await;
    for (device, state) in sent.iter_mut() {
        let is_there = devices.contains(&device.to_string());
        assert!(
            is_there || state.acknowledged.is_none(),
            "the file of {device} is lost"
        );
        if !is_there {
            state.under_way = None;
            continue;
        }
        let bytes = client.file(&device.to_string()).await;
        let size = Some(bytes.len());
        assert!(
            size == state.acknowledged || size == state.under_way,
            "{device} has {size:?}"
        );
        assert!(
            bytes == random_bytes(bytes.len()),
            "the file of {device} is torn"
        );
        *state = Sent {
            acknowledged: size,
            under_way: None,
        };
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let files = std::fs::read_dir(server.data().join("files")).unwrap();
        let count = files.count();
        if count == devices.len() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{count} files of {} devices",
            devices.len()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
