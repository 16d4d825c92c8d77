//! The connection settings of Redis, from a URL.

use std::fmt::Display;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    Client, ConnectionAddr, IntoConnectionInfo as _, RedisConnectionInfo, TlsCertificates,
};
use url::Url;

use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};

const PORT: u16 = 6379;
const PREFIX: &str = "fieldstation:";
const KEY: &str = "greeting";
const PREFIX_BYTES_MAX: usize = 200;

/// After this time TCP tests an idle connection, so that a dead connection is closed before the next request uses it.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// The connection settings, and the key of the greeting.
pub(super) struct RedisUrl {
    pub(super) client: Client,
    pub(super) key: String,
}

impl RedisUrl {
    /// Parses `redis://user:password@host:port/database?prefix=…&ca=…`; `rediss:` means TLS. Reads the certificate file. Does not
    /// connect.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] names the mistake in the URL, or the certificate file that cannot be used. The error never
    /// shows the password.
    pub(super) fn parse(backend: &BackendUrl) -> Result<Self, StoreError> {
        let invalid = |reason: &dyn Display| {
            let example =
                "write redis://host:6379 or rediss://user:password@host:6379/0?prefix=name:";
            let message = format!("{backend} is not a URL of the greeting: {reason}; {example}");
            StoreError::new(StoreErrorKind::Unsupported, message)
        };
        let is_encrypted = matches!(backend.scheme(), "rediss" | "valkeys");
        let text = format!("{}:{}", backend.scheme(), backend.rest());
        let url = Url::parse(&text).map_err(|error| invalid(&error))?;
        if url.fragment().is_some() {
            return Err(invalid(&"a URL of Redis has no part after a #"));
        }
        let (mut prefix, mut certificates) = (PREFIX.to_owned(), None);
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "prefix" if value.len() <= PREFIX_BYTES_MAX => prefix = value.into_owned(),
                "prefix" => return Err(invalid(&"the prefix is longer than 200 bytes")),
                "ca" if is_encrypted => certificates = Some(value.into_owned()),
                "ca" => return Err(invalid(&"ca is for rediss://, which uses TLS")),
                _ => return Err(invalid(&"the parameters are prefix and ca")),
            }
        }
        let host = match url.host() {
            Some(url::Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(url::Host::Ipv4(address)) => address.to_string(),
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(url::Host::Domain(_)) | None => return Err(invalid(&"a host is missing")),
        };
        let port = url.port().unwrap_or(PORT);
        let addr = if is_encrypted {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let login = login(&url).map_err(|reason| invalid(&reason))?;
        let transport = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE))
            // Closing a connection drops the unsent bytes. Otherwise the bytes would be sent later.
            .set_linger_time(Duration::ZERO);
        let connection = addr
            .into_connection_info()
            .map_err(|error| invalid(&error))?
            .set_tcp_settings(transport)
            .set_redis_settings(login);
        let client = match certificates {
            None => Client::open(connection),
            Some(path) => {
                let read = std::fs::read(&path);
                let root_cert =
                    read.map_err(|error| invalid(&format_args!("cannot read {path}: {error}")))?;
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(root_cert),
                };
                Client::build_with_tls(connection, certificates)
            }
        };
        Ok(Self {
            client: client.map_err(|error| invalid(&error))?,
            key: format!("{prefix}{KEY}"),
        })
    }
}

/// The user, the password and the number of the database.
fn login(url: &Url) -> Result<RedisConnectionInfo, &'static str> {
    let decode = |text| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded.map_err(|_| "the user or password is not UTF-8")
    };
    // Redis before version 7.2 reports an error when the name of the library is set.
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    match (url.username(), url.password()) {
        ("", None) => {}
        (_, None) => return Err("a user needs a password"),
        (user, Some(password)) => {
            login = login.set_password(decode(password)?);
            if !user.is_empty() {
                login = login.set_username(decode(user)?);
            }
        }
    }
    match url.path().trim_start_matches('/') {
        "" => Ok(login),
        number => match number.parse::<u16>() {
            Ok(number) => Ok(login.set_db(number.into())),
            Err(_) => Err("the path has to be the number of a database"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RedisUrl, StoreError> {
        RedisUrl::parse(&text.parse().unwrap())
    }

    #[test]
    fn a_url_gives_a_server_a_login_and_a_key() {
        let settings = parse("redis://cache.local").unwrap();
        let connection = settings.client.get_connection_info();
        assert_eq!(connection.addr().to_string(), "cache.local:6379");
        assert_eq!(settings.key, "fieldstation:greeting");
        assert_eq!(connection.redis_settings().password(), None);

        let settings = parse("valkeys://ann:p%40ss@[::1]:7000/3?prefix=plant%201%2F").unwrap();
        let connection = settings.client.get_connection_info();
        assert_eq!(connection.addr().to_string(), "::1:7000");
        assert_eq!(settings.key, "plant 1/greeting");
        let login = connection.redis_settings();
        assert_eq!(
            (login.username(), login.password(), login.db()),
            (Some("ann"), Some("p@ss"), 3)
        );
        let ConnectionAddr::TcpTls { insecure, .. } = connection.addr() else {
            panic!("not encrypted");
        };
        assert!(!insecure);
    }

    #[test]
    fn an_error_names_the_mistake_without_the_password() {
        for (text, words) in [
            ("redis:", "host"),
            ("redis://", "host"),
            ("redis:localhost", "host"),
            ("redis://:s3cret@cache:port", "port"),
            ("redis://:s3cret@cache/zero", "database"),
            ("redis://ann@cache", "password"),
            ("redis://:s3cret@cache?db=1", "prefix and ca"),
            ("redis://:s3cret@cache?ca=/a", "rediss"),
            ("rediss://:s3cret@cache?ca=/no/such/file", "/no/such/file"),
            ("rediss://:s3cret@cache#insecure", "#"),
            ("rediss://:%ff@cache", "UTF-8"),
        ] {
            let error = parse(text).err().unwrap();
            assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{text}");
            assert!(error.message().contains(words), "{text}: {error}");
            assert!(!error.message().contains("s3cret"), "{error}");
        }
    }
}
