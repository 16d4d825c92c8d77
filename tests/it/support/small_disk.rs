//! A data directory on a small disk. A test can fill the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

/// 64 MiB. The server holds 1 MiB of this room in reserve.
pub const DISK_BYTES: u64 = 64 << 20;

/// The file to take the room.
const BALLAST: &str = "ballast";

/// How a disk refuses room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Full,
    /// The disk has room, but the quota of the process is used up.
    Quota,
}

impl Refusal {
    const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quota => "quota",
        }
    }
}

/// A small disk. A process with [`SmallDisk::environment`] finds no more room for files in `data`.
pub struct SmallDisk {
    directory: Arc<TempDir>,
    data: PathBuf,
    tools: TempDir,
    refusal: Refusal,
}

impl SmallDisk {
    pub fn new(refusal: Refusal) -> Self {
        let tools = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/shim/space.c");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(tools.path().join("space.so"))
            .arg(source)
            .args(["-ldl", "-lpthread"])
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "cc: {output}");
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let data = directory.path().canonicalize().unwrap().join("data");
        fs::create_dir(&data).unwrap();
        let disk = Self {
            directory,
            data,
            tools,
            refusal,
        };
        disk.fail_flushes(false);
        disk
    }

    /// The parent of the data directory.
    pub fn directory(&self) -> &Arc<TempDir> {
        &self.directory
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The environment variables of a process on this disk.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", text(&self.tools.path().join("space.so"))),
            ("SPACE_DIRECTORY", text(&self.data)),
            ("SPACE_CONTROL", text(&self.control())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn control(&self) -> PathBuf {
        self.tools.path().join("control")
    }

    fn set_up(&self, how: &str) {
        // The rename lets readers see the old or the new file.
        let new = self.tools.path().join("new");
        fs::write(&new, format!("{DISK_BYTES} {how}")).unwrap();
        fs::rename(&new, self.control()).unwrap();
    }

    /// Makes flushes fail for lack of room, although the writes found room; or makes them succeed again.
    pub fn fail_flushes(&self, fail: bool) {
        self.set_up(if fail { "flush" } else { self.refusal.word() });
    }

    /// Takes all room except this number of bytes.
    pub fn fill(&self, free_bytes: u64) {
        self.make_room();
        let taken = DISK_BYTES - free_bytes - used_bytes(&self.data);
        let ballast = fs::File::create(self.data.join(BALLAST)).unwrap();
        ballast.set_len(taken / 4096 * 4096).unwrap();
    }

    /// Releases the room.
    pub fn make_room(&self) {
        // The file may not exist.
        let _ = fs::remove_file(self.data.join(BALLAST));
    }
}

/// The used bytes, in complete blocks.
fn used_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            // The file may have been removed meanwhile.
            match entry.metadata() {
                Ok(found) if found.is_dir() => used_bytes(&entry.path()),
                Ok(found) => found.len().next_multiple_of(4096),
                Err(_) => 0,
            }
        })
        .sum()
}
