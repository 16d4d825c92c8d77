//! A real server for the commands to speak to.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// A running server with its directory, which the commands of a test run in, too. It is killed when this goes.
pub struct Station {
    child: Child,
    address: String,
    directory: TempDir,
    arguments: Vec<String>,
}

impl Station {
    pub fn start() -> Self {
        Self::with_arguments(&[])
    }

    pub fn with_arguments(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let (child, address) = spawn(directory.path(), "127.0.0.1:0", &arguments);
        Self {
            child,
            address,
            directory,
            arguments,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Kills it without any warning.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it, and starts it again at the same address, on the same data.
    pub fn restart(&mut self) {
        self.kill();
        let (child, address) = spawn(self.directory.path(), &self.address, &self.arguments);
        assert_eq!(address, self.address);
        self.child = child;
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(directory: &Path, listen: &str, arguments: &[String]) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fieldstation"))
        .env_clear()
        .current_dir(directory)
        .args([
            "serve",
            "--data",
            "data",
            "--log-format",
            "json",
            "--listen",
            listen,
        ])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let (say, heard) = mpsc::sync_channel(1);
    // Reads on to the end, so that the server never waits for its log to be read.
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            match entry["address"].as_str() {
                Some(address) => {
                    let _ = say.try_send(address.to_owned());
                }
                None => eprintln!("{line}"),
            }
        }
    });
    let address = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    (child, address)
}
