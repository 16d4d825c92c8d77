//! A network with failures on demand: a TCP proxy between the server and a dependency of the server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};

const PIECE_BYTES: usize = 64 * 1024;
const BACKLOG: u32 = 1024;

/// A fault of the network, for open connections and for new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The port refuses connections, and open connections are reset.
    Refuse,
    /// Connections are accepted and reset at once.
    Reset,
    /// Connections are accepted, and no byte passes in either direction until the fault is over.
    Blackhole,
    /// Each read is delayed by this time, in each direction.
    Delay(Duration),
    /// A connection is reset after this number of bytes since the start of the connection. Both directions count.
    CutAfter(u64),
    /// Requests arrive, and a reset replaces the first byte of an answer: the client does not know the outcome.
    CutAnswers,
    /// The proxy answers with these bytes and closes the connection. The upstream gets nothing.
    Answer(&'static str),
    /// Does the same as [`Fault::Answer`], for requests with the first text in the first read. Other requests pass.
    AnswerTo(&'static str, &'static str),
}

/// A proxy on a separate port. Dropping this value stops the proxy and cuts the connections.
pub struct FaultProxy {
    address: SocketAddr,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// The next fault, and a sender to report the switch.
type Command = (Fault, SyncSender<()>);

impl FaultProxy {
    /// A proxy in front of `upstream`, without a fault. For each connection to the proxy, the proxy connects once to the upstream.
    pub fn start(upstream: SocketAddr) -> Self {
        let (commands, receiver) = mpsc::channel(1);
        let (started, address) = sync_channel(1);
        // The proxy has a separate runtime, so the proxy works while the runtime of the test is busy.
        let thread = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(run(upstream, &started, receiver));
        });
        Self {
            address: address.recv().unwrap(),
            commands: Some(commands),
            thread: Some(thread),
        }
    }

    /// The address of the proxy. The address stays the same with every fault.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Switches to a fault. The fault is in effect when this function returns.
    pub fn set(&self, fault: Fault) {
        let (done, is_done) = sync_channel(1);
        let commands = self.commands.as_ref().unwrap();
        // The channel has room as soon as the thread has read the previous fault.
        let mut command = (fault, done);
        while let Err(mpsc::error::TrySendError::Full(back)) = commands.try_send(command) {
            command = back;
            thread::sleep(Duration::from_millis(1));
        }
        is_done.recv().expect("the proxy has ended");
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(
    upstream: SocketAddr,
    started: &SyncSender<SocketAddr>,
    mut commands: mpsc::Receiver<Command>,
) {
    // Bound and never listening: keeps the port while connections are refused.
    let holder = socket("127.0.0.1:0".parse().unwrap());
    let address = holder.local_addr().unwrap();
    let mut listener = Some(listen(address));
    let (fault, _) = watch::channel(Fault::None);
    started.send(address).unwrap();
    loop {
        let stream = tokio::select! {
            biased;
            command = commands.recv() => {
                let Some((next, done)) = command else { return };
                fault.send_replace(next);
                match next {
                    Fault::Refuse => listener = None,
                    _ => listener = listener.or_else(|| Some(listen(address))),
                }
                // Existing connections see the fault before the test goes on.
                tokio::task::yield_now().await;
                let _ = done.send(());
                continue;
            }
            stream = accept(listener.as_ref()) => stream,
        };
        if let Ok(stream) = stream {
            tokio::spawn(connection(stream, upstream, fault.subscribe()));
        }
    }
}

/// Several sockets may be bound to the port at a time, but only a single socket listens.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

fn listen(address: SocketAddr) -> TcpListener {
    socket(address).listen(BACKLOG).unwrap()
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Serves a connection until the connection or a fault ends the connection.
async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    mut fault: watch::Receiver<Fault>,
) {
    let now = *fault.borrow();
    if let Fault::Answer(text) = now {
        answer(client, text, false).await;
        return;
    }
    if matches!(now, Fault::Refuse | Fault::Reset) {
        return reset(&client);
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return reset(&client);
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let passed = AtomicU64::new(0);
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let mut up = Pump {
        passed: &passed,
        fault: fault.clone(),
        answers: false,
        instead: None,
    };
    let mut down = Pump {
        passed: &passed,
        fault: fault.clone(),
        answers: true,
        instead: None,
    };
    let both = async {
        tokio::try_join!(
            up.run(from_client, to_server),
            down.run(from_server, to_client)
        )
    };
    let is_cut = tokio::select! {
        biased;
        _ = fault.wait_for(|fault| matches!(fault, Fault::Refuse | Fault::Reset | Fault::Answer(_))) => true,
        result = both => result.is_err(),
    };
    if let Some(text) = up.instead {
        answer(client, text, true).await;
    } else if is_cut {
        reset(&client);
    }
}

/// Turns the drop of a connection into a reset.
fn reset(client: &TcpStream) {
    // Fails when the client has closed the connection.
    let _ = client.set_zero_linger();
}

/// Reads a request until the client pauses, then answers and closes. `asked` tells whether a part of the request was read before.
async fn answer(mut client: TcpStream, text: &str, mut asked: bool) {
    const PAUSE: Duration = Duration::from_millis(50);
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let pause = if asked { PAUSE } else { PAUSE * 200 };
        match tokio::time::timeout(pause, client.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(_)) => asked = true,
            Err(_) => break,
        }
    }
    let _ = client.write_all(text.as_bytes()).await;
    let _ = client.shutdown().await;
}

