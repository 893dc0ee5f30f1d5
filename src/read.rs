//! Reading what somebody names: whole, and not more than is sensible.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};

/// A file's bytes, or standard input's for `-`.
pub(crate) fn bounded(path: &Path, max_bytes: usize) -> anyhow::Result<Vec<u8>> {
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin()
            .lock()
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes),
        false => std::fs::File::open(path)
            .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes)),
    };
    let read = read.with_context(|| format!("read {}", path.display()))?;
    if read > max_bytes {
        bail!("{} holds more than {max_bytes} bytes", path.display());
    }
    Ok(bytes)
}
