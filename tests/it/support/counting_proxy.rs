//! Proxies that pass on all requests. A proxy counts the requests, or makes objects look old.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The name of the write operation in the header.
const TRANSACTION: &str = "TransactWriteItems";
/// Occurs once in each item of a transaction.
const ITEM: &[u8] = b"\"TableName\"";
/// Occurs in the answer to a transaction without a commit.
const CANCELLED: &[u8] = b"TransactionCanceledException";

/// Counts of requests.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests by operation.
    pub operations: BTreeMap<String, u64>,
    /// The items of all transactions.
    pub items: u64,
    /// Transactions without a commit, because of an unmet condition.
    pub cancelled: u64,
}

impl Counts {
    pub fn requests(&self) -> u64 {
        self.operations.values().sum()
    }

    pub fn transactions(&self) -> u64 {
        self.operations.get(TRANSACTION).copied().unwrap_or(0)
    }

    /// The counts since an earlier count.
    pub fn since(mut self, before: &Self) -> Self {
        for (operation, count) in &mut self.operations {
            *count -= before.operations.get(operation).copied().unwrap_or(0);
        }
        self.items -= before.items;
        self.cancelled -= before.cancelled;
        self
    }
}

/// The text before the time of an object in a listing of S3.
const TIME_OF_OBJECT: &[u8] = b"<LastModified>";
/// A year in the past. The number of digits stays the same.
const PAST_YEAR: &[u8] = b"2020";

/// A proxy on a separate port. The threads of the proxy end with the connections.
pub struct CountingProxy {
    address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
}

impl CountingProxy {
    pub fn start(upstream: SocketAddr) -> Self {
        let counts = Arc::new(Mutex::new(Counts::default()));
        let counter = Arc::clone(&counts);
        let address = listen(upstream, move || {
            let (asked, answered) = (Arc::clone(&counter), Arc::clone(&counter));
            let (mut requests, mut answers) = (Messages::default(), Messages::default());
            let up = move |piece: &mut [u8]| {
                requests.add(piece, |head, body| count_request(&asked, head, body));
            };
            let down = move |piece: &mut [u8]| {
                answers.add(piece, |_, body| {
                    if body.windows(CANCELLED.len()).any(|it| it == CANCELLED) {
                        answered.lock().unwrap().cancelled += 1;
                    }
                });
            };
            (up, down)
        });
        Self { address, counts }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap().clone()
    }
}

pub(super) fn count_request(counts: &Mutex<Counts>, head: &str, body: &[u8]) {
    let target = header(head, "x-amz-target").unwrap_or("none");
    let operation = target.rsplit('.').next().unwrap_or(target);
    let items = match operation {
        TRANSACTION => body.windows(ITEM.len()).filter(|it| *it == ITEM).count(),
        _ => 0,
    };
    let mut counts = counts.lock().unwrap();
    *counts.operations.entry(operation.to_owned()).or_default() += 1;
    counts.items += items as u64;
}

pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Splits a direction of a connection into messages. Each message has a content length.
#[derive(Default)]
pub(super) struct Messages {
    buffer: Vec<u8>,
}

impl Messages {
    /// Adds bytes, and calls `each` with the head and the body of each newly complete message.
    pub(super) fn add(&mut self, piece: &[u8], mut each: impl FnMut(&str, &[u8])) {
        const END: &[u8] = b"\r\n\r\n";
        self.buffer.extend_from_slice(piece);
        while let Some(end) = self.buffer.windows(END.len()).position(|it| it == END) {
            let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            let length = header(&head, "content-length").and_then(|it| it.parse().ok());
            let body = end + END.len();
            let whole = body + length.unwrap_or(0);
            if self.buffer.len() < whole {
                return;
            }
            each(&head, &self.buffer[body..whole]);
            self.buffer.drain(..whole);
        }
    }
}

/// A proxy in front of S3. The proxy makes all listed objects look years old. The threads of the proxy end with the connections.
pub struct AgeingProxy {
    address: SocketAddr,
}

impl AgeingProxy {
    pub fn start(upstream: SocketAddr) -> Self {
        let address = listen(upstream, || {
            let mut time = Pattern::new(TIME_OF_OBJECT);
            let mut year: &[u8] = &[];
            let make_old = move |piece: &mut [u8]| {
                for byte in piece {
                    if let Some((digit, rest)) = year.split_first() {
                        *byte = *digit;
                        year = rest;
                    } else if time.ends_with(*byte) {
                        year = PAST_YEAR;
                    }
                }
            };
            (|_: &mut [u8]| (), make_old)
        });
        Self { address }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A pattern to be found in a stream, across the boundaries of reads.
struct Pattern {
    bytes: &'static [u8],
    matched: usize,
}

impl Pattern {
    fn new(bytes: &'static [u8]) -> Self {
        Self { bytes, matched: 0 }
    }

    /// Whether the bytes so far end with the pattern.
    fn ends_with(&mut self, byte: u8) -> bool {
        self.matched = match byte {
            _ if byte == self.bytes[self.matched] => self.matched + 1,
            _ => usize::from(byte == self.bytes[0]),
        };
        let is_whole = self.matched == self.bytes.len();
        if is_whole {
            self.matched = 0;
        }
        is_whole
    }
}

/// Passes connections on, and calls a function with the bytes of each direction. Returns the address to connect to.
fn listen<U, D>(
    upstream: SocketAddr,
    mut looks: impl FnMut() -> (U, D) + Send + 'static,
) -> SocketAddr
where
    U: FnMut(&mut [u8]) + Send + 'static,
    D: FnMut(&mut [u8]) + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(upstream) else {
                continue;
            };
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let (up, down) = looks();
            thread::spawn(move || pass(client, server, up));
            thread::spawn(move || pass(back.0, back.1, down));
        }
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&mut [u8])) {
    let mut buffer = vec![0; 64 * 1024];
    // The end of either side ends the connection.
    let _ = to.set_nodelay(true);
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 {
            break;
        }
        // The proxy counts before passing the bytes on, so every answered request is in the counts.
        look(&mut buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
