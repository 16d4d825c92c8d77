//! A server with the S3 API, for one test, in memory and temporary files.
//!
//! It is moto's. Of what the registries have it is the closest in what is used here: conditional writes (`If-Match`,
//! `If-None-Match`), listings that begin after a key, uploads in parts with their smallest size, and the errors of the real
//! thing. It checks no signatures and is slow.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Where files go.
const BUCKET: &str = "fieldstation";
const PREFIX: &str = "some/place";

/// A running server with an empty bucket. It is killed when this goes.
pub struct S3Server {
    child: Child,
    address: SocketAddr,
}

impl S3Server {
    pub fn start() -> Self {
        let program = program();
        // The port may be taken by somebody else between the look and the start; then there are others.
        for _ in 0..10 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let child = Command::new(&program)
                .args(["-H", "127.0.0.1", "-p"])
                .arg(address.port().to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut server = Self { child, address };
            if server.listens() {
                server.request("PUT", &format!("/{BUCKET}"));
                return server;
            }
        }
        panic!("{} does not listen on any port", program.display());
    }

    fn listens(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(self.address).is_ok() {
                // It may have been another one's port: then ours ends by itself.
                std::thread::sleep(Duration::from_millis(5));
                return self.child.try_wait().unwrap().is_none();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `--files` takes.
    pub fn url(&self) -> String {
        Self::url_at(self.address)
    }

    /// The same through another address, such as a proxy's.
    pub fn url_at(address: SocketAddr) -> String {
        format!("s3://{BUCKET}/{PREFIX}?region=eu-west-1&endpoint=http://{address}")
    }

    /// The keys in the bucket.
    pub fn keys(&self) -> Vec<String> {
        between(
            &self.request("GET", &format!("/{BUCKET}?list-type=2")),
            "<Key>",
            "</Key>",
        )
    }

    /// The keys of uploads in parts that were neither completed nor given up.
    pub fn unfinished(&self) -> Vec<String> {
        between(
            &self.request("GET", &format!("/{BUCKET}?uploads")),
            "<Key>",
            "</Key>",
        )
    }

    /// Puts an object there that the store knows nothing of.
    pub fn put(&self, key: &str) {
        self.request("PUT", &format!("/{BUCKET}/{PREFIX}/{key}"));
    }

    fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn between(text: &str, before: &str, after: &str) -> Vec<String> {
    text.split(before)
        .skip(1)
        .filter_map(|rest| rest.split(after).next())
        .map(str::to_owned)
        .collect()
}

/// Where the server is: where `test.sh` installs it, or on the path.
#[expect(
    clippy::disallowed_methods,
    reason = "where programs are is no setting of the server"
)]
fn program() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/moto/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(installed)
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("moto_server"))
        .find(|program| program.is_file())
        .expect("moto_server, an S3 server, is missing; ./test.sh installs it, and so does `python3 -m venv target/tools/moto && target/tools/moto/bin/pip install 'moto[s3,server]==5.2.1'`")
}
