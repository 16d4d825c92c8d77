//! `GET /hello` and `POST /hello`

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{GreetingStore, Word, WordError};
use crate::http::media_type::{MULTIPART_FORM, MediaType, URLENCODED_FORM};
use crate::http::{ContentEncoding, Problem, ProblemKind, body};

/// The limits of requests.
#[derive(Clone, Copy, Debug)]
pub struct GreetingLimits {
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
    /// How long a client may take to send the next piece of a body.
    pub body_idle: Duration,
}

#[derive(Clone)]
struct GreetingRoutes {
    store: Arc<dyn GreetingStore>,
    limits: GreetingLimits,
}

/// The routes over a store.
pub fn router(store: Arc<dyn GreetingStore>, limits: GreetingLimits) -> Router {
    Router::new()
        .route("/hello", get(word).post(set))
        .with_state(GreetingRoutes { store, limits })
}

async fn word(State(routes): State<GreetingRoutes>) -> Result<Response, Problem> {
    Ok(text(&routes.store.word().await?))
}

/// Stores the body as the word, and answers the word. The content type is ignored, because programs send plain text with the type of a
/// form, or without a type. A form as the body is refused.
async fn set(
    State(routes): State<GreetingRoutes>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    ContentEncoding::require_identity(&headers, "send the word as it is, uncompressed")?;
    let limits = &routes.limits;
    let bytes = body::read(body, limits.body_bytes_max, limits.body_idle).await?;
    if is_form(&headers, &bytes) {
        return Ok(no_string());
    }
    let Some(word) = parse(&bytes)? else {
        return Ok(no_string());
    };
    routes.store.set(word.clone()).await?;
    Ok(text(&word))
}

/// Whether a body is a form: every body of the type `multipart/form-data`, and a body with an `=` of the type
/// `application/x-www-form-urlencoded`, which curl sends by default.
fn is_form(headers: &HeaderMap, body: &[u8]) -> bool {
    MediaType::of_body(headers).is_some_and(|media_type| {
        media_type.is(MULTIPART_FORM) || media_type.is(URLENCODED_FORM) && body.contains(&b'=')
    })
}

/// The word in a body: the text without one line break at the end, which tools such as `echo` add. `None` for an empty text.
fn parse(body: &[u8]) -> Result<Option<Word>, Problem> {
    let invalid = |detail| Problem::new(ProblemKind::InvalidWord, detail);
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        invalid(format!("the word is not UTF-8: byte {at} is wrong"))
    })?;
    match text.parse::<Word>() {
        Ok(word) => Ok(Some(word)),
        Err(WordError::Empty) => Ok(None),
        Err(error) => Err(invalid(error.to_string())),
    }
}

/// The answer when no word was sent. Existing clients compare the text, so this error is not a problem document.
fn no_string() -> Response {
    let text = plain(WordError::Empty.to_string());
    (StatusCode::BAD_REQUEST, text).into_response()
}

fn text(word: &Word) -> Response {
    plain(word.to_string())
}

fn plain(text: String) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_the_word() {
        for (body, word) in [
            ("Ann", "Ann"),
            ("Ann\n", "Ann"),
            ("Ann\r\n", "Ann"),
            (" Ann ", " Ann "),
            ("word=Ann&b", "word=Ann&b"),
            ("{\"a\":1}", "{\"a\":1}"),
            ("a%20b+c", "a%20b+c"),
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap().unwrap().as_str(), word);
        }
        for body in ["", "\n", "  \r\n"] {
            assert_eq!(parse(body.as_bytes()).unwrap(), None, "{body:?}");
        }
        for (body, words) in [(&b"Ann\n\n"[..], "U+000A"), (b"a\xffb", "byte 1 is wrong")] {
            let problem = parse(body).unwrap_err();
            assert!(problem.detail().contains(words), "{problem:?}");
        }
    }

    #[test]
    fn a_form_is_recognized_by_its_type_and_an_equals_sign() {
        let urlencoded = "application/x-www-form-urlencoded";
        for (kind, body, expected) in [
            (urlencoded, "a=b", true),
            (
                "Application/X-WWW-Form-Urlencoded; charset=utf-8",
                "=",
                true,
            ),
            (urlencoded, "tera-webapp", false),
            (urlencoded, "AT&T", false),
            (urlencoded, "", false),
            ("multipart/form-data; boundary=x", "Ann", true),
            ("text/plain", "a=b", false),
            ("", "a=b", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            assert_eq!(
                is_form(&headers, body.as_bytes()),
                expected,
                "{kind}: {body}"
            );
        }
    }
}
