//! `GET /hello` and `POST /hello`

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{GreetingStore, Word};
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
/// name a form, or nothing, when they send a plain text.
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
    let word = parse(&bytes)?;
    routes.store.set(word.clone()).await?;
    Ok(text(&word))
}

/// The word in a body: all of it but one line end, which tools such as `echo` put there.
fn parse(body: &[u8]) -> Result<Word, Problem> {
    let invalid = |detail| Problem::new(ProblemKind::InvalidWord, detail);
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        invalid(format!("the word is not UTF-8: byte {at} is wrong"))
    })?;
    text.parse::<Word>()
        .map_err(|error| invalid(error.to_string()))
}

fn text(word: &Word) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, word.to_string()).into_response()
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
            assert_eq!(parse(body.as_bytes()).unwrap().as_str(), word);
        }
        for (body, words) in [
            (&b""[..], "data must contain a string"),
            (b"\n", "data must contain a string"),
            (b"  \r\n", "data must contain a string"),
            (b"Ann\n\n", "U+000A"),
            (b"a\xffb", "byte 1 is wrong"),
        ] {
            let problem = parse(body).unwrap_err();
            assert!(problem.detail().contains(words), "{problem:?}");
        }
    }
}
