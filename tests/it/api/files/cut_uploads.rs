//! Uploads cut off anywhere in the body: the server never serves a part of a file, and leaves nothing behind.

#[cfg(feature = "cloud")]
use std::time::{Duration, Instant};

use futures_util::future;

use crate::support::{
    BOUNDARY, Client, FileBytes, FileStorage, FolderStorage, Random, Raw, Server, form,
    wait_for_files,
};
#[cfg(feature = "cloud")]
use crate::support::{Fault, FaultProxy, S3Server, S3Storage, random_bytes};

const CUTS: u64 = 1000;
const AT_ONCE: u64 = 8;
/// The number of cuts before each check of the state.
const CUTS_A_LOOK: u64 = 10;

const BEFORE_BYTES: usize = 10_000;

/// Cuts uploads at different points, for a device with a file and for a device without.
async fn cut_uploads_leave_nothing<P: FileStorage>() {
    let place = P::empty();
    let server = place.start();
    let client = server.client();
    let bytes = FileBytes::up_to(P::SIZE_MAX);
    for number in 0..AT_ONCE {
        let before = bytes.of(BEFORE_BYTES);
        let answer = client.send_file(&format!("old-{number}"), before).await;
        answer.with_status(200);
    }
    let seed = Random::any_seed();
    println!("seed {seed}");
    let mut seeds = Random::new(seed);
    let cutting = (0..AT_ONCE).map(|number| {
        let mut random = Random::new(seeds.number());
        let (server, client, bytes) = (&server, &client, &bytes);
        async move {
            for cut in 0..CUTS / AT_ONCE {
                let kind = ["old", "new"][random.below(2) as usize];
                let device = format!("{kind}-{number}");
                let size = P::any_size(&mut random);
                cut_one(server, &device, &bytes.of(size), &mut random).await;
                if cut % CUTS_A_LOOK == 0 {
                    nothing_is_seen(client, number, bytes).await;
                }
            }
        }
    });
    future::join_all(cutting).await;
    wait_for_files(&place, &server, AT_ONCE as usize).await;
    for number in 0..AT_ONCE {
        nothing_is_seen(&client, number, &bytes).await;
    }
}

async fn cut_one(server: &Server, device: &str, bytes: &[u8], random: &mut Random) {
    let (kind, body) = if random.one_in(2) {
        let kind = format!("Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n");
        (kind, form("file", "a", "a/b", bytes))
    } else {
        (String::new(), bytes.to_vec())
    };
    let whole = body.len() as u64;
    let cut = match random.below(5) {
        0 => 0,
        1 => 1,
        2 => whole / 2,
        3 => whole - 1,
        _ => random.below(whole),
    };
    let head = format!(
        "PUT /api/devices/{device} HTTP/1.1\r\nHost: a\r\n{kind}Content-Length: {whole}\r\n\r\n"
    );
    let mut raw = Raw::connect(server.address()).await;
    raw.send(head).await;
    raw.send(&body[..cut as usize]).await;
}

/// Asserts that the earlier file is the only file.
async fn nothing_is_seen(client: &Client, number: u64, bytes: &FileBytes) {
    let file = client.file(&format!("old-{number}")).await;
    assert!(file == bytes.of(BEFORE_BYTES), "{} bytes", file.len());
    let devices: Vec<_> = (0..AT_ONCE).map(|number| format!("old-{number}")).collect();
    assert_eq!(client.devices().await, devices);
}

#[tokio::test]
async fn uploads_that_are_cut_leave_nothing_in_the_folder() {
    cut_uploads_leave_nothing::<FolderStorage>().await;
}

#[cfg(feature = "cloud")]
#[tokio::test]
async fn uploads_that_are_cut_leave_nothing_in_s3() {
    cut_uploads_leave_nothing::<S3Storage>().await;
}

#[cfg(feature = "cloud")]
#[tokio::test]
async fn an_upload_whose_client_leaves_while_its_parts_are_begun_leaves_nothing_in_s3() {
    let s3 = S3Server::start();
    let proxy = FaultProxy::start(s3.address());
    let server = Server::with_args(&["--files", &S3Server::url_at(proxy.address())]);
    // The check of the bucket has passed.
    server.client().get("/health").await.with_status(200);
    let size = (5 << 20) + 1;
    let head = format!("PUT /api/devices/d HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
    let mut raw = Raw::connect(server.address()).await;
    // The client disconnects when S3 has begun a multipart upload and the server has not received the answer yet.
    proxy.set(Fault::Delay(Duration::from_millis(500)));
    raw.send(head).await;
    raw.send(random_bytes(size)).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while s3.unfinished().is_empty() {
        assert!(Instant::now() < deadline, "nothing is begun");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(raw);
    proxy.set(Fault::None);
    // The whole body had arrived, so the upload may succeed or fail.
    while !s3.unfinished().is_empty() || s3.keys().len() == 1 {
        assert!(
            Instant::now() < deadline,
            "{:?} {:?}",
            s3.keys(),
            s3.unfinished()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
