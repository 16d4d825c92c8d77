//! The front page.

use crate::support::{Server, lines, reading};

#[tokio::test]
async fn every_page_is_kept_from_scripts_frames_and_sniffing() {
    let server = Server::start();
    let answer = server.client().get("/").await.with_status(200);
    let policy = answer.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "style-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let page = answer.text();
    for forbidden in ["<script", " style=", "<style", " onclick", "javascript:"] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
}

#[tokio::test]
async fn whatever_the_page_links_to_is_there() {
    let server = Server::start();
    let client = server.client();
    client.store(lines("a b/c", 30)).await;
    let page = client.get("/").await.with_status(200).text();
    let links = ["href=\"", "src=\""].into_iter().flat_map(|attribute| {
        let parts = page.split(attribute).skip(1);
        parts.map(|rest| rest.split('"').next().unwrap().to_owned())
    });
    let links: Vec<_> = links.collect();
    assert!(links.len() > 6, "{links:?}");
    for link in links {
        let answer = client.get(&link.replace("&amp;", "&")).await;
        assert_eq!(answer.status, 200, "{link}: {}", answer.text());
    }
    let style = client.get("/style.css").await.with_status(200);
    assert_eq!(
        style.header("content-type"),
        Some("text/css; charset=utf-8")
    );
    let icon = client.get("/icon.svg").await.with_status(200);
    assert_eq!(icon.header("content-type"), Some("image/svg+xml"));
}

#[tokio::test]
async fn sensors_are_listed_with_their_figures_and_drawn() {
    let server = Server::start();
    let client = server.client();
    let page = client.get("/").await.with_status(200).text();
    assert!(page.contains("No reading has arrived yet"), "{page}");
    assert!(!page.contains("<table"), "{page}");
    for sensor in 0..8 {
        client.store(lines(&format!("sensor-{sensor}"), 100)).await;
    }
    let body = reading("alone", "2026-11-20T13:00:00Z", "-1.005");
    client.put(body).await.with_status(200);
    let page = client.get("/").await.with_status(200).text();
    assert_eq!(page.matches("<tr><th scope=\"row\">").count(), 8, "{page}");
    assert_eq!(page.matches("<svg").count(), 7, "{page}");
    assert!(page.contains("The first 8 of 9"), "{page}");
    assert!(
        page.contains("<data value=\"-1.005\">−1.01</data>"),
        "{page}"
    );
    assert!(page.contains("datetime=\"2026-11-20T13:00:00Z\""), "{page}");
    assert!(page.len() < 40_000, "{} bytes", page.len());
}

#[tokio::test]
async fn a_browser_asks_for_a_style_sheet_once_and_for_a_new_one_at_once() {
    let server = Server::start();
    let client = server.client();
    let page = client.get("/").await.text();
    let (_, rest) = page.split_once("href=\"/style.css?v=").unwrap();
    let version = rest.split('"').next().unwrap();
    assert_eq!(version.len(), 16);
    let style = client.get(&format!("/style.css?v={version}")).await;
    let style = style.with_status(200);
    assert!(style.header("cache-control").unwrap().contains("immutable"));
}
