//! The connection settings of PostgreSQL, from a URL or from `manifest.json`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use sqlx_core::connection::ConnectOptions;
use sqlx_postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};
use crate::todos::MANIFEST;
use crate::todos::manifest::Manifest;

/// The default limit of connections for each server. A small database server accepts about eighty.
const CONNECTIONS_MAX_DEFAULT: usize = 10;

const PARAMETERS: &str = "sslmode, sslrootcert, sslcert, sslkey, host, application_name, connections_max, schema and pgbouncer";

/// The longest name of a schema, in bytes. PostgreSQL truncates longer names.
const SCHEMA_BYTES_MAX: usize = 63;

/// The connection settings of a database.
pub(in crate::todos) struct PostgresUrl {
    pub(super) options: PgConnectOptions,
    /// The limit of open connections.
    pub(super) connections_max: usize,
    /// The schema of the tables; `None` for the first schema of the user.
    pub(super) schema: Option<String>,
    /// Whether a pooler such as PgBouncer may give each transaction another connection.
    pub(super) is_pooled: bool,
}

impl fmt::Debug for PostgresUrl {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresUrl")
            .field("host", &self.host())
            .field("port", &self.options.get_port())
            .field("database", &self.options.get_database())
            .finish_non_exhaustive()
    }
}

impl PostgresUrl {
    /// Parses `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=FILE`.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] names the mistake, and never shows a part of the password.
    pub(in crate::todos) fn from_url(url: &BackendUrl) -> Result<Self, StoreError> {
        let text = format!("postgres:{}", url.rest());
        let url = Url::parse(&text).map_err(|error| {
            invalid(format!(
                "is not a URL ({error}); within the user name and the password, / ? # @ : and % are written %2F %3F %23 \
                 %40 %3A and %25"
            ))
        })?;
        if url.fragment().is_some() {
            return Err(invalid("has a #; within a password it is written %23"));
        }
        let decoded = |what: &str, text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
            _ => Err(invalid(format!("has a {what} that is not text"))),
        };
        let user = decoded("user name", url.username())?;
        if user.is_empty() {
            return Err(invalid(format!("names no user; {EXAMPLE}")));
        }
        let database = decoded("database", url.path().trim_start_matches('/'))?;
        if database.is_empty() {
            return Err(invalid(format!("names no database; {EXAMPLE}")));
        }
        let host = decoded("host", url.host_str().unwrap_or_default())?;
        let mut settings = Self::new(&user, &database, url.port().unwrap_or(5432));
        settings.set_host(&host);
        if let Some(password) = url.password() {
            let password = decoded("password", password)?;
            settings.options = settings.options.password(&password);
        }
        for (name, value) in url.query_pairs() {
            settings.set(&name, &value).map_err(invalid)?;
        }
        if settings.host().is_empty() {
            return Err(invalid(format!("names no host; {EXAMPLE}")));
        }
        Ok(settings)
    }

    /// The settings of `manifest.json`.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] names the file and the key.
    pub(in crate::todos) fn from_manifest(manifest: &Manifest) -> Result<Self, StoreError> {
        let mut settings = Self::new(&manifest.user, &manifest.database, manifest.port);
        settings.set_host(&manifest.host);
        if let Some(password) = &manifest.password {
            settings.options = settings.options.password(password);
        }
        let parameters = [
            ("sslmode", &manifest.ssl_mode),
            ("sslrootcert", &manifest.ssl_root_certificate),
            ("schema", &manifest.schema),
        ];
        for (name, value) in parameters {
            if let Some(value) = value {
                settings.set(name, value).map_err(|reason| {
                    StoreError::new(StoreErrorKind::Unsupported, format!("{MANIFEST} {reason}"))
                })?;
            }
        }
        settings.set_pooled(manifest.is_pooled);
        Ok(settings)
    }

    /// Sets whether there is a pooler. PgBouncer rejects the parameter `extra_float_digits`, and drops prepared statements after each
    /// transaction. Without a pooler, the parameter arrives at PostgreSQL. So an arrived parameter proves that there is no pooler.
    fn set_pooled(&mut self, is_pooled: bool) {
        self.is_pooled = is_pooled;
        if is_pooled {
            let options = self.options.clone();
            self.options = options.extra_float_digits(None).statement_cache_capacity(0);
        }
    }

    fn new(user: &str, database: &str, port: u16) -> Self {
        let options = PgConnectOptions::new_without_pgpass()
            .host("")
            .port(port)
            .username(user)
            .database(database)
            .ssl_mode(PgSslMode::Prefer)
            .application_name("fieldstation")
            .extra_float_digits(EXTRA_FLOAT_DIGITS)
            // The log of requests already shows slow statements.
            .disable_statement_logging();
        Self {
            options,
            connections_max: CONNECTIONS_MAX_DEFAULT,
            schema: None,
            is_pooled: false,
        }
    }

    /// Sets the host: a name, an address (IPv6 with or without brackets), or the directory of a socket.
    fn set_host(&mut self, host: &str) {
        let options = self.options.clone();
        self.options = if host.starts_with('/') {
            options.host("localhost").socket(host)
        } else {
            let bare = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'));
            options.host(bare.unwrap_or(host))
        };
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let options = self.options.clone();
        self.options = match name {
            "sslmode" => options.ssl_mode(ssl_mode(value)?),
            "sslrootcert" if value == "system" => options.ssl_root_cert_from_pem(system_roots()?),
            "sslrootcert" => options.ssl_root_cert(readable(name, value)?),
            "sslcert" => options.ssl_client_cert(readable(name, value)?),
            "sslkey" => options.ssl_client_key(readable(name, value)?),
            "application_name" => options.application_name(value),
            "host" => {
                self.set_host(value);
                return Ok(());
            }
            "connections_max" => {
                let number = value
                    .parse()
                    .ok()
                    .filter(|number| (1..=1000).contains(number));
                self.connections_max =
                    number.ok_or("has a connections_max that is not a number from 1 to 1000")?;
                return Ok(());
            }
            "schema" => {
                self.schema = Some(schema(value)?);
                return Ok(());
            }
            "pgbouncer" => {
                let is_pooled = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err("has a pgbouncer that is neither true nor false".to_owned()),
                };
                self.set_pooled(is_pooled);
                return Ok(());
            }
            // The message does not repeat the name, which is a part of the password when the password has a question mark.
            _ => {
                return Err(format!(
                    "has an unknown parameter; the known parameters are {PARAMETERS} (a ? within a password is written %3F)"
                ));
            }
        };
        Ok(())
    }

    /// The host or the directory of the socket, for the log.
    pub(super) fn host(&self) -> String {
        match self.options.get_socket() {
            Some(directory) => directory.display().to_string(),
            None => self.options.get_host().to_owned(),
        }
    }
}

