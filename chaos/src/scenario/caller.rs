//! Who asks.

use super::reader::{Node, Read};

/// The trust domain at home, and its partner.
pub const FRONTEND: &str = "spiffe://example.org/frontend";
/// Listed, and federated.
pub const PARTNER: &str = "spiffe://partner.test/orders";
/// Federated, and on no list.
pub const STRANGER: &str = "spiffe://partner.test/billing";

/// A caller, by what its request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// Listed; one certificate, made before the scenario begins.
    Frontend,
    /// Listed; eight of them, each with its certificate.
    Services,
    /// As `frontend`, with a certificate that no one has seen before, each time.
    Fresh,
    /// As `frontend`, with a certificate made anew after each rotation.
    Renewed,
    /// As `frontend`, and writes identity headers itself.
    Spoofing,
    /// Listed, of the federated trust domain.
    Partner,
    /// Of the federated trust domain, on no list.
    Stranger,
    /// The frontend's name and key identifiers, signed by an attacker.
    Forged,
    /// The frontend's, over.
    Expired,
    /// A leaf that is a CA.
    NoSvid,
    /// Text that is no certificate.
    Garbage,
    /// No certificate.
    Nobody,
}

impl Caller {
    /// Every caller, with the word for it.
    pub const ALL: [(&'static str, Self); 12] = [
        ("frontend", Self::Frontend),
        ("services", Self::Services),
        ("fresh", Self::Fresh),
        ("renewed", Self::Renewed),
        ("spoofing", Self::Spoofing),
        ("partner", Self::Partner),
        ("stranger", Self::Stranger),
        ("forged", Self::Forged),
        ("expired", Self::Expired),
        ("no-svid", Self::NoSvid),
        ("garbage", Self::Garbage),
        ("nobody", Self::Nobody),
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, caller)| *caller == self);
        found.map_or("caller", |(word, _)| word)
    }

    /// Whether it may ever be answered as somebody.
    #[must_use]
    pub const fn is_somebody(self) -> bool {
        match self {
            Self::Frontend
            | Self::Services
            | Self::Fresh
            | Self::Renewed
            | Self::Spoofing
            | Self::Partner => true,
            Self::Stranger
            | Self::Forged
            | Self::Expired
            | Self::NoSvid
            | Self::Garbage
            | Self::Nobody => false,
        }
    }
}

/// `callers frontend partner`.
pub(super) fn callers(node: &Node<'_>) -> Read<Vec<Caller>> {
    node.only(&[], &[])?;
    let mut callers = Vec::new();
    for word in node.words()? {
        let found = Caller::ALL.iter().find(|(known, _)| *known == word);
        let Some((_, caller)) = found else {
            let known = Caller::ALL.iter().map(|(known, _)| *known);
            return Err(node.unknown("caller", word, known));
        };
        callers.push(*caller);
    }
    if callers.is_empty() {
        return Err(node.missing("a caller"));
    }
    Ok(callers)
}
