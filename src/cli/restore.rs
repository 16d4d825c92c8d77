//! `fieldstation restore`: a data directory from a backup.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{HumanBytes, HumanCount};

use super::backup::{Bars, failure};
use super::{Failure, standard_output, verify};
use crate::backup::{self, Restored};

/// The arguments of `restore`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The backup; it is not changed
    #[arg(long, value_name = "DIR")]
    from: PathBuf,

    /// The data directory to make; it must not exist, or be empty
    #[arg(
        long,
        value_name = "DIR",
        env = "FIELDSTATION_DATA",
        default_value = "./fieldstation-data"
    )]
    data: PathBuf,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Checks the digest of every file, and then everything that `fieldstation verify` checks, before the
data directory appears. A damaged or incomplete backup is refused, and leaves no directory behind.

Examples:
  fieldstation restore --from /mnt/backup/monday
  fieldstation restore --from /mnt/backup/monday --data /srv/fieldstation

Exit codes: 0 restored and sound; 1 the backup is damaged, or the disk failed; 2 bad usage, or a
backup of a newer version; 3 a directory does not exist, is not empty, or is in use by a server.";

/// Restores a backup, and prints its content.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    let bars = Bars::default();
    let restored = backup::restore(&arguments.from, &arguments.data, &mut |progress| {
        bars.show(progress);
    });
    bars.clear();
    let restored = restored.map_err(failure)?;
    let elapsed = started.elapsed();
    let text = if arguments.json {
        format!("{:#}\n", as_json(&restored, elapsed))
    } else {
        as_text(&restored, &arguments.data.display().to_string(), elapsed)
    };
    Ok(standard_output::print(&text)?)
}

fn as_json(restored: &Restored, elapsed: Duration) -> serde_json::Value {
    let mut value = verify::as_json(&restored.report, elapsed);
    value["began"] = restored.began.as_str().into();
    value["files"] = restored.files.into();
    value["bytes"] = restored.bytes.into();
    value
}

fn as_text(restored: &Restored, name: &str, elapsed: Duration) -> String {
    let counts = verify::as_text(&restored.report, name, elapsed);
    format!(
        "As of {}: {} files, {}\n{counts}",
        restored.began,
        HumanCount(restored.files),
        HumanBytes(restored.bytes),
    )
}
