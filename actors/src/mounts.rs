//! Where a path lies: in a mount that shows a part of another file system, it may lead to what is gone.
//!
//! A bind mount, and with it a container's volume, keeps the directory that it was made of. One that is
//! deleted is told by the kernel; one that was replaced cannot be told from here.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The mounts of this process (proc(5)).
const MOUNTS: &str = "/proc/self/mountinfo";

/// What is read of them: about twenty thousand.
const MOUNTS_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// What the kernel writes behind a source that was deleted.
const DELETED: &[u8] = b"//deleted";

/// A mount of a part of a file system, as bind mounts and volumes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is.
    pub point: PathBuf,
    /// Whether what it shows was deleted.
    pub is_deleted: bool,
}

impl Mount {
    /// The mount that a path lies in, if it is one of these.
    #[must_use]
    pub fn around(path: &Path) -> Option<Self> {
        let mut list = Vec::new();
        let mounts = File::open(MOUNTS).ok()?;
        mounts.take(MOUNTS_MAX_BYTES).read_to_end(&mut list).ok()?;
        Self::of_list(&list, &resolved(path))
    }

    fn of_list(list: &[u8], path: &Path) -> Option<Self> {
        let mounts = list.split(|byte| *byte == b'\n').filter_map(entry);
        let around = mounts.filter(|(_, point)| path.starts_with(point));
        // Of several at one place the last lies on top.
        let (root, point) = around.max_by_key(|(_, point)| point.components().count())?;
        let is_whole = root == b"/" || point == Path::new("/");
        (!is_whole).then(|| Self {
            is_deleted: root.ends_with(DELETED),
            point,
        })
    }
}

/// The part that is shown, and where: the fourth and the fifth field.
fn entry(line: &[u8]) -> Option<(Vec<u8>, PathBuf)> {
    let mut fields = line.split(|byte| *byte == b' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let point = std::ffi::OsString::from_vec(unescaped(point));
    Some((unescaped(root), point.into()))
}

/// Blanks, line ends and backslashes stand as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(escaped.unwrap_or(*first));
        rest = match escaped {
            Some(_) => behind.get(3..).unwrap_or_default(),
            None => behind,
        };
    }
    plain
}

/// Without links, as far as there is something.
fn resolved(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|part| {
        let found = part.canonicalize().ok()?;
        Some(match path.strip_prefix(part) {
            Ok(rest) if !rest.as_os_str().is_empty() => found.join(rest),
            _ => found,
        })
    });
    there.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"22 1 0:20 / / rw - overlay overlay rw\n\
        23 22 0:21 / /run rw - tmpfs tmpfs rw\n\
        24 23 0:21 /spire/sockets /run/spire rw shared:1 - tmpfs tmpfs rw\n\
        25 23 0:21 /old//deleted /run/a\\040b rw - tmpfs tmpfs rw\n\
        26 22 0:20 /@home /home rw - btrfs disk rw\n\
        27 26 0:22 / /home rw - tmpfs over rw\n";

    #[test]
    fn a_path_lies_in_the_nearest_mount_and_only_a_part_can_go_stale() {
        let of = |path: &str| Mount::of_list(LIST, Path::new(path));
        let mount = |point: &str, is_deleted| {
            let point = point.into();
            Some(Mount { point, is_deleted })
        };
        for (path, found) in [
            ("/run/spire/agent.sock", mount("/run/spire", false)),
            ("/run/a b/agent.sock", mount("/run/a b", true)),
            ("/run/spired/agent.sock", None),
            ("/home/agent.sock", None),
            ("/agent.sock", None),
        ] {
            assert_eq!(of(path), found, "{path}");
        }
        assert_eq!(Mount::of_list(b"torn 1 0:20 /", Path::new("/")), None);
    }
}
