//! What is promised.

use std::fmt;

use verdict::availability::Phase;

use super::action::{Spire, spire_word};
use super::answer::{Said, answers};
use super::caller::{Caller, callers};
use super::error::Rule;
use super::reader::{Node, Read};

/// What every scenario promises unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Always {
    /// Nobody is allowed as somebody he is not, and no header of his own making passes for ours.
    NoWrongAllow,
    /// Every request has its answer, within the decision deadline and the slack of a busy machine.
    Answered,
    /// Every answer has one record that says the same.
    Recorded,
    /// The process ends only where the timeline ends it.
    Lives,
}

impl Always {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::NoWrongAllow,
        Self::Answered,
        Self::Recorded,
        Self::Lives,
    ];

    /// Its name, as a promise.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoWrongAllow => "no wrong allow",
            Self::Answered => "every request is answered in time",
            Self::Recorded => "every answer is recorded once",
            Self::Lives => "the process lives",
        }
    }
}

/// A promise of one scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Promise {
    /// Its name, one of a kind in the file.
    pub name: String,
    /// What it says.
    pub kind: Kind,
}

/// What a promise says. Moments are of the timeline, ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whoever asks and is answered between two moments is answered so and not otherwise.
    Window {
        /// From here: once the steps of this moment are done.
        from_ms: u64,
        /// To here: before the steps of this moment begin.
        to_ms: u64,
        /// Who.
        callers: Vec<Caller>,
        /// Answered how.
        only: Vec<Said>,
        /// In which states of the trust source, by the records; any, if empty.
        states: Vec<Phase>,
        /// How many answers there must be of each caller, or nothing was shown.
        least: u64,
    },
    /// After a moment each of these is answered so again, soon.
    Recovery {
        /// Once the steps of this moment are done.
        after_ms: u64,
        /// How soon, ms.
        within_ms: u64,
        /// Who.
        callers: Vec<Caller>,
        /// Answered how.
        answer: Said,
    },
    /// After each such step the first such answer comes so soon, in 99 of 100 cases.
    Recoveries {
        /// After which steps.
        after: Spire,
        /// How soon, ms.
        within_ms: u64,
        /// Who.
        callers: Vec<Caller>,
        /// Answered how.
        answer: Said,
    },
    /// The trust source's states as logged.
    Transitions {
        /// These come, in this order; others may come between.
        in_order: Vec<Phase>,
        /// These never come.
        never: Vec<Phase>,
    },
    /// How often the supervisor has to start an actor again.
    Restarts {
        /// Its name in the tree.
        actor: String,
        /// At least.
        least: u64,
        /// At most.
        most: u64,
    },
    /// The log says this.
    Says(Vec<String>),
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

const KINDS: [&str; 6] = [
    "window",
    "recovery",
    "recoveries",
    "transitions",
    "restarts",
    "log",
];

/// One of them, in words.
pub(super) const A_PROMISE: &str =
    "a promise in it: window, recovery, recoveries, transitions, restarts or log";

/// Names in the tree, as the agent draws it.
pub(super) const ACTORS: [&str; 14] = [
    "root",
    "admin",
    "audit",
    "health",
    "trust",
    "cache",
    "identity",
    "bundles",
    "validation",
    "worker-N",
    "doors",
    "sentinel",
    "grpc",
    "connection",
];

/// Whether the tree can have such an actor; which it has, the agent's configuration says.
pub(super) fn is_actor(name: &str) -> bool {
    match name.strip_prefix("worker-") {
        Some(number) => number.parse::<u16>().is_ok(),
        None => ACTORS.contains(&name),
    }
}

/// One node of `promises`.
pub(super) fn promise(node: &Node<'_>) -> Read<Promise> {
    let kind = match node.name() {
        "window" => window(node),
        "recovery" => recovery(node),
        "recoveries" => recoveries(node),
        "transitions" => transitions(node),
        "restarts" => restarts(node),
        "log" => log(node),
        other => Err(node.unknown("kind of promise", other, KINDS.into_iter())),
    }?;
    let name = node.word("a name in quotes")?.to_owned();
    Ok(Promise { name, kind })
}

