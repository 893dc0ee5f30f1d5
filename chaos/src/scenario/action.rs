//! What a step of the timeline does.

use std::fmt;

use tonic::Code;

use super::promise::{ACTORS, is_actor};
use super::reader::{Node, Read};

/// Done to SPIRE, to the agent's process and parts, to what is around it, or by proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// To SPIRE.
    Spire(Spire),
    /// To the agent's process.
    Agent(Process),
    /// To a part of the agent, by its name in the supervision tree.
    Actor(Part, String),
    /// To the agent's clock.
    Clock(ClockMove),
    /// To what the agent may write.
    Disk(Room),
    /// To its open files.
    Descriptors(Room),
    /// To the bundles on disk.
    StateFile(Damage),
    /// By proxies that behave badly from now on.
    Proxy(Misbehaviour, u64),
}

/// Faults of SPIRE, and their undoing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spire {
    /// Ends in order: streams end, the socket goes.
    Stop,
    /// Dies: connections break, the socket's file stays.
    Kill,
    /// Starts (again).
    Start,
    /// Nothing moves on any connection, as after SIGSTOP.
    Freeze,
    /// Moves again.
    Thaw,
    /// New calls are never answered.
    Hang,
    /// New calls are answered this much later, ms.
    Slow(u64),
    /// New calls get this status.
    Answer(Code),
    /// New calls get a bare HTTP status from something in between.
    AnswerHttp(u16),
    /// New calls are answered well.
    AnswerWell,
    /// Open streams end.
    EndStreams,
    /// The agent's registration entry is deleted.
    EntryDeleted,
    /// It is created again.
    EntryCreated,
    /// An update in which nothing can be read.
    Garbage,
    /// An update without any bundle.
    NoBundles,
    /// The partner's bundle cannot be read from now on.
    BadBundle,
    /// The bundle of our own domain holds no authority from now on.
    EmptyBundle,
    /// The partner is in no update from now on.
    PartnerGone,
    /// What is published is right again.
    SayWell,
    /// A new authority signs; the old one stays published.
    RotateOverlapping,
    /// A new authority signs, and it alone is published.
    RotateAbruptly,
    /// Only the authority that signs now stays published: the old one was compromised.
    RemoveOldAuthority,
    /// The socket's file is deleted.
    SocketDeleted,
    /// A plain file stands in its place.
    SocketReplaced,
    /// A new socket, listened on.
    SocketRecreated,
    /// Nobody may connect to it.
    SocketForbidden,
    /// Everybody may.
    SocketAllowed,
    /// The servers behind the agents end; a simulated SPIRE has none, so nobody notices.
    ServersStop,
    /// They start.
    ServersStart,
}

/// To the agent's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// SIGKILL.
    Kill,
    /// Starts (again).
    Start,
    /// SIGTERM, its end, and a start.
    Restart,
    /// SIGSTOP: it does not run, the clocks do.
    Suspend,
    /// SIGCONT.
    Resume,
}

/// To a part of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Dies.
    Kill,
    /// Panics when its supervisor next asks whether it works.
    Panic,
    /// Handles nothing for so long, ms.
    Wedge(u64),
}

/// To the agent's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMove {
    /// The wall clock is set forward, s.
    Ahead(u64),
    /// It is set back, s.
    Behind(u64),
    /// The machine slept, s: wall clock and boot time went on, timers did not.
    Sleep(u64),
}

/// Whether there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// None is left.
    Full,
    /// There is again.
    Well,
}

/// To the bundles on disk, while the agent is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The file ends half-way.
    Torn,
    /// One byte in its middle is another.
    Damaged,
    /// It is something else altogether.
    Foreign,
    /// It is gone.
    Gone,
}

/// What a bad proxy does; the number beside it says how often, or with how many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Goes away in the middle of a frame.
    DisconnectMidFrame,
    /// Asks and asks, and reads no answer.
    NeverReads,
    /// Sends frames as fast as it can.
    Flood,
    /// Connects, shakes hands, and keeps still.
    Connections,
}

