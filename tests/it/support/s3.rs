//! A server with the S3 API, for one test, in memory and temporary files.
//!
//! It is moto's. Of what the registries have it is the closest in what is used here: conditional writes (`If-Match`,
//! `If-None-Match`), listings that begin after a key, uploads in parts with their smallest size, and the errors of the real
//! thing. It checks no signatures and is slow.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::emulator::{Emulator, installed};

const PATIENCE: Duration = Duration::from_secs(60);

/// Where files go.
const BUCKET: &str = "fieldstation";
const PREFIX: &str = "some/place";

/// A running server with an empty bucket. It is killed when this goes.
pub struct S3Server(Emulator);

impl S3Server {
    pub fn start() -> Self {
        let program = installed("moto_server", "target/tools/moto/bin").expect(
            "moto_server, an S3 server, is missing; ./test.sh installs it, and so does `python3 -m venv target/tools/moto && target/tools/moto/bin/pip install 'moto[s3,server]==5.2.1'`",
        );
        let server = Self(Emulator::start(&program, &["-H", "127.0.0.1", "-p"]));
        server.request("PUT", &format!("/{BUCKET}"));
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// What `--files` takes.
    pub fn url(&self) -> String {
        Self::url_at(self.address())
    }

    /// The same through another address, such as a proxy's.
    pub fn url_at(address: SocketAddr) -> String {
        format!("s3://{BUCKET}/{PREFIX}?region=eu-west-1&endpoint=http://{address}")
    }

    /// The keys in the bucket.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            // A listing has a thousand of them at most. What keys are made of may stand in a URL.
            let after = keys.last().map_or("", String::as_str);
            let path = format!("/{BUCKET}?list-type=2&start-after={after}");
            let page = between(&self.request("GET", &path), "<Key>", "</Key>");
            if page.is_empty() {
                return keys;
            }
            keys.extend(page);
        }
    }

    /// The keys of uploads in parts that were neither completed nor given up.
    pub fn unfinished(&self) -> Vec<String> {
        between(&self.uploads(), "<Key>", "</Key>")
    }

    /// Gives up every upload in parts, as a lifecycle rule of the bucket does in time. Says how many there were.
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

    /// Puts an object there that the store knows nothing of.
    pub fn put(&self, key: &str) {
        self.request("PUT", &format!("/{BUCKET}/{PREFIX}/{key}"));
    }

    fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address()
        )
        .unwrap();
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
