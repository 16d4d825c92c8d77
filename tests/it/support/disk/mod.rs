//! A disk under the server. The disk fails on demand, and loses unflushed data at a power cut. The server loads `disk.c`, which
//! keeps the durable data in a shadow directory.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::Random;

const SOURCE: &str = include_str!("disk.c");

/// The unit of a write to the disk.
const PAGE_BYTES: usize = 4096;

/// The fate of unflushed pages and names at a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unflushed {
    /// The disk wrote none of the unflushed pages and names.
    Lost,
    /// The disk wrote all unflushed pages and names.
    Written,
    /// The disk wrote some unflushed pages and names.
    Either,
}

/// A disk, and the directory on the disk.
#[derive(Clone, Debug)]
pub struct Disk {
    root: Arc<TempDir>,
    shadow: Arc<TempDir>,
    library: PathBuf,
}

impl Disk {
    /// Makes an empty disk.
    pub fn new() -> Self {
        let disk = Self {
            root: Arc::new(tempfile::tempdir().unwrap()),
            shadow: Arc::new(tempfile::tempdir().unwrap()),
            library: library(),
        };
        disk.all_is_flushed();
        disk
    }

    /// The directory on the disk: a server keeps the data below this directory.
    pub fn directory(&self) -> &Arc<TempDir> {
        &self.root
    }

