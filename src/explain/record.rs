//! A decision that was recorded: decided again from the evidence in its record, and, where its
//! credential is at hand, judged again for real.

use std::collections::BTreeMap;
use std::path::Path;

use actors::audit::{Content, Recorded, RecordedError};
use anyhow::Context as _;
use serde::Serialize;
use verdict::availability::{Blame, Phase, Shelf, State, Trouble};
use verdict::evidence::Check;
use verdict::reason::Reason;
use verdict::time::{Contact, Now};
use verdict::trust::{Snapshot, Standing, Stored, World};

use super::case::{Answer, Case, CheckMade};
use crate::material::{Material, of_pem};
use crate::output::hex;
use crate::read::bounded;
use crate::when;

/// A credential's file: sixteen certificates of the largest size, as PEM.
const CREDENTIAL_MAX_BYTES: usize = 512 * 1024;

/// A record, explained.
#[derive(Debug, Serialize)]
pub(crate) struct Explained {
    pub(crate) time: String,
    pub(crate) seq: Option<u64>,
    pub(crate) request_id: Option<String>,
    pub(crate) spiffe_id: Option<String>,
    pub(crate) leaf_sha256: Option<String>,
    pub(crate) policy: Option<String>,
    /// That the file which was named has another.
    pub(crate) other_policy: Option<String>,
    pub(crate) checks: Vec<CheckMade>,
    /// What follows from the checks; `None` if they contradict each other.
    pub(crate) answer: Option<Answer>,
    pub(crate) decided_by: Option<&'static str>,
    /// Why the record is not what a decision leaves.
    pub(crate) contradiction: Option<String>,
    /// The credential judged again, where it was given.
    pub(crate) again: Option<Again>,
}

/// A line among records that is none.
#[derive(Debug, Serialize)]
pub(crate) struct Unexplained {
    line: u64,
    /// What a crash leaves: no record says anything wrong.
    pub(crate) note: Option<&'static str>,
    pub(crate) error: Option<String>,
}

impl Unexplained {
    pub(crate) fn new(line: u64, content: Content, error: &RecordedError) -> Self {
        const TORN: &str =
            "the beginning of a record, as a crash leaves it: whether it is one, audit verify says";
        let is_torn = content == Content::Beginning;
        Self {
            line,
            note: is_torn.then_some(TORN),
            error: (!is_torn).then(|| error.to_string()),
        }
    }

    /// Which line.
    pub(crate) const fn line(&self) -> u64 {
        self.line
    }
}

/// A second judgement.
#[derive(Debug, Serialize)]
pub(crate) struct Again {
    pub(crate) verdict: String,
    pub(crate) reason: Option<&'static str>,
    pub(crate) rule: Option<String>,
    /// Whether it is the recorded one.
    pub(crate) agrees: bool,
    /// What may make the difference.
    pub(crate) note: Option<&'static str>,
}

/// Credentials by the SHA-256 of their leaf.
pub(crate) type Credentials = BTreeMap<String, Vec<Vec<u8>>>;

/// The PEM files of a directory.
pub(crate) fn credentials(dir: &Path) -> anyhow::Result<Credentials> {
    let mut credentials = Credentials::new();
    let entries = std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        let bytes = bounded(&path, CREDENTIAL_MAX_BYTES)?;
        let chain = of_pem(&bytes).with_context(|| format!("read {}", path.display()))?;
        let Some(leaf) = chain.first() else { continue };
        credentials.insert(hex(&verdict::svid::fingerprint(leaf)), chain);
    }
    Ok(credentials)
}

/// Explains one record.
pub(crate) fn explain(
    recorded: &Recorded,
    case: Option<&Case<'_>>,
    credentials: &Credentials,
) -> Explained {
    let replayed = recorded.replay();
    let chain = recorded.leaf_sha256.as_ref();
    let chain = chain.and_then(|leaf| credentials.get(leaf));
    let again = case.zip(chain);
    Explained {
        time: recorded.time.clone(),
        seq: recorded.seq,
        request_id: recorded.request_id.clone(),
        spiffe_id: recorded.spiffe_id.clone(),
        leaf_sha256: recorded.leaf_sha256.clone(),
        policy: recorded
            .policy
            .as_ref()
            .map(|policy| policy.fingerprint.clone()),
        other_policy: case.and_then(|case| other_policy(recorded, case)),
        checks: checks(recorded),
        decided_by: replayed
            .as_ref()
            .ok()
            .and_then(|replayed| replayed.decided_by)
            .map(Check::as_str),
        contradiction: replayed.as_ref().err().map(ToString::to_string),
        answer: replayed.ok().map(|replayed| Answer {
            verdict: replayed.answer.verdict().to_owned(),
            status: replayed.answer.status(),
            identity: replayed.answer.identity().to_owned(),
            reason: replayed.reason.map(Reason::as_str),
            rule: recorded.rule.clone(),
            matched: matched(recorded),
            means: replayed.reason.map(Reason::means),
            advice: replayed.reason.map(|reason| {
                let rule = recorded.rule.as_deref().unwrap_or_default();
                reason.advice_on(rule).into()
            }),
        }),
        again: again.and_then(|(case, chain)| judge_again(recorded, case, chain)),
    }
}

