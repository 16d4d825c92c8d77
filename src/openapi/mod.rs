//! The server's description of itself: `/openapi.json`, and `/docs`, which shows it to people; where older servers have theirs, the
//! way to them.
//!
//! `openapi.json` is written by hand and served as it is. The page is made from it, so the two never differ;
//! tests/it/api/server/openapi.rs holds both against what the server does.

mod curl;
mod document;
mod markdown;
mod page;
mod rich_text;
mod schema;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use maud::{Markup, PreEscaped, html};
use xxhash_rust::xxh3::xxh3_64;

use self::document::Document;
use crate::http::{Problem, ProblemKind};
use crate::pages;

const DESCRIPTION: &str = include_str!("openapi.json");

/// Stands in the page for where the client reaches this server.
const ORIGIN: &str = "{origin}";

struct Docs {
    listen: SocketAddr,
    /// The version of the description, as its entity tag.
    tag: String,
    /// Made at the first request; an error when the description cannot be read.
    page: OnceLock<Result<Markup, String>>,
}

/// The description as a Markdown page: the text of `docs/reference/routes.md`.
///
/// # Errors
/// When `openapi.json` is not JSON.
pub fn reference_page() -> Result<String, serde_json::Error> {
    Document::read(DESCRIPTION).map(|document| markdown::render(&document))
}

/// `/openapi.json` and `/docs`, and what leads there. They need no store.
pub fn router(listen: SocketAddr) -> Router {
    Router::new()
        .route("/openapi.json", get(description))
        .route("/docs", get(page))
        .route("/api/", get(to_page))
        .route("/api/swagger.json", get(to_description))
        .with_state(Arc::new(Docs {
            listen,
            tag: format!("\"{:016x}\"", xxh3_64(DESCRIPTION.as_bytes())),
            page: OnceLock::new(),
        }))
}

async fn description(State(docs): State<Arc<Docs>>, headers: HeaderMap) -> Response {
    let status = if is_known(&headers, &docs.tag) {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::OK
    };
    let mut response = match status {
        StatusCode::OK => DESCRIPTION.into_response(),
        _ => status.into_response(),
    };
    let answered = response.headers_mut();
    answered.remove(header::CONTENT_TYPE);
    if status == StatusCode::OK {
        let json = HeaderValue::from_static("application/json");
        answered.insert(header::CONTENT_TYPE, json);
    }
    if let Ok(tag) = HeaderValue::from_str(&docs.tag) {
        answered.insert(header::ETAG, tag);
    }
    // It changes with the server's version: whoever has a copy asks whether it is still the same.
    let no_cache = HeaderValue::from_static("no-cache");
    answered.insert(header::CACHE_CONTROL, no_cache);
    response
}

/// Older servers have their page here. Not for good: no client is to remember it, and ask elsewhere what it was told to ask here.
async fn to_page() -> Redirect {
    Redirect::temporary("/docs")
}

/// Older servers have their description here.
async fn to_description() -> Redirect {
    Redirect::temporary("/openapi.json")
}

/// Whether `If-None-Match` names the tag. It compares weakly (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

async fn page(
    State(docs): State<Arc<Docs>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let made = docs.page.get_or_init(|| {
        let document = Document::read(DESCRIPTION).map_err(|error| error.to_string())?;
        Ok(page::page(&document, pages::style_version()))
    });
    let made = made.as_ref().map_err(|error| {
        let detail = "the description of the API cannot be shown; /openapi.json has it";
        Problem::new(ProblemKind::Internal, detail).with_source(error.clone())
    })?;
    let origin = pages::origin(&uri, &headers, docs.listen);
    let origin = html! { (origin) }.into_string();
    // Both parts are escaped already.
    let page = PreEscaped(made.0.replace(ORIGIN, &origin));
    Ok(pages::response(page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_problem_is_described_with_its_status_and_title() {
        let description: serde_json::Value = serde_json::from_str(DESCRIPTION).unwrap();
        let components = &description["components"];
        let kinds = components["schemas"]["Problem"]["properties"]["type"]["enum"].as_array();
        let kinds: Vec<_> = kinds
            .unwrap()
            .iter()
            .filter_map(|kind| kind.as_str())
            .collect();
        let all = ProblemKind::ALL.map(|kind| format!("/problems/{}", kind.slug()));
        assert_eq!(kinds, all);
        for kind in ProblemKind::ALL {
            let example = &components["examples"][kind.slug()]["value"];
            assert_eq!(example["type"], format!("/problems/{}", kind.slug()));
            assert_eq!(example["status"], kind.status().as_u16(), "{}", kind.slug());
            assert_eq!(example["title"], kind.title());
        }
        assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn a_copy_is_recognized_by_its_tag() {
        for (value, known) in [
            ("\"a\"", true),
            ("\"b\", W/\"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            let headers = [(header::IF_NONE_MATCH, HeaderValue::from_static(value))];
            assert_eq!(
                is_known(&headers.into_iter().collect(), "\"a\""),
                known,
                "{value}"
            );
        }
    }
}
