//! Runs the commands of docs/first-steps.md in order, and compares the output with the page.

use std::fs;
use std::process::Command;

use super::page;
use crate::support::Server;

/// A block of code: the language and the text.
type Block = (String, String);

#[test]
fn every_command_of_the_tutorial_prints_what_the_page_shows() {
    let server = Server::start();
    let directory = server.directory().path().join("tutorial");
    fs::create_dir(&directory).unwrap();
    let blocks = blocks(&page::read("docs/first-steps.md"));
    let mut run = 0;
    for (at, (language, commands)) in blocks.iter().enumerate() {
        // The server runs already.
        if language != "sh" || commands == "cargo run --release\n" {
            continue;
        }
        let binary = env!("CARGO_BIN_EXE_fieldstation");
        let commands = commands
            .replace("cargo run --release --", binary)
            .replace("http://127.0.0.1:5000", &server.url());
        let output = Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", &commands])
            .current_dir(&directory)
            .env("FIELDSTATION_URL", server.url())
            .env("FIELDSTATION_DATA", server.data())
            .output()
            .unwrap();
        assert!(output.status.success(), "{commands}: {output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let printed = printed.replace(&server.url(), "http://127.0.0.1:5000");
        if let Some((_, expected)) = blocks
            .get(at + 1)
            .filter(|(language, _)| language == "text")
        {
            assert!(
                is_like(&printed, expected),
                "{commands}\nthe page shows:\n{expected}\nprinted:\n{printed}"
            );
        }
        run += 1;
    }
    assert!(run >= 8, "{run}");
}

fn blocks(text: &str) -> Vec<Block> {
    let parts: Vec<_> = text.split("```").collect();
    let fenced = parts.iter().skip(1).step_by(2);
    fenced
        .filter_map(|block| block.split_once('\n'))
        .map(|(language, code)| (language.to_owned(), code.to_owned()))
        .collect()
}

/// Whether a text matches a pattern. In a pattern, `…` stands for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut pieces = pattern.trim_end().split('…');
    let Some(rest) = pieces
        .next()
        .and_then(|first| text.trim_end().strip_prefix(first))
    else {
        return false;
    };
    let mut rest = rest;
    let mut is_open = false;
    for piece in pieces {
        is_open = piece.is_empty();
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    is_open || rest.is_empty()
}

#[test]
fn dots_stand_for_anything() {
    assert!(is_like("a 0.1 s, b\n", "a … s, b\n"));
    assert!(is_like("a 0.1", "a …"));
    assert!(!is_like("a 0.1 s, c", "a … s, b"));
    assert!(!is_like("a b c", "a b"));
}
