//! `GET /hello` and `POST /hello`.

use crate::support::{Answer, Client, Server};

async fn hello(client: &Client, body: impl Into<reqwest::Body>) -> Answer {
    Answer::to(client.request("POST", "/hello").body(body)).await
}

async fn hello_as(client: &Client, content_type: &str, body: &'static str) -> Answer {
    let request = client.request("POST", "/hello");
    Answer::to(request.header("content-type", content_type).body(body)).await
}

async fn word(client: &Client) -> String {
    client.get("/hello").await.with_status(200).text()
}

#[tokio::test]
async fn a_word_is_set_read_and_greeted_and_survives_kill_9() {
    let mut server = Server::start();
    let client = server.client();
    let answer = client.get("/hello").await.with_status(200);
    assert_eq!(answer.text(), "World");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let answer = hello(&client, "tera-webapp").await.with_status(200);
    assert_eq!(answer.text(), "tera-webapp");
    server.kill9();
    let server = server.restart();
    let client = server.client();
    assert_eq!(word(&client).await, "tera-webapp");
    let page = client.get("/").await.with_status(200).text();
    assert!(page.contains("<h1>Hello tera-webapp!</h1>"), "{page}");

    hello(&client, "Grüße 👋").await.with_status(200);
    let directory = std::sync::Arc::clone(server.directory());
    assert_eq!(server.stop().code, Some(0));
    let server = Server::try_in(&directory, &[]).unwrap();
    assert_eq!(word(&server.client()).await, "Grüße 👋");
}

#[tokio::test]
async fn markup_in_a_word_is_shown_as_text() {
    let server = Server::start();
    let client = server.client();
    for (text, shown) in [
        ("<script>", "&lt;script&gt;"),
        (
            "</h1><img src=x onerror=alert(1)>",
            "&lt;/h1&gt;&lt;img src=x onerror=alert(1)&gt;",
        ),
        ("&lt;\"'", "&amp;lt;&quot;'"),
    ] {
        hello(&client, text).await.with_status(200);
        assert_eq!(word(&client).await, text);
        let page = client.get("/").await.with_status(200).text();
        assert!(page.contains(&format!("<h1>Hello {shown}!</h1>")), "{page}");
        assert!(
            !page.contains("<script") && !page.contains("<img src=x"),
            "{page}"
        );
    }
}

#[tokio::test]
async fn the_body_is_the_word_whatever_it_is_called() {
    let server = Server::start();
    let client = server.client();
    for content_type in [
        "text/plain",
        "text/plain; charset=utf-8",
        "application/json",
        "application/octet-stream",
        "nonsense",
    ] {
        for text in ["tera-webapp", "a+b%20c=d&e", "{\"data\":\"a\"}", " x "] {
            let answer = hello_as(&client, content_type, text).await.with_status(200);
            assert_eq!(answer.text(), text, "{content_type}");
            assert_eq!(word(&client).await, text, "{content_type}");
        }
    }
    for line_end in ["\n", "\r\n"] {
        let answer = hello(&client, format!("Ann{line_end}")).await;
        assert_eq!(answer.with_status(200).text(), "Ann");
    }
}

/// The answer for older programs. Older programs compare the answer byte by byte.
fn no_string(answer: &Answer) {
    assert_eq!(answer.status, 400);
    assert_eq!(answer.text(), "data must contain a string");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(answer.header("x-request-id").is_some());
}

#[tokio::test]
async fn a_form_is_no_word_and_a_text_under_the_type_of_a_form_is_one() {
    let server = Server::start();
    let client = server.client();
    let form = "application/x-www-form-urlencoded";
    for text in ["tera-webapp", "AT&T", " x ", "a+b%20c", "{\"data\":\"a\"}"] {
        let answer = hello_as(&client, form, text).await.with_status(200);
        assert_eq!(answer.text(), text);
        assert_eq!(word(&client).await, text);
    }
    for (kind, body) in [
        (form, "a=b"),
        (form, "a=b&c=d"),
        (form, "data=tera-webapp"),
        (form, "="),
        (form, ""),
        ("application/x-www-form-urlencoded; charset=UTF-8", "a="),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\nAnn\r\n--x--\r\n",
        ),
        ("multipart/form-data", "Ann"),
    ] {
        no_string(&hello_as(&client, kind, body).await);
        assert_eq!(word(&client).await, "{\"data\":\"a\"}", "{kind}: {body}");
    }
}

#[tokio::test]
async fn what_is_no_word_is_refused_by_name_and_changes_nothing() {
    let server = Server::start();
    let client = server.client();
    hello(&client, "before").await.with_status(200);
    for body in [&b""[..], b"\n", b"\r\n", b"   ", "\u{3000}".as_bytes()] {
        no_string(&hello(&client, body).await);
    }
    no_string(&Answer::to(client.request("POST", "/hello")).await);
    for (body, words) in [
        (&b"a\nb"[..], "U+000A"),
        (b"tab\there", "U+0009"),
        (b"\0", "U+0000"),
        (b"\xc2\x85", "U+0085"),
        (b"caf\xe9", "byte 3 is wrong"),
    ] {
        let answer = hello(&client, body).await;
        answer.problem_saying(400, "invalid-word", &[words]);
    }

    let too_long = "ä".repeat(201);
    let answer = hello(&client, too_long).await;
    answer.problem_saying(400, "invalid-word", &["200 characters"]);
    let huge = vec![b'a'; (1 << 20) + 1];
    hello(&client, huge).await.problem(413, "body-too-large");
    let packed = client
        .request("POST", "/hello")
        .header("content-encoding", "gzip")
        .body("a");
    Answer::to(packed)
        .await
        .problem(415, "unsupported-media-type");
    assert_eq!(word(&client).await, "before");

    let longest = "👋".repeat(200);
    assert_eq!(hello(&client, longest.clone()).await.text(), longest);
    assert_eq!(word(&client).await, longest);
}

#[tokio::test]
async fn words_set_at_a_time_are_all_answered_and_one_stands() {
    let server = Server::start();
    let client = server.client();
    let sets = (0..50).map(|n| {
        let client = client.clone();
        async move { hello(&client, n.to_string()).await.with_status(200) }
    });
    futures_util::future::join_all(sets).await;
    let last: u32 = word(&client).await.parse().unwrap();
    assert!(last < 50);
}

#[cfg(feature = "cloud")]
#[test]
fn a_url_of_the_greeting_with_a_mistake_is_bad_configuration_and_shows_no_password() {
    let directory = tempfile::tempdir().unwrap();
    for (url, words) in [
        ("nosuch:", "redis://"),
        ("sqlite:elsewhere.db", "--data"),
        ("redis://:s3cret@cache/zero", "database"),
        ("redis://:s3cret@cache:99999", "port"),
        ("rediss://:s3cret@cache?ca=/no/such/file", "/no/such/file"),
        ("redis", "sqlite:"),
    ] {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--greeting", url];
        let exited = crate::support::run(directory.path(), &arguments);
        assert_eq!(exited.code, Some(2), "{url}: {}", exited.output);
        assert!(exited.output.contains(words), "{url}: {}", exited.output);
        assert!(!exited.output.contains("s3cret"), "{}", exited.output);
    }
}
