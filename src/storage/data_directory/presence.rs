//! Checks that the paths of the data directory and of the files in the directory still lead to the opened directory and files.
//!
//! An open file still accepts writes after a removal, after a move, or behind a new mount. The next start would not find these writes. So
//! each path is looked up again, and the device and inode numbers are compared with the numbers of the opened file. The system gives the
//! numbers of an open file to no other file.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};
use tracing::{error, info};

/// The files and directories that have to stay at their paths.
#[derive(Debug, Default)]
pub(super) struct Presence {
    files: RwLock<Vec<Present>>,
    /// What is wrong, as far as the last look showed.
    absence: Mutex<Option<String>>,
}

/// A path and the file opened there.
#[derive(Debug)]
struct Present {
    path: PathBuf,
    file: FileNumber,
    /// Keeps a directory open, so that the system does not give the number to another directory.
    _held: Option<File>,
}

/// Device and inode.
type FileNumber = (u64, u64);

fn number_of(path: &Path) -> io::Result<FileNumber> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Presence {
    /// Watches a file from now on. The caller has to keep the file open for the whole life of this value.
    pub(super) fn expect(&self, path: PathBuf) -> io::Result<()> {
        self.push(path, None)
    }

    /// Watches a directory, and keeps the directory open. (A file is not kept open here, because closing a file would release the locks of
    /// this process.)
    pub(super) fn expect_directory(&self, path: PathBuf) -> io::Result<()> {
        let held = File::open(&path)?;
        self.push(path, Some(held))
    }

    fn push(&self, path: PathBuf, held: Option<File>) -> io::Result<()> {
        let file = number_of(&path)?;
        self.files.write().push(Present {
            path,
            file,
            _held: held,
        });
        Ok(())
    }

    /// Looks at the files selected by `is_asked`. A failure lasts until [`Self::look`] finds all files right.
    pub(super) fn confirm(&self, is_asked: impl Fn(&str) -> bool) -> Result<(), String> {
        let files = self.files.read();
        let asked = files.iter().filter(|present| {
            let name = present.path.file_name().and_then(|name| name.to_str());
            name.is_some_and(&is_asked)
        });
        let wrong = asked.filter_map(Present::problem).next();
        drop(files);
        match wrong {
            None => Ok(()),
            Some(what) => {
                self.start(&what);
                Err(what)
            }
        }
    }

    /// Looks at all files, and whether the directory can be written to.
    pub(super) fn look(&self, directory: &Path) {
        let files = self.files.read();
        let wrong = files.iter().filter_map(Present::problem).next();
        drop(files);
        match wrong.or_else(|| why_not_writable(directory)) {
            Some(what) => self.start(&what),
            None => self.end(),
        }
    }

    /// What is wrong, as far as the last look showed.
    pub(super) fn absence(&self) -> Option<String> {
        self.absence.lock().clone()
    }

    fn start(&self, what: &str) {
        let mut absence = self.absence.lock();
        if absence.is_none() {
            error!(
                what,
                "the data directory is not what it was: nothing is written until it is"
            );
        }
        *absence = Some(what.to_owned());
    }

    fn end(&self) {
        if self.absence.lock().take().is_some() {
            info!("the data directory is what it was: writes are taken again");
        }
    }
}

impl Present {
    fn problem(&self) -> Option<String> {
        let path = self.path.display();
        match number_of(&self.path) {
            Ok(found) if found == self.file => None,
            Ok(_) => Some(format!(
                "{path} is not the one that was opened: another one is in its place"
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(format!(
                "{path} is gone: it was removed or moved, or its disk is not mounted"
            )),
            Err(error) => Some(format!("{path} cannot be reached: {error}")),
        }
    }
}

fn why_not_writable(directory: &Path) -> Option<String> {
    let access = nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK;
    let error = nix::unistd::access(directory, access).err()?;
    Some(format!(
        "{} cannot be written to: {}",
        directory.display(),
        io::Error::from(error)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_missed_when_it_is_moved_or_replaced_and_found_when_it_is_back() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["a.db", "b.db"] {
            fs::write(at(name), name).unwrap();
        }
        let presence = Presence::default();
        // Keeps the file open, so that the system does not give the number to the next file.
        let _held = File::open(at("a.db")).unwrap();
        presence.expect(at("a.db")).unwrap();
        presence.expect(at("b.db")).unwrap();
        presence.look(directory.path());
        assert_eq!(presence.absence(), None);

        fs::rename(at("a.db"), at("elsewhere")).unwrap();
        assert_eq!(presence.confirm(|name| name == "b.db"), Ok(()));
        let gone = presence.confirm(|name| name == "a.db").unwrap_err();
        assert!(gone.contains("a.db is gone"), "{gone}");
        assert_eq!(presence.absence(), Some(gone));

        fs::write(at("a.db"), "another").unwrap();
        presence.look(directory.path());
        let replaced = presence.absence().unwrap();
        assert!(
            replaced.contains("another one is in its place"),
            "{replaced}"
        );

        fs::rename(at("elsewhere"), at("a.db")).unwrap();
        presence.look(directory.path());
        assert_eq!(presence.absence(), None);
    }
}
