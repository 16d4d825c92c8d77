//! Ids as keys. A key is plain ASCII, cannot be mistaken for a directory, and keys are in the order of their ids, so that S3
//! lists devices in order.
//!
//! Letters and digits stand for themselves. Everything else is a sign and the character's number, and the signs lie among
//! letters and digits where the characters do: `-` and two hexadecimal digits for what comes before the digits, `=` for what
//! is between digits and capitals, `_` for what is between capitals and small letters, and `~` with five digits of base 32
//! for what comes after. The longest id makes 768 characters; S3 takes keys of 1024.

use std::fmt::Write;

use object_store::path::Path;

use crate::files::DeviceId;

/// The longest prefix that leaves room for the longest key.
pub(super) const PREFIX_BYTES_MAX: usize = 200;

const INDEX: &str = "index";
const CONTENT: &str = "content";
const PROBE: &str = "probe";

/// Comes before everything that a key can go on with, so that blobs are in the order of ids as well.
const BLOB_SIGN: char = '!';

const BASE_32: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const BASE_32_DIGITS: u32 = 5;

/// Where records are.
pub(super) fn index_prefix() -> Path {
    Path::from(INDEX)
}

/// Where blobs are.
pub(super) fn content_prefix() -> Path {
    Path::from(CONTENT)
}

/// Where what a bucket is tried with is.
pub(super) fn probe_prefix() -> Path {
    Path::from(PROBE)
}

/// Something that a bucket is tried with.
pub(super) fn probe(name: &str) -> Path {
    path(PROBE, name)
}

/// The record of a device.
pub(super) fn index(device: &DeviceId) -> Path {
    path(INDEX, &encode(device.as_str()))
}

/// After the record of every device.
pub(super) fn past_the_last() -> Path {
    path(INDEX, "~~")
}

/// A blob of a device.
pub(super) fn content(device: &DeviceId, blob: &str) -> Path {
    let name = format!("{}{BLOB_SIGN}{blob}", encode(device.as_str()));
    path(CONTENT, &name)
}

/// A path as it stands: making one of parts would encode the tilde once more. It holds nothing that a path may not.
fn path(folder: &str, name: &str) -> Path {
    Path::parse(format!("{folder}/{name}")).unwrap_or_else(|_| Path::from_iter([folder, name]))
}

/// The device of a record; `None` when it is not one of ours.
pub(super) fn device(index: &Path) -> Option<DeviceId> {
    decoded(index.filename()?)
}

/// The device of a blob, and the blob's name; `None` when it is not one of ours.
pub(super) fn device_and_blob(content: &Path) -> Option<(DeviceId, &str)> {
    let (key, blob) = content.filename()?.split_once(BLOB_SIGN)?;
    Some((decoded(key)?, blob))
}

/// Whether a key has the shape of a record's.
pub(super) fn is_record(key: &str) -> bool {
    let name = key
        .strip_prefix(INDEX)
        .and_then(|key| key.strip_prefix('/'));
    name.is_some_and(|name| decoded(name).is_some())
}

/// Whether no record comes after a key in the order of keys.
pub(super) fn is_past_records(key: &str) -> bool {
    key > "index/~~"
}

/// Whether a key has the shape of one of a store of this program.
pub(super) fn is_ours(key: &str) -> bool {
    match key.split_once('/') {
        Some((CONTENT, name)) => name
            .split_once(BLOB_SIGN)
            .is_some_and(|(name, blob)| decoded(name).is_some() && is_new_name(blob)),
        _ => is_probe(key) || is_record(key),
    }
}

/// Whether a key has the shape of what a bucket is tried with.
pub(super) fn is_probe(key: &str) -> bool {
    matches!(key.split_once('/'), Some((PROBE, name)) if is_new_name(name))
}

