//! A gate in front of DynamoDB: it looks at each request, and passes it on, answers in DynamoDB's place, or hangs up.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::wire::{Counts, Messages, count_request, header};

/// A request as the gate sees it.
pub struct Asked<'a> {
    /// Such as `TransactWriteItems`.
    pub operation: &'a str,
    pub head: &'a str,
    pub body: &'a str,
}

/// What becomes of a request.
pub enum Verdict {
    Pass,
    /// The upstream hears nothing of it.
    Answer(String),
    /// The connection ends without an answer.
    HangUp,
}

impl Verdict {
    /// A refusal in DynamoDB's words: its code, and its message.
    pub fn refuse(code: &str, message: &str) -> Self {
        Self::with_status("400 Bad Request", code, message)
    }

    /// A failure in DynamoDB's words.
    pub fn fail(code: &str) -> Self {
        Self::with_status("500 Internal Server Error", code, "try again")
    }

    fn with_status(status: &str, code: &str, message: &str) -> Self {
        let body =
            format!(r#"{{"__type":"com.amazon.coral.service#{code}","message":"{message}"}}"#);
        Self::Answer(format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

type Rule = Box<dyn FnMut(&Asked<'_>) -> Verdict + Send>;

/// A gate on a port of its own. Its threads end with its connections.
pub struct Gate {
    address: SocketAddr,
    rule: Arc<Mutex<Rule>>,
    counts: Arc<Mutex<Counts>>,
}

impl Gate {
    /// A gate that passes everything on.
    pub fn start(upstream: SocketAddr) -> Self {
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_| Verdict::Pass)));
        let counts = Arc::new(Mutex::new(Counts::default()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ruled, counted) = (Arc::clone(&rule), Arc::clone(&counts));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(upstream) else {
                    continue;
                };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || copy(back.0, back.1));
                let (ruled, counted) = (Arc::clone(&ruled), Arc::clone(&counted));
                thread::spawn(move || judge(client, server, &ruled, &counted));
            }
        });
        Self {
            address,
            rule,
            counts,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on requests are judged so.
    pub fn set(&self, rule: impl FnMut(&Asked<'_>) -> Verdict + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// Passes everything on again.
    pub fn open(&self) {
        self.set(|_| Verdict::Pass);
    }

    /// What was asked so far, whatever became of it.
    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }
}

/// The answers of the upstream, as they come. A client asks for nothing before it has the answer, so no other comes between.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn judge(mut client: TcpStream, mut server: TcpStream, rule: &Mutex<Rule>, counts: &Mutex<Counts>) {
    let mut requests = Messages::default();
    let mut buffer = vec![0; 64 * 1024];
    let mut is_over = false;
    while let Ok(length) = client.read(&mut buffer) {
        if length == 0 || is_over {
            break;
        }
        let mut replies = client.try_clone().unwrap();
        requests.add(&buffer[..length], |head, body| {
            count_request(counts, head, body);
            let target = header(head, "x-amz-target").unwrap_or("none");
            let verdict = rule.lock().unwrap()(&Asked {
                operation: target.rsplit('.').next().unwrap_or(target),
                head,
                body: &String::from_utf8_lossy(body),
            });
            let passed = match verdict {
                Verdict::Pass => {
                    let whole = [head.as_bytes(), b"\r\n\r\n", body].concat();
                    server.write_all(&whole)
                }
                Verdict::Answer(text) => replies.write_all(text.as_bytes()),
                Verdict::HangUp => Err(std::io::ErrorKind::ConnectionReset.into()),
            };
            is_over |= passed.is_err();
        });
        if is_over {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}
