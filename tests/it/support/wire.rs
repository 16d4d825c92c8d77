//! How many requests go over the wire: a proxy that passes everything on, and counts.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// How every request of the DynamoDB API begins.
const REQUEST: &[u8] = b"POST / HTTP/1.1\r\n";

/// A proxy on a port of its own. Its threads end with its connections.
pub struct CountingProxy {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl CountingProxy {
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&requests);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(upstream) else {
                    continue;
                };
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let counter = Arc::clone(&counter);
                thread::spawn(move || pass(client, server, Some(&counter)));
                thread::spawn(move || pass(back.0, back.1, None));
            }
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

fn pass(mut from: TcpStream, mut to: TcpStream, counter: Option<&AtomicU64>) {
    let mut buffer = vec![0; 64 * 1024];
    // The beginning of a request may come in two pieces.
    let mut matched = 0;
    // Neither side minds how the other one ends.
    let _ = to.set_nodelay(true);
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 {
            break;
        }
        for &byte in &buffer[..length] {
            matched = match byte {
                _ if byte == REQUEST[matched] => matched + 1,
                _ => usize::from(byte == REQUEST[0]),
            };
            if matched == REQUEST.len() {
                matched = 0;
                if let Some(counter) = counter {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
