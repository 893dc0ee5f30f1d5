//! Identity headers: their names, and what is removed and set on the way to the upstream.
//!
//! No request reaches an upstream with an identity header that we did not set. Back ends fold
//! `_` and `-`, upper and lower case, so a name is ours when it is equal after folding both.

use std::sync::Arc;

use crate::limits::HEADER_NAME_MAX_BYTES;

/// A valid field name (RFC 9110, section 5.1), as the operator wrote it.
#[derive(Clone, Debug)]
pub struct HeaderName {
    written: Arc<str>,
    folded: Arc<str>,
}

/// Why a text is no name for a header of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderNameError {
    /// RFC 9110, section 5.6.2.
    #[error("a header name cannot be empty (RFC 9110, 5.1)")]
    Empty,
    /// The bound of [`HEADER_NAME_MAX_BYTES`].
    #[error("a header name is limited to {HEADER_NAME_MAX_BYTES} bytes")]
    TooLong,
    /// RFC 9110, section 5.6.2.
    #[error("header names are made of letters, digits and !#$%&'*+-.^_`|~ (RFC 9110, 5.6.2)")]
    NotAToken,
}

impl HeaderName {
    /// Reads a name, keeping its spelling.
    ///
    /// # Errors
    /// When the text is empty, too long, or not a token.
    pub fn parse(text: &str) -> Result<Self, HeaderNameError> {
        if text.is_empty() {
            return Err(HeaderNameError::Empty);
        }
        if text.len() > HEADER_NAME_MAX_BYTES {
            return Err(HeaderNameError::TooLong);
        }
        if !text.bytes().all(is_token_byte) {
            return Err(HeaderNameError::NotAToken);
        }
        Ok(Self {
            written: Arc::from(text),
            folded: Arc::from(text.to_ascii_lowercase().replace('_', "-")),
        })
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// Whether a back end could take `other` for this header.
    #[must_use]
    pub fn is_spelled(&self, other: &str) -> bool {
        other.len() == self.folded.len()
            && other
                .bytes()
                .map(fold)
                .eq(self.folded.as_bytes().iter().copied())
    }
}

/// What RFC 9440 appends to the credential header's name for the rest of its chain.
const CHAIN_SUFFIX: &str = "-chain";

impl HeaderName {
    /// Whether `other` could be taken for the chain header beside this credential header.
    fn is_chain_spelled(&self, other: &str) -> bool {
        let cut = other.len().checked_sub(CHAIN_SUFFIX.len());
        let parts = cut.and_then(|cut| other.split_at_checked(cut));
        parts.is_some_and(|(name, suffix)| {
            self.is_spelled(name) && suffix.bytes().map(fold).eq(CHAIN_SUFFIX.bytes())
        })
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Eq for HeaderName {}

const fn fold(byte: u8) -> u8 {
    if byte == b'_' {
        b'-'
    } else {
        byte.to_ascii_lowercase()
    }
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Names that decide about routing, framing or the hop itself: an identity header must not touch them.
const RESERVED: [&str; 14] = [
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "upgrade",
    "expect",
    "content-type",
    "content-encoding",
];

/// Which of ours a name is for; the words are the configuration keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The whole SPIFFE ID.
    SpiffeId,
    /// Its trust domain.
    TrustDomain,
    /// Its path, with the leading slash.
    WorkloadId,
    /// How the caller was authenticated.
    AuthMethod,
    /// When, in decimal Unix seconds.
    AuthTimestamp,
    /// What the verdict rests on; only when named.
    TrustBasis,
}

impl Slot {
    /// Every slot, in the order in which the headers are set.
    pub const ALL: [Self; 6] = [
        Self::SpiffeId,
        Self::TrustDomain,
        Self::WorkloadId,
        Self::AuthMethod,
        Self::AuthTimestamp,
        Self::TrustBasis,
    ];

    /// The configuration key.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SpiffeId => "spiffe-id",
            Self::TrustDomain => "trust-domain",
            Self::WorkloadId => "workload-id",
            Self::AuthMethod => "auth-method",
            Self::AuthTimestamp => "auth-timestamp",
            Self::TrustBasis => "trust-basis",
        }
    }

    /// The documented name of the header, where there is one by default.
    #[must_use]
    pub const fn default_name(self) -> Option<&'static str> {
        match self {
            Self::SpiffeId => Some("X-SPIFFE-Id"),
            Self::TrustDomain => Some("X-SPIFFE-Trust-Domain"),
            Self::WorkloadId => Some("X-SPIFFE-Workload-Id"),
            Self::AuthMethod => Some("X-Auth-Method"),
            Self::AuthTimestamp => Some("X-Auth-Timestamp"),
            Self::TrustBasis => None,
        }
    }
}

/// The names in force: no two alike, none that belongs to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeaders {
    names: [Option<HeaderName>; 6],
}

