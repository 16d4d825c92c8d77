//! What all pages have around them.

use std::fmt::Write as _;

use super::html::escape;

/// A page's beginning, up to and with `<main>`.
pub(crate) fn open(page: &mut String, title: &str, description: &str, style_version: u64) {
    let (title, description) = (escape(title), escape(description));
    // Writing to memory does not fail.
    let _ = write!(
        page,
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="{description}">
<title>{title}</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css?v={style_version:016x}">
</head>
<body>
<header>
<a class="brand" href="/"><img src="/icon.svg" alt="" width="28" height="28">Fieldstation</a>
<nav aria-label="Data">
<a href="/api/stats">Statistics</a>
<a href="/api/sensors">Sensors</a>
<a href="/api/readings?format=csv">Readings</a>
<a href="/health">Health</a>
<a href="/docs">API</a>
</nav>
</header>
<main>
"#
    );
}

/// The end of a page, with a last sentence.
pub(crate) fn close(page: &mut String, sentence: &str) {
    let _ = write!(
        page,
        "</main>\n<footer><p>Fieldstation {}. {sentence}</p></footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    );
}
