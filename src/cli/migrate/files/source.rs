//! The source of files: a store of this program, or the bucket of an older service.

use std::sync::Arc;

use anyhow::anyhow;
use sha2::{Digest as _, Sha256};

use crate::backend_url::BackendUrl;
use crate::cli::migrate::failure::{open_failure, store_failure};
use crate::cli::{Failure, FailureKind, standard_output};
use crate::error::StoreError;
use crate::files::s3::older::{OlderBucket, OlderObject};
use crate::files::{DeviceId, FileStore};

/// The most files in a page of a store.
const PAGE: usize = 500;

/// The layout of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A store of this program.
    Store,
    /// Each object is the file of the device whose id is the key.
    Keys,
}

/// An opened source with a layout that is not known yet.
pub(super) enum Opened {
    Store(Arc<dyn FileStore>),
    Bucket(Box<OlderBucket>, Arc<dyn FileStore>),
}

/// A source of files.
pub(super) enum Source {
    Store(Arc<dyn FileStore>),
    /// A bucket, and the key prefix of the target if the target is in the same bucket. Objects with this prefix are skipped.
    Bucket(Box<OlderBucket>, Option<String>),
}

/// A file of the source.
pub(super) enum Item {
    Device(DeviceId),
    Object(OlderObject),
}

/// A page of files, and the start of the next page.
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    pub(super) next: Option<String>,
}

/// A fingerprint of all files. Two fingerprints tell whether the source changed in between.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    files: u64,
    bytes: Option<u64>,
    fingerprint: [u8; 32],
}

impl Survey {
    pub(super) fn bytes_known(&self) -> Option<u64> {
        self.bytes
    }
}

/// Removes `layout=store` or `layout=keys` from a URL.
pub(super) fn layout_of(url: &BackendUrl) -> Result<(BackendUrl, Option<Layout>), Failure> {
    let rest = url.rest();
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut layout = None;
    let mut others = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("layout", "store")) => layout = Some(Layout::Store),
            Some(("layout", "keys")) => layout = Some(Layout::Keys),
            Some(("layout", other)) => {
                let error = anyhow!("{url}: layout is store or keys, not {other}");
                return Err(Failure::new(FailureKind::Configuration, error));
            }
            _ => others.push(parameter),
        }
    }
    if layout.is_none() {
        return Ok((url.clone(), None));
    }
    let mut text = format!("{}:{place}", url.scheme());
    if !others.is_empty() {
        text += &format!("?{}", others.join("&"));
    }
    let url = text.parse();
    Ok((url.map_err(|error| anyhow!("{text}: {error}"))?, layout))
}

pub(super) async fn open(url: &BackendUrl, store: Arc<dyn FileStore>) -> Result<Opened, Failure> {
    if url.scheme() != "s3" {
        return Ok(Opened::Store(store));
    }
    let bucket = OlderBucket::open(url).await;
    let bucket = bucket.map_err(|error| open_failure(url, error))?;
    Ok(Opened::Bucket(Box::new(bucket), store))
}

impl Opened {
    /// Determines the layout of the source, and prints it.
    pub(super) async fn decide(
        self,
        from: &BackendUrl,
        to: &BackendUrl,
        layout: Option<Layout>,
    ) -> Result<Source, Failure> {
        let (bucket, store) = match self {
            Self::Store(store) => return Ok(Source::Store(store)),
            Self::Bucket(bucket, store) => (bucket, store),
        };
        let target_prefix = match to.scheme() {
            "s3" => bucket
                .contains(to)
                .map_err(|error| open_failure(to, error))?,
            _ => None,
        };
        let shape = bucket
            .shape(target_prefix.as_deref())
            .await
            .map_err(store_failure)?;
        let layout = match (layout, shape.records, shape.has_others) {
            (Some(layout), ..) => layout,
            (None, 0, true) => Layout::Keys,
            (None, _, false) => Layout::Store,
            (None, records, true) => {
                let error = anyhow!(
                    "{from} holds a store of this program (index/, content/; at least {records} records) and other objects \
                     as well. Say which are meant: add layout=store to the URL for the store, or layout=keys for \
                     all objects, each as the file of the device that its key names"
                );
                return Err(Failure::new(FailureKind::Configuration, error));
            }
        };
        let taken = match layout {
            Layout::Store => "a store of this program",
            Layout::Keys => {
                "an older service's bucket: each object is the file of the device that its key names"
            }
        };
        standard_output::print(&format!("{from} is read as {taken}.\n"))?;
        if let (Layout::Keys, Some(target_prefix)) = (layout, &target_prefix) {
            let text =
                format!("Keys that begin with {target_prefix} are the other side, and left out.\n");
            standard_output::print(&text)?;
        }
        Ok(match layout {
            Layout::Store => Source::Store(store),
            Layout::Keys => Source::Bucket(bucket, target_prefix),
        })
    }
}

impl Source {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Store(store) => store.backend(),
            Self::Bucket(..) => "bucket",
        }
    }

    /// The files after a name.
    pub(super) async fn page(&self, after: Option<&str>) -> Result<Page, StoreError> {
        match self {
            Self::Store(store) => {
                let after = after.and_then(|after| DeviceId::new(after).ok());
                let page = store.list(after.as_ref(), PAGE).await?;
                let last = page.items.last().filter(|_| page.more);
                Ok(Page {
                    next: last.map(ToString::to_string),
                    items: page.items.into_iter().map(Item::Device).collect(),
                })
            }
            Self::Bucket(bucket, target_prefix) => {
                let mut page = bucket.list(after).await?;
                if let Some(target_prefix) = target_prefix {
                    page.objects
                        .retain(|object| !object.key.starts_with(target_prefix));
                }
                Ok(Page {
                    next: page.next,
                    items: page.objects.into_iter().map(Item::Object).collect(),
                })
            }
        }
    }

    /// Lists all names; for a bucket also sizes and versions, which the listing holds.
    pub(super) async fn survey(&self) -> Result<Survey, StoreError> {
        let mut survey = Survey {
            bytes: matches!(self, Self::Bucket(..)).then_some(0),
            ..Survey::default()
        };
        let mut hasher = Sha256::new();
        let mut after = None;
        loop {
            let page = self.page(after.as_deref()).await?;
            for item in &page.items {
                survey.files += 1;
                let line = match item {
                    Item::Device(device) => format!("{}\0", device.as_str()),
                    Item::Object(object) => {
                        survey.bytes = survey.bytes.map(|bytes| bytes + object.size_bytes);
                        let OlderObject {
                            key,
                            size_bytes,
                            tag,
                            time,
                        } = object;
                        format!("{key}\0{size_bytes} {tag} {time}\0")
                    }
                };
                hasher.update(line);
            }
            after = page.next;
            if after.is_none() {
                survey.fingerprint = hasher.finalize().into();
                return Ok(survey);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_taken_out_of_a_url() {
        for (text, rest, layout) in [
            ("s3://b/p?region=x", "//b/p?region=x", None),
            (
                "s3://b?layout=keys&region=x",
                "//b?region=x",
                Some(Layout::Keys),
            ),
            ("s3://b?layout=store", "//b", Some(Layout::Store)),
        ] {
            let (url, found) = layout_of(&text.parse().unwrap()).unwrap();
            assert_eq!((url.rest(), found), (rest, layout));
        }
        let wrong = layout_of(&"s3://b?layout=x".parse().unwrap());
        assert!(wrong.unwrap_err().to_string().contains("store or keys"));
    }
}
