//! A client. The client shows the status, the headers and the body of each answer unchanged.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// An answer of a server.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The answer of a request.
    pub async fn to(request: RequestBuilder) -> Self {
        Self::try_to(request).await.expect("no whole answer")
    }

    /// The answer to a request with an unreliable connection.
    pub async fn try_to(request: RequestBuilder) -> Result<Self, reqwest::Error> {
        let response = request.send().await?;
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?,
        })
    }

    #[track_caller]
    pub fn with_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("an answer that is not UTF-8")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts a complete problem of this type in the answer, and returns the problem.
    #[track_caller]
    pub fn problem(&self, status: u16, slug: &str) -> Value {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem = self.json();
        assert_eq!(problem["type"], format!("/problems/{slug}"), "{text}");
        assert_eq!(problem["status"], status, "{text}");
        assert!(
            problem["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty())
        );
        assert_eq!(problem["requestId"].as_str(), self.header("x-request-id"));
        for private in [
            "panicked",
            ".rs",
            "/tmp",
            "rusqlite",
            "SqliteFailure",
            "Error(",
        ] {
            assert!(!text.contains(private), "{text}");
        }
        problem
    }

    /// Does the same as [`Answer::problem`], and asserts these words in the detail.
    #[track_caller]
    pub fn problem_saying(&self, status: u16, slug: &str, words: &[&str]) {
        self.problem(status, slug);
        let text = self.text();
        for word in words {
            assert!(text.contains(word), "no `{word}` in {text}");
        }
        assert!(text.len() < 50_000, "{} bytes", text.len());
    }
}

/// A client of a server.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    origin: String,
}

/// A client for HTTP/2 without negotiation.
pub fn http2() -> reqwest::Client {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .http2_prior_knowledge();
    client.build().unwrap()
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .redirect(Policy::none())
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self {
            http,
            origin: format!("http://{address}"),
        }
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.origin))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request("GET", path)).await
    }

    /// `PUT /api/temperature` without a content type.
    pub async fn put(&self, body: impl Into<reqwest::Body>) -> Answer {
        Answer::to(self.request("PUT", "/api/temperature").body(body)).await
    }

    /// `PUT /api/temperature` with a content type.
    pub async fn put_as(&self, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request("PUT", "/api/temperature");
        Answer::to(request.header("content-type", content_type).body(body)).await
    }

    /// `POST /api/readings`; `query` is empty or begins with a question mark.
    pub async fn post(
        &self,
        query: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let request = self.request("POST", &format!("/api/readings{query}"));
        Answer::to(request.header("content-type", content_type).body(body)).await
    }

    /// Stores lines of JSON, and asserts success for all lines.
    pub async fn store(&self, lines: impl Into<reqwest::Body>) -> Answer {
        self.post("", "application/x-ndjson", lines)
            .await
            .with_status(200)
    }

    /// Sends lines of JSON. The server may refuse the lines.
    pub async fn store_or_not(&self, lines: impl Into<reqwest::Body>) -> Answer {
        self.post("", "application/x-ndjson", lines).await
    }

    /// Waits until `/readyz` answers this status: 200 (ready) or 503 (not ready).
    pub async fn until_readiness(&self, status: u16) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.get("/readyz").await;
            if answer.status == status {
                return;
            }
            assert!(Instant::now() < deadline, "{}", answer.text());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The body of `GET /api/stats`; `query` is empty or begins with a question mark.
    pub async fn stats(&self, query: &str) -> String {
        self.get(&format!("/api/stats{query}"))
            .await
            .with_status(200)
            .text()
    }

    /// All readings as lines of JSON.
    pub async fn everything(&self) -> String {
        self.get("/api/readings?format=ndjson")
            .await
            .with_status(200)
            .text()
    }

    /// Asserts an empty store.
    pub async fn assert_nothing_stored(&self) {
        assert_eq!(self.everything().await, "");
        assert_eq!(
            self.stats("").await,
            r#"{"Maximum":null,"Minimum":null,"Average":null}"#
        );
        let sensors = self.get("/api/sensors").await.with_status(200).json();
        assert_eq!(sensors["sensors"], serde_json::json!([]));
    }
}
