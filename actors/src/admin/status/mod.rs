//! `/status`: everything an operator asks at three in the morning, as data.
//!
//! The shape is part of the interface: a field is added, never renamed. Times are RFC 3339 in UTC,
//! ages and spans milliseconds, validity Unix seconds. Texts that a peer sent are cut, not escaped:
//! whoever shows them takes them for text. Never a key, a token or a certificate.

mod configuration;
mod latest;
mod observed;
mod policies;
mod trust;
mod wrong;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::wrong::{
    BarrenView, DescriptorsView, FaultView, ForeignView, FullDoor, LostView, MissingView,
    RefusedPushView, RefusedView, UnreadableView,
};

pub(super) use self::latest::Latest;

/// The shape's version; it grows when a field changes its meaning.
pub const SCHEMA: u32 = 1;

/// The whole answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it was so.
    pub time: String,
    /// The process.
    pub process: Process,
    /// How it is.
    pub health: HealthView,
    /// What requests meet now, under each policy in force, and until when; absent from an agent that does
    /// not tell.
    #[serde(default)]
    pub requests: Option<String>,
    /// The trust source.
    pub trust: TrustView,
    /// How decisions are recorded; absent from an agent that does not tell.
    #[serde(default)]
    pub audit: Option<AuditView>,
    /// The state directory; absent without one.
    #[serde(default)]
    pub state_dir: Option<StateDirView>,
    /// What of the `OTEL_*` variables cannot be followed.
    #[serde(default)]
    pub telemetry: Vec<String>,
    /// What is exported and does not reach its collector now: where to, why, since when, what to do.
    #[serde(default)]
    pub undelivered: Vec<String>,
    /// What was decided.
    pub decisions: Decisions,
    /// Proxies that introduced themselves, the latest first: at most 32 kinds.
    #[serde(default)]
    pub proxies: Vec<ProxyView>,
    /// Doors of which every place is taken, so that whoever connects now waits unheard.
    #[serde(default)]
    pub full_doors: Vec<FullDoor>,
    /// The last decisions that found a fault, newest first.
    pub denials: Vec<Denial>,
    /// Policies in force.
    pub policies: Policies,
    /// The process's own settings in force.
    pub configuration: Vec<Setting>,
    /// The supervision tree, each place before those below it.
    pub tree: Vec<Place>,
}

/// The process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Our version.
    pub version: String,
    /// `release` or `debug`.
    pub build: String,
    /// For which processor and system.
    pub target: String,
    /// Process id.
    pub pid: u32,
    /// Since when.
    pub started: String,
    /// For how long.
    pub uptime_ms: u64,
    /// Where proxies connect; absent from an agent that does not tell.
    #[serde(default)]
    pub socket: Option<String>,
    /// The configuration file; absent without one.
    #[serde(default)]
    pub config: Option<String>,
    /// SPIRE's socket.
    #[serde(default)]
    pub spire_socket: Option<String>,
    /// Whether the agent's socket is not at its path: who is connected is served, nobody else.
    #[serde(default)]
    pub socket_gone: bool,
    /// How it is lost; absent while it is not.
    #[serde(default)]
    pub socket_lost: Option<LostView>,
    /// That the system gives fewer file descriptors than may be needed; absent while it does not.
    #[serde(default)]
    pub descriptors: Option<DescriptorsView>,
}

/// The state directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateDirView {
    /// Where it is.
    pub path: String,
    /// Failed writes in a row; 0 while the disk is as it should be.
    pub failures: u32,
    /// For how long writes have failed; absent while they do not.
    pub for_ms: Option<u64>,
    /// All of that in one line; absent while nothing is missing.
    pub complaint: Option<String>,
    /// What is missing on the disk, and why; absent while nothing is.
    #[serde(default)]
    pub error: Option<String>,
    /// What to do about that.
    #[serde(default)]
    pub remedy: Option<String>,
    /// Whether it is that SPIRE refuses the agent: a restart might forget it.
    pub refusal_missing: bool,
}

/// How the agent is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HealthView {
    /// `healthy`, `degraded`, `unhealthy` or `draining`.
    pub state: String,
    /// `/livez`.
    pub live: bool,
    /// `/readyz`.
    pub ready: bool,
    /// Why it is ready or not.
    pub readiness: String,
}

