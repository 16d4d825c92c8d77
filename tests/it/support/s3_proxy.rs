//! A proxy in front of S3. The test tells the proxy to refuse requests, drop headers, or shift the clock.

use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, HOST, LAST_MODIFIED, TRANSFER_ENCODING};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use jiff::civil::DateTime;
use jiff::{SignedDuration, fmt::strtime};

const BODY_BYTES_MAX: usize = 64 << 20;
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// The treatment of requests by the proxy.
#[derive(Default)]
struct Rules {
    /// The refusal: the methods (all if empty), the status and the body of the answer.
    refused: Option<(Vec<Method>, StatusCode, String)>,
    forgotten: Vec<HeaderName>,
    /// How far the clock of S3 seems to be ahead.
    shift: SignedDuration,
    passed: u64,
    refusals: u64,
}

/// A proxy on a separate port. The thread of the proxy ends with the process.
pub struct S3Proxy {
    address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
}

impl S3Proxy {
    /// A proxy without a rule. The proxy passes all requests on.
    pub fn start(upstream: SocketAddr) -> Self {
        let rules = Arc::new(Mutex::new(Rules::default()));
        let (started, address) = sync_channel(1);
        let shared = Arc::clone(&rules);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                started.send(listener.local_addr().unwrap()).unwrap();
                serve(listener, upstream, shared).await;
            });
        });
        Self {
            address: address.recv().unwrap(),
            rules,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers these methods, or all if the list is empty, with a status and an error of S3 from now on.
    pub fn refuse(&self, methods: &[Method], status: u16, code: &str) {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>No.</Message></Error>"
        );
        let status = StatusCode::from_u16(status).unwrap();
        self.rules.lock().unwrap().refused = Some((methods.to_vec(), status, body));
    }

    /// Passes all requests on again.
    pub fn open(&self) {
        self.rules.lock().unwrap().refused = None;
    }

    /// Drops these headers of requests.
    pub fn forget(&self, names: &[&'static str]) {
        let names = names.iter().map(|name| HeaderName::from_static(name));
        self.rules.lock().unwrap().forgotten = names.collect();
    }

    /// Adds hours to each time in an answer.
    pub fn shift_clock(&self, hours: i64) {
        self.rules.lock().unwrap().shift = SignedDuration::from_hours(hours);
    }

    /// The numbers of passed and of refused requests.
    pub fn counts(&self) -> (u64, u64) {
        let rules = self.rules.lock().unwrap();
        (rules.passed, rules.refusals)
    }
}

async fn serve(listener: tokio::net::TcpListener, upstream: SocketAddr, rules: Arc<Mutex<Rules>>) {
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let router = axum::Router::new().fallback(move |request: Request| {
        let (http, rules) = (http.clone(), Arc::clone(&rules));
        async move { pass(&http, upstream, &rules, request).await }
    });
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto;
    use hyper_util::service::TowerToHyperService;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client may end a connection at any time.
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn pass(
    http: &reqwest::Client,
    upstream: SocketAddr,
    rules: &Mutex<Rules>,
    request: Request,
) -> Response {
    let (mut head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    let shift = {
        let mut rules = rules.lock().unwrap();
        let refusal = rules
            .refused
            .as_ref()
            .filter(|(methods, ..)| methods.is_empty() || methods.contains(&head.method));
        if let Some((_, status, text)) = refusal {
            let text = if head.method == Method::HEAD {
                String::new()
            } else {
                text.clone()
            };
            let mut response = Response::new(Body::from(text));
            *response.status_mut() = *status;
            rules.refusals += 1;
            return response;
        }
        rules.passed += 1;
        for name in &rules.forgotten {
            head.headers.remove(name);
        }
        rules.shift
    };
    head.headers.remove(HOST);
    let url = format!("http://{upstream}{}", head.uri);
    let answer = http
        .request(head.method, url)
        .headers(head.headers)
        .body(body)
        .send()
        .await
        .unwrap();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    response.headers_mut().remove(TRANSFER_ENCODING);
    let body = answer.bytes().await.unwrap();
    if shift.is_zero() {
        *response.body_mut() = Body::from(body);
        return response;
    }
    let headers = response.headers_mut();
    if let Some(time) = headers.get(LAST_MODIFIED) {
        let time = shifted(time.to_str().unwrap(), HTTP_DATE, shift);
        headers.insert(LAST_MODIFIED, HeaderValue::try_from(time).unwrap());
    }
    let body = match std::str::from_utf8(&body) {
        Ok(text) if text.contains("<LastModified>") => {
            headers.remove(CONTENT_LENGTH);
            shifted_listing(text, shift).into()
        }
        _ => body,
    };
    *response.body_mut() = Body::from(body);
    response
}

fn shifted_listing(text: &str, shift: SignedDuration) -> String {
    let mut parts = text.split("<LastModified>");
    let mut shifted_text = parts.next().unwrap().to_owned();
    for part in parts {
        let (time, rest) = part.split_once("</LastModified>").unwrap();
        let seconds = time.get(..19).unwrap();
        let time = shifted(seconds, "%Y-%m-%dT%H:%M:%S", shift);
        shifted_text += &format!("<LastModified>{time}.000Z</LastModified>{rest}");
    }
    shifted_text
}

fn shifted(time: &str, format: &str, shift: SignedDuration) -> String {
    let time = DateTime::strptime(format, time).unwrap();
    strtime::format(format, time + shift).unwrap()
}
