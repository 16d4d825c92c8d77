//! The address of this server from the view of the visitor.

use std::net::SocketAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

/// Scheme, host and port under which the client reaches this server.
///
/// The pages put the origin into commands for a shell. If the host has a forbidden character, the address of the server's listener is used
/// instead.
pub(crate) fn origin(uri: &Uri, headers: &HeaderMap, listen: SocketAddr) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // HTTP/2 has no Host header.
    let named = uri.authority().map(Authority::as_str);
    let host = named
        .or_else(|| header("host"))
        .filter(|host| is_host(host));
    let scheme = match header("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    match host {
        Some(host) => format!("{scheme}://{host}"),
        None => format!("http://{listen}"),
    }
}

/// Whether a text is safe in a command for a shell.
fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn lines_to_paste_hold_a_host_and_nothing_else() {
        let listen: SocketAddr = "127.0.0.1:5000".parse().unwrap();
        let of = |uri: &'static str, host: &'static str, proto: &'static str| {
            let headers = [("host", host), ("x-forwarded-proto", proto)];
            let headers = headers.into_iter().filter(|(_, value)| !value.is_empty());
            let headers = headers.map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            origin(&Uri::from_static(uri), &headers.collect(), listen)
        };
        assert_eq!(
            of("/", "station.local:5000", ""),
            "http://station.local:5000"
        );
        assert_eq!(of("/", "[::1]:80", "https"), "https://[::1]:80");
        assert_eq!(of("http://two.example/", "", ""), "http://two.example");
        for bad in [
            "",
            "a;reboot",
            "$(reboot)",
            "a`b`",
            "a'b",
            "a|b",
            "a&b",
            "a/b",
            "a@b",
        ] {
            assert_eq!(of("/", bad, ""), "http://127.0.0.1:5000", "{bad}");
        }
    }
}