/// How decisions are recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditView {
    /// `audit.on-full`.
    pub on_full: String,
    /// Whether requests are refused because their records cannot be kept.
    pub refuses: bool,
    /// For how long a write is stuck; absent while none is.
    pub stuck_ms: Option<u64>,
    /// Which sink it is stuck in.
    #[serde(default)]
    pub stuck_sink: Option<String>,
    /// What to do about that.
    #[serde(default)]
    pub stuck_remedy: Option<String>,
    /// Files that another agent writes to, too: their chains look like tampering.
    #[serde(default)]
    pub shared: Vec<String>,
    /// Sinks that failed when they were last tried.
    pub failing: Vec<FailingSink>,
    /// All of that in one line; absent while all is well.
    pub complaint: Option<String>,
}

/// A sink that cannot be written to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailingSink {
    /// A path, or its kind.
    pub sink: String,
    /// Why not.
    pub error: String,
    /// What to do about it.
    pub remedy: String,
    /// For how long.
    pub for_ms: u64,
}

/// The trust source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrustView {
    /// `Starting`, `Live`, `Interrupted`, `Outage` or `Withdrawn`.
    pub state: String,
    /// For how long it has been so.
    pub for_ms: u64,
    /// `ours` while SPIRE says that we call it wrongly, `none` while it is `Live`, else `theirs`.
    pub fault: String,
    /// Why SPIRE is away, in words; absent while it is not.
    #[serde(default)]
    pub error: Option<String>,
    /// What to do about that.
    #[serde(default)]
    pub remedy: Option<String>,
    /// How long ago SPIRE last confirmed the bundles; absent without bundles, or if the clock was set
    /// back.
    pub age_ms: Option<u64>,
    /// Changes of state, oldest first; the first is the start if none was forgotten.
    pub timeline: Vec<Change>,
    /// Trust domains, in order.
    pub domains: Vec<Domain>,
    /// How many there are.
    pub domains_total: usize,
    /// Trust domains of which nobody can be verified now, though there is a bundle: the first few.
    #[serde(default)]
    pub barren: Vec<BarrenView>,
    /// How many there are.
    #[serde(default)]
    pub barren_total: usize,
    /// Why nobody whom a policy allows can be verified, though there are bundles; absent while somebody can.
    #[serde(default)]
    pub foreign: Option<ForeignView>,
    /// Trust domains that an allowlist in force names, while SPIRE delivers bundles of others; absent
    /// while it delivers all, or none (then `foreign` says so).
    #[serde(default)]
    pub missing: Option<MissingView>,
    /// That SPIRE refused this agent before `error` got in the way; absent while it did not.
    #[serde(default)]
    pub refused: Option<RefusedView>,
    /// Bundles of the latest update that cannot be read: the first few.
    #[serde(default)]
    pub unreadable: Vec<UnreadableView>,
    /// How many there are.
    #[serde(default)]
    pub unreadable_total: usize,
    /// Why the latest updates were discarded whole; absent since one was taken.
    #[serde(default)]
    pub discarded: Option<FaultView>,
}

/// One change of the trust source's state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub time: String,
    /// How long ago.
    pub ago_ms: u64,
    /// Before; absent at the start.
    pub from: Option<String>,
    /// After.
    pub to: String,
    /// What brought it about: `start`, `full_update`, `time`, or a kind of loss.
    pub cause: String,
}

/// One trust domain's bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Domain {
    /// Its name.
    pub trust_domain: String,
    /// Which bundle of this process.
    pub generation: u64,
    /// `confirmed`, or `kept` where the latest update held one that cannot be read.
    pub standing: String,
    /// How long ago it was confirmed.
    pub age_ms: Option<u64>,
    /// Its authorities, the first to expire first.
    pub authorities: Vec<Authority>,
    /// How many there are.
    pub authorities_total: usize,
}

/// One authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authority {
    /// Its name.
    pub subject: String,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
    /// Why it verifies nothing now; absent if it does.
    pub unusable: Option<String>,
}

