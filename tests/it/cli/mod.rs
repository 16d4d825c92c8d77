//! The commands in use: the real binary, the output, the exit code.

mod export;
mod files;
mod healthcheck;
mod import;
mod live;
mod migrate_files;
mod migrate_greeting;
mod misbehaving_server;
mod retries;
mod simulate;
mod stub_server;
mod todo;
mod verify;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Ten times as long as the longest command of these tests.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(120);

/// The output and the exit code of a command.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Checks the exit code. A failure shows the output of the command.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Checks that standard error contains a text.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "{text:?} is not in {self:#?}");
        self
    }
}

/// Runs the binary in a directory, without the environment variables of the binary.
pub fn fieldstation(directory: &Path, arguments: &[&str]) -> Ended {
    with_input(directory, arguments, b"")
}

/// [`fieldstation`] with standard input.
pub fn with_input(directory: &Path, arguments: &[&str], input: &[u8]) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fieldstation"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("FIELDSTATION_URL")
        .env_remove("FIELDSTATION_DATA")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stdout = child.stdout.take().unwrap();
    let stderr = child.stderr.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            // The command may end without reading standard input.
            let _ = stdin.write_all(input);
        });
        let stdout = scope.spawn(move || read_all(stdout));
        let stderr = scope.spawn(move || read_all(stderr));
        let deadline = Instant::now() + COMMAND_TIME_MAX;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let ended = Ended {
            code: status.and_then(|status| status.code()),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        };
        assert!(status.is_some(), "{arguments:?} does not end: {ended:#?}");
        ended
    })
}

fn read_all(mut pipe: impl Read) -> String {
    let mut text = Vec::new();
    pipe.read_to_end(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Runs `import --json` into the directory `data`.
pub fn import_into_data(directory: &Path, arguments: &[&str]) -> Ended {
    let mut all = vec!["import", "--json", "--data", "data"];
    all.extend(arguments);
    fieldstation(directory, &all)
}

/// The counts of an import: recorded, unchanged, replaced, rejected.
pub fn counts(summary: &Value) -> [u64; 4] {
    ["recorded", "unchanged", "replaced", "rejected"].map(|name| summary[name].as_u64().unwrap())
}
