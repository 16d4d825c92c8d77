//! The disk of a directory: the free space, the errors of a full disk, and the reserve. The reserve gives room when the disk is full.
//!
//! A disk counts as full after a write found no room, or when the free space is nearly used up. The disk counts as full until the reserve
//! is complete again and there is some room beside the reserve. While the disk is full, writes with new data are refused at once. Writes
//! for removals may take room from the reserve.

mod mount;
mod reserve;
mod space;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{info, warn};

pub(crate) use self::reserve::FILE_NAME as RESERVE_FILE;

use self::reserve::{Reserve, allocate};
use self::space::Space;
use crate::error::{StoreError, StoreErrorKind};
use crate::http::json::grouped;

/// A probe file. The file is created to find out whether there is room, and removed at once.
pub(crate) const PROBE_FILE: &str = "reserve.probe";

/// The largest reserve: room for the write-ahead log of the readings between two checkpoints.
const RESERVE_BYTES_MAX: u64 = 16 << 20;
const RESERVE_BYTES_MIN: u64 = 256 << 10;
/// Smaller disks have no reserve.
const DISK_BYTES_MIN: u64 = 8 << 20;

/// The least size of a part of the reserve. The reserve is released in parts, so that another program on the same disk gets only little of
/// the room.
const STEP_BYTES_MIN: u64 = 64 << 10;

/// With less room than this, or less than a twentieth of the disk, there is a warning.
const LOW_BYTES_MAX: u64 = 1 << 30;

/// After how long the log reports a full disk again.
const REMINDER: Duration = Duration::from_secs(60);

/// The disk of a directory.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
    /// The name of the directory in messages, such as "the data directory".
    role: &'static str,
    /// The mount point and the device.
    name: String,
    marks: Marks,
    reserve: Mutex<Reserve>,
    is_full: AtomicBool,
    free_bytes: AtomicU64,
    /// While the disk is full: the time of the last report in the log.
    reported: Mutex<Option<Instant>>,
}

/// Limits calculated from the size of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks {
    reserve_bytes: u64,
    step_bytes: u64,
    /// With less room than this the disk is full.
    full_bytes: u64,
    /// With less room than this there is a warning.
    low_bytes: u64,
}

impl Marks {
    fn of(disk_bytes: u64) -> Self {
        let reserve_bytes = match disk_bytes {
            0..DISK_BYTES_MIN => 0,
            _ => (disk_bytes / 64).clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX),
        };
        Self {
            reserve_bytes,
            step_bytes: (reserve_bytes / 16).max(STEP_BYTES_MIN),
            full_bytes: reserve_bytes / 16,
            low_bytes: (disk_bytes / 20).min(LOW_BYTES_MAX),
        }
    }
}

impl Disk {
    /// The disk of a directory. Messages call the directory `role`. With `with_reserve` the directory holds the reserve. Nothing is written
    /// before the first [`Self::look`].
    pub(crate) fn of(directory: &Path, role: &'static str, with_reserve: bool) -> Self {
        let space = Space::of(directory).unwrap_or(Space::UNKNOWN);
        let marks = Marks::of(space.total_bytes);
        let wanted_bytes = if with_reserve { marks.reserve_bytes } else { 0 };
        if with_reserve {
            // A killed process may have left the file.
            let _ = fs::remove_file(directory.join(PROBE_FILE));
        }
        let disk = Self {
            directory: directory.to_owned(),
            role,
            name: mount::name_of(directory),
            marks,
            reserve: Mutex::new(Reserve::find(directory, wanted_bytes)),
            is_full: AtomicBool::new(false),
            free_bytes: AtomicU64::new(space.free_bytes),
            reported: Mutex::default(),
        };
        // The first look logs the state. So the log has a single message, even after many attempts to start.
        let is_full = space.free_bytes < marks.full_bytes;
        disk.is_full.store(is_full, Ordering::Release);
        disk
    }

