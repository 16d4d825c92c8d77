//! The storage of the device files of a server under test. A scenario of failures runs with each storage.

use std::fs;
#[cfg(feature = "cloud")]
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "cloud")]
use super::{AgeingProxy, S3Server};
use super::{Random, Server};

/// A storage of files for one server at a time. Tests can look at the content of the storage.
pub trait FileStorage {
    /// The largest of [`FileStorage::any_size`].
    const SIZE_MAX: usize;
    /// The time for a server to receive several files of any size from several clients.
    const SOME_FILES: Duration;
    /// Whether the next start removes the leftover files of a killed server, and no request of the killed server can take effect later.
    const SETTLES_AT_THE_START: bool;

    /// An empty storage.
    fn empty() -> Self;

    /// Starts a server with this storage.
    fn start(&self) -> Server;

    /// A random length. All ways to store a file in this storage occur.
    fn any_size(random: &mut Random) -> usize;

    /// All objects with bytes of files, complete or not, and all objects without a purpose.
    fn blobs(&self, server: &Server) -> Vec<String>;

    /// The number of incomplete files: under way, or left by a killed server.
    async fn partial_files(&self, server: &Server) -> usize;

    /// Starts the server again. For the new server all objects are old.
    fn restart_a_day_later(&self, server: Server) -> Server;
}

/// Waits until more files than `before` are not complete, 20 seconds at most.
pub async fn wait_for_partial_files(storage: &impl FileStorage, server: &Server, before: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while storage.partial_files(server).await <= before && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until the storage holds this number of files and nothing else. The server removes unneeded objects a little later.
pub async fn wait_for_files(storage: &impl FileStorage, server: &Server, files: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let blobs = storage.blobs(server);
        if blobs.len() == files {
            return;
        }
        assert!(Instant::now() < deadline, "{files} files are {blobs:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The data directory.
pub struct FolderStorage;

impl FileStorage for FolderStorage {
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

    async fn partial_files(&self, server: &Server) -> usize {
        let mut blobs = self.blobs(server);
        blobs.retain(|name| name.ends_with(".part"));
        blobs.len()
    }

    fn restart_a_day_later(&self, server: Server) -> Server {
        server.restart()
    }
}

/// A bucket.
#[cfg(feature = "cloud")]
pub struct S3Storage {
    s3: Arc<S3Server>,
    later: AgeingProxy,
}

/// The largest file for a single request. A larger file is sent in parts of this size, the smallest size allowed by S3.
#[cfg(feature = "cloud")]
const PART_BYTES: usize = 5 << 20;

#[cfg(feature = "cloud")]
impl FileStorage for S3Storage {
    /// Three parts.
    const SIZE_MAX: usize = 11 << 20;
    const SOME_FILES: Duration = Duration::from_millis(1500);
    /// Young objects stay, because another replica may need them. S3 may execute a request of the killed server later.
    const SETTLES_AT_THE_START: bool = false;

    fn empty() -> Self {
        let s3 = Arc::new(S3Server::start());
        let later = AgeingProxy::start(s3.address());
        Self { s3, later }
    }

    fn start(&self) -> Server {
        Server::with_args(&["--files", &self.s3.url()])
    }

    /// Most files are sent in a single request, the others in two or three parts.
    fn any_size(random: &mut Random) -> usize {
        let (above, up_to) = if !random.one_in(4) {
            (0, FolderStorage::SIZE_MAX)
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

    async fn partial_files(&self, _: &Server) -> usize {
        let s3 = Arc::clone(&self.s3);
        // This call blocks, and must not delay the tasks that send files.
        let uploads = tokio::task::spawn_blocking(move || s3.unfinished().len());
        uploads.await.unwrap()
    }

    /// A server removes the blobs. A lifecycle rule of the bucket ends open uploads.
    fn restart_a_day_later(&self, server: Server) -> Server {
        let ended = self.s3.end_unfinished();
        println!("{ended} uploads in parts were left open");
        server.restart_with(&["--files", &S3Server::url_at(self.later.address())])
    }
}
