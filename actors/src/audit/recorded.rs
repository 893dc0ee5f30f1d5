//! A record read back: strictly, so that what a record may hold is written down in one place, and
//! decided again from what it holds.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use verdict::availability::{Phase, Stance};
use verdict::decide::{Outcome, Trail};
use verdict::lists::ListName;
use verdict::policy::{DenyStatus, Mode, ValidationFailure};
use verdict::reason::Reason;
use verdict::replay::{self, Account, Contradiction, Grounds, Replayed, Terms};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Its number in the chain; `None` before it was written.
    #[serde(default)]
    pub seq: Option<u64>,
    /// The hash of the line before; `None` in the first line.
    #[serde(default)]
    pub prev: Option<String>,
    /// Behind a line that is no record: the hash of the last whole record before it.
    #[serde(default)]
    pub over: Option<String>,
    /// When it was decided, RFC 3339.
    pub time: String,
    /// `allow` or `deny`.
    pub verdict: String,
    /// The label of the failure, even where it did not deny.
    #[serde(deserialize_with = "reason")]
    pub reason: Option<Reason>,
    /// The status of a denial.
    pub status: Option<u16>,
    /// The rule that was broken.
    pub rule: Option<String>,
    /// The ID in the certificate.
    pub spiffe_id: Option<String>,
    /// What that ID is worth.
    pub identity: String,
    /// The list whose entry decided.
    #[serde(deserialize_with = "list")]
    pub matched_list: Option<ListName>,
    /// That entry.
    pub matched_rule: Option<String>,
    /// The outage mode; `None` without a policy.
    #[serde(deserialize_with = "mode")]
    pub mode: Option<Mode>,
    /// Whether the verdict is enforced.
    pub enforced: bool,
    /// The policy in force, if there was one.
    pub policy: Option<RecordedPolicy>,
    /// The trust source's state.
    #[serde(deserialize_with = "phase")]
    pub state: Option<Phase>,
    /// What could be concluded.
    #[serde(deserialize_with = "stance")]
    pub basis: Option<Stance>,
    /// Which bundle.
    pub generation: Option<u64>,
    /// How long ago SPIRE confirmed the bundles, milliseconds.
    pub age_ms: Option<u64>,
    /// The leaf.
    pub leaf_sha256: Option<String>,
    /// More of the leaf.
    #[serde(default)]
    pub cert: Option<RecordedCert>,
    /// What became of each check.
    pub checks: RecordedChecks,
    /// The proxy's id of the request.
    pub request_id: Option<String>,
    /// The id the answer was routed by.
    pub correlation_id: String,
    /// From the W3C trace context.
    pub trace_id: Option<String>,
    /// The client's address, as the proxy had it.
    pub client_ip: Option<String>,
    /// The proxy that asked.
    pub proxy: String,
    /// The door it came through.
    pub door: String,
    /// Whether it takes the place of an earlier record.
    #[serde(default, deserialize_with = "corrects")]
    pub corrects: bool,
}

/// What a record says of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedPolicy {
    /// Which policy.
    pub fingerprint: String,
    /// `tls.require-mtls`.
    pub require_mtls: bool,
    /// `failure.validation-failure`.
    #[serde(deserialize_with = "validation_failure")]
    pub validation_failure: ValidationFailure,
    /// `failure.unavailable-status`.
    #[serde(deserialize_with = "status")]
    pub unavailable_status: DenyStatus,
    /// `failure.cache-ttl`, seconds.
    pub cache_ttl_s: u64,
}

/// What a record says of the leaf.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedCert {
    /// Hexadecimal digits.
    pub serial: String,
    /// Its name.
    pub issuer: String,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
}

/// The outcomes of all checks, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedChecks {
    #[serde(deserialize_with = "outcome")]
    intake: Outcome,
    #[serde(deserialize_with = "outcome")]
    presence: Outcome,
    #[serde(deserialize_with = "outcome")]
    parse: Outcome,
    #[serde(deserialize_with = "outcome")]
    id: Outcome,
    #[serde(deserialize_with = "outcome")]
    leaf: Outcome,
    #[serde(deserialize_with = "outcome")]
    validity: Outcome,
    #[serde(deserialize_with = "outcome")]
    agreement: Outcome,
    #[serde(deserialize_with = "outcome")]
    basis: Outcome,
    #[serde(deserialize_with = "outcome")]
    bundle: Outcome,
    #[serde(deserialize_with = "outcome")]
    path: Outcome,
    #[serde(deserialize_with = "outcome")]
    lists: Outcome,
}

/// Why a record says nothing, or nothing consistent.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// It is no record.
    #[error("not an audit record: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// No decision can have left it.
    #[error("{0}")]
    Contradiction(#[from] Contradiction),
    /// Its evidence leads to another answer than it states.
    #[error("the checks lead to {decided}, the record states {stated}")]
    Otherwise {
        /// What follows.
        decided: String,
        /// What is stated.
        stated: String,
    },
}

