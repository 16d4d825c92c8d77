//! `kill -9` during uploads: each device has the complete old or new file, no acknowledged file is lost, and leftovers are
//! removed when they are old enough.

use futures_util::future;

#[cfg(feature = "cloud")]
use crate::support::S3Storage;
use crate::support::{
    Answer, Client, FileBytes, FileStorage, FolderStorage, Random, Server, wait_for_files,
    wait_for_partial_files,
};

const DEVICES: usize = 8;

/// The possible lengths of the file of a device.
#[derive(Default)]
struct Sent {
    acknowledged: Option<usize>,
    /// Lengths of files from uploads with an unknown outcome.
    under_way: Vec<usize>,
}

async fn every_file_is_whole_after_every_kill<P: FileStorage>() {
    let mut random = super::random();
    let place = P::empty();
    let mut server = place.start();
    let bytes = FileBytes::up_to(P::SIZE_MAX);
    let mut sent: [Sent; DEVICES] = Default::default();
    let mut acknowledged = Vec::new();
    for _ in 0..super::kills() {
        let kill_after = P::SOME_FILES.mul_f64(random.below(1001) as f64 / 1000.0);
        let client = server.client();
        let senders = sent.iter_mut().enumerate().map(|(device, sent)| {
            let random = Random::new(random.number());
            send_until_killed::<P>(&client, device, sent, random, &bytes)
        });
        let senders = future::join_all(senders);
        let while_in_pieces = random.one_in(2);
        let before = place.partial_files(&server).await;
        let killing = async {
            if while_in_pieces {
                wait_for_partial_files(&place, &server, before).await;
            }
            // The time is random on purpose: the kill interrupts whatever the server does.
            tokio::time::sleep(kill_after).await;
            server.kill9();
        };
        let (ended, ()) = future::join(senders, killing).await;
        acknowledged.extend(ended.into_iter().flatten());
        server = server.restart();
        let devices = audit::<P>(&server, &mut sent, &bytes).await;
        if P::SETTLES_AT_THE_START {
            wait_for_files(&place, &server, devices).await;
        }
    }
    println!(
        "{} files acknowledged, the largest of {} bytes",
        acknowledged.len(),
        acknowledged.iter().max().unwrap_or(&0)
    );
    assert!(
        !acknowledged.is_empty(),
        "nothing was ever acknowledged, so nothing was tested"
    );
    println!("{} blobs are there", place.blobs(&server).len());
    let server = place.restart_a_day_later(server);
    let devices = audit::<P>(&server, &mut sent, &bytes).await;
    wait_for_files(&place, &server, devices).await;
    audit::<P>(&server, &mut sent, &bytes).await;
}

/// Sends files in order until the server is gone. Returns the lengths of the acknowledged files.
async fn send_until_killed<P: FileStorage>(
    client: &Client,
    device: usize,
    sent: &mut Sent,
    mut random: Random,
    bytes: &FileBytes,
) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    loop {
        let size = P::any_size(&mut random);
        sent.under_way.push(size);
        let request = client.request("PUT", &format!("/api/devices/{device}"));
        match Answer::try_to(request.body(bytes.of(size))).await {
            Ok(answer) if answer.status == 200 => {
                acknowledged.push(size);
                // An earlier unanswered upload can no longer take effect: the file before this upload is gone.
                *sent = Sent {
                    acknowledged: Some(size),
                    under_way: Vec::new(),
                };
            }
            // Overload, or S3 is unavailable: the outcome is unknown, as without an answer.
            Ok(answer) => {
                answer.with_status(503);
                return acknowledged;
            }
            Err(_) => return acknowledged,
        }
    }
}

/// Checks the file of every device. Returns how many devices have a file.
async fn audit<P: FileStorage>(server: &Server, sent: &mut [Sent], bytes: &FileBytes) -> usize {
    let client = server.client();
    let devices = client.devices().await;
    for (device, sent) in sent.iter_mut().enumerate() {
        let device = device.to_string();
        let mut found = None;
        if devices.contains(&device) {
            let file = client.file(&device).await;
            assert!(file == bytes.of(file.len()), "the file of {device} is torn");
            found = Some(file.len());
        }
        let is_new = found.is_some_and(|size| sent.under_way.contains(&size));
        assert!(
            is_new || found == sent.acknowledged,
            "{device} has {found:?}, and should have {:?} or one of {:?}",
            sent.acknowledged,
            sent.under_way
        );
        sent.acknowledged = found;
        if is_new || P::SETTLES_AT_THE_START {
            sent.under_way.clear();
        }
    }
    devices.len()
}

#[tokio::test]
async fn every_file_in_the_folder_is_whole_after_every_kill() {
    every_file_is_whole_after_every_kill::<FolderStorage>().await;
}

#[cfg(feature = "cloud")]
#[tokio::test]
async fn every_file_in_s3_is_whole_after_every_kill() {
    every_file_is_whole_after_every_kill::<S3Storage>().await;
}
