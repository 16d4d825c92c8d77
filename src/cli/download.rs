//! `fieldstation download`: downloads the file of a device, and continues a download that broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use indicatif::{HumanBytes, ProgressBar};
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE};
use reqwest::{Method, Request, StatusCode};
use sha2::{Digest, Sha256};

use super::client::{Client, reason};
use super::duration::friendly;
use super::retry::{AttemptError, Attempts, RetryPolicy};
use super::server_url::ServerUrl;
use super::target::DEFAULT_URL;
use super::{Failure, progress, runtime, standard_output};

/// The pause before the rest of a download is asked for.
const PAUSE: Duration = Duration::from_millis(500);
/// The time limit for each piece of the answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The policy for an answer that breaks off before its first byte.
const BREAK_POLICY: RetryPolicy = RetryPolicy {
    attempts_max: 6,
    attempt_timeout: READ_TIMEOUT,
    retry_window: READ_TIMEOUT,
};

/// The arguments of `download`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The device whose file to download
    #[arg(long, value_name = "ID")]
    device: String,

    /// The file to write [default: a file in the current directory, named after the device]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The server
    #[arg(long, value_name = "URL", env = "FIELDSTATION_URL", default_value = DEFAULT_URL)]
    url: ServerUrl,
}

const EXAMPLES: &str = "\
The file appears under its name when it is complete, durable, and has the right SHA-256. A download
that breaks off continues where it stopped, also when the command is run again, as long as the
server has the same file. Until then the received part is beside the file, as .FILE.….part.

Examples:
  fieldstation download --device 202
  fieldstation download --device 202 --output photo.png

Exit codes: 0 complete; 1 not complete; 2 bad usage.";

/// Downloads the file, and prints a line with its path.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    runtime::block_on(1, async {
        let line = download(arguments).await?;
        Ok(standard_output::print(&line)?)
    })
}

/// The file to download, as the server describes it.
struct RemoteFile {
    tag: HeaderValue,
    size: u64,
    digest: Option<[u8; 32]>,
}

async fn download(arguments: Arguments) -> Result<String> {
    let policy = RetryPolicy {
        attempt_timeout: READ_TIMEOUT,
        ..RetryPolicy::default()
    };
    let client = Client::new(arguments.url, policy)?;
    let url = client
        .server()
        .at(&["api", "devices", &arguments.device, "content"]);
    let head = client
        .open(&Request::new(Method::HEAD, url.clone()), |notice| {
            eprintln!("{notice}");
        })
        .await?;
    let remote = RemoteFile::of(head.headers())?;
    let path = arguments
        .output
        .unwrap_or_else(|| PathBuf::from(plain_name(&arguments.device)));
    let started = Instant::now();
    let mut partial = PartialFile::open(&path, &remote)?;
    let resumed = partial.length;
    let bar = progress::bytes_bar(Some(remote.size));
    let fetched = fetch(&client, &url, &remote, &mut partial, &bar).await;
    bar.finish_and_clear();
    fetched?;
    let size = partial.length;
    let digest = partial.publish(&path, &remote)?;
    let resumed = match resumed {
        0 => String::new(),
        bytes => format!(", of which {} were there", HumanBytes(bytes)),
    };
    Ok(format!(
        "{} of the device {} into {} in {}{resumed}, sha256 {}\n",
        HumanBytes(size),
        arguments.device,
        path.display(),
        friendly(started.elapsed()),
        hex::encode(digest),
    ))
}

/// Requests the rest of the file until the file is complete.
async fn fetch(
    client: &Client,
    url: &reqwest::Url,
    remote: &RemoteFile,
    partial: &mut PartialFile,
    bar: &ProgressBar,
) -> Result<()> {
    bar.set_position(partial.length);
    let mut attempts = Attempts::new(BREAK_POLICY);
    while partial.length < remote.size {
        match fetch_rest(client, url, remote, partial, bar).await {
            Ok(()) => attempts = Attempts::new(BREAK_POLICY),
            Err(failed) => {
                let note = |notice: &str| progress::note(bar, notice);
                attempts.pause_after(failed, note).await?;
            }
        }
    }
    Ok(())
}

