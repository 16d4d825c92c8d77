//! The reserve: a file that occupies a part of the disk. When the disk is full, the reserve is released.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The name of the file in the data directory.
pub(crate) const FILE_NAME: &str = "reserve";

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    wanted_bytes: u64,
    held_bytes: u64,
}

impl Reserve {
    /// The reserve in the state after the last process.
    pub(super) fn find(directory: &Path, wanted_bytes: u64) -> Self {
        let path = directory.join(FILE_NAME);
        // A copy may be a sparse file, and a sparse file occupies no room.
        let held_bytes =
            fs::metadata(&path).map_or(0, |found| found.len().min(found.blocks() * 512));
        Self {
            path,
            wanted_bytes,
            held_bytes,
        }
    }

    /// How many bytes are missing from the reserve.
    pub(super) fn missing_bytes(&self) -> u64 {
        self.wanted_bytes.saturating_sub(self.held_bytes)
    }

    /// Allocates the missing bytes.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if self.missing_bytes() == 0 {
            return Ok(());
        }
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)?;
        match allocate(&file, self.wanted_bytes) {
            Ok(()) => {
                self.held_bytes = self.wanted_bytes;
                Ok(())
            }
            Err(error) => {
                // The system may have allocated a part.
                file.set_len(self.held_bytes)?;
                Err(error)
            }
        }
    }

    /// Releases `step_bytes`, or the rest if the rest is smaller. Returns the number of released bytes.
    pub(super) fn release(&mut self, step_bytes: u64) -> io::Result<u64> {
        let left_bytes = self.held_bytes.saturating_sub(step_bytes);
        let released_bytes = self.held_bytes - left_bytes;
        if released_bytes == 0 {
            return Ok(0);
        }
        if left_bytes == 0 {
            fs::remove_file(&self.path)?;
        } else {
            File::options()
                .write(true)
                .open(&self.path)?
                .set_len(left_bytes)?;
        }
        self.held_bytes = left_bytes;
        Ok(released_bytes)
    }

    /// Gives up the reserve: from now on no bytes are wanted. Returns false if no bytes were wanted before.
    pub(super) fn give_up(&mut self) -> bool {
        std::mem::take(&mut self.wanted_bytes) > 0
    }
}

/// Allocates bytes for a file, from the beginning of the file.
#[cfg(target_os = "linux")]
pub(super) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    let length = i64::try_from(bytes).map_err(io::Error::other)?;
    Ok(nix::fcntl::posix_fallocate(file, 0, length)?)
}

/// Writes the bytes, on systems that cannot allocate bytes for a file.
#[cfg(not(target_os = "linux"))]
pub(super) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let piece = [0x5a; 64 << 10];
    let mut at_byte = 0;
    while at_byte < bytes {
        let length = (bytes - at_byte).min(piece.len() as u64);
        file.write_all_at(piece.get(..length as usize).unwrap_or_default(), at_byte)?;
        at_byte += length;
    }
    Ok(())
}
