//! Renders the parts of Markdown that the description uses: paragraphs, lists, code.

use crate::pages::html::escape;

/// The HTML of paragraphs and lists.
pub(super) fn blocks(markdown: &str) -> String {
    let mut html = String::new();
    for block in markdown.split("\n\n").filter(|block| !block.is_empty()) {
        if block.starts_with("- ") {
            html.push_str("<ul class=\"plain\">\n");
            for item in block.lines() {
                let item = line(item.trim_start_matches("- "));
                html.push_str(&format!("<li>{item}</li>\n"));
            }
            html.push_str("</ul>\n");
        } else {
            html.push_str(&format!("<p>{}</p>\n", line(block)));
        }
    }
    html
}

/// The HTML of a text without line breaks. Backticks enclose code.
pub(super) fn line(markdown: &str) -> String {
    let mut html = String::with_capacity(markdown.len() + 32);
    for (at, part) in markdown.split('`').enumerate() {
        if at % 2 == 1 {
            html.push_str(&format!("<code>{}</code>", escape(part)));
        } else {
            html.push_str(&escape(part));
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_lists_and_code_are_rendered_and_the_rest_is_escaped() {
        assert_eq!(
            blocks("a `<b>` c\n\n- one\n- `two`"),
            "<p>a <code>&lt;b&gt;</code> c</p>\n<ul class=\"plain\">\n<li>one</li>\n<li><code>two</code></li>\n</ul>\n"
        );
        assert_eq!(blocks(""), "");
    }
}
