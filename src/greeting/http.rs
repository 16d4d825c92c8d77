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
use crate::http::{Problem, ProblemKind, body};

/// Bounds on what requests may ask of the server.
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

/// Makes the body the word, and answers it once it is stored. Whatever the content type says, the body is taken as it is: programs
/// name a form, or nothing, when they send a plain text. What really is a form is no word.
async fn set(
    State(routes): State<GreetingRoutes>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        let detail = "send the word as it is, uncompressed";
        return Err(
            Problem::new(ProblemKind::UnsupportedMediaType, detail).accept_encoding("identity")
        );
    }
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

/// Whether a body is a form: anything that calls itself `multipart/form-data`, and a body under curl's type for what `-d` sends
/// that has an `=` in it, as every field of a form has.
fn is_form(headers: &HeaderMap, body: &[u8]) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("multipart/form-data")
        || essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") && body.contains(&b'=')
}

/// The word in a body: all of it but one line end, which tools such as `echo` put there. `None` when nothing is in it.
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

/// No word was sent. Programs know this answer by its text, so it is the one error that is no problem document.
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
    fn a_form_is_told_by_its_type_and_an_equals_sign() {
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