/// Whether something has the shape of a name that was made up for one object.
fn is_new_name(name: &str) -> bool {
    const CHARACTERS: usize = 32;
    name.len() == CHARACTERS && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn encode(id: &str) -> String {
    let mut key = String::with_capacity(id.len() * 2);
    for character in id.chars() {
        let sign = match character {
            '0'..='9' | 'A'..='Z' | 'a'..='z' => {
                key.push(character);
                continue;
            }
            '\0'..='/' => '-',
            ':'..='@' => '=',
            '['..='`' => '_',
            _ => '~',
        };
        key.push(sign);
        if sign == '~' {
            for digit in (0..BASE_32_DIGITS).rev() {
                let value = u32::from(character) >> (digit * 5) & 31;
                key.push(char::from(BASE_32[value as usize]));
            }
        } else {
            // Writing to memory does not fail.
            let _ = write!(key, "{:02x}", u32::from(character));
        }
    }
    key
}

/// The id of a key, which must be the one key of that id.
fn decoded(key: &str) -> Option<DeviceId> {
    let id = decode(key)?;
    let device = DeviceId::new(&id).ok()?;
    (device.as_str() == id && encode(&id) == key).then_some(device)
}

fn decode(key: &str) -> Option<String> {
    let mut id = String::with_capacity(key.len());
    let mut rest = key;
    while let Some(sign) = rest.chars().next() {
        rest = &rest[sign.len_utf8()..];
        let (digits, base) = match sign {
            '-' | '=' | '_' => (2, 16),
            '~' => (BASE_32_DIGITS as usize, 32),
            _ => {
                id.push(sign);
                continue;
            }
        };
        let number = rest.get(..digits)?;
        rest = &rest[digits..];
        id.push(char::from_u32(u32::from_str_radix(number, base).ok()?)?);
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_readable_where_they_are_plain_and_never_paths() {
        for (id, key) in [
            ("202", "202"),
            ("sensor-1", "sensor-2d1"),
            ("..", "-2e-2e"),
            ("a/b\\c", "a-2fb_5cc"),
            ("%2e%2e", "-252e-252e"),
            ("A a", "A-20a"),
            ("~", "~0003u"),
            ("é", "~00079"),
            ("💡", "~03t51"),
        ] {
            assert_eq!(encode(id), key);
            assert_eq!(decoded(key).unwrap().as_str(), id);
        }
        let longest = DeviceId::new(&"\u{10ffff}".repeat(128)).unwrap();
        let blob = "0".repeat(32);
        assert!(content(&longest, &blob).as_ref().len() + PREFIX_BYTES_MAX < 1024);
        let path = index(&DeviceId::new("../x").unwrap());
        assert_eq!(path.as_ref(), "index/-2e-2e-2fx");
    }

    #[test]
    fn what_is_no_key_of_ours_is_none() {
        for key in [
            "", "-2", "-zz", "~0000", "~zzzzz", "-61", "~0001q", "a b", "-20a", "é",
        ] {
            assert_eq!(decoded(key), None, "{key}");
        }
        let device = DeviceId::new("a!b").unwrap();
        let path = content(&device, "x");
        assert_eq!(device_and_blob(&path), Some((device, "x")));
    }

    #[test]
    fn keys_of_a_store_are_told_from_those_of_others() {
        let blob = "0123456789abcdef0123456789abcdef";
        for key in [
            "index/202",
            "index/a-2fb",
            &format!("content/202!{blob}"),
            &format!("probe/{blob}"),
        ] {
            assert!(is_ours(key), "{key}");
        }
        for key in [
            "202",
            "index",
            "index/",
            "index/a b",
            "index/a/b",
            "content/202",
            "content/202!left",
            "probe/x",
            "other/202",
        ] {
            assert!(!is_ours(key), "{key}");
        }
    }

    proptest! {
        #[test]
        fn keys_lead_back_and_are_in_the_order_of_ids(a in "\\PC{1,9}", b in "\\PC{1,9}") {
            let (Ok(a), Ok(b)) = (DeviceId::new(&a), DeviceId::new(&b)) else {
                return Ok(());
            };
            prop_assert_eq!(device(&index(&a)), Some(a.clone()));
            prop_assert_eq!(index(&a).as_ref().cmp(index(&b).as_ref()), a.cmp(&b));
            if a != b {
                prop_assert_eq!(content(&a, "z").as_ref().cmp(content(&b, "a").as_ref()), a.cmp(&b));
            }
            prop_assert!(index(&a).as_ref().bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
