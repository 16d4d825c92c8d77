//! The front page: rendered here, without scripts.

use std::fmt::Write as _;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::app::App;
use crate::http::Problem;
use crate::http::json::grouped;
use crate::readings::{Selection, Stats};

/// The word of the greeting.
const WORD: &str = "World";

/// What shows where there is nothing.
const NOTHING: &str = "—";

#[derive(Clone)]
struct Front {
    app: App,
    listen: SocketAddr,
}

/// `/` and its style sheet.
pub fn router(app: &App, listen: SocketAddr) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(style))
        .with_state(Front {
            app: app.clone(),
            listen,
        })
}

async fn page(
    State(front): State<Front>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stats = front.app.readings.stats(&Selection::default()).await?;
    let sensors = front.app.readings.sensor_count().await?;
    let origin = origin(&uri, &headers, front.listen);
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
            ),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    Ok((headers, render(WORD, &stats, sensors, &origin)).into_response())
}

/// Where the client reaches this server, as far as it can be believed: the lines that hold it are made to be pasted into a
/// shell.
fn origin(uri: &Uri, headers: &HeaderMap, listen: SocketAddr) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // HTTP/2 has no Host header.
    let named = uri.authority().map(Authority::as_str);
    let host = named
        .or_else(|| header("host"))
        .filter(|host| is_host(host));
    let scheme = match header("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    match host {
        Some(host) => format!("{scheme}://{host}"),
        None => format!("http://{listen}"),
    }
}

async fn style() -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/css; charset=utf-8"),
        ),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("max-age=3600"),
        ),
    ];
    (headers, include_str!("front.css")).into_response()
}

/// Whether a text can stand in a line that is made to be copied into a shell.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

fn render(word: &str, stats: &Stats, sensors: u64, origin: &str) -> String {
    let mut page = String::with_capacity(4096);
    let (word, origin) = (escape(word), escape(origin));
    let degrees = |value: Option<String>| match value {
        Some(value) => format!("{}&nbsp;°C", for_people(&value)),
        None => NOTHING.to_owned(),
    };
    let cards = [
        (
            "Minimum",
            degrees(stats.minimum().map(|value| value.to_string())),
        ),
        (
            "Average",
            degrees(stats.average().map(|value| format!("{value:.6}"))),
        ),
        (
            "Maximum",
            degrees(stats.maximum().map(|value| value.to_string())),
        ),
        ("Readings", grouped(stats.count())),
        ("Sensors", grouped(sensors)),
    ];
    let figures = cards
        .iter()
        .fold(String::new(), |mut figures, (name, value)| {
            // Writing to memory does not fail.
            let _ = write!(figures, "<div><dt>{name}</dt><dd>{value}</dd></div>");
            figures
        });
    let next = if stats.count() == 0 {
        "<p>No reading has arrived yet. Send one:</p>"
    } else {
        "<p>Send a reading, then look at the statistics:</p>"
    };
    let _ = write!(
        page,
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Fieldstation</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header><p>Fieldstation</p></header>
<main>
<h1>Hello {word}!</h1>
<section aria-label="Statistics over all readings">
<dl>{figures}</dl>
</section>
<section aria-labelledby="next">
<h2 id="next">What to try next</h2>
{next}
<pre><code>curl -X PUT {origin}/api/temperature -d '{{"sensorId":"202","temperature":18}}'
curl {origin}/api/stats</code></pre>
<p>Import a file of readings, or simulate a fleet:</p>
<pre><code>fieldstation import readings.csv --url {origin}
fieldstation simulate --sensors 100 --rate 1000 --duration 10s --url {origin}</code></pre>
<ul>
<li><a href="/api/stats">Statistics</a></li>
<li><a href="/api/sensors">Sensors</a></li>
<li><a href="/api/readings?format=csv">All readings as CSV</a></li>
<li><a href="/health">Health</a></li>
</ul>
</section>
</main>
</body>
</html>
"#
    );
    page
}

/// A decimal number with a proper minus sign and its thousands separated.
fn for_people(number: &str) -> String {
    let (sign, magnitude) = match number.strip_prefix('-') {
        Some(magnitude) => ("−", magnitude),
        None => ("", number),
    };
    let whole = magnitude.split('.').next().unwrap_or(magnitude);
    let fraction = &magnitude[whole.len()..];
    // A temperature is far below the largest integer.
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
    format!("{sign}{whole}{fraction}")
}

/// Text as HTML shows it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::Temperature;

    #[test]
    fn an_empty_page_teaches_and_shows_no_null() {
        let page = render("World", &Stats::EMPTY, 0, "http://station:5000");
        assert!(page.contains("<h1>Hello World!</h1>"));
        assert!(page.contains("No reading has arrived yet"));
        assert!(page.contains("http://station:5000/api/temperature"));
        assert!(!page.contains("null") && !page.contains("NaN"), "{page}");
    }

    #[test]
    fn whatever_is_not_ours_is_escaped() {
        let page = render("<script>", &Stats::EMPTY, 0, "\"><script>'&");
        assert!(page.contains("<h1>Hello &lt;script&gt;!</h1>"));
        assert!(!page.contains("<script>"));
    }

    #[test]
    fn lines_to_paste_hold_a_host_and_nothing_else() {
        let listen: SocketAddr = "127.0.0.1:5000".parse().unwrap();
        let of = |uri: &'static str, host: &'static str, proto: &'static str| {
            let headers = [("host", host), ("x-forwarded-proto", proto)];
            let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
            let headers = headers.map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            origin(&Uri::from_static(uri), &headers.collect(), listen)
        };
        assert_eq!(
            of("/", "station.local:5000", ""),
            "http://station.local:5000"
        );
        assert_eq!(of("/", "[::1]:80", "https"), "https://[::1]:80");
        assert_eq!(of("http://two.example/", "", ""), "http://two.example");
        for bad in [
            "",
            "a;reboot",
            "$(reboot)",
            "a`b`",
            "a'b",
            "a|b",
            "a&b",
            "a/b",
            "a@b",
        ] {
            assert_eq!(of("/", bad, ""), "http://127.0.0.1:5000", "{bad}");
        }
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(for_people("-0.5"), "−0.5");
        assert_eq!(for_people("1000000"), "1,000,000");
        let stats: Stats = ["-6", "28"]
            .iter()
            .map(|t| t.parse::<Temperature>().unwrap())
            .collect();
        let page = render("World", &stats, 1_204, "h");
        assert!(
            page.contains("<dd>−6&nbsp;°C</dd>") && page.contains("<dd>1,204</dd>"),
            "{page}"
        );
        assert!(page.contains("<dd>11.000000&nbsp;°C</dd>"));
    }
}