impl Recorded {
    /// Reads one line.
    ///
    /// # Errors
    /// It is no record of this version.
    pub fn parse(line: &[u8]) -> Result<Self, RecordedError> {
        Ok(serde_json::from_slice(line)?)
    }

    /// The evidence in it.
    #[must_use]
    pub fn account(&self) -> Account {
        Account {
            trail: self.checks.trail(),
            reason: self.reason,
            stance: self.basis,
            terms: self.policy.as_ref().map(|policy| Terms {
                require_mtls: policy.require_mtls,
                validation_failure: policy.validation_failure,
                enforce: self.enforced,
                unavailable_status: policy.unavailable_status,
            }),
            listed: self.matched_list,
        }
    }

    /// How its basis came about, if the trust source was asked.
    fn grounds(&self) -> Option<Grounds> {
        Some(Grounds {
            state: self.state?,
            mode: self.mode?,
            age_ms: self.age_ms,
            cache_ttl_ms: self.policy.as_ref()?.cache_ttl_s.saturating_mul(1_000),
            stance: self.basis?,
        })
    }

    /// Decides again from the evidence in it, and holds the answer against the one it states.
    ///
    /// # Errors
    /// The evidence contradicts itself, or leads to another answer.
    pub fn replay(&self) -> Result<Replayed, RecordedError> {
        let replayed = replay::replay(&self.account())?;
        if let Some(grounds) = self.grounds() {
            grounds.check()?;
        }
        let answer = replayed.answer;
        let decided = in_words(
            answer.verdict(),
            answer.identity(),
            answer.status(),
            replayed.reason,
        );
        let stated = in_words(&self.verdict, &self.identity, self.status, self.reason);
        match decided == stated {
            true => Ok(replayed),
            false => Err(RecordedError::Otherwise { decided, stated }),
        }
    }
}

fn in_words(verdict: &str, identity: &str, status: Option<u16>, reason: Option<Reason>) -> String {
    let status = status.map_or_else(String::new, |status| format!(" {status}"));
    let reason = reason.map_or_else(String::new, |reason| format!(" {reason}"));
    format!("{verdict}{status}{reason} as {identity}")
}

impl RecordedChecks {
    /// In the order of [`verdict::evidence::Check::ALL`].
    #[must_use]
    pub const fn trail(&self) -> Trail {
        [
            self.intake,
            self.presence,
            self.parse,
            self.id,
            self.leaf,
            self.validity,
            self.agreement,
            self.basis,
            self.bundle,
            self.path,
            self.lists,
        ]
    }
}

/// One of a few words.
fn word<'de, T: Copy, D: Deserializer<'de>>(
    text: &str,
    words: impl IntoIterator<Item = (&'static str, T)>,
) -> Result<T, D::Error> {
    let mut words = words.into_iter();
    let found = words.find(|(word, _)| *word == text);
    found
        .map(|(_, value)| value)
        .ok_or_else(|| D::Error::custom(format_args!("{text:?} is not one of the known words")))
}

fn words<T: Copy, const N: usize>(
    all: [T; N],
    word: impl Fn(T) -> &'static str,
) -> [(&'static str, T); N] {
    all.map(|value| (word(value), value))
}

fn optional<'de, T: Copy, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
    words: [(&'static str, T); N],
) -> Result<Option<T>, D::Error> {
    match Option::<Cow<'de, str>>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) => word::<T, D>(&text, words).map(Some),
    }
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Reason>, D::Error> {
    optional(deserializer, words(Reason::ALL, Reason::as_str))
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ListName>, D::Error> {
    optional(
        deserializer,
        words([ListName::Allow, ListName::Deny], ListName::as_str),
    )
}

fn phase<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Phase>, D::Error> {
    optional(deserializer, words(Phase::ALL, Phase::as_str))
}

fn stance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Stance>, D::Error> {
    optional(deserializer, words(Stance::ALL, Stance::as_str))
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mode>, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    let none = std::iter::once(("none", None));
    let modes = Mode::ALL.map(|mode| (mode.as_str(), Some(mode)));
    word::<Option<Mode>, D>(&text, none.chain(modes))
}

fn corrects<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    word::<bool, D>(&text, [("earlier", true)])
}

fn outcome<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    word::<Outcome, D>(&text, words(Outcome::ALL, Outcome::as_str))
}

fn validation_failure<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<ValidationFailure, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    let all = [ValidationFailure::Reject, ValidationFailure::LogAndAllow];
    word::<ValidationFailure, D>(&text, words(all, ValidationFailure::as_str))
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DenyStatus, D::Error> {
    let number = u16::deserialize(deserializer)?;
    DenyStatus::new(number)
        .ok_or_else(|| D::Error::custom(format_args!("{number} is no status of a denial")))
}