/// Why a set of names is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityHeadersError {
    /// The name itself is wrong.
    #[error("{}: {error}", slot.as_str())]
    Name {
        /// Which key.
        slot: Slot,
        /// What is wrong with it.
        #[source]
        error: HeaderNameError,
    },
    /// Host, framing and hop-by-hop headers are not ours to set.
    #[error("{}: this name is reserved for routing, framing or the hop itself (RFC 9110, 7.6.1)", slot.as_str())]
    Reserved {
        /// Which key.
        slot: Slot,
    },
    /// The credential header must not be overwritten by its own result.
    #[error("{}: this is the header that carries the credential (tls.client-cert-header)", slot.as_str())]
    CredentialHeader {
        /// Which key.
        slot: Slot,
    },
    /// A back end would take the two for one.
    #[error("{} and {}: these names are the same header to a back end that folds case and `_`", first.as_str(), second.as_str())]
    Collision {
        /// One key.
        first: Slot,
        /// The other.
        second: Slot,
    },
}

impl IdentityHeadersError {
    /// The key to point at.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        match self {
            Self::Name { slot, .. } | Self::Reserved { slot } | Self::CredentialHeader { slot } => {
                *slot
            }
            Self::Collision { second, .. } => *second,
        }
    }
}

impl IdentityHeaders {
    /// Checks a set of names; `name_of` says what the operator wrote for a slot, if anything.
    ///
    /// # Errors
    /// When a name is no field name, reserved, the credential's, or equal to another.
    pub fn new<'a>(
        name_of: impl Fn(Slot) -> Option<&'a str>,
        credential: &HeaderName,
    ) -> Result<Self, IdentityHeadersError> {
        let mut names: [Option<HeaderName>; 6] = Default::default();
        for (slot, place) in Slot::ALL.into_iter().zip(&mut names) {
            let Some(text) = name_of(slot).or(slot.default_name()) else {
                continue;
            };
            let name = HeaderName::parse(text)
                .map_err(|error| IdentityHeadersError::Name { slot, error })?;
            if RESERVED.iter().any(|reserved| name.is_spelled(reserved)) {
                return Err(IdentityHeadersError::Reserved { slot });
            }
            if credential.is_spelled(name.as_str()) || credential.is_chain_spelled(name.as_str()) {
                return Err(IdentityHeadersError::CredentialHeader { slot });
            }
            *place = Some(name);
        }
        let names = Self { names };
        names.without_collision()
    }

    fn without_collision(self) -> Result<Self, IdentityHeadersError> {
        let named: Vec<_> = self.iter().collect();
        for (at, (first, name)) in named.iter().enumerate() {
            for (second, other) in named.iter().skip(at + 1) {
                if name.is_spelled(other.as_str()) {
                    return Err(IdentityHeadersError::Collision {
                        first: *first,
                        second: *second,
                    });
                }
            }
        }
        Ok(self)
    }

    /// The names in force with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &HeaderName)> {
        Slot::ALL
            .into_iter()
            .zip(&self.names)
            .filter_map(|(slot, name)| name.as_ref().map(|name| (slot, name)))
    }

    /// Whether a request header of this name must not reach the upstream as it came.
    #[must_use]
    pub fn claims(&self, name: &str) -> bool {
        self.iter().any(|(_, ours)| ours.is_spelled(name))
    }

    /// The name for one slot.
    #[must_use]
    pub fn name(&self, wanted: Slot) -> Option<&HeaderName> {
        self.iter()
            .find(|(slot, _)| *slot == wanted)
            .map(|(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn credential() -> HeaderName {
        HeaderName::parse("X-Forwarded-Client-Cert").unwrap()
    }

    fn with(slot: Slot, name: &'static str) -> Result<IdentityHeaders, IdentityHeadersError> {
        IdentityHeaders::new(|s| (s == slot).then_some(name), &credential())
    }

    #[test]
    fn the_documented_names_stand() {
        let names = IdentityHeaders::new(|_| None, &credential()).unwrap();
        assert_eq!(names.iter().count(), 5);
        for spelling in ["x-spiffe-id", "X_SPIFFE_ID", "x-Spiffe_id", "x_auth-method"] {
            assert!(names.claims(spelling), "{spelling}");
        }
        for other in ["x-spiffe-ids", "xspiffe-id", "x-spiffe.id", ""] {
            assert!(!names.claims(other), "{other}");
        }
    }

    #[test]
    fn names_of_others_are_refused() {
        use IdentityHeadersError as E;
        let slot = Slot::WorkloadId;
        assert_eq!(with(slot, "Host"), Err(E::Reserved { slot }));
        assert_eq!(with(slot, "transfer_encoding"), Err(E::Reserved { slot }));
        assert_eq!(
            with(slot, "x-forwarded_client-cert"),
            Err(E::CredentialHeader { slot })
        );
        assert_eq!(
            with(slot, "X_Forwarded-Client-Cert-Chain"),
            Err(E::CredentialHeader { slot })
        );
        assert_eq!(
            with(slot, "x_spiffe_id"),
            Err(E::Collision {
                first: Slot::SpiffeId,
                second: slot
            })
        );
        assert_eq!(
            with(slot, ""),
            Err(E::Name {
                slot,
                error: HeaderNameError::Empty
            })
        );
        assert_eq!(
            with(slot, "a b"),
            Err(E::Name {
                slot,
                error: HeaderNameError::NotAToken
            })
        );
    }

    #[test]
    fn a_basis_header_exists_only_when_named() {
        let names = with(Slot::TrustBasis, "X-Trust-Basis").unwrap();
        assert!(names.claims("x_trust_basis"));
        assert!(names.name(Slot::TrustBasis).is_some());
    }
}