/// Whoever reads the file beside the record must not take it for what decided.
fn other_policy(recorded: &Recorded, case: &Case<'_>) -> Option<String> {
    let (then, now) = (recorded.policy.as_ref()?, case.policy?);
    let (then, now) = (then.fingerprint.as_str(), &*now.fingerprint);
    let file = case.file.unwrap_or("the file");
    (then != now).then(|| {
        format!(
            "{then}, and {file} has {now}: a proxy pushed it, the file was edited since, or another version \
             of the agent wrote the record"
        )
    })
}

fn matched(recorded: &Recorded) -> Option<String> {
    let list = recorded.matched_list?.as_str();
    let rule = recorded.matched_rule.as_deref()?;
    Some(format!("{list} {rule}"))
}

fn checks(recorded: &Recorded) -> Vec<CheckMade> {
    let trail = recorded.checks.trail();
    let checks = Check::ALL.into_iter().zip(trail).enumerate();
    checks
        .map(|(number, (check, outcome))| {
            let outcome = outcome.as_str();
            CheckMade {
                number,
                check: check.as_str(),
                outcome,
                found: match outcome {
                    "failed" => recorded.rule.clone(),
                    "passed" => found(recorded, check),
                    _ => None,
                },
            }
        })
        .collect()
}

/// What the record keeps of a check that held.
fn found(recorded: &Recorded, check: Check) -> Option<String> {
    match check {
        Check::Id => recorded.spiffe_id.clone(),
        Check::Leaf => recorded
            .cert
            .as_ref()
            .map(|cert| format!("issued by {}", cert.issuer)),
        Check::Validity => recorded.cert.as_ref().map(|cert| {
            let (from, to) = (cert.not_before, cert.not_after);
            format!("from {} to {}", when::shown(from), when::shown(to))
        }),
        Check::Basis => {
            let (state, stance) = (recorded.state?.as_str(), recorded.basis?.as_str());
            let age = recorded.age_ms.map_or_else(
                || "no bundles".to_owned(),
                |ms| format!("bundles confirmed {} before", when::span(ms)),
            );
            Some(format!("state {state}, {age}: {stance}"))
        }
        Check::Bundle => recorded
            .generation
            .map(|generation| format!("the bundle's generation was {generation}")),
        Check::Lists => matched(recorded),
        Check::Intake | Check::Presence | Check::Parse | Check::Agreement | Check::Path => None,
    }
}

fn judge_again(recorded: &Recorded, case: &Case<'_>, chain: &[Vec<u8>]) -> Option<Again> {
    let wall_ms = when::parse(&recorded.time).ok()?;
    let (phase, now) = (
        recorded.state?,
        Now {
            wall_ms,
            boot_ms: 0,
        },
    );
    let policy = case.policy?;
    let snapshot = case.material.world.snapshot();
    let material = Material {
        world: as_recorded(snapshot, phase, recorded.age_ms, case, now),
        origin: case.material.origin.clone(),
        unasked: None,
    };
    let case = Case {
        material: &material,
        now,
        ..*case
    };
    let answer = case.chain(chain).answer;
    let agrees =
        answer.verdict == recorded.verdict && answer.reason == recorded.reason.map(Reason::as_str);
    let same_policy = recorded
        .policy
        .as_ref()
        .is_some_and(|then| *then.fingerprint == *policy.fingerprint);
    let note = match (agrees, same_policy) {
        (true, _) => None,
        (false, false) => Some("another policy was in force"),
        (false, true) => Some("other bundles may have been in force"),
    };
    Some(Again {
        verdict: answer.verdict,
        reason: answer.reason,
        rule: answer.rule,
        agrees,
        note,
    })
}

/// The bundles at hand, in the state and of the age that the record names.
fn as_recorded(
    snapshot: &Snapshot,
    phase: Phase,
    age_ms: Option<u64>,
    case: &Case<'_>,
    now: Now,
) -> World {
    let since_ms = now.boot_ms;
    let trouble = Trouble::NONE;
    let state = match phase {
        Phase::Starting => State::Starting {
            since_ms,
            shelf: Shelf::Empty,
            trouble,
        },
        Phase::Live => State::Live { since_ms },
        Phase::Interrupted => State::Interrupted { since_ms, trouble },
        Phase::Outage => State::Outage { since_ms, trouble },
        Phase::Withdrawn => State::Withdrawn {
            since_ms,
            blame: Blame::Theirs,
        },
    };
    let snapshot = match age_ms {
        None => Snapshot::default(),
        Some(age_ms) => aged(snapshot, age_ms, now),
    };
    World::new(state, case.material.world.timing(), snapshot)
}

fn aged(snapshot: &Snapshot, age_ms: u64, now: Now) -> Snapshot {
    let contact = Contact {
        wall_ms: now.wall_ms.saturating_sub_unsigned(age_ms),
        boot_ms: None,
    };
    let keys: Vec<(String, &[u8])> = snapshot
        .iter()
        .map(|(domain, bundle)| (format!("spiffe://{domain}"), bundle.anchors().as_der()))
        .collect();
    let stored = keys.iter().map(|(key, der)| Stored {
        key,
        der,
        contact,
        standing: Standing::Confirmed,
    });
    Snapshot::restored(stored, contact).0
}
