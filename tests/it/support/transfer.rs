//! Bodies of uploads: forms in the format of clients, and large bodies with little memory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;

use super::{Answer, Client, Random};

pub const BOUNDARY: &str = "------------------------b8f2d1c0a9";

/// The same bytes for the same length.
pub fn random_bytes(length: usize) -> Vec<u8> {
    let mut random = Random::new(length as u64);
    let mut bytes: Vec<u8> = (0..length.div_ceil(8))
        .flat_map(|_| random.number().to_le_bytes())
        .collect();
    bytes.truncate(length);
    bytes
}

/// Bytes for files of many lengths. Each length has different bytes, and two files of different lengths differ at each offset.
#[derive(Clone)]
pub struct FileBytes(Bytes);

impl FileBytes {
    /// A prime number, so close lengths and multiples begin at different offsets.
    const BEGINS: usize = 65_537;

    pub fn up_to(length_max: usize) -> Self {
        Self(random_bytes(length_max + Self::BEGINS).into())
    }

    pub fn of(&self, length: usize) -> Bytes {
        let begin = length % Self::BEGINS;
        self.0.slice(begin..begin + length)
    }
}

/// A form with a single field, in the format of curl.
pub fn form(field: &str, name: &str, content_type: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\nContent-Type: {content_type}\r\n\r\n"
    );
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    [head.as_bytes(), bytes, end.as_bytes()].concat()
}

/// A body of this length. The client holds only a part of the body in memory.
pub fn endless(length: u64) -> reqwest::Body {
    const PIECE: u64 = 64 * 1024;
    let piece = Bytes::from(random_bytes(PIECE as usize));
    let pieces = (0..length.div_ceil(PIECE)).map(move |number| {
        let left = (length - number * PIECE).min(PIECE) as usize;
        Ok::<_, std::io::Error>(piece.slice(..left))
    });
    reqwest::Body::wrap_stream(stream::iter(pieces))
}

impl Client {
    /// Sends a file as the body.
    pub async fn send_file(&self, device: &str, bytes: impl Into<reqwest::Body>) -> Answer {
        let path = format!("/api/devices/{device}");
        Answer::to(self.request("PUT", &path).body(bytes)).await
    }

    /// Sends the body of a form.
    pub async fn send_form(&self, device: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request("PUT", &format!("/api/devices/{device}"));
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        Answer::to(request.header("content-type", content_type).body(body)).await
    }

    /// The bytes of the file of a device. Asserts that both routes return the same bytes.
    pub async fn file(&self, device: &str) -> Vec<u8> {
        let path = format!("/api/devices/{device}");
        let content = self.get(&format!("{path}/content")).await.with_status(200);
        let text = self.get(&path).await.with_status(200);
        for answer in [&content, &text] {
            let length = answer.header("content-length").unwrap();
            assert_eq!(length, answer.body.len().to_string());
        }
        let decoded = STANDARD.decode(&text.body).unwrap();
        assert!(decoded == content.body, "the text is of another file");
        decoded
    }

    /// The names of the devices with a file.
    pub async fn devices(&self) -> Vec<String> {
        let list = self.get("/api/devices/").await.with_status(200).json();
        let names = list["TelemetryDataDownloads"].as_array().unwrap();
        names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }
}
