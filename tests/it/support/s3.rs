//! A server with the S3 API, for a single test, in memory and temporary files.
//!
//! There are two kinds. moto and ministack both have conditional writes (`If-Match`, `If-None-Match`), listings that begin after
//! a key, and uploads in parts; docs/contributing/test-servers.md lists the differences. Neither checks signatures by default.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::emulator::{Emulator, installed};

const PATIENCE: Duration = Duration::from_secs(60);

/// Only S3, and only on the loopback interface.
const MINISTACK: [(&str, &str); 5] = [
    ("MINISTACK_REGION", "eu-west-1"),
    ("BIND_HOST", "127.0.0.1"),
    ("SERVICES", "s3"),
    ("LOG_LEVEL", "ERROR"),
    ("DOCKER_HOST", "unix:///nowhere"),
];

/// The place of the files.
const BUCKET: &str = "fieldstation";
const PREFIX: &str = "some/place";

/// The kind of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Kind {
    Moto,
    Ministack,
}

/// A running server with an empty bucket. Dropping this value kills the server.
pub struct S3Server(Emulator);

impl S3Server {
    pub fn start() -> Self {
        Self::start_kind(S3Kind::Moto)
    }

    pub fn start_kind(kind: S3Kind) -> Self {
        let server = Self(match kind {
            S3Kind::Moto => {
                let program = installed("moto_server", "target/tools/moto/bin").expect(
                    "moto_server, an S3 server, is missing; ./test.sh installs it, and so does `python3 -m venv target/tools/moto && target/tools/moto/bin/pip install 'moto[s3,server]==5.2.1'`",
                );
                Emulator::start(&program, &["-H", "127.0.0.1", "-p"])
            }
            S3Kind::Ministack => {
                let program = installed("ministack", "target/tools/ministack/bin").expect(
                    "ministack, an S3 server, is missing; ./test.sh installs it, and so does `python3 -m venv target/tools/ministack && target/tools/ministack/bin/pip install ministack==1.5.33`",
                );
                Emulator::start_with_port_in(&program, "GATEWAY_PORT", &MINISTACK)
            }
        });
        server.request("PUT", &format!("/{BUCKET}"));
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// The URL for `--files`.
    pub fn url(&self) -> String {
        Self::url_at(self.address())
    }

    /// The URL through another address, such as the address of a proxy.
    pub fn url_at(address: SocketAddr) -> String {
        Self::url_of(address, &format!("{BUCKET}/{PREFIX}"))
    }

    /// The URL for `--files` of a bucket, or of a prefix in a bucket.
    pub fn url_of(address: SocketAddr, place: &str) -> String {
        format!("s3://{place}?region=eu-west-1&endpoint=http://{address}")
    }

    /// The keys in the bucket.
    pub fn keys(&self) -> Vec<String> {
        self.keys_of(BUCKET)
    }

    /// The keys in a bucket, as they are written in a list.
    pub fn keys_of(&self, bucket: &str) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            // A listing has a thousand keys at most. The keys need no escaping in a URL.
            let after = keys.last().map_or("", String::as_str);
            let path = match after {
                "" => format!("/{bucket}?list-type=2"),
                after => format!("/{bucket}?list-type=2&start-after={after}"),
            };
            let page = between(&self.request("GET", &path), "<Key>", "</Key>");
            let is_last = page.len() < 1000;
            keys.extend(page);
            if is_last {
                return keys;
            }
        }
    }

    /// The keys of open multipart uploads.
    pub fn unfinished(&self) -> Vec<String> {
        between(&self.uploads(), "<Key>", "</Key>")
    }

    /// Aborts every open multipart upload, like a lifecycle rule of the bucket after some time. Returns the number of these uploads.
    pub fn end_unfinished(&self) -> usize {
        let uploads = self.uploads();
        let ids = between(&uploads, "<UploadId>", "</UploadId>");
        let keys = between(&uploads, "<Key>", "</Key>");
        for (key, id) in keys.iter().zip(&ids) {
            self.request("DELETE", &format!("/{BUCKET}/{key}?uploadId={id}"));
        }
        ids.len()
    }

    fn uploads(&self) -> String {
        self.request("GET", &format!("/{BUCKET}?uploads"))
    }

    /// Stores an object unknown to the store.
    pub fn put(&self, key: &str) {
        self.request("PUT", &format!("/{BUCKET}/{PREFIX}/{key}"));
    }

    /// Makes another bucket.
    pub fn make_bucket(&self, name: &str) {
        self.request("PUT", &format!("/{name}"));
    }

    /// Puts an object into a bucket under any key, like another program.
    pub fn put_object(&self, bucket: &str, key: &str, content_type: Option<&str>, body: &[u8]) {
        let mut path = format!("/{bucket}/");
        for byte in key.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
        let mut head =
            content_type.map_or(String::new(), |kind| format!("Content-Type: {kind}\r\n"));
        // The server does not check the signature, but moto needs a signature to replace an object.
        head += "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n";
        self.exchange("PUT", &path, &head, body);
    }

    fn request(&self, method: &str, path: &str) -> String {
        self.exchange(method, path, "", b"")
    }

    fn exchange(&self, method: &str, path: &str, head: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.address(),
            body.len()
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
        answer
    }
}

fn between(text: &str, before: &str, after: &str) -> Vec<String> {
    text.split(before)
        .skip(1)
        .filter_map(|rest| rest.split(after).next())
        .map(str::to_owned)
        .collect()
}
