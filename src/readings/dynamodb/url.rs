//! The location of the tables: `dynamodb://PREFIX?region=…&endpoint=…`.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};

/// The names of the tables, and how to reach them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamoUrl {
    /// The beginning of the names of both tables.
    pub prefix: String,
    /// The AWS region; without a region, the standard chain finds a region.
    pub region: Option<String>,
    /// An endpoint other than the region's own endpoint: an emulator, or an endpoint inside a private network.
    pub endpoint: Option<String>,
}

/// An access key and its secret. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The key's name.
    pub access_key: String,
    /// The secret for the access key.
    pub secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, ***)", self.access_key)
    }
}

/// The options of the store. The defaults suit a server.
#[derive(Clone, Debug)]
pub struct DynamoOptions {
    /// An access key and its secret, for emulators; without credentials here, the standard chain finds credentials.
    pub credentials: Option<Credentials>,
    /// The largest number of sensors in all replicas together. A new sensor beyond this number is refused.
    pub sensors_max: u64,
    /// How long a write may take. Afterwards the batch fails and names the readings that were not stored.
    pub write_deadline: Duration,
    /// How many readings may wait; a batch beyond this number is refused as overload.
    pub queue_readings_max: usize,
    /// How many transactions may be in flight at a time, 1 to 4.
    pub transactions_max: usize,
    /// How long a replica keeps a lease at least without a sign of life.
    pub lease_duration: Duration,
    /// The pause between two checks whether the statistics follow the readings.
    pub drift_pause: Duration,
}

impl Default for DynamoOptions {
    fn default() -> Self {
        Self {
            credentials: None,
            sensors_max: 1_000_000,
            write_deadline: Duration::from_secs(22),
            queue_readings_max: 1_000_000,
            transactions_max: 4,
            lease_duration: Duration::from_secs(30),
            drift_pause: Duration::from_secs(60),
        }
    }
}

impl DynamoUrl {
    /// Parses the part of the URL after the scheme.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] names the mistake, and gives the right form.
    pub fn parse(url: &BackendUrl) -> Result<Self, StoreError> {
        // The longer of the two names must fit into 255 characters.
        Self::parse_as(url, "dynamodb://PREFIX", "the prefix of the tables", 200)
    }

    /// Parses a URL with the name of a table in place of the prefix.
    pub(super) fn parse_table(url: &BackendUrl) -> Result<Self, StoreError> {
        Self::parse_as(url, "dynamodb-table://TABLE", "the name of a table", 255)
    }

    fn parse_as(
        url: &BackendUrl,
        form: &str,
        what: &str,
        length_max: usize,
    ) -> Result<Self, StoreError> {
        let wrong = |why: String| {
            StoreError::new(
                StoreErrorKind::Unsupported,
                format!("{why}; write {form}?region=…&endpoint=…, the last two if they are needed"),
            )
        };
        let rest = url.rest();
        let (prefix, query) = rest.split_once('?').unwrap_or((rest, ""));
        let prefix = prefix
            .strip_prefix("//")
            .ok_or_else(|| wrong(format!("two slashes are missing after {}:", url.scheme())))?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if prefix.is_empty() || prefix.len() > length_max || !prefix.bytes().all(is_name) {
            return Err(wrong(format!(
                "{what} has 1 to {length_max} letters, digits, hyphens, points and underscores"
            )));
        }
        let mut location = Self {
            prefix: prefix.to_owned(),
            region: None,
            endpoint: None,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match name.as_ref() {
                "region" => &mut location.region,
                "endpoint" => &mut location.endpoint,
                other => return Err(wrong(format!("there is no parameter {other}"))),
            };
            if value.is_empty() || place.replace(value.into_owned()).is_some() {
                return Err(wrong(format!("{name} is empty or given twice")));
            }
        }
        if let Some(endpoint) = &location.endpoint {
            let parsed = Url::parse(endpoint);
            let good = parsed.is_ok_and(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
            });
            if !good {
                return Err(wrong(
                    "the endpoint is not a URL such as http://127.0.0.1:8000".to_owned(),
                ));
            }
        }
        Ok(location)
    }

    /// The name of the table of the readings.
    pub fn readings_table(&self) -> String {
        format!("{}-temperature-readings", self.prefix)
    }

    /// The name of the table of the aggregates.
    pub fn aggregation_table(&self) -> String {
        format!("{}-temperature-readings-aggregation", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DynamoUrl, StoreError> {
        DynamoUrl::parse(&text.parse().unwrap())
    }

    #[test]
    fn a_url_names_prefix_region_and_endpoint() {
        let location =
            parse("dynamodb://fleet.a?region=eu-west-1&endpoint=http%3A%2F%2F127.0.0.1:8000")
                .unwrap();
        assert_eq!(location.readings_table(), "fleet.a-temperature-readings");
        assert_eq!(
            location.aggregation_table(),
            "fleet.a-temperature-readings-aggregation"
        );
        assert_eq!(location.region.as_deref(), Some("eu-west-1"));
        assert_eq!(location.endpoint.as_deref(), Some("http://127.0.0.1:8000"));
        assert_eq!(parse("dynamodb://x").unwrap().endpoint, None);
    }

    #[test]
    fn wrong_urls_are_refused_with_the_reason() {
        for (text, word) in [
            ("dynamodb:x", "slashes"),
            ("dynamodb://", "prefix"),
            ("dynamodb://a b", "prefix"),
            ("dynamodb://a?zone=x", "zone"),
            ("dynamodb://a?region=", "region"),
            ("dynamodb://a?endpoint=localhost:1", "endpoint"),
            ("dynamodb://a?endpoint=http://u:p@h", "endpoint"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unsupported);
            assert!(error.message().contains(word), "{text}: {error}");
        }
    }
}
