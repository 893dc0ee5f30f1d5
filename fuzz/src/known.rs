//! The authority that the seeds were signed by. Its keys are gone: nobody can sign another.

use std::sync::LazyLock;

use verdict::anchors::AnchorSet;
use verdict::time::{Now, UnixSeconds};

/// 2026-01-01T00:00:00Z: when the seeds were signed and are judged.
pub const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

/// The same on both clocks.
pub const CLOCKS: Now = Now {
    wall_ms: NOW.0 * 1000,
    boot_ms: 1_000_000,
};

/// The bundle of `example.org`, as the Workload API delivers it.
pub const BUNDLE: &[u8] = include_bytes!("../known/example.org.der");

/// Every SVID that its authority has signed: SHA-256 of the leaf, white space, the ID.
const LEAVES: &str = include_str!("../known/leaves.txt");

pub static ANCHORS: LazyLock<AnchorSet> =
    LazyLock::new(|| AnchorSet::from_der(BUNDLE).expect("the bundle of the seeds is one"));

/// The ID that the authority vouched for in this leaf, if it ever did.
pub fn vouched_for(leaf_sha256: &[u8; 32]) -> Option<&'static str> {
    let hex: String = leaf_sha256
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    LEAVES
        .lines()
        .find_map(|line| line.strip_prefix(&hex))
        .map(str::trim)
}
