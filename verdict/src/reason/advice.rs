//! What a reason means, and what to do about it: the words of the documentation's table.

use super::Reason;
use crate::svid::{ANCHOR, LEAF};

/// What the rule of `xfcc-element "only"` says: other rules speak of elements, too.
pub const SECOND_ELEMENT: &str = "a second XFCC element begins";

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

    /// What to do about it, given the rule that was broken, in the words of a record: of a certificate
    /// that ended, whose it is decides who renews what.
    #[must_use]
    pub fn advice_on(self, rule: &str) -> &'static str {
        let place = |place: &str| rule.starts_with(place);
        match self {
            Self::Expired if place(LEAF) => {
                "renew the client's SVID: its own SPIRE agent does, so look there; are the clocks right?"
            }
            Self::Expired if place(ANCHOR) => {
                "rotate or renew the authority in SPIRE (spire-server localauthority x509): no client can help it; are the clocks right?"
            }
            Self::Malformed if rule.contains(SECOND_ELEMENT) => {
                "a hop appends to the header instead of overwriting it: in Envoy forward_client_cert_details: SANITIZE_SET, on every listener"
            }
            _ => self.advice(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::BadEvent => "compare proxy and agent versions; the record's rule says what",
            Self::NotConfigured => "give the agent --config: most proxies push nothing",
            Self::Overloaded => {
                "rule says which. More processors or agents; look for a flood of unseen certificates, or a sink that takes no records (a full disk, a reader that is gone)"
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
            Self::Expired => {
                "rule says which. The leaf: renew the client's SVID, or see why its SPIRE agent does not; the trust anchor: rotate or renew the authority in SPIRE. Are the clocks right?"
            }
            Self::NotYetValid => {
                "is this machine's clock behind (timedatectl), or that of who issued the certificate ahead?"
            }
            Self::WrongAudience => "reserved for JWT-SVIDs, which this version does not read",
            Self::CredentialsDisagree => "reserved likewise",
            Self::TrustUnavailable => {
                "bring the SPIRE agent back, or register this agent again: status says which, and what to do; At 3 a.m. has the rest"
            }
            Self::UnknownTrustDomain => {
                "federate in SPIRE, and -federatesWith on the agent's own entry"
            }
            Self::Untrusted => {
                "a rotation that has not arrived here, another SPIRE's SVID, a missing intermediate (forward the chain), or a forgery"
            }
            Self::Denied => "matched_rule names it",
            Self::NotAllowed => "add the ID if it should be",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svid::{Place, Refusal};

    #[test]
    fn who_renews_what_has_expired_depends_on_whose_it_is() {
        let advice = |place| {
            let seconds_ago = 5;
            let refusal = Refusal::Expired { place, seconds_ago };
            refusal.reason().advice_on(&refusal.to_string())
        };
        assert!(advice(Place::Leaf).contains("client's SVID"));
        assert!(advice(Place::Anchor).contains("authority in SPIRE"));
        assert!(!advice(Place::Anchor).contains("SVID"));
        assert_eq!(advice(Place::Chain(2)), Reason::Expired.advice());
    }
}