fn window(node: &Node<'_>) -> Read<Kind> {
    node.only(&["from", "to", "least"], &["callers", "only", "states"])?;
    let (from_ms, to_ms) = (node.needed("from")?, node.needed("to")?);
    if from_ms >= to_ms {
        return Err(node.fail(Rule::Value {
            what: "to".to_owned(),
            rule: "not after from",
        }));
    }
    let states = match node.child("states")? {
        Some(states) => phases(&states)?,
        None => Vec::new(),
    };
    Ok(Kind::Window {
        from_ms,
        to_ms,
        callers: callers(&needed(node, "callers")?)?,
        only: answers(&needed(node, "only")?)?,
        states,
        least: match node.count("least")? {
            Some(0) => return Err(node.not("least", "zero: nothing would be shown")),
            least => least.unwrap_or(1),
        },
    })
}

fn recovery(node: &Node<'_>) -> Read<Kind> {
    node.only(&["after", "within-ms"], &["callers", "answer"])?;
    Ok(Kind::Recovery {
        after_ms: node.needed("after")?,
        within_ms: node.needed("within-ms")?,
        callers: callers(&needed(node, "callers")?)?,
        answer: answer(node)?,
    })
}

fn recoveries(node: &Node<'_>) -> Read<Kind> {
    node.only(&["after-spire", "within-ms"], &["callers", "answer"])?;
    let word = node.named("after-spire")?;
    let word = word.ok_or_else(|| node.missing("after-spire"))?;
    Ok(Kind::Recoveries {
        after: spire_word(node, word, &[])?,
        within_ms: node.needed("within-ms")?,
        callers: callers(&needed(node, "callers")?)?,
        answer: answer(node)?,
    })
}

fn answer(node: &Node<'_>) -> Read<Said> {
    let node = needed(node, "answer")?;
    match *answers(&node)? {
        [answer] => Ok(answer),
        _ => Err(node.unwanted("second answer")),
    }
}

fn transitions(node: &Node<'_>) -> Read<Kind> {
    node.only(&[], &["in-order", "never"])?;
    let list = |name| match node.child(name)? {
        Some(list) => phases(&list),
        None => Ok(Vec::new()),
    };
    let (in_order, never) = (list("in-order")?, list("never")?);
    if in_order.is_empty() && never.is_empty() {
        return Err(node.missing("in-order or never"));
    }
    Ok(Kind::Transitions { in_order, never })
}

fn restarts(node: &Node<'_>) -> Read<Kind> {
    node.only(&["actor", "least", "most"], &[])?;
    let actor = node.named("actor")?;
    let actor = actor.ok_or_else(|| node.missing("actor"))?;
    if !is_actor(actor) {
        return Err(node.unknown("actor", actor, ACTORS.into_iter()));
    }
    let (least, most) = (node.count("least")?, node.count("most")?);
    if least.is_none() && most.is_none() {
        return Err(node.missing("least or most"));
    }
    Ok(Kind::Restarts {
        actor: actor.to_owned(),
        least: least.unwrap_or(0),
        most: most.unwrap_or(u64::MAX),
    })
}

fn log(node: &Node<'_>) -> Read<Kind> {
    node.only(&[], &["says"])?;
    let node = needed(node, "says")?;
    node.only(&[], &[])?;
    let says = node.words()?;
    if says.is_empty() || says.iter().any(|text| text.trim().is_empty()) {
        return Err(node.missing("what is to be said"));
    }
    Ok(Kind::Says(
        says.into_iter().map(ToOwned::to_owned).collect(),
    ))
}

fn needed<'d>(node: &Node<'d>, child: &'static str) -> Read<Node<'d>> {
    node.child(child)?.ok_or_else(|| node.missing(child))
}

fn phases(node: &Node<'_>) -> Read<Vec<Phase>> {
    node.only(&[], &[])?;
    let mut phases = Vec::new();
    for word in node.words()? {
        let found = Phase::ALL.iter().find(|phase| phase.as_str() == word);
        let known = Phase::ALL.iter().map(|phase| phase.as_str());
        phases.push(*found.ok_or_else(|| node.unknown("state", word, known))?);
    }
    Ok(phases)
}