    /// The environment variables for a program that works on this disk.
    pub fn environment(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("LD_PRELOAD", self.library.clone()),
            ("DISK_ROOT", self.root.path().to_owned()),
            ("DISK_SHADOW", self.shadow.path().to_owned()),
        ]
    }

    /// Replaces the rules for failures, one rule per line. `disk.c` explains the rules.
    pub fn fails(&self, rules: &str) {
        let fresh = self.shadow.path().join("rules.new");
        fs::write(&fresh, rules).unwrap();
        fs::rename(&fresh, self.shadow.path().join("rules")).unwrap();
    }

    /// How many operations a rule was applied to so far.
    pub fn failures(&self) -> usize {
        let events = fs::read_to_string(self.shadow.path().join("events"));
        events.map_or(0, |events| events.lines().count())
    }

    /// Cuts the power. The server must be dead before. Afterwards the directory holds exactly the data left on the disk.
    pub fn cut_power(&self, unflushed: Unflushed, random: &mut Random) {
        let rebuilt = tempfile::tempdir_in(self.shadow.path()).unwrap();
        let root = self.root.path();
        self.rebuild(root, rebuilt.path(), unflushed, random);
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        for entry in fs::read_dir(rebuilt.path()).unwrap() {
            let entry = entry.unwrap();
            fs::rename(entry.path(), root.join(entry.file_name())).unwrap();
        }
        self.all_is_flushed();
    }

    /// Builds the durable state of a directory. `live` is the present path of the directory, and may be missing.
    fn rebuild(&self, live: &Path, to: &Path, unflushed: Unflushed, random: &mut Random) {
        let Ok(number) = fs::metadata(live).map(|directory| directory.ino()) else {
            return;
        };
        let names_are_written = match unflushed {
            Unflushed::Lost => false,
            Unflushed::Written => true,
            Unflushed::Either => random.one_in(2),
        };
        let flushed = self.shadow("directories", number);
        // Nothing in this directory was ever flushed.
        if !names_are_written && !flushed.exists() {
            return;
        }
        let names = if names_are_written { live } else { &flushed };
        for entry in fs::read_dir(names).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if name.to_string_lossy().ends_with("-shm") {
                continue;
            }
            let (path, target) = (entry.path(), to.join(&name));
            let kind = entry.file_type().unwrap();
            if kind.is_dir() || kind.is_symlink() {
                fs::create_dir(&target).unwrap();
                self.rebuild(&live.join(&name), &target, unflushed, random);
                continue;
            }
            // The inode number of the file in use names the shadow files.
            let number = if names_are_written {
                path.metadata().unwrap().ino()
            } else {
                self.number_of(&path)
            };
            // The server was killed right after the creation of this file.
            let live = self.shadow("live", number);
            if !live.exists() {
                continue;
            }
            let durable = fs::read(self.shadow("pages", number)).unwrap();
            let seen = fs::read(live).unwrap();
            fs::write(target, left(durable, &seen, unflushed, random)).unwrap();
        }
    }

    /// The number of the file in use behind a durable name.
    fn number_of(&self, name: &Path) -> u64 {
        let wanted = name.metadata().unwrap().ino();
        let pages = fs::read_dir(self.shadow.path().join("pages")).unwrap();
        let found = pages.map(Result::unwrap).find(|entry| entry.ino_is(wanted));
        let name = found.unwrap().file_name().into_string().unwrap();
        name.parse().unwrap()
    }

    /// Lets the system forget all clean pages: from now on the system reads them from the disk. A failed flush marks
    /// unwritten pages as clean, so the disk may hold other bytes. No server may be running.
    pub fn forget_clean_pages(&self) {
        for entry in fs::read_dir(self.shadow.path().join("live")).unwrap() {
            let entry = entry.unwrap();
            let number: u64 = entry.file_name().to_str().unwrap().parse().unwrap();
            let durable = fs::read(self.shadow("pages", number)).unwrap();
            let dirty = fs::read(self.shadow("dirty", number)).unwrap_or_default();
            let live = File::options()
                .read(true)
                .write(true)
                .open(entry.path())
                .unwrap();
            let length = live.metadata().unwrap().len() as usize;
            for (page, at) in (0..length).step_by(PAGE_BYTES).enumerate() {
                if dirty.get(page).is_some_and(|dirty| *dirty != 0) {
                    continue;
                }
                let mut bytes = vec![0; PAGE_BYTES.min(length - at)];
                if let Some(durable) = durable.get(at..) {
                    let count = durable.len().min(bytes.len());
                    bytes[..count].copy_from_slice(&durable[..count]);
                }
                live.write_all_at(&bytes, at as u64).unwrap();
            }
        }
    }

    fn shadow(&self, kind: &str, number: u64) -> PathBuf {
        self.shadow.path().join(kind).join(number.to_string())
    }

    /// Begins anew: the content of the directory counts as flushed. Needed after a program wrote to the directory without `disk.c`.
    pub fn all_is_flushed(&self) {
        for kind in ["pages", "dirty", "live", "directories"] {
            let path = self.shadow.path().join(kind);
            if path.exists() {
                fs::remove_dir_all(&path).unwrap();
            }
            fs::create_dir(path).unwrap();
        }
        self.fails("");
        self.note_flushed(self.root.path());
    }

    fn note_flushed(&self, directory: &Path) {
        let names = self.shadow("directories", directory.metadata().unwrap().ino());
        fs::create_dir(&names).unwrap();
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), names.join(entry.file_name()));
            let number = path.metadata().unwrap().ino();
            if path.is_dir() {
                std::os::unix::fs::symlink(number.to_string(), name).unwrap();
                self.note_flushed(&path);
            } else if !path.to_string_lossy().ends_with("-shm") {
                let pages = self.shadow("pages", number);
                fs::copy(&path, &pages).unwrap();
                fs::hard_link(&pages, name).unwrap();
                fs::hard_link(&path, self.shadow("live", number)).unwrap();
            }
        }
    }
}

trait HasNumber {
    fn ino_is(&self, number: u64) -> bool;
}

impl HasNumber for fs::DirEntry {
    fn ino_is(&self, number: u64) -> bool {
        self.metadata().unwrap().ino() == number
    }
}

/// A file after a power cut. Of the pages with unflushed changes, all, none or some were written in time.
fn left(durable: Vec<u8>, seen: &[u8], unflushed: Unflushed, random: &mut Random) -> Vec<u8> {
    match unflushed {
        Unflushed::Lost => durable,
        Unflushed::Written => seen.to_vec(),
        Unflushed::Either => {
            let mut left = durable;
            if random.one_in(2) {
                left.resize(seen.len(), 0);
            }
            let pages = left
                .chunks_mut(PAGE_BYTES)
                .zip(seen.chunks(PAGE_BYTES))
                .filter(|(left, seen)| left != seen);
            for (left, seen) in pages {
                if random.one_in(2) {
                    let count = left.len().min(seen.len());
                    left[..count].copy_from_slice(&seen[..count]);
                }
            }
            left
        }
    }
}

