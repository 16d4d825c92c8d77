//! `fieldstation download`: a device's file from a server, going on where it broke off.

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

use super::client::{Client, Patience, reason};
use super::server_url::ServerUrl;
use super::target::DEFAULT_URL;
use super::{Failure, progress, runtime, standard_output};

/// How often a download may break off without a single byte in between.
const BREAKS_MAX: u32 = 8;
const PAUSE: Duration = Duration::from_millis(500);
/// How long the server may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Whose file, and where it goes.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The device whose file it is
    #[arg(long, value_name = "ID")]
    device: String,

    /// Where it goes; otherwise a file in this directory that is called as the device
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The server
    #[arg(long, value_name = "URL", env = "FIELDSTATION_URL", default_value = DEFAULT_URL)]
    url: ServerUrl,
}

const EXAMPLES: &str = "\
A file appears under its name when it is complete, on the disk, and its SHA-256 is right. A download
that breaks off goes on where it was, also when the command is run again, as long as the server has
the same file: until then the part is beside the file, as .FILE.….part.

Examples:
  fieldstation download --device 202
  fieldstation download --device 202 --output photo.png

Exit codes: 0 complete; 1 not complete; 2 bad usage.";

/// Fetches the file, and prints a line that says where it is.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    runtime::block_on(1, async {
        let line = download(arguments).await?;
        Ok(standard_output::print(&line)?)
    })
}

/// The file that is to be fetched, as the server describes it.
struct Wanted {
    tag: HeaderValue,
    size: u64,
    digest: Option<[u8; 32]>,
}

async fn download(arguments: Arguments) -> Result<String> {
    let patience = Patience {
        timeout: SILENCE_MAX,
        ..Patience::default()
    };
    let client = Client::new(arguments.url, patience)?;
    let url = client
        .server()
        .at(&["api", "devices", &arguments.device, "content"]);
    let head = client
        .open(&Request::new(Method::HEAD, url.clone()))
        .await?;
    let wanted = Wanted::of(head.headers())?;
    let path = arguments
        .output
        .unwrap_or_else(|| PathBuf::from(plain_name(&arguments.device)));
    let started = Instant::now();
    let mut partial = Partial::open(&path, &wanted)?;
    let resumed = partial.length;
    let bar = progress::bytes_bar(Some(wanted.size));
    let fetched = fetch(&client, &url, &wanted, &mut partial, &bar).await;
    bar.finish_and_clear();
    fetched?;
    let size = partial.length;
    let digest = partial.publish(&path, &wanted)?;
    let resumed = match resumed {
        0 => String::new(),
        bytes => format!(", of which {} were there", HumanBytes(bytes)),
    };
    Ok(format!(
        "{} of the device {} into {} in {:.1} s{resumed}, sha256 {}\n",
        HumanBytes(size),
        arguments.device,
        path.display(),
        started.elapsed().as_secs_f64(),
        hex::encode(digest),
    ))
}

/// Asks for the rest until there is none.
async fn fetch(
    client: &Client,
    url: &reqwest::Url,
    wanted: &Wanted,
    partial: &mut Partial,
    bar: &ProgressBar,
) -> Result<()> {
    let mut breaks = 0;
    bar.set_position(partial.length);
    while partial.length < wanted.size {
        let mut request = Request::new(Method::GET, url.clone());
        if partial.length > 0 {
            let headers = request.headers_mut();
            headers.insert(RANGE, format!("bytes={}-", partial.length).parse()?);
            headers.insert(IF_RANGE, wanted.tag.clone());
        }
        let mut response = client.open(&request).await?;
        if response.headers().get(ETAG) != Some(&wanted.tag) {
            bail!("the device has another file now; start again to fetch that one");
        }
        if response.status() != StatusCode::PARTIAL_CONTENT {
            // All of it, from its beginning, whatever was asked for.
            partial.start_again()?;
            bar.set_position(0);
        }
        let before = partial.length;
        let broke = loop {
            match response.chunk().await {
                Ok(Some(piece)) => {
                    partial.write(&piece)?;
                    bar.set_position(partial.length);
                }
                Ok(None) => break None,
                Err(error) => break Some(reason(&error)),
            }
        };
        if partial.length >= wanted.size {
            break;
        }
        let why = broke.unwrap_or_else(|| "it ended too early".to_owned());
        breaks = if partial.length > before {
            0
        } else {
            breaks + 1
        };
        if breaks >= BREAKS_MAX {
            bail!("the download breaks off again and again: {why}");
        }
        bar.println(format!("{why}; going on at {}", HumanBytes(partial.length)));
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Result<Self> {
        let missing = || anyhow!("the server does not say which file it is; is it a fieldstation?");
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

/// What has come so far.
struct Partial {
    path: PathBuf,
    file: File,
    length: u64,
    hasher: Sha256,
}

impl Partial {
    /// What an earlier run left of the same file, or nothing yet.
    fn open(output: &Path, wanted: &Wanted) -> Result<Self> {
        let name = output
            .file_name()
            .with_context(|| format!("{} is not the name of a file", output.display()))?;
        if output.is_dir() {
            bail!("{} is a directory; name a file", output.display());
        }
        let tag: String = wanted
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
        if length > wanted.size {
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

    /// Makes it the file, if it is what the server has.
    fn publish(self, output: &Path, wanted: &Wanted) -> Result<[u8; 32]> {
        let digest: [u8; 32] = self.hasher.finalize().into();
        let is_right = wanted.digest.is_none_or(|wanted| wanted == digest);
        if self.length != wanted.size || !is_right {
            fs::remove_file(&self.path)?;
            bail!("what came is not what the server has: the digest is another one; start again");
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

/// A device's id as the name of a file in this directory, which it may look nothing like.
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
