//! What a reason means, and what to do about it: the words of the documentation's table.

use super::Reason;

impl Reason {
    /// What happened, for a person.
    #[must_use]
    pub const fn means(self) -> &'static str {
        match self {
            Self::BadEvent => "the proxy sent something unreadable",
            Self::NotConfigured => "no policy is in force on this connection",
            Self::Overloaded => {
                "no capacity, or no answer within decision-deadline-ms; with on-full, no record"
            }
            Self::Internal => "a fault of ours, contained to this request",
            Self::NoCredential => "no certificate came",
            Self::Malformed => "the header does not parse, or is too large",
            Self::NoSpiffeId => "the certificate has no URI name",
            Self::InvalidSpiffeId => "two URI names, or one that is no SPIFFE ID",
            Self::NotAnSvid => "the leaf breaks an SVID rule: a CA, wrong key usage, a weak key",
            Self::Expired => "past its end, the leaf or an authority above it",
            Self::NotYetValid => "before its beginning",
            Self::WrongAudience => "a token for somebody else",
            Self::CredentialsDisagree => "two credentials, two IDs",
            Self::TrustUnavailable => "SPIRE is away and the mode refuses, or SPIRE refuses us",
            Self::UnknownTrustDomain => "there is no bundle for the caller's domain",
            Self::Untrusted => "no valid path to that domain's bundle",
            Self::Denied => "a denylist entry matches",
            Self::NotAllowed => "verified, and on no allowlist",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::BadEvent => "compare proxy and agent versions; the record's rule says what",
            Self::NotConfigured => "give the agent --config: most proxies push nothing",
            Self::Overloaded => {
                "rule says which. More processors or agents; look for a flood of unseen certificates, or a full disk"
            }
            Self::Internal => "report it, with the log around it",
            Self::NoCredential => {
                "does the hop ask for one, and forward it under client-cert-header?"
            }
            Self::Malformed => {
                "rule says where; is client-cert-format right? XFCC without Cert and Chain? the header twice?"
            }
            Self::NoSpiffeId => "it is no SVID: the client uses another certificate",
            Self::InvalidSpiffeId => "fix the issuer",
            Self::NotAnSvid => "rule names it; fix the issuer",
            Self::Expired => "is the client's SVID renewed? are the clocks right?",
            Self::NotYetValid => "clocks",
            Self::WrongAudience => "reserved for JWT-SVIDs, which this version does not read",
            Self::CredentialsDisagree => "reserved likewise",
            Self::TrustUnavailable => "see At 3 a.m.; the status is unavailable-status",
            Self::UnknownTrustDomain => {
                "federate in SPIRE, and -federatesWith on the agent's own entry"
            }
            Self::Untrusted => {
                "another SPIRE's SVID, a missing intermediate (forward the chain), or a forgery"
            }
            Self::Denied => "matched_rule names it",
            Self::NotAllowed => "add the ID if it should be",
        }
    }
}
