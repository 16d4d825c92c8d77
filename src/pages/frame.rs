//! The frame of every page: the head, the navigation, the footer.

use maud::{DOCTYPE, Markup, html};

/// The links at the top of every page: path and name.
const LINKS: [(&str, &str); 5] = [
    ("/api/stats", "Statistics"),
    ("/api/sensors", "Sensors"),
    ("/api/readings?format=csv", "Readings"),
    ("/health", "Health"),
    ("/docs", "API"),
];

/// The texts of a page outside its main part.
pub(crate) struct Frame<'a> {
    pub(crate) title: &'a str,
    /// For search engines and link previews.
    pub(crate) description: &'a str,
    /// A last sentence in the footer.
    pub(crate) footer: &'a str,
    /// See [`super::style_version`].
    pub(crate) style_version: u64,
}

/// A complete page around its main part.
pub(crate) fn page(frame: &Frame<'_>, main: &Markup) -> Markup {
    let style = format!("/style.css?v={:016x}", frame.style_version);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="description" content=(frame.description);
                title { (frame.title) }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href=(style);
            }
            body {
                header {
                    a.brand href="/" { img src="/icon.svg" alt="" width="28" height="28"; "Fieldstation" }
                    nav aria-label="Data" {
                        @for (path, name) in LINKS {
                            a href=(path) { (name) } " "
                        }
                    }
                }
                main { (main) }
                footer { p { "Fieldstation " (env!("CARGO_PKG_VERSION")) ". " (frame.footer) } }
            }
        }
    }
}