/// A direction of a connection.
struct Pump<'a> {
    passed: &'a AtomicU64,
    fault: watch::Receiver<Fault>,
    answers: bool,
    /// The answer in place of the answer of the upstream.
    instead: Option<&'static str>,
}

impl Pump<'_> {
    /// Passes all bytes on until the end. Returns an error when the connection has to be reset.
    async fn run(
        &mut self,
        mut from: impl io::AsyncRead + Unpin,
        mut to: impl io::AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return to.shutdown().await;
            }
            let fault = self
                .fault
                .wait_for(|fault| *fault != Fault::Blackhole)
                .await;
            let Ok(fault) = fault.map(|fault| *fault) else {
                return Err(io::ErrorKind::ConnectionReset.into());
            };
            let mut piece = &buffer[..length];
            match fault {
                Fault::Delay(time) => tokio::time::sleep(time).await,
                Fault::CutAnswers if self.answers => piece = &[],
                Fault::AnswerTo(asked, text) if !self.answers && contains(piece, asked) => {
                    self.instead = Some(text);
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                Fault::CutAfter(bytes) => {
                    let room = bytes.saturating_sub(self.passed.load(Ordering::Relaxed));
                    piece = &piece[..piece.len().min(room as usize)];
                }
                _ => {}
            }
            to.write_all(piece).await?;
            self.passed.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if piece.len() < length {
                to.flush().await?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
    }
}

fn contains(piece: &[u8], text: &str) -> bool {
    piece
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

    use super::*;

    /// A server that sends back all bytes.
    fn echo() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut copy = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut stream, &mut copy);
                });
            }
        });
        address
    }

    fn connect(proxy: &FaultProxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    }

    fn exchange(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
        let mut buffer = [0; 4];
        stream.write_all(b"ping")?;
        stream.read_exact(&mut buffer)?;
        Ok(buffer)
    }

    #[test]
    fn a_fault_proxy_passes_everything_on_and_recovers_from_each_fault() {
        let proxy = FaultProxy::start(echo());
        for fault in [
            Fault::Refuse,
            Fault::Reset,
            Fault::CutAfter(0),
            Fault::CutAnswers,
            Fault::Answer("no"),
        ] {
            let mut open = connect(&proxy);
            exchange(&mut open).unwrap();
            proxy.set(fault);
            exchange(&mut open).unwrap_err();
            proxy.set(Fault::None);
            assert_eq!(&exchange(&mut connect(&proxy)).unwrap(), b"ping");
        }
    }

    #[test]
    fn a_fault_proxy_refuses_connections_and_keeps_its_port() {
        let proxy = FaultProxy::start(echo());
        for _ in 0..20 {
            proxy.set(Fault::Refuse);
            let error = TcpStream::connect(proxy.address()).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
            proxy.set(Fault::None);
            exchange(&mut connect(&proxy)).unwrap();
        }
    }

    #[test]
    fn a_fault_proxy_answers_some_requests_and_passes_others() {
        let proxy = FaultProxy::start(echo());
        let mut open = connect(&proxy);
        exchange(&mut open).unwrap();
        proxy.set(Fault::AnswerTo("pong", "nobody"));
        assert_eq!(&exchange(&mut open).unwrap(), b"ping");
        open.write_all(b"a pong").unwrap();
        let mut heard = String::new();
        open.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "nobody");
        assert_eq!(&exchange(&mut connect(&proxy)).unwrap(), b"ping");
    }

    #[test]
    fn a_fault_proxy_holds_and_delays() {
        let proxy = FaultProxy::start(echo());
        let mut open = connect(&proxy);
        proxy.set(Fault::Blackhole);
        open.set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        exchange(&mut open).unwrap_err();
        proxy.set(Fault::Delay(Duration::from_millis(150)));
        open.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut held = [0; 4];
        open.read_exact(&mut held).unwrap();
        let start = Instant::now();
        exchange(&mut open).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(300));
    }

    #[test]
    fn a_fault_proxy_cuts_after_so_many_bytes() {
        let proxy = FaultProxy::start(echo());
        proxy.set(Fault::CutAfter(10));
        let mut open = connect(&proxy);
        exchange(&mut open).unwrap();
        exchange(&mut open).unwrap_err();
    }
}
