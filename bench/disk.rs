//! The disk below the server: the speed of durable writes, and the size of a folder.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::report::Latencies;

const BLOCK_BYTES: usize = 4096;
/// Large, so a round rarely writes a block twice.
const PREALLOCATED_BYTES: u64 = 32 << 20;

/// How the file is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// The blocks exist already: only data goes to the disk.
    Preallocated,
    /// Each write extends the file, so each write also sends the new size to the disk.
    Appending,
}

/// Writes 4 KiB and calls fdatasync in a loop on one thread: the floor for durable writes without concurrency.
pub(crate) fn measure_syncs(
    directory: &Path,
    syncs: Syncs,
    duration: Duration,
) -> Result<Latencies> {
    let path = directory.join("fdatasync");
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)?;
    let blocks = PREALLOCATED_BYTES / BLOCK_BYTES as u64;
    let block = [0x5a; BLOCK_BYTES];
    if syncs == Syncs::Preallocated {
        for index in 0..blocks {
            file.write_all_at(&block, index * BLOCK_BYTES as u64)?;
        }
        file.sync_all()?;
    }
    let result = sync_repeatedly(&file, &block, syncs, blocks, duration);
    fs::remove_file(&path)?;
    result
}

fn sync_repeatedly(
    file: &File,
    block: &[u8],
    syncs: Syncs,
    blocks: u64,
    duration: Duration,
) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    let begin = Instant::now();
    let mut index = 0;
    while begin.elapsed() < duration {
        let at = match syncs {
            Syncs::Preallocated => index % blocks,
            Syncs::Appending => index,
        };
        let start = Instant::now();
        file.write_all_at(block, at * block.len() as u64)?;
        file.sync_data()?;
        latencies.push(start.elapsed());
        index += 1;
    }
    Ok(latencies)
}

/// The bytes of all files below a folder. Each file counts with the larger of length and blocks.
pub(crate) fn used_bytes(directory: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // The reserve of a server is room for a full disk, not stored data.
        if entry.file_name() == "reserve" {
            continue;
        }
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() {
            used_bytes(&entry.path())?
        } else {
            metadata.len().max(metadata.blocks() * 512)
        };
    }
    Ok(total)
}
