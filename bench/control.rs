//! The few requests beside the load: checks that the server is ready, and that the counts are right.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fieldstation::readings::{Stats, Temperature};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Sends requests to a server, each over a separate connection.
pub(crate) struct Control {
    address: SocketAddr,
}

impl Control {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Requests a path and parses the JSON answer.
    pub(crate) fn get(&mut self, path: &str) -> Result<Value> {
        let body = self.text(path)?;
        serde_json::from_str(&body).with_context(|| format!("GET {path} is not JSON: {body}"))
    }

    fn text(&mut self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "GET {path}: {answer}");
        let chunked = head
            .lines()
            .any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
        if chunked {
            join_chunks(body)
        } else {
            Ok(body.to_owned())
        }
    }

    /// Fails unless the server reports the statistics of the acknowledged readings, and the counts of the sensors add up to the
    /// same number.
    pub(crate) fn verify(&mut self, acknowledged: &Stats) -> Result<()> {
        self.verify_stats("/api/stats", acknowledged)?;
        let count = self.count()?;
        ensure!(
            count == acknowledged.count(),
            "READINGS ARE LOST: {count} are there, {} were acknowledged",
            acknowledged.count()
        );
        Ok(())
    }

    /// Fails unless a path answers exactly these statistics.
    pub(crate) fn verify_stats(&mut self, path: &str, acknowledged: &Stats) -> Result<()> {
        let text = self.text(path)?;
        let stats: Statistics<'_> = serde_json::from_str(&text)?;
        let degrees = |temperature: Option<Temperature>| -> Option<f64> {
            temperature?.to_string().parse().ok()
        };
        for (name, found, expected) in [
            ("Maximum", stats.maximum, degrees(acknowledged.maximum())),
            ("Minimum", stats.minimum, degrees(acknowledged.minimum())),
            ("Average", stats.average, acknowledged.average()),
        ] {
            if found.get().parse().ok() != expected {
                bail!("READINGS ARE WRONG: {name} is {found}, and {expected:?} was acknowledged");
            }
        }
        Ok(())
    }

    /// Counts the readings of all sensors.
    fn count(&mut self) -> Result<u64> {
        let mut count = 0;
        let mut path = "/api/sensors?limit=1000".to_owned();
        loop {
            let page = self.get(&path)?;
            let sensors = page["sensors"]
                .as_array()
                .context("a page without sensors")?;
            for sensor in sensors {
                count += sensor["count"].as_u64().context("a sensor without count")?;
            }
            let Some(cursor) = page["next"].as_str() else {
                return Ok(count);
            };
            let cursor: String = form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
            path = format!("/api/sensors?limit=1000&cursor={cursor}");
        }
    }
}

/// Parses numbers from their text: the JSON parser's own conversion may be off in the last bit.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics<'a> {
    #[serde(borrow)]
    maximum: &'a RawValue,
    #[serde(borrow)]
    minimum: &'a RawValue,
    #[serde(borrow)]
    average: &'a RawValue,
}

fn join_chunks(mut body: &str) -> Result<String> {
    let mut joined = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").context("half a chunk")?;
        let size = usize::from_str_radix(size, 16)?;
        if size == 0 {
            return Ok(joined);
        }
        joined += rest.get(..size).context("half a chunk")?;
        body = rest.get(size + 2..).context("half a chunk")?;
    }
}
