//! The bucket of an older file service, read and never written to: the key of an object is the id of a device, its body the file.
//!
//! A key may be any text, and what the other files of this backend use takes some keys for mistakes. So the two requests that
//! are needed are made here.

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
use super::connect::{Access, BucketUrl};
use super::{index, key};
use crate::backend_url::BackendUrl;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::{ContentStream, ContentType};
use crate::timestamp::Timestamp;

/// How often a request is made that S3 does not answer, or says that it should be made later.
const ATTEMPTS_MAX: u32 = 6;
const PAUSE: Duration = Duration::from_millis(250);

/// How many records are looked at to tell whether a bucket has a store of this program in it.
const RECORDS_LOOKED_AT: usize = 20;

/// An older bucket, or a part of one.
#[derive(Debug)]
pub struct OlderBucket {
    access: Access,
    http: HttpClient,
    /// Up to the name of the bucket, without a slash at the end.
    base: String,
    /// In front of every id.
    prefix: String,
}

/// An object that may be a device's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OlderObject {
    /// The key without the prefix.
    pub key: String,
    /// The size in bytes.
    pub size_bytes: u64,
    /// Which version it is.
    pub tag: String,
    /// When it was stored, by the clock of S3.
    pub time: Timestamp,
}

/// Some objects in the order of their keys.
#[derive(Debug)]
pub struct OlderPage {
    /// The objects.
    pub objects: Vec<OlderObject>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
}

/// An object that is being read.
pub struct OlderFile {
    /// What S3 says of its type; none when it was never told.
    pub content_type: Option<ContentType>,
    /// Its bytes.
    pub content: ContentStream,
}

/// What a bucket holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Records of a store of this program that name a blob: the first few only.
    pub records: usize,
    /// Whether there is anything that is not such a store's.
    pub has_others: bool,
}

impl OlderBucket {
    /// The bucket that `s3://bucket/prefix?region=…&endpoint=…` names. Nothing is asked yet.
    ///
    /// # Errors
    /// When the URL or the settings make no sense.
    pub fn open(url: &BackendUrl) -> Result<Self, StoreError> {
        let access = Access::of(url, BucketUrl::of(url)?, None)?;
        let http = ReqwestConnector::default()
            .connect(&access.client_options())
            .map_err(|error| {
                StoreError::new(StoreErrorKind::Unsupported, format!("{url} cannot be used"))
                    .with_source(error)
            })?;
        let bucket = &access.place.bucket;
        let base = match &access.endpoint {
            Some(endpoint) => format!("{}/{bucket}", endpoint.trim_end_matches('/')),
            None => format!("https://{bucket}.s3.{}.amazonaws.com", access.region),
        };
        let prefix = match access.place.prefix.as_str() {
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

    /// Where another store lies inside what this reads: the beginning of its keys, which are not for it. `None` when it lies
    /// elsewhere.
    ///
    /// # Errors
    /// When it is the same place, or its URL makes no sense.
    pub fn contains(&self, url: &BackendUrl) -> Result<Option<String>, StoreError> {
        let other = BucketUrl::of(url)?;
        let is_there = other.bucket == self.access.place.bucket
            && (other.endpoint.is_none() || other.endpoint == self.access.endpoint);
        if !is_there {
            return Ok(None);
        }
        if other.prefix == self.access.place.prefix {
            return Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "both URLs name the same place in the same bucket: give the new store a prefix of its own, such as \
                 s3://bucket/fieldstation",
            ));
        }
        let other = format!("{}/", other.prefix);
        Ok(other.strip_prefix(&self.prefix).map(str::to_owned))
    }

