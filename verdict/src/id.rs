//! SPIFFE IDs and trust domains, parsed once from raw bytes.
//!
//! The bytes never pass through a URL library: those drop ports, decode `%`, resolve `..` or
//! lower-case, and then an invalid ID looks valid. What was parsed is kept as it came, so equality
//! is byte equality.

mod advice;
mod error;
mod grammar;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use error::{IdError, NoPath};
pub(crate) use grammar::{is_name_byte, is_segment_byte};

/// What every SPIFFE ID begins with (SPIFFE-ID 2).
pub const SCHEME: &str = "spiffe://";

/// Longest SPIFFE ID in bytes: SPIFFE-ID 2.3 obliges everyone to accept this many and nobody to make more.
pub const MAX_ID_BYTES: usize = 2048;

/// Longest trust domain name in bytes (SPIFFE-ID 2.3).
pub const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// A trust domain name, such as `example.org`; no meaning is read into it (`example.org.` is another one).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(Arc<str>);

impl TrustDomain {
    /// Parses a bare name as it stands in an ID (SPIFFE-ID 2.1, 2.3).
    ///
    /// # Errors
    /// The rule that `name` breaks.
    pub fn parse(name: &[u8]) -> Result<Self, IdError> {
        grammar::check_name(name)?;
        Ok(Self(text(name)))
    }

    /// Parses what an operator wrote: `example.org` or `spiffe://example.org`, nothing looser.
    ///
    /// # Errors
    /// The rule that `written` breaks; [`IdError::advice`] says what to write instead.
    pub fn from_config(written: &str) -> Result<Self, IdError> {
        match grammar::after_scheme(written.as_bytes()) {
            Ok(name) if name.contains(&b'/') => Err(IdError::PathInTrustDomain),
            Ok(name) => Self::parse(name),
            // As go-spiffe reads it: what contains `:/` is meant as an ID, anything else as a name.
            Err(error) if written.contains(":/") => Err(error),
            Err(_) if written.contains('/') => Err(IdError::PathInTrustDomain),
            Err(_) => Self::parse(written.as_bytes()),
        }
    }

    /// The bare name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in ID form, `spiffe://name`: the form of the Workload API's map keys.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{SCHEME}{}", self.0)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustDomain({})", self.0)
    }
}

/// `str` hashes, compares and orders as the name does, so maps can be asked without building a name.
impl Borrow<str> for TrustDomain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A valid SPIFFE ID, with or without a path.
#[derive(Clone)]
pub struct SpiffeId {
    text: Arc<str>,
    trust_domain: TrustDomain,
}

impl SpiffeId {
    /// Parses the raw bytes of a SAN URI, a `sub` claim or a configuration value (SPIFFE-ID 2).
    ///
    /// # Errors
    /// The first rule that `raw` breaks.
    pub fn parse(raw: &[u8]) -> Result<Self, IdError> {
        if raw.is_empty() {
            return Err(IdError::Empty);
        }
        if raw.len() > MAX_ID_BYTES {
            return Err(IdError::TooLong { bytes: raw.len() });
        }
        let (name, path) = grammar::name_and_path(grammar::after_scheme(raw)?);
        let trust_domain = TrustDomain::parse(name)?;
        grammar::check_path(path)?;
        Ok(Self {
            text: text(raw),
            trust_domain,
        })
    }

    /// The trust domain; membership is equality of this, never a string prefix.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path: empty, or beginning with `/` as in `/a/b`.
    #[must_use]
    pub fn path(&self) -> &str {
        let path_at = SCHEME.len() + self.trust_domain.0.len();
        // `text` is scheme, name, path, all ASCII: the offset is in range and on a character border.
        self.text.get(path_at..).unwrap_or_default()
    }

    /// The whole ID as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for SpiffeId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for SpiffeId {}

impl PartialOrd for SpiffeId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SpiffeId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for SpiffeId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for SpiffeId {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({})", self.text)
    }
}

/// The SPIFFE ID of a workload: one with a path (X509-SVID 5.2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkloadId(SpiffeId);

impl WorkloadId {
    /// The trust domain the workload belongs to.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        self.0.trust_domain()
    }

    /// The path, never empty, with its leading `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The whole ID as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same ID, no longer known to have a path.
    #[must_use]
    pub fn as_spiffe_id(&self) -> &SpiffeId {
        &self.0
    }
}

impl TryFrom<SpiffeId> for WorkloadId {
    type Error = NoPath;

    fn try_from(id: SpiffeId) -> Result<Self, NoPath> {
        if id.path().is_empty() {
            Err(NoPath { id })
        } else {
            Ok(Self(id))
        }
    }
}

impl From<WorkloadId> for SpiffeId {
    fn from(id: WorkloadId) -> Self {
        id.0
    }
}

impl Borrow<str> for WorkloadId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The text of bytes that the grammar has accepted: they are ASCII, so nothing is lost or replaced.
fn text(accepted: &[u8]) -> Arc<str> {
    Arc::from(String::from_utf8_lossy(accepted))
}
