//! What can be wrong, each with what to do where something can be done.

use serde::{Deserialize, Serialize};

/// How the agent's socket is lost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LostView {
    /// Whether another process listens at its path.
    pub taken: bool,
    /// What is there instead, behind "the agent's socket is".
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}

/// Fewer file descriptors than may be needed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DescriptorsView {
    /// As many as there are.
    pub limit: u64,
    /// As many as `limits.connections` may take, and what else is open.
    pub needed: u64,
    /// What to do about it.
    pub remedy: String,
}

/// A door that has no place left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FullDoor {
    /// Which: `sentinel` or `grpc`.
    pub door: String,
    /// How many connections it has places for.
    pub places: usize,
    /// What it means.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}

/// A bundle that cannot be read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnreadableView {
    /// The key it came under.
    pub key: String,
    /// Whether the one before is kept, for `cache-ttl`.
    pub kept: bool,
    /// What is wrong with it.
    #[serde(flatten)]
    pub fault: FaultView,
}

/// What of SPIRE's updates cannot be used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaultView {
    /// Why not.
    pub error: String,
    /// For how long.
    pub for_ms: u64,
}

/// A trust domain of which nobody can be verified now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BarrenView {
    /// Its name.
    pub trust_domain: String,
    /// Why no authority of its bundle is usable.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}

/// Bundles of other trust domains than a policy names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForeignView {
    /// What is named, and what is delivered.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}

/// Trust domains whose callers meet `UNKNOWN_TRUST_DOMAIN`, though a policy names them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MissingView {
    /// The first few.
    pub trust_domains: Vec<String>,
    /// How many there are.
    pub total: usize,
    /// What is named, and not delivered.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}

/// What SPIRE said before it went: that it is back will not do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefusedView {
    /// That it was so.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
}

/// A push that was refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RefusedPushView {
    /// What the proxy calls itself: a peer's text.
    pub proxy: String,
    /// What is wrong with it.
    pub reason: String,
    /// How long ago, milliseconds.
    pub ago_ms: u64,
    /// How many pushes were refused since the start.
    pub total: u64,
}
