//! The pages for people, rendered here, without scripts.
//!
//! A page is a function with the result [`maud::Markup`], in a separate file. `data.rs` reads the data of the pages.

mod data;
mod format;
pub(crate) mod frame;
mod front;
mod origin;
mod response;
mod sparkline;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use xxhash_rust::xxh3::xxh3_64;

use self::data::DataSource;
pub(crate) use self::origin::origin;
pub(crate) use self::response::response;
use crate::app::App;

const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");

struct Pages {
    data: DataSource,
    listen: SocketAddr,
    style_version: u64,
}

/// `/`, the style sheet and the icon of all pages.
pub fn router(app: &App, listen: SocketAddr, is_read_only: bool) -> Router {
    Router::new()
        .route("/", get(front_page))
        .route("/style.css", get(style))
        .route("/icon.svg", get(icon))
        .with_state(Arc::new(Pages {
            data: DataSource::new(app.clone(), is_read_only),
            listen,
            style_version: style_version(),
        }))
}

/// A number for the content of the style sheet, so that no browser shows a page in the style of another version.
pub(crate) fn style_version() -> u64 {
    xxh3_64(STYLE.as_bytes())
}

/// Answers 200 even if stores are unavailable: the page is for people, and names the missing data. Programs ask `/health`.
async fn front_page(State(pages): State<Arc<Pages>>, uri: Uri, headers: HeaderMap) -> Response {
    let origin = origin(&uri, &headers, pages.listen);
    let data = pages.data.front_page(origin, pages.style_version).await;
    response(front::page(&data))
}

/// The URL of the style sheet holds the version, so a browser asks for each version once.
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
