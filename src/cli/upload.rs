//! `fieldstation upload`: uploads a file to a server as the file of a device.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use futures_util::StreamExt;
use indicatif::{HumanBytes, ProgressBar};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, IF_NONE_MATCH,
};
use reqwest::{Body, Method, Request};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::client::Client;
use super::duration::friendly;
use super::retry::RetryPolicy;
use super::server_url::ServerUrl;
use super::target::DEFAULT_URL;
use super::{Failure, progress, runtime, standard_output};

const BUFFER_BYTES: usize = 256 * 1024;

/// The most attempts to send a file.
const ATTEMPTS_MAX: u32 = 5;
/// Long enough for a large file on a slow line. The server ends a connection that stands still.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// The arguments of `upload`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The file to upload
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The device; the new file replaces the device's current file
    #[arg(long, value_name = "ID")]
    device: String,

    /// The server
    #[arg(long, value_name = "URL", env = "FIELDSTATION_URL", default_value = DEFAULT_URL)]
    url: ServerUrl,

    /// The media type of the file
    #[arg(long, value_name = "TYPE", default_value = "application/octet-stream")]
    content_type: String,

    /// Upload only if the device has no file yet
    #[arg(long)]
    new: bool,
}

const EXAMPLES: &str = "\
The server compares the SHA-256 of the received bytes with the SHA-256 of the file. It answers when
the file is durable. While the server is busy or unavailable, the upload is tried up to five times.

Examples:
  fieldstation upload photo.png --device 202 --content-type image/png
  fieldstation upload firmware.log --device 202 --new

Exit codes: 0 stored; 1 not stored; 2 bad usage.";

/// Uploads the file, and prints a line with the result.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    runtime::block_on(2, async {
        let line = upload(arguments).await?;
        Ok(standard_output::print(&line)?)
    })
}

async fn upload(arguments: Arguments) -> Result<String> {
    let path = &arguments.file;
    let (digest, size) = digest_of(path).await?;
    let policy = RetryPolicy {
        attempts_max: ATTEMPTS_MAX,
        attempt_timeout: UPLOAD_TIMEOUT,
        retry_window: UPLOAD_TIMEOUT,
    };
    let client = Client::new(arguments.url.clone(), policy)?;
    let started = Instant::now();
    let bar = progress::bytes_bar(Some(size));
    let sent = client
        .send(
            async || {
                bar.set_position(0);
                request(&client, &arguments, digest, size, &bar).await
            },
            |notice| progress::note(&bar, notice),
        )
        .await;
    bar.finish_and_clear();
    sent?;
    Ok(format!(
        "{} of {} are the file of the device {} in {}, sha256 {}\n",
        HumanBytes(size),
        path.display(),
        arguments.device,
        friendly(started.elapsed()),
        hex::encode(digest),
    ))
}

async fn request(
    client: &Client,
    arguments: &Arguments,
    digest: [u8; 32],
    size: u64,
    bar: &ProgressBar,
) -> Result<Request> {
    let path = &arguments.file;
    let file = open(path).await?;
    let url = client.server().at(&["api", "devices", &arguments.device]);
    let mut request = Request::new(Method::PUT, url);
    let headers = request.headers_mut();
    let header = |text: String| HeaderValue::try_from(text);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(
        CONTENT_TYPE,
        header(arguments.content_type.clone()).context("--content-type is not a media type")?,
    );
    headers.insert(
        REPR_DIGEST,
        header(format!("sha-256=:{}:", STANDARD.encode(digest)))?,
    );
    if let Some(name) = path.file_name() {
        headers.insert(
            CONTENT_DISPOSITION,
            header(disposition(&name.to_string_lossy()))?,
        );
    }
    if arguments.new {
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
    }
    let bar = bar.clone();
    // If the file grows meanwhile, only the bytes up to the size at the start are sent. The server compares the digest.
    let pieces = ReaderStream::with_capacity(file.take(size), BUFFER_BYTES).inspect(move |piece| {
        if let Ok(piece) = piece {
            bar.inc(piece.len() as u64);
        }
    });
    *request.body_mut() = Some(Body::wrap_stream(pieces));
    Ok(request)
}

/// All characters but letters, digits and three signs that every server reads in an attribute (RFC 8187).
const NOT_IN_ATTRIBUTES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// A `Content-Disposition` value with the file name in UTF-8, percent-encoded, so that any name is a valid header.
fn disposition(name: &str) -> String {
    let name = utf8_percent_encode(name, NOT_IN_ATTRIBUTES);
    format!("attachment; filename*=UTF-8''{name}")
}

async fn open(path: &Path) -> Result<File> {
    let name = path.display();
    let file = File::open(path)
        .await
        .with_context(|| format!("cannot read {name}"))?;
    let metadata = file.metadata().await;
    if !metadata
        .with_context(|| format!("cannot read {name}"))?
        .is_file()
    {
        bail!("{name} is not a file");
    }
    Ok(file)
}

/// Reads the file before the upload, for the digest that the server compares with the received bytes.
async fn digest_of(path: &Path) -> Result<([u8; 32], u64)> {
    let mut file = open(path).await?.into_std().await;
    let name = path.display().to_string();
    let reading = tokio::task::spawn_blocking(move || {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut size = 0;
        loop {
            let length = std::io::Read::read(&mut file, &mut buffer)?;
            if length == 0 {
                return std::io::Result::Ok((hasher.finalize().into(), size));
            }
            hasher.update(&buffer[..length]);
            size += length as u64;
        }
    });
    let read = reading.await.map_err(|error| anyhow!(error))?;
    read.with_context(|| format!("cannot read {name}"))
}
