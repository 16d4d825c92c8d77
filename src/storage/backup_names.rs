//! The names by which a directory shows that it is a backup, or is being filled by a backup or a restore.

/// The manifest of a backup. A directory without this file is not a backup.
pub(crate) const MANIFEST: &str = "backup.json";

/// The directory that a backup or a restore fills first inside its target. While it exists, the target is not complete.
pub(crate) const UNFINISHED: &str = ".unfinished";