/// A parameter that is sent at the start of every session and read back afterwards, to detect a pooler. The value differs from the
/// default of PostgreSQL. The tables have no floating-point numbers.
pub(super) const EXTRA_FLOAT_DIGITS: i8 = 2;

const EXAMPLE: &str = "write postgres://user:password@host:5432/database";

fn schema(name: &str) -> Result<String, String> {
    let is_reserved = name.starts_with("pg_") || name == "information_schema";
    if name.is_empty() || name.len() > SCHEMA_BYTES_MAX || name.contains('\0') || is_reserved {
        return Err(format!(
            "has a schema that cannot be one; give a name of 1 to {SCHEMA_BYTES_MAX} bytes that is not PostgreSQL's own (pg_…, information_schema)"
        ));
    }
    Ok(name.to_owned())
}

fn ssl_mode(text: &str) -> Result<PgSslMode, String> {
    match text {
        "disable" => Ok(PgSslMode::Disable),
        "prefer" => Ok(PgSslMode::Prefer),
        "require" => Ok(PgSslMode::Require),
        "verify-ca" => Ok(PgSslMode::VerifyCa),
        "verify-full" => Ok(PgSslMode::VerifyFull),
        _ => Err(
            "has an sslmode that is none of disable, prefer, require, verify-ca and verify-full"
                .to_owned(),
        ),
    }
}

