//! Progress bars on a terminal. indicatif draws nothing when standard error is not a terminal.

use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

const REDRAW: Duration = Duration::from_millis(100);

/// A bar over the bytes of files, with the time left. Without a total it shows a counter.
pub(super) fn bytes_bar(bytes_total: Option<u64>) -> ProgressBar {
    match bytes_total {
        Some(total) => styled(
            ProgressBar::new(total),
            "{bar:24} {percent:>3} % of {total_bytes}  {msg}  {eta} left",
        ),
        None => counting("{bytes}  {msg}"),
    }
}

/// A bar over a known number of steps.
pub(super) fn steps_bar(steps: u64, what: &'static str) -> ProgressBar {
    styled(
        ProgressBar::new(steps),
        "{bar:24} {human_pos} of {human_len} {msg}  {eta} left",
    )
    .with_message(what)
}

/// A counter, for work of unknown size.
pub(super) fn counting(what: &str) -> ProgressBar {
    styled(
        ProgressBar::no_length(),
        &format!("{{spinner}} {{elapsed_precise}}  {what}"),
    )
}

/// Prints a line on standard error without disturbing a bar.
pub(super) fn note(bar: &ProgressBar, line: &str) {
    bar.suspend(|| eprintln!("{line}"));
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    if !bar.is_hidden() {
        bar.enable_steady_tick(REDRAW);
    }
    bar
}

/// A count per second; 0 while no time has passed.
pub(super) fn rate(count: u64, elapsed: Duration) -> HumanCount {
    let per_second = count as f64 / elapsed.as_secs_f64();
    // The conversion saturates.
    HumanCount(if per_second.is_finite() {
        per_second.round() as u64
    } else {
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_per_second_whatever_the_time() {
        assert_eq!(rate(3000, Duration::from_millis(1500)).to_string(), "2,000");
        assert_eq!(rate(5, Duration::ZERO).to_string(), "0");
        assert_eq!(rate(0, Duration::ZERO).to_string(), "0");
    }

    #[test]
    fn the_templates_are_sound() {
        for template in [
            "{bar:24} {percent:>3} % of {total_bytes}  {msg}  {eta} left",
            "{bar:24} {human_pos} of {human_len} {msg}  {eta} left",
            "{spinner} {elapsed_precise}  {bytes}  {msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
