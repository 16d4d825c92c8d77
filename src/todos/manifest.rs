//! Reads `manifest.json`, a file with the settings of PostgreSQL.

use std::fmt;
use std::io;
use std::path::Path;

use serde_json::{Map, Value};
use tracing::warn;

use super::MANIFEST;
use crate::error::{StoreError, StoreErrorKind};

const HOST: &str = "database_server_host";
const PORT: &str = "database_server_port";
const DATABASE: &str = "database";
const USER: &str = "db_user";
const PASSWORD: &str = "db_password";
const SSL_MODE: &str = "sslmode";
const SSL_ROOT_CERTIFICATE: &str = "sslrootcert";
const SCHEMA: &str = "schema";
const POOLED: &str = "pgbouncer";
const KNOWN: [&str; 9] = [
    HOST,
    PORT,
    DATABASE,
    USER,
    PASSWORD,
    SSL_MODE,
    SSL_ROOT_CERTIFICATE,
    SCHEMA,
    POOLED,
];

/// The port when the file has no port.
const PORT_DEFAULT: u16 = 5432;
/// The longest accepted file.
const BYTES_MAX: u64 = 1 << 20;

/// The settings of the file. The values are not encoded.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) ssl_mode: Option<String>,
    pub(super) ssl_root_certificate: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) is_pooled: bool,
}

impl fmt::Debug for Manifest {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Reads the file; `None` when the file does not exist.
///
/// # Errors
/// [`StoreErrorKind::Unsupported`] names the file and the wrong key. The error never shows the password.
pub(super) fn read(path: &Path) -> Result<Option<Manifest>, StoreError> {
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    };
    if length > BYTES_MAX {
        return Err(invalid("is larger than 1 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    parse(&text).map(Some)
}

fn parse(text: &str) -> Result<Manifest, StoreError> {
    // The message of the parser may repeat a part of the file, such as the password. So the error has only the line and column.
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        invalid(format!("is not JSON: see line {line}, column {column}"))
    })?;
    let Value::Object(keys) = value else {
        return Err(invalid("is not a JSON object"));
    };
    let unknown: Vec<&str> = keys
        .keys()
        .map(String::as_str)
        .filter(|key| !KNOWN.contains(key))
        .collect();
    if !unknown.is_empty() {
        warn!(keys = ?unknown, "{MANIFEST} has keys that mean nothing here");
    }
    Ok(Manifest {
        host: needed(&keys, HOST)?,
        port: port(&keys)?,
        database: needed(&keys, DATABASE)?,
        user: needed(&keys, USER)?,
        password: optional(&keys, PASSWORD)?,
        ssl_mode: optional(&keys, SSL_MODE)?,
        ssl_root_certificate: optional(&keys, SSL_ROOT_CERTIFICATE)?,
        schema: optional(&keys, SCHEMA)?,
        is_pooled: flag(&keys, POOLED)?,
    })
}

fn needed(keys: &Map<String, Value>, key: &str) -> Result<String, StoreError> {
    match optional(keys, key)? {
        Some(text) if text.is_empty() => Err(invalid(format!("has an empty {key}"))),
        Some(text) => Ok(text),
        None => Err(invalid(format!(
            "lacks {key}; it needs {HOST}, {DATABASE} and {USER}, and may have {PORT}, {PASSWORD}, {SSL_MODE}, \
             {SSL_ROOT_CERTIFICATE}, {SCHEMA} and {POOLED}"
        ))),
    }
}

fn optional(keys: &Map<String, Value>, key: &str) -> Result<Option<String>, StoreError> {
    match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.contains('\0') => {
            Err(invalid(format!("has a {key} with a NUL in it")))
        }
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(format!("has a {key} that is not a text in quotes"))),
    }
}

fn flag(keys: &Map<String, Value>, key: &str) -> Result<bool, StoreError> {
    match keys.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(invalid(format!(
            "has a {key} that is neither true nor false"
        ))),
    }
}

fn port(keys: &Map<String, Value>) -> Result<u16, StoreError> {
    let port = match keys.get(PORT) {
        None | Some(Value::Null) => return Ok(PORT_DEFAULT),
        Some(Value::Number(number)) => number.as_u64().and_then(|port| u16::try_from(port).ok()),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    port.filter(|port| *port != 0).ok_or_else(|| {
        invalid(format!(
            "has a {PORT} that is not a number from 1 to 65535, such as 5432"
        ))
    })
}

fn invalid(reason: impl fmt::Display) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unsupported,
        format!(
            "{MANIFEST} {reason} (--todos overrules the file; --todos sqlite: needs no database server)"
        ),
    )
}

fn unreadable(error: &io::Error) -> StoreError {
    invalid(format!("cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_decoded_and_the_port_has_a_default() {
        let text = r#"{"database_server_host":"db-1.example","database_server_port":5433,"database":"to do",
            "db_user":"ann@site","db_password":"p@ss:w/rd%41 ü"}"#;
        let manifest = parse(text).unwrap();
        assert_eq!(manifest.host, "db-1.example");
        assert_eq!(manifest.port, 5433);
        assert_eq!(manifest.database, "to do");
        assert_eq!(manifest.user, "ann@site");
        assert_eq!(manifest.password.as_deref(), Some("p@ss:w/rd%41 ü"));
        assert_eq!(manifest.ssl_mode, None);
        assert!(!format!("{manifest:?}").contains("p@ss"));
        let port = |text: &str| {
            let text =
                format!(r#"{{"database_server_host":"h","database":"d","db_user":"u"{text}}}"#);
            parse(&text).map(|manifest| manifest.port)
        };
        assert_eq!(port("").unwrap(), 5432);
        assert_eq!(port(r#","database_server_port":" 6000 ""#).unwrap(), 6000);
        for bad in ["0", "65536", "-1", "5.5", "\"\"", "\"x\"", "[]", "true"] {
            let error = port(&format!(r#","database_server_port":{bad}"#)).unwrap_err();
            assert!(error.message().contains(PORT), "{bad}: {error}");
        }
    }

    #[test]
    fn an_error_names_the_key_without_the_password() {
        let complete =
            r#"{"database_server_host":"h","database":"d","db_user":"u","db_password":"s3cret"}"#;
        for (text, words) in [
            (complete.replace("\"h\"", "7"), HOST),
            (complete.replace("\"h\"", "\"\""), HOST),
            (complete.replace("\"database\"", "\"databas\""), DATABASE),
            (complete.replace("\"u\"", "null"), USER),
            (complete.replace("\"s3cret\"", "[\"s3cret\"]"), PASSWORD),
            (complete.replace("\"s3cret\"", "s3cret"), "line 1"),
            (complete.replace('}', ""), "not JSON"),
            ("[]".to_owned(), "object"),
        ] {
            let error = parse(&text).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unsupported);
            let message = error.to_string();
            assert!(message.starts_with(MANIFEST), "{message}");
            assert!(message.contains(words), "{words}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn a_missing_file_is_accepted() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(&directory.path().join(MANIFEST)).unwrap(), None);
        let error = read(directory.path()).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    }
}
