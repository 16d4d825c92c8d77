//! The listings of S3, and the encoding of keys in URLs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

/// All characters but letters, digits and the signs that a signature of AWS leaves as they are.
const NOT_IN_PARAMETERS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The same without the slash.
const NOT_IN_PATHS: &AsciiSet = &NOT_IN_PARAMETERS.remove(b'/');

/// A page of a listing, as S3 writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listing {
    #[serde(default)]
    pub(super) contents: Vec<ListedObject>,
    #[serde(default)]
    pub(super) is_truncated: bool,
    pub(super) encoding_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedObject {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) last_modified: String,
    #[serde(rename = "ETag")]
    pub(super) e_tag: Option<String>,
}

/// The key as a signature needs it: all characters but letters, digits and a few signs are percent-encoded. A slash is encoded only
/// in a parameter.
pub(super) fn encode_key(key: &str, is_parameter: bool) -> String {
    let encoded = if is_parameter {
        NOT_IN_PARAMETERS
    } else {
        NOT_IN_PATHS
    };
    utf8_percent_encode(key, encoded).to_string()
}

/// Decodes a key of a listing, where a plus sign stands for a space.
pub(super) fn decode_key(text: &str) -> String {
    let form = format!("k={}", text.replace('&', "%26").replace(';', "%3B"));
    let mut pairs = url::form_urlencoded::parse(form.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(_, key)| key.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_listing_is_parsed_with_and_without_encoded_keys() {
        let listing: Listing = quick_xml::de::from_str(
            "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>\
             <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><Contents><Key>a%0Ab+c%2Bd</Key>\
             <LastModified>2026-11-20T13:00:00.000Z</LastModified><ETag>&quot;x&quot;</ETag><Size>3</Size>\
             <StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>",
        )
        .unwrap();
        assert!(listing.is_truncated);
        assert_eq!(decode_key(&listing.contents[0].key), "a\nb c+d");
        assert_eq!(listing.contents[0].e_tag.as_deref(), Some("\"x\""));
        let empty: Listing =
            quick_xml::de::from_str("<ListBucketResult><Name>b</Name></ListBucketResult>").unwrap();
        assert!(empty.contents.is_empty() && !empty.is_truncated);
    }

    proptest! {
        #[test]
        fn every_encoded_key_decodes_to_the_same_key(key in "\\PC{0,20}") {
            prop_assert_eq!(&decode_key(&encode_key(&key, true)), &key);
            prop_assert_eq!(&decode_key(&encode_key(&key, false)), &key);
        }
    }
}