/// Requests the rest of the file once, and appends the received bytes. A broken answer is an error only if no byte arrived.
async fn fetch_rest(
    client: &Client,
    url: &reqwest::Url,
    remote: &RemoteFile,
    partial: &mut PartialFile,
    bar: &ProgressBar,
) -> Result<(), AttemptError<anyhow::Error>> {
    let request = request_for_rest(url, remote, partial.length);
    let request = request.map_err(AttemptError::permanent)?;
    let opened = client
        .open(&request, |notice| progress::note(bar, notice))
        .await;
    let mut response = opened.map_err(|error| AttemptError::permanent(error.into()))?;
    if response.headers().get(ETAG) != Some(&remote.tag) {
        let error =
            anyhow!("the device has another file now; run the download again to get the new file");
        return Err(AttemptError::permanent(error));
    }
    if response.status() != StatusCode::PARTIAL_CONTENT {
        // The server sends the file from its beginning.
        let restarted = partial.start_again();
        restarted.map_err(|error| AttemptError::permanent(error.into()))?;
        bar.set_position(0);
    }
    let length_before = partial.length;
    let reason = loop {
        match response.chunk().await {
            Ok(Some(piece)) => {
                partial.write(&piece).map_err(AttemptError::permanent)?;
                bar.set_position(partial.length);
            }
            Ok(None) => break "the answer ended too early".to_owned(),
            Err(error) => break reason(&error),
        }
    };
    if partial.length >= remote.size {
        return Ok(());
    }
    if partial.length > length_before {
        let at = HumanBytes(partial.length);
        progress::note(bar, &format!("{reason}; going on at {at}"));
        tokio::time::sleep(PAUSE).await;
        return Ok(());
    }
    Err(AttemptError {
        error: anyhow!("the download broke off: {reason}"),
        is_transient: true,
        may_have_applied: false,
        retry_after: None,
    })
}

fn request_for_rest(url: &reqwest::Url, remote: &RemoteFile, offset: u64) -> Result<Request> {
    let mut request = Request::new(Method::GET, url.clone());
    if offset > 0 {
        let headers = request.headers_mut();
        headers.insert(RANGE, format!("bytes={offset}-").parse()?);
        headers.insert(IF_RANGE, remote.tag.clone());
    }
    Ok(request)
}

impl RemoteFile {
    fn of(headers: &HeaderMap) -> Result<Self> {
        let missing = || {
            anyhow!("the answer has no ETag or no Content-Length; is the server a fieldstation?")
        };
        let size = headers.get(CONTENT_LENGTH).ok_or_else(missing)?;
        let digest = headers.get("repr-digest").and_then(|value| {
            let text = value.to_str().ok()?;
            let encoded = text.strip_prefix("sha-256=:")?.strip_suffix(':')?;
            STANDARD.decode(encoded).ok()?.try_into().ok()
        });
        Ok(Self {
            tag: headers.get(ETAG).ok_or_else(missing)?.clone(),
            size: size.to_str()?.parse()?,
            digest,
        })
    }
}

/// The bytes received so far, in a file beside the output.
struct PartialFile {
    path: PathBuf,
    file: File,
    length: u64,
    hasher: Sha256,
}

impl PartialFile {
    /// Opens the partial file of an earlier run, or creates an empty one.
    fn open(output: &Path, remote: &RemoteFile) -> Result<Self> {
        let name = output
            .file_name()
            .with_context(|| format!("{} is not the name of a file", output.display()))?;
        if output.is_dir() {
            bail!("{} is a directory; name a file", output.display());
        }
        let tag: String = remote
            .tag
            .to_str()?
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let path = output.with_file_name(format!(".{}.{tag}.part", name.to_string_lossy()));
        let failed = || format!("cannot write {}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(failed)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut length = 0;
        loop {
            let read = file.read(&mut buffer).with_context(failed)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            length += read as u64;
        }
        let mut partial = Self {
            path,
            file,
            length,
            hasher,
        };
        if length > remote.size {
            partial.start_again()?;
        }
        Ok(partial)
    }

    fn start_again(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.length = 0;
        self.hasher = Sha256::new();
        Ok(())
    }

    fn write(&mut self, piece: &[u8]) -> Result<()> {
        self.file
            .write_all(piece)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.hasher.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    /// Renames the partial file to the output, if its length and digest are right.
    fn publish(self, output: &Path, remote: &RemoteFile) -> Result<[u8; 32]> {
        let digest: [u8; 32] = self.hasher.finalize().into();
        let is_right = remote.digest.is_none_or(|remote| remote == digest);
        if self.length != remote.size || !is_right {
            fs::remove_file(&self.path)?;
            bail!(
                "the downloaded bytes differ from the file on the server (length or SHA-256); run the download again"
            );
        }
        let publish = || {
            self.file.sync_all()?;
            fs::rename(&self.path, output)?;
            let parent = match output.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            File::open(parent)?.sync_all()
        };
        publish().with_context(|| format!("cannot write {}", output.display()))?;
        Ok(digest)
    }
}

/// A file name in the current directory for the id of a device. Path separators and control characters are replaced.
fn plain_name(device: &str) -> String {
    let name: String = device
        .trim()
        .chars()
        .map(|character| match character {
            '/' | '\\' => '_',
            character if character.is_control() => '_',
            character => character,
        })
        .collect();
    match name.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_no_directory() {
        for (device, name) in [
            ("202", "202"),
            ("../../etc/passwd", "_._.._etc_passwd"),
            ("..", "_."),
            ("a\\b\n", "a_b"),
        ] {
            assert_eq!(plain_name(device), name);
            assert_eq!(Path::new(&plain_name(device)).components().count(), 1);
        }
    }
}
