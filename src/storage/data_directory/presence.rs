//! Whether the data directory and the files in it are still those that were opened.
//!
//! An open file goes on to take writes after it was removed, moved or hidden by a mount, and what it takes then is in nobody's data
//! directory at the next start. So each name is looked up again and compared with what it stood for: the system gives the number of
//! a file to no other one while it is open.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};
use tracing::{error, info};

/// What has to stay where it is.
#[derive(Debug, Default)]
pub(super) struct Presence {
    files: RwLock<Vec<Present>>,
    /// What is wrong, while something is.
    trouble: Mutex<Option<String>>,
}

/// A name and what it stands for.
#[derive(Debug)]
struct Present {
    path: PathBuf,
    file: FileNumber,
    /// Held open where nobody else does, so that its number is not given to another one.
    _held: Option<File>,
}

/// What the system knows a file by.
type FileNumber = (u64, u64);

fn number_of(path: &Path) -> io::Result<FileNumber> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Presence {
    /// From now on this name has to stand for what it stands for now. Whoever calls has it open for as long as this lives.
    pub(super) fn expect(&self, path: PathBuf) -> io::Result<()> {
        self.push(path, None)
    }

    /// The same for a directory, which is held open. (Closing a file would let go of all locks that this process has on it.)
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

    /// Looks at those whose file name `is_asked` picks; what is found wrong stays so until [`Self::look`] finds all of them right.
    pub(super) fn confirm(&self, is_asked: impl Fn(&str) -> bool) -> Result<(), String> {
        let files = self.files.read();
        let asked = files.iter().filter(|present| {
            let name = present.path.file_name().and_then(|name| name.to_str());
            name.is_some_and(&is_asked)
        });
        let wrong = asked.filter_map(Present::what_is_wrong).next();
        drop(files);
        match wrong {
            None => Ok(()),
            Some(what) => {
                self.start(&what);
                Err(what)
            }
        }
    }

    /// Looks at all of them, and whether the directory can be written to.
    pub(super) fn look(&self, directory: &Path) {
        let files = self.files.read();
        let wrong = files.iter().filter_map(Present::what_is_wrong).next();
        drop(files);
        match wrong.or_else(|| why_not_writable(directory)) {
            Some(what) => self.start(&what),
            None => self.end(),
        }
    }

    /// What is wrong, as far as is known.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    fn start(&self, what: &str) {
        let mut trouble = self.trouble.lock();
        if trouble.is_none() {
            error!(
                what,
                "the data directory is not what it was: nothing is written until it is"
            );
        }
        *trouble = Some(what.to_owned());
    }

    fn end(&self) {
        if self.trouble.lock().take().is_some() {
            info!("the data directory is what it was: writes are taken again");
        }
    }
}

impl Present {
    fn what_is_wrong(&self) -> Option<String> {
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
        // Open, so that its number is not given to the next file.
        let _held = File::open(at("a.db")).unwrap();
        presence.expect(at("a.db")).unwrap();
        presence.expect(at("b.db")).unwrap();
        presence.look(directory.path());
        assert_eq!(presence.trouble(), None);

        fs::rename(at("a.db"), at("elsewhere")).unwrap();
        assert_eq!(presence.confirm(|name| name == "b.db"), Ok(()));
        let gone = presence.confirm(|name| name == "a.db").unwrap_err();
        assert!(gone.contains("a.db is gone"), "{gone}");
        assert_eq!(presence.trouble(), Some(gone));

        fs::write(at("a.db"), "another").unwrap();
        presence.look(directory.path());
        let replaced = presence.trouble().unwrap();
        assert!(
            replaced.contains("another one is in its place"),
            "{replaced}"
        );

        fs::rename(at("elsewhere"), at("a.db")).unwrap();
        presence.look(directory.path());
        assert_eq!(presence.trouble(), None);
    }
}