    /// Whether data may be added.
    ///
    /// # Errors
    /// [`StoreErrorKind::StorageFull`] while the disk is full.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.is_full() {
            return Err(self.full());
        }
        Ok(())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    /// The free bytes at the last look.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    fn is_low(&self) -> bool {
        self.free_bytes() < self.marks.low_bytes
    }

    /// A warning for the operator when the disk is nearly full.
    pub(crate) fn warning(&self) -> Option<String> {
        if self.is_full() || !self.is_low() {
            return None;
        }
        Some(format!(
            "the disk is nearly full: {} are free on {}, where {} {} is; below {} every write that adds data is refused. \
             Make room there: remove files, or enlarge the disk",
            bytes(self.free_bytes()),
            self.name,
            self.role,
            self.directory.display(),
            bytes(self.marks.full_bytes),
        ))
    }

    /// The error for a write with new data while the disk is full.
    pub(crate) fn full(&self) -> StoreError {
        let free_bytes = self.free_bytes();
        let why = if free_bytes < self.marks.low_bytes.max(self.marks.full_bytes) {
            format!("the disk is full: {} are free", bytes(free_bytes))
        } else {
            format!(
                "the disk takes no more: {} are free, and a quota or the number of files is used up, or the file is too large",
                bytes(free_bytes)
            )
        };
        StoreError::new(
            StoreErrorKind::StorageFull,
            format!(
                "{why} on {}, where {} {} is; nothing of this was stored. Make room there: remove files, or enlarge the disk \
                 (removing device files and todos works here, too). The server takes writes again by itself",
                self.name,
                self.role,
                self.directory.display()
            ),
        )
    }

    /// The error of a file without room on the disk. Smaller files may still find room, so the disk does not count as full.
    pub(crate) fn too_little(&self) -> StoreError {
        self.note_space();
        self.full()
    }

    /// The error of a write without room on the disk. From now on the disk counts as full.
    pub(crate) fn ran_out(&self) -> StoreError {
        self.note_space();
        self.fill_up();
        self.full()
    }

    /// Whether a write fails for lack of room. Tries to allocate a file, because quotas and a lack of inodes do not show in the free bytes.
    pub(crate) fn lacks_room(&self) -> bool {
        if self
            .note_space()
            .is_some_and(|space| space.free_bytes < self.marks.full_bytes)
        {
            return true;
        }
        let path = self.directory.join(PROBE_FILE);
        let tried = File::create(&path).and_then(|file| allocate(&file, self.marks.step_bytes));
        // If the file stays, the next probe overwrites it.
        let _ = fs::remove_file(&path);
        tried.is_err_and(|error| is_lack_of_room(&error))
    }

    /// Releases a part of the reserve; false when the reserve is empty.
    pub(crate) fn release(&self) -> bool {
        self.fill_up();
        let released = self.reserve.lock().release(self.marks.step_bytes);
        match released {
            Ok(released_bytes) => released_bytes > 0,
            Err(error) => {
                warn!(%error, "cannot give back a part of the reserve");
                false
            }
        }
    }

    /// Runs `work`. While `work` finds no room, releases a part of the reserve and runs `work` again.
    ///
    /// # Errors
    /// Those of `work`.
    pub(crate) fn with_reserve<T>(
        &self,
        mut work: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            match work() {
                Err(error) if error.kind() == StoreErrorKind::StorageFull && self.release() => {}
                done => return done,
            }
        }
    }

    /// Measures the free space, fills the reserve if there is room for the reserve, and changes between full and not full. Blocks. To be
    /// called every second.
    pub(crate) fn look(&self) {
        let Some(space) = self.note_space() else {
            return;
        };
        let was_full = self.is_full();
        if !was_full && space.free_bytes < self.marks.full_bytes {
            self.fill_up();
            return;
        }
        let mut reserve = self.reserve.lock();
        // Room beside the reserve, so that the next write does not fill the disk again at once.
        let beside_bytes = 4 * self.marks.full_bytes;
        if space.free_bytes < reserve.missing_bytes() + beside_bytes {
            drop(reserve);
            if was_full {
                self.remind();
            }
            return;
        }
        let filled = reserve.fill();
        drop(reserve);
        match filled {
            Ok(()) if was_full && !self.lacks_room() => self.have_room_again(),
            Ok(()) => {}
            Err(error) if is_lack_of_room(&error) => {
                if was_full {
                    self.remind();
                }
            }
            // A missing reserve is no reason to refuse writes.
            Err(error) => {
                if self.reserve.lock().give_up() {
                    warn!(%error, "cannot hold a part of the disk in reserve: on a full disk, removing may fail");
                }
            }
        }
    }

    fn note_space(&self) -> Option<Space> {
        let space = Space::of(&self.directory).ok()?;
        self.free_bytes.store(space.free_bytes, Ordering::Relaxed);
        Some(space)
    }

    fn fill_up(&self) {
        if !self.is_full.swap(true, Ordering::AcqRel) {
            *self.reported.lock() = Some(Instant::now());
            self.report();
        }
    }

    fn remind(&self) {
        let mut reported = self.reported.lock();
        if reported.is_none_or(|reported| reported.elapsed() >= REMINDER) {
            *reported = Some(Instant::now());
            self.report();
        }
    }

    fn report(&self) {
        warn!(
            directory = %self.directory.display(),
            disk = self.name,
            free_bytes = self.free_bytes(),
            "the disk is full: writes are refused until there is room"
        );
    }

    fn have_room_again(&self) {
        self.is_full.store(false, Ordering::Release);
        *self.reported.lock() = None;
        info!(
            directory = %self.directory.display(),
            disk = self.name,
            free_bytes = self.free_bytes(),
            "the disk has room again: writes are taken"
        );
    }
}

