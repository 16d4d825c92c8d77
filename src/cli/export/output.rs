//! The output of an export: standard output, or a file that appears only when it is complete.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;

const BUFFER_BYTES: usize = 256 * 1024;

/// Takes the bytes of an export. A file has a temporary name until [`Output::finish`], and is removed without it.
pub(super) struct Output {
    writer: Writer,
    unfinished: Option<Unfinished>,
}

enum Writer {
    Standard(BufWriter<Stdout>),
    File(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
}

/// A file under a temporary name. It is removed when dropped before [`Unfinished::publish`].
struct Unfinished {
    temporary: PathBuf,
    path: PathBuf,
    renamed: bool,
}

impl Output {
    /// Standard output.
    pub(super) fn standard() -> Self {
        Self {
            writer: Writer::Standard(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())),
            unfinished: None,
        }
    }

    /// A file, compressed with gzip if its name ends in `.gz`. A device or a named pipe is written in place.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(super) fn file(path: &Path) -> Result<Self> {
        let name = path.display();
        // Replaces the target of a link, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let in_place = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => bail!("{name} is a directory; name a file"),
            Ok(metadata) => !metadata.is_file(),
            Err(_) => false,
        };
        let (file, unfinished) = if in_place {
            (OpenOptions::new().write(true).open(&path), None)
        } else {
            let Some(file_name) = path.file_name() else {
                bail!("{name} is not the name of a file");
            };
            let mut temporary_name = OsString::from(".");
            temporary_name.push(file_name);
            temporary_name.push(format!(".partial-{}", std::process::id()));
            let unfinished = Unfinished {
                temporary: path.with_file_name(temporary_name),
                path: path.clone(),
                renamed: false,
            };
            (File::create(&unfinished.temporary), Some(unfinished))
        };
        let file = file.with_context(|| format!("cannot write {name}"))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let compress = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
        Ok(Self {
            writer: if compress {
                Writer::Gzip(Box::new(GzEncoder::new(file, Compression::default())))
            } else {
                Writer::File(file)
            },
            unfinished,
        })
    }

    /// # Errors
    /// The disk is full, the reader of the pipe is gone.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.writer {
            Writer::Standard(writer) => writer.write_all(bytes),
            Writer::File(writer) => writer.write_all(bytes),
            Writer::Gzip(writer) => writer.write_all(bytes),
        }
    }

    /// Makes the output durable, and gives a file its final name.
    ///
    /// # Errors
    /// As [`Output::write`]; a file that existed before under this name is unchanged.
    pub(super) fn finish(self) -> io::Result<()> {
        let writer = match self.writer {
            Writer::Standard(mut writer) => return writer.flush(),
            Writer::File(writer) => writer,
            Writer::Gzip(writer) => writer.finish()?,
        };
        let file = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        match self.unfinished {
            Some(unfinished) => unfinished.publish(&file),
            None => Ok(()),
        }
    }
}

impl Unfinished {
    fn publish(mut self, file: &File) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.renamed = true;
        let parent = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(parent)?.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.renamed {
            // The file may not exist, and a destructor cannot report an error.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.csv");
        fs::write(&path, "before").unwrap();
        let mut output = Output::file(&path).unwrap();
        output.write(b"after").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before");
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert_eq!(names(directory.path()), ["out.csv"]);
    }

    #[test]
    fn a_file_that_is_not_completed_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.csv");
        let mut output = Output::file(&path).unwrap();
        output.write(b"half").unwrap();
        drop(output);
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn a_name_in_gz_is_compressed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out.csv.gz");
        let mut output = Output::file(&path).unwrap();
        output.write(b"text").unwrap();
        output.finish().unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(&path).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "text");
    }

    #[test]
    #[cfg(unix)]
    fn a_link_stays_and_a_device_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&path, "before").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut output = Output::file(&link).unwrap();
        output.write(b"after").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        let null = Path::new("/dev/null");
        Output::file(null).unwrap().finish().unwrap();
        assert!(!fs::metadata(null).unwrap().is_file());
        assert!(Output::file(directory.path()).is_err());
    }
}
