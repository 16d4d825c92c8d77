//! A server with answers written byte by byte by a test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Answers each request on a separate connection.
pub struct StubServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A request in the received form.
pub struct StubRequest {
    /// The number of earlier requests.
    pub number: usize,
    /// The method and the path.
    pub line: String,
    pub body: String,
}

impl StubServer {
    /// `answer` returns the bytes of the answer. No bytes: the connection closes without an answer.
    pub fn start(answer: impl Fn(&StubRequest) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for number in 0.. {
                let (stream, _) = listener.accept().unwrap();
                if stopping.load(Ordering::SeqCst) {
                    break;
                }
                if let Some(request) = read_request(&stream, number) {
                    // The client may have closed the connection.
                    let _ = (&stream).write_all(&answer(&request));
                }
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for StubServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn read_request(stream: &TcpStream, number: usize) -> Option<StubRequest> {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 {
            return None;
        }
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(StubRequest {
        number,
        line: line.trim_end_matches(" HTTP/1.1\r\n").to_owned(),
        body: String::from_utf8(body).unwrap(),
    })
}

/// An answer with a status line, further header lines and a body.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The answer to a batch with all readings recorded.
pub fn all_recorded(request: &StubRequest) -> Vec<u8> {
    let recorded = request.body.lines().count();
    let body = format!(r#"{{"recorded":{recorded},"unchanged":0,"replaced":0,"rejected":0}}"#);
    answer("200 OK", "content-type: application/json\r\n", &body)
}
