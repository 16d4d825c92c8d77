//! The description of the API: `/openapi.json`, the page `/docs` for people, and redirects from the paths of older servers.
//!
//! `openapi.json` is written by hand and served unchanged. The page is rendered from `openapi.json`, so the two never differ;
//! tests/it/api/server/openapi.rs compares both with the server.

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
use crate::http::etag::{self, EntityTags};
use crate::http::{Problem, ProblemKind, json};
use crate::pages;

const DESCRIPTION: &str = include_str!("openapi.json");

/// The placeholder in the page for the origin of this server.
const ORIGIN: &str = "{origin}";

struct Docs {
    listen: SocketAddr,
    /// The entity tag of the description, without quotes: a hash of its text.
    tag: String,
    /// The page, rendered at the first request, or the error when the description cannot be parsed.
    page: OnceLock<Result<Markup, String>>,
}

/// The description as a Markdown page: the text of `docs/reference/routes.md`.
///
/// # Errors
/// When `openapi.json` is not JSON.
pub fn reference_page() -> Result<String, serde_json::Error> {
    Document::read(DESCRIPTION).map(|document| markdown::render(&document))
}

/// The routes `/openapi.json` and `/docs`, and the redirects to them.
pub fn router(listen: SocketAddr) -> Router {
    Router::new()
        .route("/openapi.json", get(description))
        .route("/docs", get(page))
        .route("/api/", get(to_page))
        .route("/api/swagger.json", get(to_description))
        .with_state(Arc::new(Docs {
            listen,
            tag: format!("{:016x}", xxh3_64(DESCRIPTION.as_bytes())),
            page: OnceLock::new(),
        }))
}

async fn description(
    State(docs): State<Arc<Docs>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = EntityTags::if_none_match(&headers)?;
    let mut response = if known.is_some_and(|tags| tags.match_weakly(&docs.tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        json::answer(DESCRIPTION)
    };
    let headers = response.headers_mut();
    if let Some(tag) = etag::header_value(&docs.tag) {
        headers.insert(header::ETAG, tag);
    }
    // The description changes with the server's version, so a client with a copy has to ask whether the copy is current.
    let no_cache = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, no_cache);
    Ok(response)
}

/// Redirects from the page of older servers. The redirect is temporary, so that no client caches it.
async fn to_page() -> Redirect {
    Redirect::temporary("/docs")
}

/// Redirects from the description of older servers.
async fn to_description() -> Redirect {
    Redirect::temporary("/openapi.json")
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
        let detail = "the description of the API cannot be shown as a page; /openapi.json has the description";
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
}
