//! The disk of a directory, with a name known to the operator.

use std::fs;
use std::path::{Path, PathBuf};

/// The mount point and the device of a directory: `/srv (/dev/sdb1)`. The path of the directory when the system does not know.
pub(super) fn name_of(directory: &Path) -> String {
    let path = directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_owned());
    let found = fs::read_to_string("/proc/self/mountinfo")
        .ok()
        .and_then(|table| find(&table, &path));
    match found {
        Some((mounted_at, device)) => format!("{} ({device})", mounted_at.display()),
        None => format!("the disk of {}", path.display()),
    }
}

/// The mount point above a path, and the device. If two mounts have the same mount point, the later mount hides the earlier mount.
fn find(table: &str, path: &Path) -> Option<(PathBuf, String)> {
    let mounts = table.lines().filter_map(|line| {
        // ID, parent, device numbers, root, mount point, options …, a dash, type, device, options.
        let (left, right) = line.split_once(" - ")?;
        let mounted_at = PathBuf::from(unescaped(left.split(' ').nth(4)?));
        let device = unescaped(right.split(' ').nth(1)?);
        path.starts_with(&mounted_at)
            .then_some((mounted_at, device))
    });
    mounts.max_by_key(|(mounted_at, _)| mounted_at.components().count())
}

/// Blanks and some other characters are written as a backslash and three octal digits.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                out.push_str(part.get(3..).unwrap_or_default());
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_above_a_directory_is_named() {
        let table = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:25 / /srv/my\\040data rw - tmpfs none rw,size=64k
31 22 8:17 / /srv rw shared:3 master:1 - xfs /dev/sdb1 rw
32 22 8:33 / /srv rw - btrfs /dev/sdc1 rw";
        let named = |path: &str| {
            let (mounted_at, device) = find(table, Path::new(path)).unwrap();
            format!("{} {device}", mounted_at.display())
        };
        assert_eq!(named("/srv/my data/x"), "/srv/my data none");
        assert_eq!(named("/srv/station"), "/srv /dev/sdc1");
        assert_eq!(named("/srvx"), "/ /dev/vda");
    }
}
