//! What goes over the wire: proxies that pass everything on and count requests, or make objects look old.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// How every request of the DynamoDB API begins.
const REQUEST: &[u8] = b"POST / HTTP/1.1\r\n";

/// What S3 writes before the time of an object in a listing.
const TIME_OF_OBJECT: &[u8] = b"<LastModified>";
/// A year that is over, as long as any other.
const PAST_YEAR: &[u8] = b"2020";

/// A proxy on a port of its own. Its threads end with its connections.
pub struct CountingProxy {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl CountingProxy {
    pub fn start(upstream: SocketAddr) -> Self {
        let requests = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&requests);
        let address = listen(upstream, move || {
            let counter = Arc::clone(&counter);
            let mut begin = Pattern::new(REQUEST);
            let count = move |piece: &mut [u8]| {
                for byte in piece {
                    counter.fetch_add(begin.ends_with(*byte).into(), Ordering::SeqCst);
                }
            };
            (count, |_: &mut [u8]| ())
        });
        Self { address, requests }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests there were so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

/// A bucket as it is years later: what is listed has a time long past. Its threads end with its connections.
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

/// Bytes to be found in a stream, whose pieces may end anywhere.
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

/// Passes connections on, with a look at each direction: up, and down. Says where.
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
    // Neither side minds how the other one ends.
    let _ = to.set_nodelay(true);
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 {
            break;
        }
        look(&mut buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