    /// A page of the objects whose keys come after `after`.
    ///
    /// # Errors
    /// When S3 refuses, or does not answer for a while.
    pub async fn list(&self, after: Option<&str>) -> Result<OlderPage, StoreError> {
        let prefix = encode_key(&self.prefix, true);
        let mut query = format!("list-type=2&encoding-type=url&max-keys=1000&prefix={prefix}");
        if let Some(after) = after {
            let after = format!("{}{after}", self.prefix);
            query += &format!("&start-after={}", encode_key(&after, true));
        }
        // The parameters of a signature are in order.
        let mut parameters: Vec<_> = query.split('&').collect();
        parameters.sort_unstable();
        let url = format!("{}/?{}", self.base, parameters.join("&"));
        let response = self.get(&url, None, "list the objects").await?;
        let response =
            response.ok_or_else(|| unavailable("list the objects", "the bucket is not there"))?;
        let text =
            response.into_body().bytes().await.map_err(|error| {
                unavailable("list the objects", "S3 broke off").with_source(error)
            })?;
        let text = String::from_utf8_lossy(&text);
        let listing: Listing =
            quick_xml::de::from_str(&text).map_err(|error| no_list().with_source(error))?;
        let is_encoded = listing.encoding_type.as_deref() == Some("url");
        let mut objects = Vec::with_capacity(listing.contents.len());
        let mut last = None;
        for entry in listing.contents {
            let whole = if is_encoded {
                decode_key(&entry.key)
            } else {
                entry.key
            };
            if let Some(key) = whole.strip_prefix(&self.prefix) {
                last = Some(key.to_owned());
                // What a console leaves to show a folder, and what a killed server has tried the bucket with, are no files.
                if !key.is_empty() && !key::is_probe(key) {
                    let time = entry.last_modified.parse();
                    objects.push(OlderObject {
                        key: key.to_owned(),
                        size_bytes: entry.size,
                        tag: entry.e_tag.unwrap_or_default(),
                        time: time.map_err(|_| no_list())?,
                    });
                }
            }
        }
        let next = last.filter(|_| listing.is_truncated);
        Ok(OlderPage { objects, next })
    }

    /// Reads an object; `None` when it is another one by now, or gone.
    ///
    /// # Errors
    /// When S3 refuses, or does not answer for a while; when the key cannot be asked for.
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
            piece.map_err(|error| unavailable("read an object", "S3 broke off").with_source(error))
        });
        Ok(Some(OlderFile {
            content_type,
            content: content.boxed(),
        }))
    }

    /// Whether there is a store of this program here, and whether there is anything else.
    ///
    /// # Errors
    /// Those of [`OlderBucket::list`].
    pub async fn shape(&self, besides: Option<&str>) -> Result<Shape, StoreError> {
        let mut shape = Shape::default();
        let mut looked_at = 0;
        let mut after = None;
        loop {
            let page = self.list(after.as_deref()).await?;
            for object in &page.objects {
                if besides.is_some_and(|besides| object.key.starts_with(besides)) {
                    continue;
                }
                if key::is_record(&object.key) && looked_at < RECORDS_LOOKED_AT {
                    looked_at += 1;
                    shape.records += usize::from(self.is_record(object).await?);
                }
                shape.has_others |= !key::is_ours(&object.key);
            }
            after = page.next;
            let Some(last) = &after else {
                return Ok(shape);
            };
            let has_no_more_records = looked_at == RECORDS_LOOKED_AT || key::is_past_records(last);
            if shape.has_others && has_no_more_records {
                return Ok(shape);
            }
        }
    }

    /// Whether an object is a record of a device's file, and not a file that is called so.
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
        let whole = format!("{}{key}", self.prefix);
        let url = format!("{}/{}", self.base, encode_key(&whole, false));
        // A `..` in a URL means something else to everybody on the way.
        match Url::parse(&url) {
            Ok(parsed) if parsed.as_str() == url => Ok(url),
            _ => Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "its key has a part that is only dots, which no program can ask for: rename it",
            )),
        }
    }

    /// Asks for a URL; `None` when it is not there, or not with this tag.
    async fn get(
        &self,
        url: &str,
        tag: Option<&str>,
        what: &str,
    ) -> Result<Option<HttpResponse>, StoreError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.ask(url, tag).await {
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
                    super::errors::meaning(what, &as_error(status, &body)).error
                }
                Err(error) => super::errors::meaning(what, &error).error,
            };
            if error.kind() == StoreErrorKind::Denied {
                self.access.credentials.refused().await;
                return Err(error);
            }
            if attempt == ATTEMPTS_MAX {
                return Err(error);
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
        }
    }

    async fn ask(&self, url: &str, tag: Option<&str>) -> object_store::Result<HttpResponse> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.parse().map_err(generic)?;
        if let Some(tag) = tag {
            let tag = HeaderValue::from_str(tag).map_err(generic)?;
            request.headers_mut().insert("if-match", tag);
        }
        let credential = self.access.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.access.region)
            .try_authorize(&mut request, None)?;
        self.http.execute(request).await.map_err(generic)
    }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: Box::new(error),
    }
}

fn as_error(status: u16, body: &str) -> object_store::Error {
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

fn unavailable(what: &str, why: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("could not {what}: {why}; try again later"),
    )
}

fn no_list() -> StoreError {
    unavailable("list the objects", "S3 answers what is no list")
}
