//! Where a server under test keeps files, so that what goes wrong with one is tried with every other as well.

use std::fs;
#[cfg(feature = "cloud")]
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "cloud")]
use super::{AgeingProxy, S3Server};
use super::{Random, Server};

/// A place for files, for one server at a time, with a look at what is really there.
pub trait FilePlace {
    /// The largest of [`FilePlace::any_size`].
    const SIZE_MAX: usize;
    /// Time enough for a server to take some files of any size from several clients.
    const SOME_FILES: Duration;
    /// Whether what a killed server leaves goes when the next one starts, and nothing that it began can happen after that.
    const SETTLES_AT_THE_START: bool;

    /// An empty place.
    fn empty() -> Self;

    /// A server that keeps its files here.
    fn start(&self) -> Server;

    /// A length of a file, such that all the ways that files take into this place are taken.
    fn any_size(random: &mut Random) -> usize;

    /// Everything that holds bytes of files, complete or not, and whatever else should not be there.
    fn blobs(&self, server: &Server) -> Vec<String>;

    /// How many files are there in pieces: on their way, or left so by a server that was killed.
    async fn in_pieces(&self, server: &Server) -> usize;

    /// Starts the server again when everything that is there now has become old.
    fn restart_much_later(&self, server: Server) -> Server;
}

/// Waits until there are more files in pieces than `before`, but not for ever.
pub async fn more_in_pieces(place: &impl FilePlace, server: &Server, before: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while place.in_pieces(server).await <= before && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until what is there is so many files and nothing else: what is not needed goes a moment later.
pub async fn settles_at(place: &impl FilePlace, server: &Server, files: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let blobs = place.blobs(server);
        if blobs.len() == files {
            return;
        }
        assert!(Instant::now() < deadline, "{files} files are {blobs:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The data directory.
pub struct FolderPlace;

impl FilePlace for FolderPlace {
    const SIZE_MAX: usize = 700_000;
    const SOME_FILES: Duration = Duration::from_millis(400);
    const SETTLES_AT_THE_START: bool = true;

    fn empty() -> Self {
        Self
    }

    fn start(&self) -> Server {
        Server::start()
    }

    fn any_size(random: &mut Random) -> usize {
        1 + random.below(Self::SIZE_MAX as u64) as usize
    }

    fn blobs(&self, server: &Server) -> Vec<String> {
        fs::read_dir(server.data().join("files"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    async fn in_pieces(&self, server: &Server) -> usize {
        let mut blobs = self.blobs(server);
        blobs.retain(|name| name.ends_with(".part"));
        blobs.len()
    }

    fn restart_much_later(&self, server: Server) -> Server {
        server.restart()
    }
}

/// A bucket.
#[cfg(feature = "cloud")]
pub struct S3Place {
    s3: Arc<S3Server>,
    later: AgeingProxy,
}

/// What S3 takes in one request; what is larger goes there in parts of this size. S3 takes no smaller ones.
#[cfg(feature = "cloud")]
const PART_BYTES: usize = 5 << 20;

#[cfg(feature = "cloud")]
impl FilePlace for S3Place {
    /// Three parts.
    const SIZE_MAX: usize = 11 << 20;
    const SOME_FILES: Duration = Duration::from_millis(1500);
    /// Others may be at work in the bucket, so what is young stays; and S3 may do later what it was asked to before.
    const SETTLES_AT_THE_START: bool = false;

    fn empty() -> Self {
        let s3 = Arc::new(S3Server::start());
        let later = AgeingProxy::start(s3.address());
        Self { s3, later }
    }

    fn start(&self) -> Server {
        Server::with_args(&["--files", &self.s3.url()])
    }

    /// Most in one request, some in two or three parts.
    fn any_size(random: &mut Random) -> usize {
        let (above, up_to) = if !random.one_in(4) {
            (0, FolderPlace::SIZE_MAX)
        } else {
            (PART_BYTES, Self::SIZE_MAX)
        };
        above + 1 + random.below((up_to - above) as u64) as usize
    }

    fn blobs(&self, _: &Server) -> Vec<String> {
        let mut blobs = self.s3.keys();
        blobs.retain(|key| !key.starts_with("some/place/index/"));
        blobs.extend(self.s3.unfinished());
        blobs
    }

    async fn in_pieces(&self, _: &Server) -> usize {
        let s3 = Arc::clone(&self.s3);
        // Whoever sends files meanwhile is not to wait for it.
        let uploads = tokio::task::spawn_blocking(move || s3.unfinished().len());
        uploads.await.unwrap()
    }

    /// A server removes the blobs; uploads that are open are for a lifecycle rule of the bucket to end.
    fn restart_much_later(&self, server: Server) -> Server {
        let ended = self.s3.end_unfinished();
        println!("{ended} uploads in parts were left open");
        server.restart_with(&["--files", &S3Server::url_at(self.later.address())])
    }
}