const SPIRE: [(&str, Spire); 26] = [
    ("stop", Spire::Stop),
    ("kill", Spire::Kill),
    ("start", Spire::Start),
    ("freeze", Spire::Freeze),
    ("thaw", Spire::Thaw),
    ("hang", Spire::Hang),
    ("answer-well", Spire::AnswerWell),
    ("end-streams", Spire::EndStreams),
    ("entry-deleted", Spire::EntryDeleted),
    ("entry-created", Spire::EntryCreated),
    ("garbage", Spire::Garbage),
    ("no-bundles", Spire::NoBundles),
    ("bad-bundle", Spire::BadBundle),
    ("empty-bundle", Spire::EmptyBundle),
    ("partner-gone", Spire::PartnerGone),
    ("say-well", Spire::SayWell),
    ("rotate-overlapping", Spire::RotateOverlapping),
    ("rotate-abruptly", Spire::RotateAbruptly),
    ("remove-old-authority", Spire::RemoveOldAuthority),
    ("socket-deleted", Spire::SocketDeleted),
    ("socket-replaced", Spire::SocketReplaced),
    ("socket-recreated", Spire::SocketRecreated),
    ("socket-forbidden", Spire::SocketForbidden),
    ("socket-allowed", Spire::SocketAllowed),
    ("servers-stop", Spire::ServersStop),
    ("servers-start", Spire::ServersStart),
];
const SPIRE_WITH: [&str; 3] = ["slow", "answer", "answer-http"];

/// gRPC's codes by the names of its specification; OK is no refusal.
const CODES: [(&str, Code); 16] = [
    ("CANCELLED", Code::Cancelled),
    ("UNKNOWN", Code::Unknown),
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("ABORTED", Code::Aborted),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNIMPLEMENTED", Code::Unimplemented),
    ("INTERNAL", Code::Internal),
    ("UNAVAILABLE", Code::Unavailable),
    ("DATA_LOSS", Code::DataLoss),
    ("UNAUTHENTICATED", Code::Unauthenticated),
];
const PROCESS: [(&str, Process); 5] = [
    ("kill", Process::Kill),
    ("start", Process::Start),
    ("restart", Process::Restart),
    ("suspend", Process::Suspend),
    ("resume", Process::Resume),
];
const ROOM: [(&str, Room); 2] = [("full", Room::Full), ("well", Room::Well)];
const DAMAGE: [(&str, Damage); 4] = [
    ("torn", Damage::Torn),
    ("damaged", Damage::Damaged),
    ("foreign", Damage::Foreign),
    ("gone", Damage::Gone),
];
const PROXY: [(&str, Misbehaviour); 4] = [
    ("disconnect-mid-frame", Misbehaviour::DisconnectMidFrame),
    ("never-reads", Misbehaviour::NeverReads),
    ("flood", Misbehaviour::Flood),
    ("connections", Misbehaviour::Connections),
];
/// What bad proxies do at most: more shows nothing else.
const COUNT_MAX: u64 = 100_000;
/// HTTP statuses that end an exchange (RFC 9110 §15).
const HTTP: std::ops::RangeInclusive<u64> = 200..=599;
/// The nodes of a step.
const SUBJECTS: [&str; 8] = [
    "spire",
    "agent",
    "actor",
    "clock",
    "disk",
    "descriptors",
    "state-file",
    "proxy",
];

/// One node inside `at`.
pub(super) fn action(node: &Node<'_>) -> Read<Action> {
    node.only_children(&[])?;
    let known = |properties: &[&str]| node.only_properties(properties);
    match node.name() {
        "spire" => spire(node).map(Action::Spire),
        "agent" => known(&[]).and_then(|()| Ok(Action::Agent(one_of(node, &PROCESS)?))),
        "actor" => actor(node),
        "clock" => known(&["s"]).and_then(|()| clock(node)).map(Action::Clock),
        "disk" => known(&[]).and_then(|()| Ok(Action::Disk(one_of(node, &ROOM)?))),
        "descriptors" => known(&[]).and_then(|()| Ok(Action::Descriptors(one_of(node, &ROOM)?))),
        "state-file" => known(&[]).and_then(|()| Ok(Action::StateFile(one_of(node, &DAMAGE)?))),
        "proxy" => {
            known(&["count"])?;
            let (what, count) = (one_of(node, &PROXY)?, node.needed("count")?);
            match count {
                1..=COUNT_MAX => Ok(Action::Proxy(what, count)),
                _ => Err(node.not("count", "not between 1 and 100000")),
            }
        }
        other => Err(node.unknown("part of the stage", other, SUBJECTS.into_iter())),
    }
}

/// A fault of SPIRE by its word, where no value goes with it; `others` would do here too.
pub(super) fn spire_word(node: &Node<'_>, word: &str, others: &[&str]) -> Read<Spire> {
    let found = SPIRE.iter().find(|(known, _)| *known == word);
    found.map(|(_, act)| *act).ok_or_else(|| {
        let known = SPIRE.iter().map(|(known, _)| *known);
        let known = known.chain(others.iter().copied());
        node.unknown("thing to do to spire", word, known)
    })
}

