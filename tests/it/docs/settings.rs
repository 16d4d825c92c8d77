//! docs/reference/settings.md lists the settings of the server, as the command line defines them.

use std::fmt::Write as _;

use clap::{Arg, Args as _, Command};
use fieldstation::config::Config;

use super::page;

#[test]
fn the_page_of_settings_is_what_the_command_line_defines() {
    let command = Config::augment_args(Command::new("serve"));
    let visible = command
        .get_arguments()
        .filter(|setting| !setting.is_hide_set());
    let entries: Vec<_> = visible.map(entry).collect();
    assert!(entries.len() > 20, "{}", entries.len());
    page::assert_part_is(
        "docs/reference/settings.md",
        "settings",
        &entries.join("\n"),
    );
}

fn entry(setting: &Arg) -> String {
    let option = setting.get_long().unwrap();
    let takes_value = setting.get_action().takes_values();
    let value = match setting.get_value_names() {
        Some([name]) if takes_value => format!(" {name}"),
        _ => String::new(),
    };
    let mut entry = format!("### `--{option}{value}`\n\n");
    let variable = setting.get_env().unwrap().to_string_lossy();
    let _ = write!(entry, "Variable `{variable}`");
    let defaults = setting.get_default_values();
    if let (true, [default]) = (takes_value, defaults) {
        let _ = write!(entry, ", default `{}`", default.to_string_lossy());
    }
    entry.push_str(".\n");
    let help = setting.get_long_help().or(setting.get_help()).unwrap();
    // clap removes the full stop at the end of a help text.
    let help = help.to_string();
    let stop = if help.ends_with(['.', ']']) { "" } else { "." };
    let _ = writeln!(entry, "\n{help}{stop}");
    let values = setting.get_possible_values();
    if takes_value && !values.is_empty() {
        entry.push('\n');
        for value in values {
            let help = value
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let _ = writeln!(entry, "- `{}`: {help}.", value.get_name());
        }
    }
    entry
}
