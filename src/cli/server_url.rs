//! The URL of a server and of its resources.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// Where a server is: `http://127.0.0.1:5000`, `https://telemetry.example/base`; without a scheme `http` is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl(Url);

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            |why: &dyn fmt::Display| format!("{why}; write http://127.0.0.1:5000 or https://host");
        let text = text.trim();
        let url = if text.contains("://") {
            Url::parse(text)
        } else {
            Url::parse(&format!("http://{text}"))
        };
        let url = url.map_err(|error| expected(&error))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(expected(&format_args!(
                "`{}` is not a scheme for this",
                url.scheme()
            )));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(expected(&"a server's URL has no ? and no #"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for ServerUrl {
    /// For messages: without user name and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(plain_text(&self.0).trim_end_matches('/'))
    }
}

impl ServerUrl {
    /// The URL of a resource, each segment percent-encoded.
    pub(crate) fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        // Only URLs that cannot be a base, such as `mailto:`, have no segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Whether certificates are needed.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether the host is this machine. No proxy is used for this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// A URL for a message: without a user name and password.
pub(super) fn plain_text(url: &Url) -> String {
    let mut url = url.clone();
    // Neither fails on a URL with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_url_is_completed_and_checked() {
        for (text, shown) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            (" localhost:5000 ", "http://localhost:5000"),
            ("[::1]:80", "http://[::1]"),
            ("https://host/base/", "https://host/base"),
            ("https://user:secret@host", "https://host"),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
        }
        for text in [
            "",
            "ftp://host",
            "http://",
            "http://host?x=1",
            "http://host:99999",
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_resource_is_below_the_base_and_encoded() {
        let url: ServerUrl = "http://host/base/".parse().unwrap();
        assert_eq!(
            url.at(&["api", "sensors", "a/b c?"]).as_str(),
            "http://host/base/api/sensors/a%2Fb%20c%3F"
        );
        let url: ServerUrl = "http://host".parse().unwrap();
        assert_eq!(url.at(&["readyz"]).as_str(), "http://host/readyz");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (text, loopback) in [
            ("127.0.0.1:5000", true),
            ("localhost", true),
            ("[::1]:5000", true),
            ("10.0.0.1", false),
            ("localhost.example", false),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(url.is_loopback(), loopback, "{text}");
        }
    }
}
