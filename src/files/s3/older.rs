//! Reads the bucket of an older file service, and never writes to the bucket. The key of an object is the id of a device, and the
//! body is the file.
//!
//! A key may be any text, and the crate that the rest of this backend uses rejects some keys. So this module makes its two kinds of
//! request itself.

mod listing;

use std::time::Duration;

use futures_util::StreamExt;
use object_store::aws::AwsAuthorizer;
use object_store::client::{
    HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, HttpResponse, ReqwestConnector,
};
use object_store::{CredentialProvider as _, HeaderValue};
use url::Url;

use self::listing::{Listing, decode_key, encode_key};
use super::connect::BucketAccess;
use super::errors::store_error;
use super::url::BucketUrl;
use super::{index, key};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{ContentStream, ContentType};
use crate::timestamp::Timestamp;

/// The number of attempts when S3 does not answer or fails, and the first pause between two attempts.
const ATTEMPTS_MAX: u32 = 6;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);

/// The number of records that are read to find out whether a bucket holds a store of this program.
const RECORDS_READ_MAX: usize = 20;

/// The bucket of an older service, or the objects below a prefix.
#[derive(Debug)]
pub struct OlderBucket {
    access: BucketAccess,
    http: HttpClient,
    /// The URL of the bucket, without a slash at the end.
    base: String,
    /// The beginning of every key.
    prefix: String,
}

/// An object that may be the file of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OlderObject {
    /// The key without the prefix.
    pub key: String,
    /// The size in bytes.
    pub size_bytes: u64,
    /// The entity tag, which names the version. May be empty.
    pub tag: String,
    /// When the object was stored, by the clock of S3.
    pub time: Timestamp,
}

/// A page of objects, in order of their keys.
#[derive(Debug)]
pub struct OlderPage {
    /// The objects.
    pub objects: Vec<OlderObject>,
    /// The last key of the page, with which the next page is asked for; `None` on the last page.
    pub next: Option<String>,
}

/// An open object.
pub struct OlderFile {
    /// The content type, when the object has a valid one.
    pub content_type: Option<ContentType>,
    /// The bytes.
    pub content: ContentStream,
}

/// What kinds of objects a bucket holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// The number of records of a store of this program. Counting stops after a few.
    pub records: usize,
    /// Whether there are objects of other programs.
    pub has_others: bool,
}

