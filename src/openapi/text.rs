//! The part of Markdown that the description uses: paragraphs, lists, code.

use maud::{Markup, html};

/// Paragraphs and lists, with an empty line between them.
pub(super) fn blocks(markdown: &str) -> Markup {
    let blocks = markdown.split("\n\n").filter(|block| !block.is_empty());
    html! {
        @for block in blocks {
            @if block.starts_with("- ") {
                ul.plain {
                    @for item in block.lines() {
                        li { (line(item.trim_start_matches("- "))) }
                    }
                }
            } @else {
                p { (line(block)) }
            }
        }
    }
}

/// A text without line breaks, in which backticks hold code.
pub(super) fn line(markdown: &str) -> Markup {
    html! {
        @for (index, part) in markdown.split('`').enumerate() {
            @if index % 2 == 1 {
                code { (part) }
            } @else {
                (part)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_lists_and_code_become_html_and_the_rest_is_escaped() {
        assert_eq!(
            blocks("a `<b>` c\n\n- one\n- `two`").into_string(),
            "<p>a <code>&lt;b&gt;</code> c</p><ul class=\"plain\"><li>one</li><li><code>two</code></li></ul>"
        );
        assert_eq!(blocks("").into_string(), "");
    }
}
