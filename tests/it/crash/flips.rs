//! A bit flips somewhere on the disk: the flip is detected, or no answer changes.
//!
//! `FIELDSTATION_BIT_FLIPS` sets the number of flips (6 by default).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{Answer, Exited, FileBytes, Random, Server, reading, run, setting};

/// The consequence of a flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// `verify` names the damaged file.
    ByVerify,
    /// `backup` refuses to copy the damaged file.
    ByBackup,
    /// The server does not start, and says why.
    ByStart,
    /// An answer reports damage, and names the damaged file.
    ByRequest,
    /// No answer has changed.
    Harmless,
    /// An answer has changed without an error.
    Silent,
}

/// The answers of a server, by path.
type Answers = BTreeMap<String, (u16, Vec<u8>)>;

const DEVICES: usize = 3;

async fn fill(server: &Server) {
    let client = server.client();
    // Temperatures have all digits, so few bytes of the files are unused.
    let mut random = Random::new(1);
    for sensor in 0..4 {
        let mut body = String::new();
        for n in 0..6_000 {
            let (hour, minute, second) = (n / 3600, n / 60 % 60, n % 60);
            let time = format!("2026-11-20T{hour:02}:{minute:02}:{second:02}Z");
            let temperature = format!("{}.{:06}", random.below(1000), random.below(1_000_000));
            body += &reading(&format!("sensor-{sensor}"), &time, &temperature);
            body.push('\n');
        }
        client.store(body).await;
    }
    for number in 0..60 {
        let description = format!("the description of {number} ").repeat(40);
        let todo = json!({ "title": format!("todo {number}"), "description": description });
        Answer::to(client.request("POST", "/api/todos").json(&todo))
            .await
            .with_status(201);
    }
    Answer::to(client.request("POST", "/hello").body("a word"))
        .await
        .with_status(200);
    let bytes = FileBytes::up_to(100_000);
    for device in 0..DEVICES {
        let request = client.request("PUT", &format!("/api/devices/{device}"));
        Answer::to(request.body(bytes.of(30_000 * (device + 1))))
            .await
            .with_status(200);
    }
}

async fn answers(server: &Server) -> Answers {
    let client = server.client();
    let mut paths: Vec<String> = [
        "/hello",
        "/api/readings?format=csv",
        "/api/stats",
        "/api/stats?from=2026-11-20T00:10:00Z&to=2026-11-20T01:00:00Z",
        "/api/sensors",
        "/api/todos?limit=1000",
        "/api/todos?text=todo",
        "/api/devices/",
    ]
    .map(str::to_owned)
    .into();
    for device in 0..DEVICES {
        paths.push(format!("/api/devices/{device}/content"));
        paths.push(format!("/api/devices/{device}/info"));
    }
    let mut answers = Answers::new();
    for path in paths {
        // An interrupted answer reports an error.
        let answer = match Answer::try_to(client.request("GET", &path)).await {
            Ok(answer) => (answer.status, answer.body.to_vec()),
            Err(_) => (599, Vec::new()),
        };
        answers.insert(path, answer);
    }
    answers
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if !path.ends_with("lock") {
            found.push(path);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Flips a bit, and finds out how the flip is detected.
async fn flip(good: &Path, expected: &Answers, random: &mut Random) -> (String, Found) {
    let directory = Arc::new(TempDir::new().unwrap());
    let data = directory.path().join("data");
    copy(good, &data);
    let mut paths = Vec::new();
    files(&data, &mut paths);
    paths.sort();
    let path = &paths[random.below(paths.len() as u64) as usize];
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let (at, bit) = (
        random.below(file.metadata().unwrap().len()),
        random.below(8),
    );
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
    let name = path.strip_prefix(&data).unwrap();
    let file = match name.parent() {
        Some(parent) if parent == Path::new("files") => "files/".to_owned(),
        _ => name.display().to_string(),
    };
    println!("bit {bit} of byte {at} of {}", name.display());
    (file, found(&directory, expected).await)
}

/// Asserts that the error of a failed command names the damaged file.
#[track_caller]
fn assert_named(exited: &Exited) {
    let output = &exited.output;
    let is_named = ["readings.db", "station.db", "files/"]
        .iter()
        .any(|name| output.contains(name));
    assert!(
        is_named && exited.code.is_some() && !output.contains("panicked"),
        "{output}"
    );
}

async fn found(directory: &Arc<TempDir>, expected: &Answers) -> Found {
    let verified = run(directory.path(), &["verify", "--data", "data"]);
    if verified.code != Some(0) {
        assert_named(&verified);
        return Found::ByVerify;
    }
    let copied = run(
        directory.path(),
        &["backup", "--data", "data", "--to", "copy"],
    );
    if copied.code != Some(0) {
        assert_named(&copied);
        return Found::ByBackup;
    }
    let server = match Server::try_in(directory, &[]) {
        Ok(server) => server,
        Err(exited) => {
            assert_named(&exited);
            return Found::ByStart;
        }
    };
    let answers = answers(&server).await;
    let mut found = Found::Harmless;
    for (path, expected) in expected {
        let (status, body) = &answers[path];
        if (*status, body) == (expected.0, &expected.1) {
            continue;
        }
        if *status >= 500 {
            found = Found::ByRequest;
            continue;
        }
        println!(
            "SILENT: {path} is {status} {}",
            String::from_utf8_lossy(&body[..body.len().min(500)])
        );
        return Found::Silent;
    }
    found
}

#[tokio::test]
async fn a_bit_that_flips_is_found_or_changes_nothing() {
    let flips = setting("FIELDSTATION_BIT_FLIPS").unwrap_or(6);
    let mut random = super::random();
    let server = Server::start();
    fill(&server).await;
    let expected = answers(&server).await;
    for (path, (status, _)) in &expected {
        assert_eq!(*status, 200, "{path}");
    }
    let (directory, data) = (Arc::clone(server.directory()), server.data());
    // After this, all data is in the database files.
    assert_eq!(server.stop().code, Some(0));
    let mut tally: BTreeMap<(String, Found), u64> = BTreeMap::new();
    for _ in 0..flips {
        let (file, found) = flip(&data, &expected, &mut random).await;
        println!("{file}: {found:?}");
        *tally.entry((file, found)).or_default() += 1;
    }
    drop(directory);
    for ((file, found), count) in &tally {
        println!("{file}: {count} {found:?}");
    }
    let silent = tally.keys().find(|(_, found)| *found == Found::Silent);
    assert_eq!(silent, None, "an answer changed, and nobody said so");
}
