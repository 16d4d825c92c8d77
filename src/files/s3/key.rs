//! Encodes device ids as keys of S3. A key is plain ASCII and has no slash. Keys have the same order as their ids, so S3 lists
//! devices in order.
//!
//! A letter or a digit stands for itself. Any other character becomes a sign and the number of the character. The sign keeps the
//! order: `-` and two hexadecimal digits for characters before the digits, `=` for characters between digits and capital letters,
//! `_` for characters between capital and small letters, and `~` with five digits of base 32 for all later characters. The longest
//! id makes a key of 768 characters, and S3 accepts 1024.

use std::fmt::Write;

use object_store::path::Path;

use crate::files::DeviceId;

/// The longest prefix in front of the longest key.
pub(super) const PREFIX_BYTES_MAX: usize = 200;

const INDEX: &str = "index";
const CONTENT: &str = "content";
const PROBE: &str = "probe";

/// Separates the key of a device from the name of a blob. Sorts before every character of a key, so that blobs have the order of
/// their ids, too.
const BLOB_SEPARATOR: char = '!';

const BASE_32: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const BASE_32_DIGITS: u32 = 5;

/// The prefix of all records.
pub(super) fn index_prefix() -> Path {
    Path::from(INDEX)
}

/// The prefix of all blobs.
pub(super) fn content_prefix() -> Path {
    Path::from(CONTENT)
}

/// The prefix of all probe objects.
pub(super) fn probe_prefix() -> Path {
    Path::from(PROBE)
}

/// The key of a probe object.
pub(super) fn probe(name: &str) -> Path {
    path(PROBE, name)
}

/// The key of a device's record.
pub(super) fn index(device: &DeviceId) -> Path {
    path(INDEX, &encode(device.as_str()))
}

/// A key after all records.
pub(super) fn after_all_records() -> Path {
    path(INDEX, "~~")
}

/// The key of a blob of a device.
pub(super) fn content(device: &DeviceId, blob: &str) -> Path {
    let name = format!("{}{BLOB_SEPARATOR}{blob}", encode(device.as_str()));
    path(CONTENT, &name)
}

/// A path without further encoding: `Path::from_iter` would encode the tilde. Names here have only characters that a path allows.
fn path(folder: &str, name: &str) -> Path {
    Path::parse(format!("{folder}/{name}")).unwrap_or_else(|_| Path::from_iter([folder, name]))
}

/// The device of a record; `None` for an object of another program.
pub(super) fn device(index: &Path) -> Option<DeviceId> {
    decode_device(index.filename()?)
}

/// The device of a blob, and the name of the blob; `None` for an object of another program.
pub(super) fn device_and_blob(content: &Path) -> Option<(DeviceId, &str)> {
    let (key, blob) = content.filename()?.split_once(BLOB_SEPARATOR)?;
    Some((decode_device(key)?, blob))
}

/// Whether a key has the form of a record key.
pub(super) fn is_record(key: &str) -> bool {
    let name = key
        .strip_prefix(INDEX)
        .and_then(|key| key.strip_prefix('/'));
    name.is_some_and(|name| decode_device(name).is_some())
}

/// Whether all records come before a key.
pub(super) fn is_after_all_records(key: &str) -> bool {
    key > "index/~~"
}

/// Whether a key has the form of any key of this program.
pub(super) fn is_ours(key: &str) -> bool {
    match key.split_once('/') {
        Some((CONTENT, name)) => name
            .split_once(BLOB_SEPARATOR)
            .is_some_and(|(name, blob)| decode_device(name).is_some() && is_timed_name(blob)),
        _ => is_probe(key) || is_record(key),
    }
}

/// Whether a key has the form of a probe key.
pub(super) fn is_probe(key: &str) -> bool {
    matches!(key.split_once('/'), Some((PROBE, name)) if is_timed_name(name))
}

/// Whether a text has the form of [`crate::random::timed_name`].
fn is_timed_name(name: &str) -> bool {
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

/// The device of a key. `None` unless the key is exactly the key of that device.
fn decode_device(key: &str) -> Option<DeviceId> {
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
    fn plain_ids_stay_readable_and_no_id_becomes_a_path() {
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
            assert_eq!(decode_device(key).unwrap().as_str(), id);
        }
        let longest = DeviceId::new(&"\u{10ffff}".repeat(128)).unwrap();
        let blob = "0".repeat(32);
        assert!(content(&longest, &blob).as_ref().len() + PREFIX_BYTES_MAX < 1024);
        let path = index(&DeviceId::new("../x").unwrap());
        assert_eq!(path.as_ref(), "index/-2e-2e-2fx");
    }

    #[test]
    fn a_text_that_is_not_a_key_has_no_device() {
        for key in [
            "", "-2", "-zz", "~0000", "~zzzzz", "-61", "~0001q", "a b", "-20a", "é",
        ] {
            assert_eq!(decode_device(key), None, "{key}");
        }
        let device = DeviceId::new("a!b").unwrap();
        let path = content(&device, "x");
        assert_eq!(device_and_blob(&path), Some((device, "x")));
    }

    #[test]
    fn keys_of_this_program_differ_from_keys_of_other_programs() {
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
        fn keys_decode_to_their_ids_and_keep_the_order_of_ids(a in "\\PC{1,9}", b in "\\PC{1,9}") {
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
