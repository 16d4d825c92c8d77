//! Writes the tables of docs/explanation/reliability.md from the measurements. Checks that the tables are complete.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use super::fault_case::{Answers, LOG_LINES_MAX, Measurement};

const PAGE: &str = "docs/explanation/reliability.md";

/// Times are rounded up to a number in this list, so the page stays the same from run to run.
const SECONDS: [f64; 8] = [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 30.0];

/// Asserts that the page has a row for each fault case of a store.
#[track_caller]
pub fn assert_complete(store: &str, measured: &[Measurement]) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(page).unwrap();
    let (_, rows, _) =
        split(&page, store).expect("docs/explanation/reliability.md has no table of this store");
    let names: Vec<_> = rows
        .lines()
        .filter_map(|row| row.strip_prefix("| ")?.split(" | ").next())
        .filter(|name| *name != "What is wrong")
        .collect();
    let expected: Vec<_> = measured.iter().map(|row| row.name).collect();
    assert_eq!(
        names, expected,
        "{PAGE}; FIELDSTATION_RELIABILITY_TABLE={PAGE} makes it anew"
    );
}

/// Writes the rows of a store into the page in `FIELDSTATION_RELIABILITY_TABLE`. Does nothing without this variable.
#[expect(
    clippy::disallowed_methods,
    reason = "a setting of the tests, not of the server"
)]
pub fn write(store: &str, measured: &[Measurement]) {
    let Some(path) = std::env::var_os("FIELDSTATION_RELIABILITY_TABLE") else {
        return;
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    // The tests of other stores may write to the page at the same time.
    let turn = File::open(&path).unwrap();
    turn.lock().unwrap();
    let page = fs::read_to_string(&path).unwrap();
    let (before, _, after) = split(&page, store).expect("the page has no place for this store");
    fs::write(&path, format!("{before}{}{after}", rows(measured))).unwrap();
}

/// The page before, between and after the markers of a store.
fn split<'a>(page: &'a str, store: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let mark = |word: &str| format!("<!-- {word}: {store} -->\n");
    let begin = page.find(&mark("measured"))? + mark("measured").len();
    let end = begin + page[begin..].find(&mark("end"))?;
    Some((&page[..begin], &page[begin..end], &page[end..]))
}

fn rows(measured: &[Measurement]) -> String {
    let mut out = String::from(
        "| What is wrong | A write is answered | A read | `/health` | `/readyz` | Lines in the log | Well again |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in measured {
        out += &format!(
            "| {} | {} | {} | {} | {} | {} | within {} |\n",
            row.name,
            seen(&row.writes),
            seen(&row.reads),
            row.health,
            row.ready,
            log_lines(row.log_lines),
            seconds(row.recovery),
        );
    }
    out
}

/// `503 within 2 s`
fn seen(seen: &Answers) -> String {
    let statuses: Vec<_> = seen
        .statuses
        .iter()
        .map(|status| match status {
            0 => "cut off".to_owned(),
            status => status.to_string(),
        })
        .collect();
    format!(
        "{} within {}",
        statuses.join(" or "),
        seconds(seen.time_max)
    )
}

/// A few lines count the same as a single line.
fn log_lines(count: usize) -> String {
    match count {
        0 => "none".to_owned(),
        1..=LOG_LINES_MAX => format!("up to {LOG_LINES_MAX}"),
        more => more.to_string(),
    }
}

fn seconds(time: Duration) -> String {
    let most = SECONDS.into_iter().find(|most| time.as_secs_f64() <= *most);
    most.map_or_else(|| "more than 30 s".to_owned(), |most| format!("{most} s"))
}
