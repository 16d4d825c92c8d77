//! Runs a real Redis (or Valkey) on a free port. The end of the test removes the data.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::port::FreePort;

const PATIENCE: Duration = Duration::from_secs(30);
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// A running server. Dropping this value kills the server. A kill of the test process also kills the server.
pub struct RedisServer {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
    arguments: Vec<String>,
    _port: FreePort,
}

impl RedisServer {
    /// An empty server without a password.
    pub fn start() -> Self {
        Self::with_args(&[])
    }

    /// An empty server with more arguments.
    pub fn with_args(arguments: &[&str]) -> Self {
        Self::launch(tempfile::tempdir().unwrap(), arguments, "port")
    }

    /// An empty server for TLS only, with a new certificate.
    pub fn with_tls() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = make_certificate(directory.path());
        let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        let arguments = [
            "--port",
            "0",
            "--tls-auth-clients",
            "no",
            "--tls-cert-file",
            certificate,
            "--tls-key-file",
            key,
            "--tls-ca-cert-file",
            certificate,
        ];
        Self::launch(directory, &arguments, "tls-port")
    }

    fn launch(directory: TempDir, arguments: &[&str], port_option: &str) -> Self {
        const TRIES: usize = 10;
        for _ in 0..TRIES {
            let port = FreePort::take();
            let address = SocketAddr::from(([127, 0, 0, 1], port.number()));
            let mut all: Vec<_> = arguments.iter().map(ToString::to_string).collect();
            all.extend([format!("--{port_option}"), address.port().to_string()]);
            let mut child = spawn(directory.path(), &all);
            if is_up(&mut child, address) {
                return Self {
                    child,
                    address,
                    directory,
                    arguments: all,
                    _port: port,
                };
            }
        }
        panic!("redis-server does not start on any port");
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The certificate of a server with TLS.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }

    /// Sends SIGKILL.
    pub fn kill9(&mut self) {
        end(&mut self.child);
    }

    /// Starts the killed server again, on the same port with the same data.
    pub fn start_again(&mut self) {
        self.child = spawn(self.directory.path(), &self.arguments);
        assert!(
            is_up(&mut self.child, self.address),
            "redis-server does not start again"
        );
    }

    /// The answer to a command, as lines of redis-cli.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.address.port().to_string()])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The number of connected clients, without the client of this question.
    pub fn clients(&self) -> usize {
        self.command(&["CLIENT", "LIST", "TYPE", "normal"])
            .lines()
            .count()
            - 1
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Starts a server. A shell kills the server as soon as the pipe to the shell closes. The end of the test process closes the pipe,
/// even after a kill of the test process.
fn spawn(directory: &Path, arguments: &[String]) -> Child {
    let program = PROGRAMS
        .into_iter()
        .find(|program| is_installed(program))
        .expect("redis-server is missing: apt-get install redis-server");
    let script = r#""$@" >redis.log 2>&1 & read -r _; kill -9 $!"#;
    Command::new("/bin/sh")
        .args(["-c", script, "sh", program])
        .args(["--bind", "127.0.0.1", "--daemonize", "no", "--save", ""])
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn is_installed(program: &str) -> bool {
    match Command::new(program).arg("--version").output() {
        Ok(Output { status, .. }) => status.success(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            false
        }
    }
}

/// Waits until the server accepts connections; false when the port was taken.
fn is_up(child: &mut Child, address: SocketAddr) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if is_answering(address) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    end(child);
    false
}

/// Whether the server answers and has read all data.
fn is_answering(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut answer = [0; 8];
    // A server with TLS ends the connection at this request.
    stream.write_all(b"PING\r\n").is_ok()
        && !matches!(stream.read(&mut answer), Ok(length) if answer[..length].starts_with(b"-LOADING"))
}

fn end(child: &mut Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// A self-signed certificate for 127.0.0.1, and the key.
fn make_certificate(directory: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl is missing: apt-get install openssl");
    assert!(made.status.success(), "{made:?}");
    (certificate, key)
}
