//! A proxy in front of DynamoDB. The proxy intercepts each request, and passes the request on, answers in place of DynamoDB, or closes
//! the connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::counting_proxy::{Counts, Messages, count_request, header};

/// A request to DynamoDB.
pub struct InterceptedRequest<'a> {
    /// Such as `TransactWriteItems`.
    pub operation: &'a str,
    pub head: &'a str,
    pub body: &'a str,
}

/// The reaction of the proxy to a request.
pub enum Reaction {
    Pass,
    /// Answers without asking the upstream.
    Answer(String),
    /// Closes the connection without an answer.
    HangUp,
}

impl Reaction {
    /// An error 400 of DynamoDB, with the code and the message.
    pub fn refuse(code: &str, message: &str) -> Self {
        Self::with_status("400 Bad Request", code, message)
    }

    /// An error 500 of DynamoDB.
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

type Rule = Box<dyn FnMut(&InterceptedRequest<'_>) -> Reaction + Send>;

/// A proxy on a separate port. The threads of the proxy end with the connections.
pub struct DynamoProxy {
    address: SocketAddr,
    rule: Arc<Mutex<Rule>>,
    counts: Arc<Mutex<Counts>>,
}

impl DynamoProxy {
    /// A proxy that passes all requests on.
    pub fn start(upstream: SocketAddr) -> Self {
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_| Reaction::Pass)));
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
                thread::spawn(move || intercept(client, server, &ruled, &counted));
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

    /// Reacts to requests by this rule from now on.
    pub fn set(&self, rule: impl FnMut(&InterceptedRequest<'_>) -> Reaction + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// Passes all requests on again.
    pub fn open(&self) {
        self.set(|_| Reaction::Pass);
    }

    /// Counts of the requests so far, with any reaction.
    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }
}

/// Copies the answers of the upstream. A client sends the next request after the answer, so answers of the proxy do not mix with them.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn intercept(
    mut client: TcpStream,
    mut server: TcpStream,
    rule: &Mutex<Rule>,
    counts: &Mutex<Counts>,
) {
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
            let reaction = rule.lock().unwrap()(&InterceptedRequest {
                operation: target.rsplit('.').next().unwrap_or(target),
                head,
                body: &String::from_utf8_lossy(body),
            });
            let passed = match reaction {
                Reaction::Pass => {
                    let whole = [head.as_bytes(), b"\r\n\r\n", body].concat();
                    server.write_all(&whole)
                }
                Reaction::Answer(text) => replies.write_all(text.as_bytes()),
                Reaction::HangUp => Err(std::io::ErrorKind::ConnectionReset.into()),
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
