//! Pages of the repository, and the generated parts in them.

use std::fs;
use std::path::{Path, PathBuf};

/// The command to write all generated parts of docs/ again.
const REGENERATE: &str = "FIELDSTATION_WRITE_DOCS=1 cargo test --test it docs::";

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(page: &str) -> String {
    let path = root().join(page);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Markdown pages below a directory of the repository, by their paths from the root.
pub fn pages_below(directory: &str) -> Vec<String> {
    files_below(&root().join(directory))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| path.strip_prefix(root()).unwrap().display().to_string())
        .collect()
}

pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Asserts that a page is this text. Writes the page instead when `FIELDSTATION_WRITE_DOCS` is set.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the tests, not of the server"
)]
pub fn assert_is(page: &str, expected: &str) {
    if std::env::var_os("FIELDSTATION_WRITE_DOCS").is_some() {
        fs::write(root().join(page), expected).unwrap();
        return;
    }
    let found = read(page);
    if found == expected {
        return;
    }
    let lines = found.lines().zip(expected.lines());
    let same = lines.take_while(|(found, expected)| found == expected);
    let number = same.count() + 1;
    let line = |text: &str| text.lines().nth(number - 1).unwrap_or("(end)").to_owned();
    panic!(
        "{page} differs from the program in line {number}.\n  page:    {}\n  program: {}\nWrite the page anew with:\n  {REGENERATE}",
        line(&found),
        line(expected),
    );
}

/// Asserts that the part of a page between `<!-- generated: NAME -->` and `<!-- end: NAME -->` is this text. Writes the part
/// instead when `FIELDSTATION_WRITE_DOCS` is set.
#[track_caller]
pub fn assert_part_is(page: &str, name: &str, expected: &str) {
    let text = read(page);
    let begin_mark = format!("<!-- generated: {name} -->\n");
    let end_mark = format!("<!-- end: {name} -->\n");
    let (before, rest) = text
        .split_once(&begin_mark)
        .unwrap_or_else(|| panic!("{page} lacks {begin_mark}"));
    let (_, after) = rest
        .split_once(&end_mark)
        .unwrap_or_else(|| panic!("{page} lacks {end_mark}"));
    assert_is(
        page,
        &format!("{before}{begin_mark}\n{expected}\n{end_mark}{after}"),
    );
}
