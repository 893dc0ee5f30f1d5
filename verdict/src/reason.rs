//! The closed list of reasons: one label for the audit record, the metric, the span and the log.

mod advice;

pub use advice::SECOND_ELEMENT;

/// Why a request was, or would have been, denied. The order is the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Check 0: the event cannot be read (agent protocol, events).
    BadEvent,
    /// Check 0: no policy is in force for this connection.
    NotConfigured,
    /// Check 0: no capacity, or the answer would come after `decision-deadline-ms`.
    Overloaded,
    /// Check 0: an internal fault; never excused by a mode.
    Internal,
    /// Check 1: no credential was presented.
    NoCredential,
    /// Check 2: header, certificate or token does not parse, or exceeds a limit.
    Malformed,
    /// Check 3: the leaf carries no URI SAN (X.509-SVID, section 2).
    NoSpiffeId,
    /// Check 3: two URI SANs, or one that is not a SPIFFE ID (SPIFFE-ID, section 2).
    InvalidSpiffeId,
    /// Check 4: the leaf alone breaks a rule of X.509-SVID, sections 3 to 5.
    NotAnSvid,
    /// Checks 5 and 9: past `notAfter` (RFC 5280, section 4.1.2.5).
    Expired,
    /// Checks 5 and 9: before `notBefore` (RFC 5280, section 4.1.2.5).
    NotYetValid,
    /// Check 5: no audience of the token is ours (JWT-SVID, section 3.2).
    WrongAudience,
    /// Check 6: two credentials name different IDs.
    CredentialsDisagree,
    /// Check 7: the trust source is away and the mode refuses.
    TrustUnavailable,
    /// Check 8: no bundle for the ID's own trust domain.
    UnknownTrustDomain,
    /// Check 9: no valid path to that bundle (X.509-SVID, section 5.1).
    Untrusted,
    /// Check 10: a `denylist` entry matches.
    Denied,
    /// Check 10: no `allowlist` entry matches.
    NotAllowed,
}

/// What kind of answer a reason is; the default body names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The proxy sent something unreadable: 400.
    BadRequest,
    /// The caller is not authenticated: 401.
    Unauthenticated,
    /// The caller is known and not permitted: 403.
    Forbidden,
    /// We cannot judge now: 503.
    Unavailable,
    /// We failed: 500.
    Internal,
}

impl Class {
    /// The HTTP status of the class.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }

    /// The words a stranger may read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal error",
        }
    }
}

impl Reason {
    /// Every reason, in the order of the checks.
    pub const ALL: [Self; 18] = [
        Self::BadEvent,
        Self::NotConfigured,
        Self::Overloaded,
        Self::Internal,
        Self::NoCredential,
        Self::Malformed,
        Self::NoSpiffeId,
        Self::InvalidSpiffeId,
        Self::NotAnSvid,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongAudience,
        Self::CredentialsDisagree,
        Self::TrustUnavailable,
        Self::UnknownTrustDomain,
        Self::Untrusted,
        Self::Denied,
        Self::NotAllowed,
    ];

    /// The stable label, the same everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadEvent => "BAD_EVENT",
            Self::NotConfigured => "NOT_CONFIGURED",
            Self::Overloaded => "OVERLOADED",
            Self::Internal => "INTERNAL",
            Self::NoCredential => "NO_CREDENTIAL",
            Self::Malformed => "MALFORMED",
            Self::NoSpiffeId => "NO_SPIFFE_ID",
            Self::InvalidSpiffeId => "INVALID_SPIFFE_ID",
            Self::NotAnSvid => "NOT_AN_SVID",
            Self::Expired => "EXPIRED",
            Self::NotYetValid => "NOT_YET_VALID",
            Self::WrongAudience => "WRONG_AUDIENCE",
            Self::CredentialsDisagree => "CREDENTIALS_DISAGREE",
            Self::TrustUnavailable => "TRUST_UNAVAILABLE",
            Self::UnknownTrustDomain => "UNKNOWN_TRUST_DOMAIN",
            Self::Untrusted => "UNTRUSTED",
            Self::Denied => "DENIED",
            Self::NotAllowed => "NOT_ALLOWED",
        }
    }

    /// The class, and with it the status unless the policy sets another (`unavailable-status`).
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::BadEvent => Class::BadRequest,
            Self::NotConfigured | Self::Overloaded | Self::TrustUnavailable => Class::Unavailable,
            Self::Internal => Class::Internal,
            Self::NoCredential
            | Self::Malformed
            | Self::NoSpiffeId
            | Self::InvalidSpiffeId
            | Self::NotAnSvid
            | Self::Expired
            | Self::NotYetValid
            | Self::WrongAudience
            | Self::CredentialsDisagree
            | Self::UnknownTrustDomain
            | Self::Untrusted => Class::Unauthenticated,
            Self::Denied | Self::NotAllowed => Class::Forbidden,
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
