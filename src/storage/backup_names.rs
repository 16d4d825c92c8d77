//! Names of entries that mark a directory as a backup, or as the unfinished target of a backup or a restore.

/// The manifest of a backup. A directory without this file is not a backup.
pub(crate) const MANIFEST: &str = "backup.json";

/// A directory inside the target of a backup or a restore. The backup or restore fills this directory first. While the directory exists,
/// the target is not complete.
pub(crate) const UNFINISHED: &str = ".unfinished";
