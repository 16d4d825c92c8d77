//! The front page: rendered here, without scripts.

mod format;
pub(crate) mod frame;
mod front;
pub(crate) mod html;
mod sparkline;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_64;

use self::front::{PageData, Row};
use self::sparkline::Span;
use crate::app::App;
use crate::greeting::Word;
use crate::readings::{Page, ReadingStore, Selection, SensorSummary, Stats, Timestamp};

const STYLE: &str = include_str!("front.css");
const ICON: &str = include_str!("icon.svg");

/// How long a visitor waits for the word when its store does not answer; the page is then shown with the last word that was seen.
const WORD_MAX: Duration = Duration::from_millis(300);

/// How long a visitor waits for the statistics, and then for the drawings.
const READINGS_MAX: Duration = Duration::from_secs(1);

/// How many sensors are listed; `/api/sensors` has the rest.
const SENSORS_MAX: usize = 8;

struct Front {
    app: App,
    listen: SocketAddr,
    is_read_only: bool,
    /// Stands in for the word while its store cannot be reached. The routes of the greeting never look at it.
    last_word: Mutex<Word>,
    /// Changes with the style sheet, so that no browser shows a page in the style of another version.
    style_version: u64,
}

/// `/`, its style sheet and its icon.
pub fn router(app: &App, listen: SocketAddr, is_read_only: bool) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(style))
        .route("/icon.svg", get(icon))
        .with_state(Arc::new(Front {
            app: app.clone(),
            listen,
            is_read_only,
            last_word: Mutex::default(),
            style_version: style_version(),
        }))
}

/// Changes with the style sheet of the pages.
pub(crate) fn style_version() -> u64 {
    xxh3_64(STYLE.as_bytes())
}

/// The page is for people: whatever store is down, it is shown, and says what it cannot show. Programs ask `/health`.
async fn page(State(front): State<Arc<Front>>, uri: Uri, headers: HeaderMap) -> Response {
    let (word, readings) = tokio::join!(front.word(), front.readings());
    let (word, word_is_known) = word;
    let data = PageData {
        word,
        word_is_known,
        readings,
        takes_no_writes: front.takes_no_writes(),
        origin: origin(&uri, &headers, front.listen),
        style_version: front.style_version,
        now: Timestamp::now(),
    };
    html::page(front::render(&data))
}

/// What the page shows of the readings.
struct Readings {
    stats: Stats,
    sensors: u64,
    rows: Vec<Row>,
}

impl Front {
    /// Why nothing can be added at the moment, if that is so.
    fn takes_no_writes(&self) -> Option<String> {
        if self.is_read_only {
            return Some("This server only reads: what is sent to it is refused.".to_owned());
        }
        let directory = self.app.directory()?;
        let error = directory.ready().err()?;
        Some(format!("Nothing can be stored at the moment. {error}."))
    }

    /// The word, and whether it is the one of this moment.
    async fn word(&self) -> (Word, bool) {
        match timeout(WORD_MAX, self.app.greeting.word()).await {
            Ok(Ok(word)) => {
                *self.last_word.lock() = word.clone();
                (word, true)
            }
            Ok(Err(_)) | Err(_) => (self.last_word.lock().clone(), false),
        }
    }

    /// The statistics and some sensors; none when they cannot be had.
    async fn readings(&self) -> Option<Readings> {
        let store = &*self.app.readings;
        let all = Selection::default();
        let figures = async {
            tokio::try_join!(
                store.stats(&all),
                store.sensor_count(),
                store.sensors(None, SENSORS_MAX)
            )
        };
        let (stats, sensors, Page { items, .. }) =
            timeout(READINGS_MAX, figures).await.ok()?.ok()?;
        let drawings = join_all(items.iter().map(|sensor| drawing(store, sensor)));
        let drawings = timeout(READINGS_MAX, drawings).await;
        let drawings = drawings.unwrap_or_else(|_| vec![None; items.len()]);
        let rows = items.into_iter().zip(drawings);
        Some(Readings {
            stats,
            sensors,
            rows: rows
                .map(|(sensor, drawing)| Row { sensor, drawing })
                .collect(),
        })
    }
}

/// A sensor's last hours as a picture and in words; none when there is nothing to draw, or no time for it.
async fn drawing(store: &dyn ReadingStore, sensor: &SensorSummary) -> Option<(String, String)> {
    let span = Span::of(sensor)?;
    let series = store.series(&sensor.sensor, span.window, span.buckets);
    let series = series.await.ok()??;
    Some((sparkline::draw(sensor, &span, &series)?, span.label()))
}

/// Where the client reaches this server, as far as it can be believed: the lines that hold it are made to be pasted into a
/// shell.
pub(crate) fn origin(uri: &Uri, headers: &HeaderMap, listen: SocketAddr) -> String {
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

/// Its address holds its version, so a browser never has to ask for it twice.
async fn style() -> Response {
    asset(
        "text/css; charset=utf-8",
        "max-age=31536000, immutable",
        STYLE,
    )
}

async fn icon() -> Response {
    asset("image/svg+xml", "max-age=86400", ICON)
}

fn asset(content_type: &'static str, cache_control: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static(cache_control),
        ),
    ];
    (headers, text).into_response()
}

/// Whether a text can stand in a line that is made to be copied into a shell.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
