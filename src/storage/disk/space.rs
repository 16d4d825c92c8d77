//! The free space of a file system.

use std::io;
use std::path::Path;

/// The size of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// The bytes still available to this process.
    pub(super) free_bytes: u64,
    pub(super) total_bytes: u64,
}

impl Space {
    /// The space of a file system that reports no space. The number of free bytes is so large that nothing is refused.
    pub(super) const UNKNOWN: Self = Self {
        free_bytes: u64::MAX,
        total_bytes: 0,
    };

    // Numbers of blocks have fewer bits on some systems.
    #[allow(clippy::useless_conversion)]
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let status = nix::sys::statvfs::statvfs(directory)?;
        let block_bytes = u64::from(status.fragment_size());
        Ok(Self {
            free_bytes: u64::from(status.blocks_available()).saturating_mul(block_bytes),
            total_bytes: u64::from(status.blocks()).saturating_mul(block_bytes),
        })
    }
}
