//! The counts of a copy of files, and the comparison at the end.

use std::time::Instant;

use anyhow::anyhow;
use indicatif::{HumanCount, ProgressBar};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::source::Source;
use crate::cli::duration::friendly;
use crate::cli::migrate::failure::store_failure;
use crate::cli::{Failure, progress, standard_output};
use crate::files::{DeviceId, FileStore, NewFile};

/// The most devices in a page of the target.
const PAGE: usize = 1000;

/// The result of copying a file.
pub(super) enum Outcome {
    /// Copied: the file as read, and as the target reports it.
    Copied(DeviceId, NewFile, NewFile),
    /// The target had the same file: as read, and as the target reports it.
    Same(DeviceId, NewFile, NewFile),
    /// The target has a newer file. The newer file stays.
    Kept,
    /// The file was changed or removed during the copy.
    Changed,
    /// The key of the object is no device id.
    Refused(String),
    /// The copy failed.
    Failed(String),
}

/// The counts. Prints the name of each file that was not copied at once.
pub(super) struct Tally {
    bar: ProgressBar,
    counts: Mutex<Counts>,
}

#[derive(Clone, Default)]
struct Counts {
    copied: u64,
    same: u64,
    kept: u64,
    changed: u64,
    refused: u64,
    failed: u64,
    /// The files as read, and as the target reports them.
    read: Side,
    there: Side,
}

/// The files of one side.
#[derive(Clone, Default, PartialEq, Eq)]
struct Side {
    files: u64,
    bytes: u64,
    /// A checksum of all ids with their digests, independent of the order.
    digests: [u8; 32],
}

impl Tally {
    pub(super) fn new(bar: ProgressBar) -> Self {
        Self {
            bar,
            counts: Mutex::default(),
        }
    }

    pub(super) fn progress(&self, bytes: usize) {
        self.bar.inc(bytes as u64);
    }

    /// Prints a line on standard error.
    pub(super) fn announce(&self, line: &str) {
        progress::note(&self.bar, line);
    }

    pub(super) fn note(&self, name: &str, outcome: Outcome) {
        let mut counts = self.counts.lock();
        let named = match outcome {
            Outcome::Copied(device, file, stored) => {
                counts.copied += 1;
                counts.read.add(&device, &file);
                counts.there.add(&device, &stored);
                None
            }
            Outcome::Same(device, file, stored) => {
                counts.same += 1;
                counts.read.add(&device, &file);
                counts.there.add(&device, &stored);
                self.bar.inc(file.size_bytes);
                None
            }
            Outcome::Kept => {
                counts.kept += 1;
                Some(("KEPT", "the other side has a newer file of it".to_owned()))
            }
            Outcome::Changed => {
                counts.changed += 1;
                Some(("CHANGED", "while it was copied; run this again".to_owned()))
            }
            Outcome::Refused(why) => {
                counts.refused += 1;
                Some(("NOT COPIED", format!("as the id of a device it {why}")))
            }
            Outcome::Failed(why) => {
                counts.failed += 1;
                Some(("NOT COPIED", why))
            }
        };
        drop(counts);
        if let Some((what, why)) = named {
            let text = format!("{what}: {name:?}: {why}\n");
            // Standard output may be closed. The counts at the end include the file.
            let _ = self.bar.suspend(|| standard_output::print(&text));
        }
    }

    /// Compares both sides, and prints the result.
    pub(super) async fn conclude(
        &self,
        source: &Source,
        target: &dyn FileStore,
        is_unchanged: bool,
        started: Instant,
    ) -> Result<(), Failure> {
        let counts = self.counts.lock().clone();
        let Counts { read, there, .. } = &counts;
        let known = counts.copied + counts.same + counts.kept;
        let more = count(target).await?.saturating_sub(known);
        let mut text = format!(
            "Copied in {}\n  copied      {}\n  the same    {}\n",
            friendly(started.elapsed()),
            HumanCount(counts.copied),
            HumanCount(counts.same),
        );
        for (what, count) in [
            ("newer there", counts.kept),
            ("changed", counts.changed),
            ("not copied", counts.refused + counts.failed),
        ] {
            if count > 0 {
                text += &format!("  {what:<12}{}\n", HumanCount(count));
            }
        }
        text += &format!("\n{:>34}{:>24}\n", source.name(), target.backend());
        let values = |side: &Side| {
            [
                HumanCount(side.files).to_string(),
                HumanCount(side.bytes).to_string(),
                hex::encode(&side.digests[..8]),
            ]
        };
        let sides = values(read).into_iter().zip(values(there));
        for (name, (left, right)) in ["files", "bytes", "digests"].into_iter().zip(sides) {
            text += &format!("  {name:<8}{left:>24}{right:>24}\n");
        }
        let is_whole =
            counts.kept + counts.changed + counts.refused + counts.failed == 0 && is_unchanged;
        let is_same = read == there;
        if more > 0 {
            text += &format!("The other side holds {} more.\n", HumanCount(more));
        }
        text += match (is_same, is_whole, is_unchanged) {
            (true, true, _) => "The same on both sides.\n",
            (true, false, true) => {
                "All that was copied is the same; what was not is named above.\n"
            }
            (true, false, false) => {
                "All that was copied is the same, but something was written meanwhile. Run it again.\n"
            }
            (false, ..) => "Different: was something written meanwhile? Run it again.\n",
        };
        standard_output::print(&text)?;
        if is_same && is_whole {
            return Ok(());
        }
        Err(anyhow!("not all files are on both sides, and the same").into())
    }
}

/// The number of devices with a file.
async fn count(store: &dyn FileStore) -> Result<u64, Failure> {
    let mut count = 0;
    let mut after = None;
    loop {
        let page = store
            .list(after.as_ref(), PAGE)
            .await
            .map_err(store_failure)?;
        count += page.items.len() as u64;
        after = page.items.last().cloned();
        if !page.more {
            return Ok(count);
        }
    }
}

impl Side {
    fn add(&mut self, device: &DeviceId, file: &NewFile) {
        self.files += 1;
        self.bytes += file.size_bytes;
        let mut hasher = Sha256::new();
        hasher.update(device.as_str());
        hasher.update([0]);
        hasher.update(file.digest.0);
        for (sum, byte) in self.digests.iter_mut().zip(hasher.finalize()) {
            *sum ^= byte;
        }
    }
}
