//! The disk below a directory: how much room it has, what is said when there is none, and what is held in reserve for then.
//!
//! A disk is full from the write that finds no room, or from the look that finds next to none, until the reserve is whole again
//! and there is some room beside it. Meanwhile what would add something is refused before it is tried; what removes something may
//! take from the reserve.

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

/// A file that is made to find out whether there is room, and removed at once.
pub(crate) const PROBE_FILE: &str = "reserve.probe";

/// The largest reserve: room for the write-ahead log of the readings between two checkpoints.
const RESERVE_BYTES_MAX: u64 = 16 << 20;
const RESERVE_BYTES_MIN: u64 = 256 << 10;
/// A smaller disk has no reserve.
const DISK_BYTES_MIN: u64 = 8 << 20;

/// What is given back of the reserve at a time. Somebody else who writes to the same disk gets no more of it than that.
const STEP_BYTES_MIN: u64 = 64 << 10;

/// With less room than this, or less than a twentieth of the disk, there is a warning.
const LOW_BYTES_MAX: u64 = 1 << 30;

/// How long a full disk lasts until the log says it again.
const REMINDER: Duration = Duration::from_secs(60);

/// The disk that a directory is on.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
    /// What the directory is, for people.
    role: &'static str,
    /// Where the disk is mounted, and which one it is.
    name: String,
    marks: Marks,
    reserve: Mutex<Reserve>,
    is_full: AtomicBool,
    free_bytes: AtomicU64,
    /// While it is full: when the log said so last.
    told: Mutex<Option<Instant>>,
}

/// Amounts that depend on the size of the disk.
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
    /// The disk of a directory, which `role` names for people. `with_reserve` says whether a part of it is held back in that
    /// directory. Nothing is written before the first [`Self::look`].
    pub(crate) fn of(directory: &Path, role: &'static str, with_reserve: bool) -> Self {
        let space = Space::of(directory).unwrap_or(Space::UNKNOWN);
        let marks = Marks::of(space.total_bytes);
        let wanted_bytes = if with_reserve { marks.reserve_bytes } else { 0 };
        if with_reserve {
            // What a killed process may have left, usually nothing.
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
            told: Mutex::default(),
        };
        // The first look says so in the log, once, however often a start is tried.
        let is_full = space.free_bytes < marks.full_bytes;
        disk.is_full.store(is_full, Ordering::Release);
        disk
    }

    /// Whether something may be added.
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

    /// How much room there was at the last look.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    fn is_low(&self) -> bool {
        self.free_bytes() < self.marks.low_bytes
    }

    /// What an operator should know before the disk is full.
    pub(crate) fn warning(&self) -> Option<String> {
        if self.is_full() || !self.is_low() {
            return None;
        }
        Some(format!(
            "the disk is nearly full: {} are free on {}, where {} {} is; below {} everything that adds something is refused. \
             Make room there: remove files, or enlarge the disk",
            bytes(self.free_bytes()),
            self.name,
            self.role,
            self.directory.display(),
            bytes(self.marks.full_bytes),
        ))
    }

    /// What is said to whoever wants to add something.
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

    /// What is said of a file that finds no room, which says nothing of smaller ones: it goes away again.
    pub(crate) fn too_little(&self) -> StoreError {
        self.note_space();
        self.full()
    }

    /// A write found no room: from now on the disk is full.
    pub(crate) fn ran_out(&self) -> StoreError {
        self.note_space();
        self.fill_up();
        self.full()
    }

    /// Whether a write fails for lack of room: there is next to none, or the system refuses some. Tries it, since quotas and used
    /// up file numbers show in no figure.
    pub(crate) fn lacks_room(&self) -> bool {
        if self
            .note_space()
            .is_some_and(|space| space.free_bytes < self.marks.full_bytes)
        {
            return true;
        }
        let path = self.directory.join(PROBE_FILE);
        let tried = File::create(&path).and_then(|file| allocate(&file, self.marks.step_bytes));
        // Whatever is left of it is overwritten next time.
        let _ = fs::remove_file(&path);
        tried.is_err_and(|error| is_lack_of_room(&error))
    }

    /// Gives a part of the reserve to whoever needs it now; false when nothing is left of it.
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

    /// Does something that may take from the reserve when there is no room otherwise.
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

    /// Looks how much room there is, fills the reserve up if there is enough, and changes between full and not full. Blocks on the
    /// disk. Wants to be called every second.
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
        // Some room has to be left beside the reserve, so that the next write does not end it at once.
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
            // What cannot be reserved is no reason to refuse anything.
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
            *self.told.lock() = Some(Instant::now());
            self.tell();
        }
    }

    fn remind(&self) {
        let mut told = self.told.lock();
        if told.is_none_or(|told| told.elapsed() >= REMINDER) {
            *told = Some(Instant::now());
            self.tell();
        }
    }

    fn tell(&self) {
        warn!(
            directory = %self.directory.display(),
            disk = self.name,
            free_bytes = self.free_bytes(),
            "the disk is full: writes are refused until there is room"
        );
    }

    fn have_room_again(&self) {
        self.is_full.store(false, Ordering::Release);
        *self.told.lock() = None;
        info!(
            directory = %self.directory.display(),
            disk = self.name,
            free_bytes = self.free_bytes(),
            "the disk has room again: writes are taken"
        );
    }
}

/// Whether the system refused some room: the disk is full, or a quota is used up.
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
