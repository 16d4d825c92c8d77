//! HTTP byte by byte, for requests that a correct client does not send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// A connection.
pub struct Raw {
    stream: TcpStream,
}

/// All bytes of a connection until the server closed the connection.
#[derive(Debug)]
pub struct RawAnswer {
    /// 0 when nothing came.
    pub status: u16,
    pub text: String,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await;
        let stream = stream.expect("no connection in time").unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Sends bytes, and returns whether the system accepted them. Only the answer shows whether the server has read them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await;
        sent.is_ok_and(|written| written.is_ok())
    }

    /// The next bytes; none at the end.
    pub async fn receive(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let received = timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let length = received.expect("nothing came in time").unwrap_or(0);
        buffer.truncate(length);
        buffer
    }

    /// Waits until the server closes the connection.
    pub async fn answer(mut self) -> RawAnswer {
        let mut received = Vec::new();
        loop {
            match self.receive().await {
                bytes if bytes.is_empty() => break,
                bytes => received.extend(bytes),
            }
        }
        let text = String::from_utf8_lossy(&received).into_owned();
        let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
        RawAnswer {
            status: status.unwrap_or(0),
            text,
        }
    }

    /// Sends a complete request and reads the answer. The request should have `Connection: close`, unless the server closes by itself.
    pub async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> RawAnswer {
        let mut raw = Self::connect(address).await;
        raw.send(request).await;
        raw.answer().await
    }
}