impl OlderBucket {
    /// Opens the bucket of `s3://bucket/prefix?region=…&endpoint=…`. Sends no request to S3.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] when the URL or the settings are wrong.
    pub async fn open(url: &BackendUrl) -> Result<Self, StoreError> {
        let access = BucketAccess::load(url, None).await?;
        let http = ReqwestConnector::default()
            .connect(&access.client_options())
            .map_err(|error| {
                StoreError::new(StoreErrorKind::Unsupported, format!("{url} cannot be used"))
                    .with_source(error)
            })?;
        let bucket = &access.bucket_url.bucket;
        let base = match &access.endpoint {
            Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            None => format!("https://{bucket}.s3.{}.amazonaws.com", access.region),
        };
        let prefix = match access.bucket_url.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Self {
            access,
            http,
            base,
            prefix,
        })
    }

    /// The key prefix of another store, when that store is in the same bucket below the prefix of this one. `None` when the other
    /// store is elsewhere.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unsupported`] when both are the same, or the URL is wrong.
    pub fn contains(&self, url: &BackendUrl) -> Result<Option<String>, StoreError> {
        let other = BucketUrl::parse(url)?;
        let is_same_bucket = other.bucket == self.access.bucket_url.bucket
            && (other.endpoint.is_none() || other.endpoint == self.access.endpoint);
        if !is_same_bucket {
            return Ok(None);
        }
        if other.prefix == self.access.bucket_url.prefix {
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "both URLs name the same prefix of the same bucket: give the new store a prefix of its own, such as \
                 s3://bucket/fieldstation",
            ));
        }
        let other = format!("{}/", other.prefix);
        Ok(other.strip_prefix(&self.prefix).map(str::to_owned))
    }

    /// A page of the objects whose keys come after `after`.
    ///
    /// # Errors
    /// [`StoreErrorKind::Denied`] when S3 refuses; [`StoreErrorKind::Unavailable`] when S3 fails in every attempt.
    pub async fn list(&self, after: Option<&str>) -> Result<OlderPage, StoreError> {
        let prefix = encode_key(&self.prefix, true);
        let mut query = format!("list-type=2&encoding-type=url&max-keys=1000&prefix={prefix}");
        if let Some(after) = after {
            let after = format!("{}{after}", self.prefix);
            query += &format!("&start-after={}", encode_key(&after, true));
        }
        // A signature needs the parameters in alphabetical order.
        let mut parameters: Vec<_> = query.split('&').collect();
        parameters.sort_unstable();
        let url = format!("{}/?{}", self.base, parameters.join("&"));
        let response = self.get(&url, None, "list the objects").await?;
        let response =
            response.ok_or_else(|| unavailable("list the objects", "the bucket does not exist"))?;
        let text = response.into_body().bytes().await.map_err(|error| {
            unavailable("list the objects", "S3 interrupted the answer").with_source(error)
        })?;
        let text = String::from_utf8_lossy(&text);
        let listing: Listing =
            quick_xml::de::from_str(&text).map_err(|error| invalid_listing().with_source(error))?;
        let is_encoded = listing.encoding_type.as_deref() == Some("url");
        let mut objects = Vec::with_capacity(listing.contents.len());
        let mut last = None;
        for entry in listing.contents {
            let full_key = if is_encoded {
                decode_key(&entry.key)
            } else {
                entry.key
            };
            if let Some(key) = full_key.strip_prefix(&self.prefix) {
                last = Some(key.to_owned());
                // Not files: the empty object that a console makes for a folder, and the probe object of a killed server.
                if !key.is_empty() && !key::is_probe(key) {
                    let time = entry.last_modified.parse();
                    objects.push(OlderObject {
                        key: key.to_owned(),
                        size_bytes: entry.size,
                        tag: entry.e_tag.unwrap_or_default(),
                        time: time.map_err(|_| invalid_listing())?,
                    });
                }
            }
        }
        let next = last.filter(|_| listing.is_truncated);
        Ok(OlderPage { objects, next })
    }

    /// Opens an object; `None` when the object was replaced or removed since the listing.
    ///
    /// # Errors
    /// Those of [`Self::list`]; [`StoreErrorKind::Unsupported`] when no URL can hold the key.
    pub async fn read(&self, object: &OlderObject) -> Result<Option<OlderFile>, StoreError> {
        let url = self.url_of(&object.key)?;
        let tag = (!object.tag.is_empty()).then_some(object.tag.as_str());
        let Some(response) = self.get(&url, tag, "read an object").await? else {
            return Ok(None);
        };
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let is_same = header("etag").is_none_or(|tag| object.tag.is_empty() || tag == object.tag);
        if !is_same {
            return Ok(None);
        }
        let content_type = header("content-type").and_then(|kind| ContentType::new(&kind));
        let pieces = response.into_body().bytes_stream();
        let content = pieces.map(|piece| {
            piece.map_err(|error| {
                unavailable("read an object", "S3 interrupted the answer").with_source(error)
            })
        });
        Ok(Some(OlderFile {
            content_type,
            content: content.boxed(),
        }))
    }

    /// Finds out whether the bucket holds a store of this program, and whether there are other objects. Keys that begin with `except`
    /// do not count.
    ///
    /// # Errors
    /// Those of [`OlderBucket::list`].
    pub async fn shape(&self, except: Option<&str>) -> Result<Shape, StoreError> {
        let mut shape = Shape::default();
        let mut records_read = 0;
        let mut after = None;
        loop {
            let page = self.list(after.as_deref()).await?;
            for object in &page.objects {
                if except.is_some_and(|except| object.key.starts_with(except)) {
                    continue;
                }
                if key::is_record(&object.key) && records_read < RECORDS_READ_MAX {
                    records_read += 1;
                    shape.records += usize::from(self.is_record(object).await?);
                }
                shape.has_others |= !key::is_ours(&object.key);
            }
            after = page.next;
            let Some(last) = &after else {
                return Ok(shape);
            };
            let has_no_more_records =
                records_read == RECORDS_READ_MAX || key::is_after_all_records(last);
            if shape.has_others && has_no_more_records {
                return Ok(shape);
            }
        }
    }

    /// Whether an object is a record, and not a file with the key of a record.
    async fn is_record(&self, object: &OlderObject) -> Result<bool, StoreError> {
        if object.size_bytes > index::RECORD_BYTES_MAX {
            return Ok(false);
        }
        let Some(mut file) = self.read(object).await? else {
            return Ok(false);
        };
        let mut bytes = Vec::new();
        while let Some(piece) = file.content.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(index::is_record(&bytes))
    }

    fn url_of(&self, key: &str) -> Result<String, StoreError> {
        let full_key = format!("{}{key}", self.prefix);
        let url = format!("{}/{}", self.base, encode_key(&full_key, false));
        // Every program on the way to S3 would resolve `..` in a URL.
        match Url::parse(&url) {
            Ok(parsed) if parsed.as_str() == url => Ok(url),
            _ => Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "the key has a part of only dots, which no URL can hold: rename the object",
            )),
        }
    }

    /// Sends a GET request, several times if needed. `None` when the object does not exist, or has another entity tag. `action`
    /// completes "could not".
    async fn get(
        &self,
        url: &str,
        tag: Option<&str>,
        action: &str,
    ) -> Result<Option<HttpResponse>, StoreError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.send_once(url, tag).await {
                Ok(response) if response.status().is_success() => return Ok(Some(response)),
                Ok(response) if response.status().as_u16() == 412 => return Ok(None),
                Ok(response) => {
                    let status = response.status().as_u16();
                    let body = response.into_body().bytes().await.unwrap_or_default();
                    let body = String::from_utf8_lossy(&body);
                    let is_gone = status == 404 && !body.contains("NoSuchBucket");
                    if is_gone && tag.is_some() {
                        return Ok(None);
                    }
                    store_error(action, &status_error(status, &body))
                }
                Err(error) => store_error(action, &error),
            };
            if error.kind() == StoreErrorKind::Denied {
                self.access.credentials.reject().await;
                return Err(error);
            }
            if attempt == ATTEMPTS_MAX {
                return Err(error);
            }
            tokio::time::sleep(ATTEMPT_PAUSE * 2_u32.pow(attempt)).await;
        }
    }

    async fn send_once(&self, url: &str, tag: Option<&str>) -> object_store::Result<HttpResponse> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.parse().map_err(request_error)?;
        if let Some(tag) = tag {
            let tag = HeaderValue::from_str(tag).map_err(request_error)?;
            request.headers_mut().insert("if-match", tag);
        }
        let credential = self.access.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.access.region)
            .try_authorize(&mut request, None)?;
        self.http.execute(request).await.map_err(request_error)
    }
}

fn request_error(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: Box::new(error),
    }
}

fn status_error(status: u16, body: &str) -> object_store::Error {
    let source = format!("status {status}: {body}").into();
    let path = String::new();
    match status {
        403 => object_store::Error::PermissionDenied { path, source },
        401 => object_store::Error::Unauthenticated { path, source },
        404 => object_store::Error::NotFound { path, source },
        _ => object_store::Error::Generic {
            store: "S3",
            source,
        },
    }
}

fn unavailable(action: &str, reason: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("could not {action}: {reason}; try again later"),
    )
}

fn invalid_listing() -> StoreError {
    unavailable("list the objects", "the answer of S3 is not a listing")
}