fn spire(node: &Node<'_>) -> Read<Spire> {
    match node.word("what happens to it")? {
        "slow" => {
            node.only_properties(&["ms"])?;
            Ok(Spire::Slow(node.needed("ms")?))
        }
        "answer" => {
            node.only_properties(&["status"])?;
            let name = node.named("status")?;
            let name = name.ok_or_else(|| node.missing("status"))?;
            let code = CODES.iter().find(|(known, _)| *known == name);
            code.map(|(_, code)| Spire::Answer(*code)).ok_or_else(|| {
                node.unknown("gRPC status", name, CODES.iter().map(|(known, _)| *known))
            })
        }
        "answer-http" => {
            node.only_properties(&["status"])?;
            let status = node.needed("status")?;
            let known = u16::try_from(status).ok();
            let known = known.filter(|_| HTTP.contains(&status));
            known
                .map(Spire::AnswerHttp)
                .ok_or_else(|| node.not("status", "not between 200 and 599"))
        }
        word => {
            node.only_properties(&[])?;
            spire_word(node, word, &SPIRE_WITH)
        }
    }
}

fn actor(node: &Node<'_>) -> Read<Action> {
    node.only_properties(&["ms"])?;
    let [what, name] = *node.words()? else {
        return Err(node.missing("what happens, and to which actor"));
    };
    let part = match what {
        "kill" => Part::Kill,
        "panic" => Part::Panic,
        "wedge" => Part::Wedge(node.needed("ms")?),
        other => {
            let known = ["kill", "panic", "wedge"].into_iter();
            return Err(node.unknown("thing to do to an actor", other, known));
        }
    };
    if !is_actor(name) {
        return Err(node.unknown("actor", name, ACTORS.into_iter()));
    }
    Ok(Action::Actor(part, name.to_owned()))
}

fn clock(node: &Node<'_>) -> Read<ClockMove> {
    let seconds = node.needed("s")?;
    match node.word("how it moves")? {
        "ahead" => Ok(ClockMove::Ahead(seconds)),
        "behind" => Ok(ClockMove::Behind(seconds)),
        "sleep" => Ok(ClockMove::Sleep(seconds)),
        other => {
            let known = ["ahead", "behind", "sleep"].into_iter();
            Err(node.unknown("move of a clock", other, known))
        }
    }
}

fn one_of<T: Copy>(node: &Node<'_>, table: &[(&'static str, T)]) -> Read<T> {
    let word = node.word("what happens to it")?;
    let found = table.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known = table.iter().map(|(known, _)| *known);
        node.unknown("thing to do here", word, known)
    })
}

fn word_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    let found = table.iter().find(|(_, known)| known == value);
    found.map_or("?", |(word, _)| word)
}

impl fmt::Display for Spire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(ms) => write!(f, "slow, {ms} ms"),
            Self::Answer(code) => write!(f, "answer {}", word_of(&CODES, code)),
            Self::AnswerHttp(status) => write!(f, "answer HTTP {status}"),
            other => f.write_str(word_of(&SPIRE, other)),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spire(act) => write!(f, "spire {act}"),
            Self::Agent(act) => write!(f, "agent {}", word_of(&PROCESS, act)),
            Self::Actor(Part::Kill, name) => write!(f, "actor kill {name}"),
            Self::Actor(Part::Panic, name) => write!(f, "actor panic {name}"),
            Self::Actor(Part::Wedge(ms), name) => write!(f, "actor wedge {name}, {ms} ms"),
            Self::Clock(ClockMove::Ahead(s)) => write!(f, "clock {s} s ahead"),
            Self::Clock(ClockMove::Behind(s)) => write!(f, "clock {s} s behind"),
            Self::Clock(ClockMove::Sleep(s)) => write!(f, "machine sleeps {s} s"),
            Self::Disk(room) => write!(f, "disk {}", word_of(&ROOM, room)),
            Self::Descriptors(room) => write!(f, "descriptors {}", word_of(&ROOM, room)),
            Self::StateFile(damage) => write!(f, "state file {}", word_of(&DAMAGE, damage)),
            Self::Proxy(what, count) => write!(f, "proxy {}, {count}", word_of(&PROXY, what)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::caller::Caller;

    #[test]
    fn every_word_of_a_scenario_is_in_the_readme() {
        let readme = include_str!("../../README.md");
        let words = SPIRE.iter().map(|(word, _)| *word).chain(SPIRE_WITH);
        let words = words.chain(PROCESS.iter().map(|(word, _)| *word));
        let words = words.chain(ROOM.iter().map(|(word, _)| *word));
        let words = words.chain(DAMAGE.iter().map(|(word, _)| *word));
        let words = words.chain(PROXY.iter().map(|(word, _)| *word));
        let words = words.chain(SUBJECTS);
        for word in words.chain(Caller::ALL.iter().map(|(word, _)| *word)) {
            // Alone, or with what goes with it.
            let (alone, with) = (format!("`{word}`"), format!("`{word} "));
            assert!(readme.contains(&alone) || readme.contains(&with), "{word}");
        }
    }
}