/// The path of the library. Compiles the library if no library of this source exists.
fn library() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let hash = xxhash_rust::xxh3::xxh3_64(SOURCE.as_bytes());
    let library = directory.join(format!("disk-{hash:016x}.so"));
    if library.exists() {
        return library;
    }
    let work = tempfile::tempdir_in(directory).unwrap();
    let [source, compiled] = ["disk.c", "disk.so"].map(|name| work.path().join(name));
    fs::write(&source, SOURCE).unwrap();
    let output = Command::new("cc")
        .args([
            "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o",
        ])
        .args([&compiled, &source])
        .args(["-ldl", "-lpthread"])
        .output()
        .expect("`cc`, the C compiler that also links Rust programs, cannot be run");
    assert!(
        output.status.success(),
        "disk.c does not compile:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Concurrent tests may do the same. The rename makes the name appear with the whole library.
    fs::rename(compiled, &library).unwrap();
    library
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs commands of the shell on the disk.
    fn run(disk: &Disk, script: &str) -> bool {
        let status = Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(disk.directory().path())
            .envs(disk.environment())
            .status();
        status.unwrap().success()
    }

    fn cut(disk: &Disk, name: &str) -> Option<Vec<u8>> {
        disk.cut_power(Unflushed::Lost, &mut Random::new(1));
        fs::read(disk.directory().path().join(name)).ok()
    }

    fn write(disk: &Disk, letter: char, page: usize) -> bool {
        let how = format!("bs=4096 seek={page} conv=fsync,notrunc status=none");
        run(
            disk,
            &format!("head -c 4096 /dev/zero | tr '\\0' {letter} | dd of=a iflag=fullblock {how}"),
        )
    }

    #[test]
    fn a_power_cut_leaves_what_was_flushed_and_nothing_else() {
        let disk = Disk::new();
        assert!(run(&disk, "echo one > a; sync a; sync .; echo two >> a"));
        assert_eq!(cut(&disk, "a").as_deref(), Some(&b"one\n"[..]));
        assert!(run(&disk, "echo three > b; sync b"));
        assert_eq!(cut(&disk, "b"), None);
        assert!(run(&disk, "echo three > b; sync ."));
        assert_eq!(cut(&disk, "b").as_deref(), Some(&b""[..]));
        assert!(run(&disk, "mkdir c; echo four > c/d; sync c/d; sync c"));
        assert_eq!(cut(&disk, "c/d"), None);
        assert!(run(
            &disk,
            "mkdir c; echo four > c/d; sync c/d; sync c; sync ."
        ));
        assert_eq!(cut(&disk, "c/d").as_deref(), Some(&b"four\n"[..]));
        assert!(run(&disk, "mv c/d c/e"));
        assert_eq!(cut(&disk, "c/e"), None);
        assert!(run(&disk, "mv c/d c/e; sync c"));
        assert_eq!(cut(&disk, "c/e").as_deref(), Some(&b"four\n"[..]));
    }

    #[test]
    fn a_flush_that_failed_is_not_made_good_by_the_next_one() {
        let disk = Disk::new();
        assert!(run(&disk, "touch a; sync ."));
        disk.fails("5 flush a 0 1");
        assert!(!write(&disk, 'x', 0));
        disk.fails("");
        assert!(write(&disk, 'y', 1));
        let left = cut(&disk, "a").unwrap();
        assert_eq!((left[0], left[4096]), (0, b'y'));
        disk.fails("5 flush a 0 1");
        assert!(!write(&disk, 'x', 0));
        disk.fails("");
        disk.forget_clean_pages();
        assert_eq!(fs::read(disk.directory().path().join("a")).unwrap()[0], 0);
        assert!(write(&disk, 'x', 0));
        assert_eq!(cut(&disk, "a").unwrap()[0], b'x');
    }
}
