//! What may be answered.

use std::fmt;

use verdict::reason::Reason;

use super::reader::{Node, Read};

/// The answer to a request, as far as promises tell answers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Said {
    /// Allowed as whom the certificate names, with all identity headers.
    Verified,
    /// Allowed without identity, as SPIRE is away and the mode lets pass.
    FailOpen,
    /// Denied, with the name of the reason.
    Denied(&'static str),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Verified => "verified",
            Self::FailOpen => "fail-open",
            Self::Denied(reason) => reason,
        })
    }
}

impl Said {
    /// The answer that this word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "verified" => Some(Self::Verified),
            "fail-open" => Some(Self::FailOpen),
            _ => {
                let mut reasons = Reason::ALL.iter().map(|reason| reason.as_str());
                reasons.find(|reason| *reason == word).map(Self::Denied)
            }
        }
    }
}

/// `only verified TRUST_UNAVAILABLE`.
pub(super) fn answers(node: &Node<'_>) -> Read<Vec<Said>> {
    node.only(&[], &[])?;
    let mut answers = Vec::new();
    for word in node.words()? {
        let Some(said) = Said::from_word(word) else {
            let reasons = Reason::ALL.iter().map(|reason| reason.as_str());
            let known = ["verified", "fail-open"].into_iter().chain(reasons);
            return Err(node.unknown("answer", word, known));
        };
        answers.push(said);
    }
    if answers.is_empty() {
        return Err(node.missing("an answer"));
    }
    Ok(answers)
}
