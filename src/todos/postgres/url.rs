//! Where PostgreSQL is, and how to speak to it: from a URL or from `manifest.json`.

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

/// How many connections a server keeps at most when nobody says. A small database server has room for some eighty.
const CONNECTIONS_MAX_DEFAULT: usize = 10;

const PARAMETERS: &str = "sslmode, sslrootcert, sslcert, sslkey, host, application_name, connections_max, schema and pgbouncer";

/// The longest name of a schema, in bytes: PostgreSQL cuts longer ones off.
const SCHEMA_BYTES_MAX: usize = 63;

/// A database, and how to get to it.
pub(in crate::todos) struct PostgresUrl {
    pub(super) options: PgConnectOptions,
    /// How many connections may be open at a time.
    pub(super) connections_max: usize,
    /// The schema that holds the tables; the user's first one if it is not named.
    pub(super) schema: Option<String>,
    /// Whether each transaction may come to another connection of PostgreSQL, as PgBouncer does it.
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
    /// The database of a URL: `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=FILE`.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] with what is wrong, and nothing that may be a part of the password.
    pub(in crate::todos) fn from_url(url: &BackendUrl) -> Result<Self, StoreError> {
        let text = format!("postgres:{}", url.rest());
        let url = Url::parse(&text).map_err(|error| {
            wrong(format!(
                "is not a URL ({error}); within the user name and the password, / ? # @ : and % are written %2F %3F %23 \
                 %40 %3A and %25"
            ))
        })?;
        if url.fragment().is_some() {
            return Err(wrong("has a #; within a password it is written %23"));
        }
        let decoded = |what: &str, text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
            _ => Err(wrong(format!("has a {what} that is not text"))),
        };
        let user = decoded("user name", url.username())?;
        if user.is_empty() {
            return Err(wrong(format!("names no user; {EXAMPLE}")));
        }
        let database = decoded("database", url.path().trim_start_matches('/'))?;
        if database.is_empty() {
            return Err(wrong(format!("names no database; {EXAMPLE}")));
        }
        let host = decoded("host", url.host_str().unwrap_or_default())?;
        let mut target = Self::new(&user, &database, url.port().unwrap_or(5432));
        target.set_host(&host);
        if let Some(password) = url.password() {
            let password = decoded("password", password)?;
            target.options = target.options.password(&password);
        }
        for (name, value) in url.query_pairs() {
            target.set(&name, &value).map_err(wrong)?;
        }
        if target.host().is_empty() {
            return Err(wrong(format!("names no host; {EXAMPLE}")));
        }
        Ok(target)
    }

    /// The database of `manifest.json`.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] naming the file and the key.
    pub(in crate::todos) fn from_manifest(manifest: &Manifest) -> Result<Self, StoreError> {
        let mut target = Self::new(&manifest.user, &manifest.database, manifest.port);
        target.set_host(&manifest.host);
        if let Some(password) = &manifest.password {
            target.options = target.options.password(password);
        }
        let parameters = [
            ("sslmode", &manifest.ssl_mode),
            ("sslrootcert", &manifest.ssl_root_certificate),
            ("schema", &manifest.schema),
        ];
        for (name, value) in parameters {
            if let Some(value) = value {
                target.set(name, value).map_err(|what| {
                    StoreError::new(StoreErrorKind::Unsupported, format!("{MANIFEST} {what}"))
                })?;
            }
        }
        target.set_pooled(manifest.is_pooled);
        Ok(target)
    }

    /// PgBouncer knows no such parameter at the start of a session, and forgets prepared statements after each transaction. Without
    /// it, that the parameter arrives is the sign that nothing like it stands between.
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
            // Statements are ours and known; what is slow shows in the log of requests.
            .disable_statement_logging();
        Self {
            options,
            connections_max: CONNECTIONS_MAX_DEFAULT,
            schema: None,
            is_pooled: false,
        }
    }

    /// A name, an address (IPv6 with or without its brackets), or the directory of a socket.
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
            // The name is not repeated: it is a piece of the password when that has a question mark in it.
            _ => {
                return Err(format!(
                    "has a parameter that is not known here; there are {PARAMETERS} (a ? within a password is written %3F)"
                ));
            }
        };
        Ok(())
    }

    /// Where it is, for the log.
    pub(super) fn host(&self) -> String {
        match self.options.get_socket() {
            Some(directory) => directory.display().to_string(),
            None => self.options.get_host().to_owned(),
        }
    }
}

/// Sent with every start of a session, and looked for afterwards; not PostgreSQL's own value. No number here is a float.
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

/// A file that can be read now: a wrong name is better known at the start than at the first connection.
fn readable<'a>(name: &str, path: &'a str) -> Result<&'a str, String> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(path),
        Err(error) => Err(format!(
            "has an {name} that cannot be read: {path}: {error}"
        )),
    }
}

/// The certificates that this machine trusts, as PEM.
fn system_roots() -> Result<Vec<u8>, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(
            "has sslrootcert=system, and this machine has no certificates; name a file".to_owned(),
        );
    }
    let mut pem = String::new();
    for certificate in found.certs {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        // 48 bytes are a line of 64 characters.
        for line in certificate.chunks(48) {
            pem.push_str(&STANDARD.encode(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    Ok(pem.into_bytes())
}

fn wrong(what: impl fmt::Display) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unsupported,
        format!("the URL of the todos {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Result<PostgresUrl, StoreError> {
        PostgresUrl::from_url(&text.parse().unwrap())
    }

    #[test]
    fn a_url_is_taken_apart() {
        let whole =
            target("postgres://an%40n:p%2Fw@db-1.example:5433/to%20do?sslmode=require").unwrap();
        assert_eq!(whole.options.get_host(), "db-1.example");
        assert_eq!(whole.options.get_port(), 5433);
        assert_eq!(whole.options.get_username(), "an@n");
        assert_eq!(whole.options.get_database(), Some("to do"));
        assert!(matches!(whole.options.get_ssl_mode(), PgSslMode::Require));
        assert!(!format!("{whole:?}").contains("p/w"));
        let short = target("postgresql://ann@[::1]/todos?connections_max=3").unwrap();
        assert_eq!(short.options.get_host(), "::1");
        assert_eq!((short.options.get_port(), short.connections_max), (5432, 3));
        let pooled = target("postgres://ann@db/todos?pgbouncer=true&schema=My%20todos").unwrap();
        assert_eq!((pooled.is_pooled, short.is_pooled), (true, false));
        assert_eq!(pooled.schema.as_deref(), Some("My todos"));
        let socket = target("postgres://ann@localhost/todos?host=/run/postgresql").unwrap();
        assert_eq!(socket.host(), "/run/postgresql");
    }

    #[test]
    fn a_mistake_is_named_without_the_password() {
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
            let error = target(text).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unsupported);
            let message = error.to_string();
            assert!(message.contains(words), "{text}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }
}
