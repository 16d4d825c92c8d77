//! A server that misbehaves on purpose.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Answers every request on a connection of its own, as a test says.
pub struct Fake {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A request as it came in.
pub struct Asked {
    /// How many came before it.
    pub number: usize,
    /// The method and the path.
    pub line: String,
    pub body: String,
}

impl Fake {
    /// `answer` gives the bytes of the answer; none closes the connection without a word.
    pub fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + 'static) -> Self {
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
                if let Some(asked) = read_request(&stream, number) {
                    // The client may be gone.
                    let _ = (&stream).write_all(&answer(&asked));
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

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn read_request(stream: &TcpStream, number: usize) -> Option<Asked> {
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
    Some(Asked {
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

/// The answer to a batch of which all was recorded.
pub fn all_recorded(asked: &Asked) -> Vec<u8> {
    let recorded = asked.body.lines().count();
    let body = format!(r#"{{"recorded":{recorded},"unchanged":0,"replaced":0,"rejected":0}}"#);
    answer("200 OK", "content-type: application/json\r\n", &body)
}