/// What was decided since the start, by answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decisions {
    /// Allowed: `verified`, `anonymous`, `unverified-…`.
    pub allowed: BTreeMap<String, u64>,
    /// Denied, by reason.
    pub denied: BTreeMap<String, u64>,
    /// How many intervals of one second `per_second` has, the last ending now.
    pub seconds: usize,
    /// The last minutes, oldest second first, for what happened in them.
    pub per_second: BTreeMap<String, Vec<u64>>,
    /// Answered from the memory of verified identities.
    pub memory_hits: u64,
    /// Judged anew.
    pub memory_misses: u64,
    /// Audit records lost.
    pub audit_dropped: u64,
    /// Connections closed because the peer is no trusted proxy.
    pub untrusted_proxy: u64,
}

/// Proxies of one name and version, as they introduce themselves: it proves nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProxyView {
    /// What it calls itself, `unsaid` if it does not.
    pub name: String,
    /// The version that it says, likewise; of a proxy that speaks version 1 of the protocol, which has no
    /// word for it, that it is not told.
    pub version: String,
    /// Connections that are open.
    pub open: u64,
    /// Connections seen.
    pub connections: u64,
    /// How long ago the last one introduced itself.
    pub last_ms: u64,
}

/// A decision that found a fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Denial {
    /// When.
    pub time: String,
    /// `deny`, or `allow` where it passed all the same.
    pub verdict: String,
    /// The status of a denial.
    pub status: Option<u16>,
    /// The label.
    pub reason: String,
    /// The rule that was broken.
    pub rule: String,
    /// What to do.
    pub advice: String,
    /// The ID in the certificate, which proves nothing.
    pub spiffe_id: Option<String>,
    /// The list and its entry that decided.
    pub matched_rule: Option<String>,
    /// The leaf's fingerprint.
    pub leaf_sha256: Option<String>,
    /// The proxy's id of the request, which the deny body names.
    pub request_id: Option<String>,
    /// The id the answer was routed by.
    pub correlation_id: String,
    /// The client's address, as the proxy has it.
    pub client_ip: Option<String>,
    /// The proxy that asked.
    pub proxy: String,
    /// The door it came through.
    pub door: String,
}

/// Policies in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Policies {
    /// How many there are.
    pub total: usize,
    /// The first few.
    pub shown: Vec<Policy>,
    /// The push that was refused last, while its proxy has brought none that is in order.
    #[serde(default)]
    pub refused_push: Option<RefusedPushView>,
}

/// One policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// `file` or `push`.
    pub source: String,
    /// Which policy it is, as in records; absent from an agent that does not tell.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// `spire-unavailable`.
    pub mode: String,
    /// `validation-failure`.
    pub validation_failure: String,
    /// `enforce`.
    pub enforce: bool,
    /// `require-mtls`.
    pub require_mtls: bool,
    /// `client-cert-header`.
    pub client_cert_header: String,
    /// `client-cert-format`.
    pub client_cert_format: String,
    /// `cache-ttl`, seconds.
    pub cache_ttl_s: u64,
    /// `unavailable-status`.
    pub unavailable_status: u16,
    /// `reveal-reason`.
    pub reveal_reason: bool,
    /// Who may.
    pub allowlist: List,
    /// Who may not.
    pub denylist: List,
}

/// One list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct List {
    /// `any`.
    pub any: bool,
    /// How many entries there are.
    pub total: usize,
    /// The first few, as `exact spiffe://…`.
    pub shown: Vec<String>,
}

/// A setting in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setting {
    /// Where it stands in a file, as `agent.socket`.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Who said so: a flag, a variable, `file`, `push` or `default`.
    pub source: String,
}

/// A place of the supervision tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The names from the root down, joined by `/`.
    pub path: String,
    /// `supervisor`, `permanent` or `temporary`.
    pub role: String,
    /// `starting`, `running`, `restarting`, `given_up` or `stopped`.
    pub state: String,
    /// Actors alive there.
    pub alive: usize,
    /// Restarts since the start.
    pub restarts: u64,
    /// Failures since the start.
    pub failures: u64,
    /// The latest failure.
    pub last_failure: Option<Failure>,
}

/// A failure of an actor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Milliseconds since the tree was started.
    pub at_ms: u64,
    /// What happened.
    pub cause: String,
}