/// Whether an error means a full disk or a used-up quota.
pub(crate) fn is_lack_of_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn bytes(count: u64) -> String {
    format!("{} bytes", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_small_part_of_any_disk() {
        assert_eq!(Marks::of(4 << 20).reserve_bytes, 0);
        let small = Marks::of(64 << 20);
        assert_eq!((small.reserve_bytes, small.full_bytes), (1 << 20, 64 << 10));
        let large = Marks::of(2 << 40);
        assert_eq!(large.reserve_bytes, RESERVE_BYTES_MAX);
        assert_eq!(large.low_bytes, 1 << 30);
        for shift in 0..50 {
            let marks = Marks::of(1 << shift);
            assert!(marks.reserve_bytes <= (1 << shift) / 32, "{marks:?}");
        }
    }

    #[test]
    fn a_disk_that_is_full_has_room_again_once_the_reserve_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::of(directory.path(), "the data directory", true);
        disk.look();
        let reserve = directory.path().join(RESERVE_FILE);
        let whole_bytes = fs::metadata(&reserve).unwrap().len();
        assert_eq!(whole_bytes, disk.marks.reserve_bytes);
        assert!(disk.check().is_ok());

        let error = disk.ran_out();
        assert_eq!(error.kind(), StoreErrorKind::StorageFull);
        let directory_name = directory.path().display().to_string();
        assert!(error.message().contains(&directory_name), "{error}");
        assert!(disk.check().is_err());
        assert!(disk.release());
        assert!(fs::metadata(&reserve).unwrap().len() < whole_bytes);

        disk.look();
        assert!(disk.check().is_ok());
        assert_eq!(fs::metadata(&reserve).unwrap().len(), whole_bytes);
        assert!(!directory.path().join(PROBE_FILE).exists());
    }

    #[test]
    fn work_without_room_takes_from_the_reserve_until_it_is_used_up() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::of(directory.path(), "the data directory", true);
        disk.look();
        let mut tries = 0;
        let done = disk.with_reserve(|| {
            tries += 1;
            if tries == 3 { Ok(()) } else { Err(disk.full()) }
        });
        assert!(done.is_ok());
        let refused: Result<(), _> = disk.with_reserve(|| Err(disk.full()));
        assert!(refused.is_err());
        assert!(!directory.path().join(RESERVE_FILE).exists());
    }
}
