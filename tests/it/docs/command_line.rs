//! docs/reference/command-line.md has the help of every command, and a section about each.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::page;

const PAGE: &str = "docs/reference/command-line.md";

#[test]
fn the_page_of_the_command_line_has_the_help_of_every_command() {
    let mut part = String::new();
    for command in commands(&[]) {
        // The settings of the server have a page of their own.
        if command == ["serve"] || command == ["help"] {
            continue;
        }
        let words = command.join(" ");
        let _ = write!(
            part,
            "### fieldstation {words}\n\n```text\n{}```\n\n",
            help(&command)
        );
    }
    page::assert_part_is(PAGE, "help", part.trim_end_matches('\n'));
}

#[test]
fn the_page_of_the_command_line_has_a_section_about_every_command() {
    let text = page::read(PAGE);
    let described: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let commands = list(&help(&[]));
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        if command != "serve" && command != "help" {
            assert!(
                described.contains(&command.as_str()),
                "{command} has no section"
            );
        }
    }
}

/// Every command below this command. Each command comes before the subcommands of this command.
fn commands(above: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for name in list(&help(above)) {
        if name == "help" {
            continue;
        }
        let command = [above, &[name]].concat();
        let below = commands(&command);
        found.push(command);
        found.extend(below);
    }
    found
}

/// The names under `Commands:` in a help text.
fn list(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn help(command: &[String]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_fieldstation"))
        .args(command)
        .arg("--help")
        .current_dir(Path::new("/"))
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}
