//! Policy: what holds for one connection. Plain values, compiled once, shared when equal.

use std::sync::Arc;

use crate::headers::{HeaderName, IdentityHeaders};
use crate::lists::List;

/// What the agent does while a trust source is away (`failure.spire-unavailable`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Refuse everybody once the source is in `Outage`.
    #[default]
    FailClosed,
    /// Let everybody pass, verified where material allows it.
    FailOpen,
    /// Verify against the last material within `cache-ttl`.
    Cache,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::FailClosed, Self::FailOpen, Self::Cache];

    /// The configuration value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailClosed => "fail_closed",
            Self::FailOpen => "fail_open",
            Self::Cache => "cache",
        }
    }
}

/// What a failed validation leads to (`failure.validation-failure`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ValidationFailure {
    /// 401.
    #[default]
    Reject,
    /// Allow without identity, and record why it would have been denied.
    LogAndAllow,
}

impl ValidationFailure {
    /// The configuration value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::LogAndAllow => "log_and_allow",
        }
    }
}

/// An HTTP status fit for a denial: 400 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DenyStatus(u16);

impl DenyStatus {
    /// `None` outside 400 to 599: a success or a redirect would be an allow to the proxy.
    #[must_use]
    pub const fn new(status: u16) -> Option<Self> {
        if status >= 400 && status <= 599 {
            Some(Self(status))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for DenyStatus {
    fn default() -> Self {
        Self(503)
    }
}

/// How the certificate header is encoded (`tls.client-cert-format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CertFormat {
    /// Told from the value, by the first grammar that fits whole.
    #[default]
    Auto,
    /// Envoy's `x-forwarded-client-cert`.
    Xfcc,
    /// Percent-encoded PEM (nginx, AWS).
    PemUrlencoded,
    /// PEM with its line ends turned to blanks (Apache).
    PemSpaces,
    /// Base64 of one DER certificate (`HAProxy`, Caddy).
    DerBase64,
    /// Base64 of concatenated DER certificates.
    DerBase64Concatenated,
    /// Base64 DER certificates joined by commas (Traefik).
    DerBase64List,
    /// `Client-Cert` (RFC 9440).
    Rfc9440,
}

impl CertFormat {
    /// Every format.
    pub const ALL: [Self; 8] = [
        Self::Auto,
        Self::Xfcc,
        Self::PemUrlencoded,
        Self::PemSpaces,
        Self::DerBase64,
        Self::DerBase64Concatenated,
        Self::DerBase64List,
        Self::Rfc9440,
    ];

    /// The configuration value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Xfcc => "xfcc",
            Self::PemUrlencoded => "pem-urlencoded",
            Self::PemSpaces => "pem-spaces",
            Self::DerBase64 => "der-base64",
            Self::DerBase64Concatenated => "der-base64-concatenated",
            Self::DerBase64List => "der-base64-list",
            Self::Rfc9440 => "rfc9440",
        }
    }
}

/// Which element of an XFCC value is the caller's (`tls.xfcc-element`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum XfccElement {
    /// The last, written by the nearest proxy.
    #[default]
    Last,
    /// There must be just one; right behind SANITIZE_SET.
    Only,
}

impl XfccElement {
    /// The configuration value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Only => "only",
        }
    }
}

/// The `tls` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Whether a request without a credential is denied.
    pub require_mtls: bool,
    /// The one header that is read.
    pub client_cert_header: HeaderName,
    /// Its encoding.
    pub client_cert_format: CertFormat,
    /// Which XFCC element counts.
    pub xfcc_element: XfccElement,
}

/// The `failure` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The outage mode.
    pub spire_unavailable: Mode,
    /// What a failed validation leads to.
    pub validation_failure: ValidationFailure,
    /// How long material counts after its contact, seconds.
    pub cache_ttl_s: u64,
    /// Status of `TRUST_UNAVAILABLE`.
    pub unavailable_status: DenyStatus,
    /// Whether the deny body names the reason.
    pub reveal_reason: bool,
    /// False during roll-out: decided and audited, not enforced.
    pub enforce: bool,
}

impl Default for Failure {
    fn default() -> Self {
        Self {
            spire_unavailable: Mode::default(),
            validation_failure: ValidationFailure::default(),
            cache_ttl_s: 3600,
            unavailable_status: DenyStatus::default(),
            reveal_reason: false,
            enforce: true,
        }
    }
}

impl Failure {
    /// `cache-ttl` in milliseconds.
    #[must_use]
    pub const fn cache_ttl_ms(&self) -> u64 {
        self.cache_ttl_s.saturating_mul(1000)
    }
}

/// The pushable part of the `audit` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Record allows.
    pub log_success: bool,
    /// Record denials.
    pub log_failure: bool,
    /// Add serial, issuer and validity of the leaf.
    pub include_cert_info: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            log_success: true,
            log_failure: true,
            include_cert_info: true,
        }
    }
}

/// What the operator said, its lists compiled: equal specifications share one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// `tls`.
    pub tls: Tls,
    /// `allowlist`.
    pub allowlist: Arc<List>,
    /// `denylist`.
    pub denylist: Arc<List>,
    /// `failure`.
    pub failure: Failure,
    /// `headers`.
    pub headers: IdentityHeaders,
    /// `audit`, the pushable part.
    pub audit: Audit,
}

/// A policy in force: what it says changes no more.
#[derive(Debug)]
pub struct Policy(PolicySpec);

impl Policy {
    /// Puts the specification in force.
    #[must_use]
    pub const fn new(spec: PolicySpec) -> Self {
        Self(spec)
    }

    /// What it was made from.
    #[must_use]
    pub const fn spec(&self) -> &PolicySpec {
        &self.0
    }

    /// The `failure` block.
    #[must_use]
    pub const fn failure(&self) -> &Failure {
        &self.0.failure
    }

    /// The `allowlist`.
    #[must_use]
    pub fn allow(&self) -> &List {
        &self.0.allowlist
    }

    /// The `denylist`.
    #[must_use]
    pub fn deny(&self) -> &List {
        &self.0.denylist
    }
}
