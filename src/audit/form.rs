//! What was done to a file that is no chain any more: it tells where nobody would look among lines.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use actors::audit::Verified;

use crate::output::clean;

/// A record takes one or two thousand bytes: the end of the first line is in it.
const LOOKED_AT_BYTES: u64 = 64 * 1024;

/// What files of compressing programs begin with, and what undoes them.
const COMPRESSED: [(&[u8], &str); 4] = [
    (b"\x1f\x8b", "gzip -dc"),
    (b"\x28\xb5\x2f\xfd", "zstd -dc"),
    (b"\xfd7zXZ", "xz -dc"),
    (b"BZh", "bzip2 -dc"),
];

/// Of files whose chain is not whole.
pub(super) fn notes(verified: &Verified) -> Vec<String> {
    let report = &verified.report;
    match report.is_whole() && !report.is_empty() {
        true => Vec::new(),
        false => verified
            .files
            .iter()
            .filter_map(|path| note(path))
            .collect(),
    }
}

/// Nothing of what came by standard input: it is gone.
fn note(path: &Path) -> Option<String> {
    let shown = clean(&path.display().to_string());
    let mut begin = Vec::new();
    let file = File::open(path).ok()?;
    file.take(LOOKED_AT_BYTES).read_to_end(&mut begin).ok()?;
    let mut compressed = COMPRESSED.iter();
    if let Some((_, undo)) = compressed.find(|(magic, _)| begin.starts_with(magic)) {
        return Some(format!(
            "{shown} is compressed: {undo} {shown} | … audit verify -"
        ));
    }
    let first = begin.split_inclusive(|byte| *byte == b'\n').next()?;
    first.ends_with(b"\r\n").then(|| {
        format!(
            "{shown} has lines that end in CR LF, and an agent ends them in LF alone: they were converted on their way; \
             give the original, or take each CR away"
        )
    })
}