/// Checks that a file can be read, so that a wrong name is an error at the start and not at the first connection.
fn readable<'a>(name: &str, path: &'a str) -> Result<&'a str, String> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(path),
        Err(error) => Err(format!(
            "has an {name} that cannot be read: {path}: {error}"
        )),
    }
}

/// The root certificates of this machine, as PEM.
fn system_roots() -> Result<Vec<u8>, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(
            "has sslrootcert=system, and this machine has no root certificates; name a file"
                .to_owned(),
        );
    }
    let mut pem = String::new();
    for certificate in found.certs {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        // 48 bytes make a line of 64 characters.
        for line in certificate.chunks(48) {
            pem.push_str(&STANDARD.encode(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    Ok(pem.into_bytes())
}

fn invalid(reason: impl fmt::Display) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unsupported,
        format!("the URL of the todos {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PostgresUrl, StoreError> {
        PostgresUrl::from_url(&text.parse().unwrap())
    }

    #[test]
    fn a_url_gives_the_connection_settings() {
        let full =
            parse("postgres://an%40n:p%2Fw@db-1.example:5433/to%20do?sslmode=require").unwrap();
        assert_eq!(full.options.get_host(), "db-1.example");
        assert_eq!(full.options.get_port(), 5433);
        assert_eq!(full.options.get_username(), "an@n");
        assert_eq!(full.options.get_database(), Some("to do"));
        assert!(matches!(full.options.get_ssl_mode(), PgSslMode::Require));
        assert!(!format!("{full:?}").contains("p/w"));
        let short = parse("postgresql://ann@[::1]/todos?connections_max=3").unwrap();
        assert_eq!(short.options.get_host(), "::1");
        assert_eq!((short.options.get_port(), short.connections_max), (5432, 3));
        let pooled = parse("postgres://ann@db/todos?pgbouncer=true&schema=My%20todos").unwrap();
        assert_eq!((pooled.is_pooled, short.is_pooled), (true, false));
        assert_eq!(pooled.schema.as_deref(), Some("My todos"));
        let socket = parse("postgres://ann@localhost/todos?host=/run/postgresql").unwrap();
        assert_eq!(socket.host(), "/run/postgresql");
    }

    #[test]
    fn an_error_names_the_mistake_without_the_password() {
        for (text, words) in [
            ("postgres://ann:s3cret/x@db/todos", "%2F"),
            ("postgres://ann:s3cret#x@db/todos", "%23"),
            ("postgres://ann:5#s3cret@db/todos", "%23"),
            ("postgres://ann:5?s3cret@db/todos", "no"),
            ("postgres://ann:s3cret@db/todos?s3cret=1", "%3F"),
            ("postgres://ann:s3cret@db", "database"),
            ("postgres://:s3cret@db/todos", "user"),
            (
                "postgres://ann:s3cret@db/todos?sslmode=allow",
                "verify-full",
            ),
            (
                "postgres://ann:s3cret@db/todos?sslrootcert=/no/file",
                "/no/file",
            ),
            ("postgres://ann:s3cret@db/todos?connections_max=0", "1000"),
            ("postgres://ann:s3cret@db/todos?schema=", "schema"),
            ("postgres://ann:s3cret@db/todos?schema=pg_x", "schema"),
            ("postgres://ann:s3cret@db/todos?pgbouncer=maybe", "true"),
            ("postgres://ann:s3cret%00@db/todos", "password"),
            ("postgres:", "user"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unsupported);
            let message = error.to_string();
            assert!(message.contains(words), "{text}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }
}
