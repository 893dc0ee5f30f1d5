//! SPIRE as the agent meets it: a process, a socket, answers, and what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ::actors::bundles::plan::{PENDING_MAX, SocketFile};
use tonic::Code;
use verdict::availability::Loss;

use super::cast::{Domain, Root};
use super::fault::Fault;
use super::rng::{Purpose, Rng};

/// What an update says of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Its authorities; none is an empty bundle.
    Roots(BTreeSet<Root>),
    /// Bytes that are no certificates.
    Unreadable,
}

/// An update.
pub type Content = BTreeMap<Domain, Said>;

/// One call of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call(pub u64);

/// What reaches the agent, and when.
#[derive(Clone, Debug)]
pub enum Arrival {
    /// A message on a call.
    Message {
        /// When, ms.
        at_ms: u64,
        /// On which call.
        call: Call,
        /// What it says.
        content: Rc<Content>,
    },
    /// The end of a call.
    End {
        /// When, ms.
        at_ms: u64,
        /// Of which call.
        call: Call,
        /// How.
        ending: Ending,
    },
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There was no connection, or it broke.
    Broken,
    /// With this status on the wire; `Ok` is an end in good order.
    Status(Code),
}

impl Ending {
    /// What it counts as, by the words of the decisions ("Trust sources").
    #[must_use]
    pub const fn loss(self) -> Loss {
        match self {
            Self::Status(Code::Ok) => Loss::Ended,
            Self::Status(Code::PermissionDenied) => Loss::Refused,
            Self::Status(Code::InvalidArgument | Code::Unimplemented) => Loss::OurFault,
            Self::Status(_) | Self::Broken => Loss::Transport,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    Running,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Well,
    Never,
    After(u64),
    With(Code),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    There,
    Deleted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    Live,
    /// There is a file, and connecting to it fails.
    Dead,
    Absent,
}

/// What goes over the streams in place of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tongue {
    Truth,
    Garbage,
    Nothing,
    BadPartner,
    EmptyHome,
    NoPartner,
}

/// What is due later than this is not on the wire yet, ms.
const WIRE_MAX_MS: u64 = 24;

struct Stream {
    call: Call,
    /// Nothing overtakes on a stream.
    last_ms: u64,
}

impl Stream {
    /// When an end of now is heard: behind what is on the wire, but ahead of what a slow server has
    /// not written yet, which never comes.
    fn ends_ms(&self, now_ms: u64) -> u64 {
        let is_written = self.last_ms <= now_ms + WIRE_MAX_MS;
        let after_ms = if is_written { self.last_ms } else { 0 };
        after_ms.max(now_ms + 1)
    }
}

/// The simulated SPIRE.
pub struct Source {
    seed: u64,
    calls: u64,
    process: Process,
    answers: Answers,
    entry: Entry,
    socket: Socket,
    /// Counts the files that were at the path.
    file: u64,
    tongue: Tongue,
    home: BTreeSet<Root>,
    partner: BTreeSet<Root>,
    streams: Vec<Stream>,
    /// Calls that are answered once answers come again.
    held: Vec<Call>,
}

impl Source {
    /// Running, and saying `A` for home and `P` for the partner.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            calls: 0,
            process: Process::Running,
            answers: Answers::Well,
            entry: Entry::There,
            socket: Socket::Live,
            file: 1,
            tongue: Tongue::Truth,
            home: BTreeSet::from([Root::A]),
            partner: BTreeSet::from([Root::P]),
            streams: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Whether a call is answered with a full update at once, and the agent can make one: as long as
    /// as many as it has places for wait for answers that were promised slowly, it cannot.
    #[must_use]
    pub fn is_well(&self, now_ms: u64) -> bool {
        let owed = self.streams.iter().filter(|stream| stream.last_ms > now_ms);
        self.process == Process::Running
            && self.answers == Answers::Well
            && self.entry == Entry::There
            && self.socket == Socket::Live
            && !matches!(self.tongue, Tongue::Garbage | Tongue::Nothing)
            && owed.count() < PENDING_MAX
    }

    /// What is at the socket's path.
    #[must_use]
    pub const fn file(&self) -> SocketFile {
        match self.socket {
            Socket::Absent => SocketFile::Absent,
            Socket::Live | Socket::Dead => SocketFile::Present {
                device: 1,
                inode: self.file,
                changed: (0, 0),
            },
        }
    }

    /// What it says now.
    #[must_use]
    pub fn content(&self) -> Content {
        let home = Said::Roots(self.home.clone());
        let partner = Said::Roots(self.partner.clone());
        let pairs = match self.tongue {
            Tongue::Truth => vec![(Domain::Home, home), (Domain::Partner, partner)],
            Tongue::Garbage => vec![
                (Domain::Home, Said::Unreadable),
                (Domain::Partner, Said::Unreadable),
            ],
            Tongue::Nothing => Vec::new(),
            Tongue::BadPartner => vec![(Domain::Home, home), (Domain::Partner, Said::Unreadable)],
            Tongue::EmptyHome => vec![
                (Domain::Home, Said::Roots(BTreeSet::new())),
                (Domain::Partner, partner),
            ],
            Tongue::NoPartner => vec![(Domain::Home, home)],
        };
        pairs.into_iter().collect()
    }

    /// The agent calls.
    pub fn call(&mut self, now_ms: u64) -> (Call, Vec<Arrival>) {
        self.calls += 1;
        let (call, mut rng) = (
            Call(self.calls),
            Rng::new(self.seed, Purpose::Source(self.calls)),
        );
        let at_ms = now_ms + rng.stretch_ms(1, WIRE_MAX_MS);
        let end = |ending| {
            vec![Arrival::End {
                at_ms,
                call,
                ending,
            }]
        };
        if self.socket != Socket::Live || self.process == Process::Gone {
            return (call, end(Ending::Broken));
        }
        let arrivals = match (self.answers, self.entry) {
            (Answers::Never, _) => {
                self.held.push(call);
                Vec::new()
            }
            (Answers::With(code), _) => end(Ending::Status(code)),
            (_, Entry::Deleted) => end(Ending::Status(Code::PermissionDenied)),
            (Answers::After(ms), Entry::There) => vec![self.open(call, at_ms + ms)],
            (Answers::Well, Entry::There) => vec![self.open(call, at_ms)],
        };
        (call, arrivals)
    }

    fn open(&mut self, call: Call, at_ms: u64) -> Arrival {
        self.streams.push(Stream {
            call,
            last_ms: at_ms,
        });
        Arrival::Message {
            at_ms,
            call,
            content: Rc::new(self.content()),
        }
    }

    /// The agent gave up a call.
    pub fn dropped(&mut self, call: Call) {
        self.streams.retain(|stream| stream.call != call);
        self.held.retain(|held| *held != call);
    }

    /// What a fault does to it.
    pub fn suffer(&mut self, fault: Fault, now_ms: u64) -> Vec<Arrival> {
        match fault {
            Fault::Stop => self.end_process(Socket::Absent, Ending::Status(Code::Ok), now_ms),
            Fault::Kill => self.end_process(Socket::Dead, Ending::Broken, now_ms),
            Fault::Start => self.start(),
            Fault::Hang => self.answer(Answers::Never, now_ms),
            Fault::Slow(ms) => self.answer(Answers::After(ms), now_ms),
            Fault::Answer(Code::Ok) => self.answer(Answers::With(Code::Aborted), now_ms),
            Fault::Answer(code) => self.answer(Answers::With(code), now_ms),
            Fault::AnswerWell => self.answer(Answers::Well, now_ms),
            Fault::EndStreams(code) => self.end_streams(Ending::Status(code), now_ms),
            Fault::EntryDeleted => {
                self.entry = Entry::Deleted;
                self.end_streams(Ending::Status(Code::PermissionDenied), now_ms)
            }
            Fault::EntryCreated => {
                self.entry = Entry::There;
                Vec::new()
            }
            Fault::SocketDeleted => self.set_socket(Socket::Absent),
            Fault::SocketReplaced | Fault::SocketForbidden | Fault::SocketStale => {
                self.set_socket(Socket::Dead)
            }
            Fault::SocketWell if self.process == Process::Running => self.set_socket(Socket::Live),
            other => self.speak_of(other, now_ms),
        }
    }

    fn speak_of(&mut self, fault: Fault, now_ms: u64) -> Vec<Arrival> {
        match fault {
            Fault::Garbage => self.tongue = Tongue::Garbage,
            Fault::NoBundles => self.tongue = Tongue::Nothing,
            Fault::BadBundle => self.tongue = Tongue::BadPartner,
            Fault::EmptyBundle => self.tongue = Tongue::EmptyHome,
            Fault::Redacted => self.tongue = Tongue::NoPartner,
            Fault::SayWell => self.tongue = Tongue::Truth,
            Fault::PartnerRotated(root) => self.partner = BTreeSet::from([root]),
            Fault::RotatedOverlapping(root) => _ = self.home.insert(root),
            Fault::RotatedAbruptly(root) => self.home = BTreeSet::from([root]),
            _ => return Vec::new(),
        }
        self.publish(now_ms)
    }

    fn end_process(&mut self, socket: Socket, ending: Ending, now_ms: u64) -> Vec<Arrival> {
        self.process = Process::Gone;
        if self.socket == Socket::Live {
            self.set_socket(socket);
        }
        let held = self.held.drain(..).map(|call| Arrival::End {
            at_ms: now_ms + 1,
            call,
            ending: Ending::Broken,
        });
        let mut arrivals: Vec<_> = held.collect();
        arrivals.extend(self.end_streams(ending, now_ms));
        arrivals
    }

    fn start(&mut self) -> Vec<Arrival> {
        if self.process == Process::Gone {
            self.process = Process::Running;
            self.answers = Answers::Well;
            self.set_socket(Socket::Live);
        }
        Vec::new()
    }

    fn set_socket(&mut self, socket: Socket) -> Vec<Arrival> {
        self.socket = socket;
        self.file += 1;
        Vec::new()
    }

    fn answer(&mut self, answers: Answers, now_ms: u64) -> Vec<Arrival> {
        self.answers = answers;
        if answers == Answers::Never || self.process == Process::Gone {
            return Vec::new();
        }
        // A server that hung goes on where it stood: with who waits, and what it did not say.
        let mut arrivals = self.publish(now_ms);
        for call in std::mem::take(&mut self.held) {
            arrivals.push(match self.entry {
                Entry::There => self.open(call, now_ms + 1),
                Entry::Deleted => Arrival::End {
                    at_ms: now_ms + 1,
                    call,
                    ending: Ending::Status(Code::PermissionDenied),
                },
            });
        }
        arrivals
    }

    fn publish(&mut self, now_ms: u64) -> Vec<Arrival> {
        if self.answers == Answers::Never || self.process == Process::Gone {
            return Vec::new();
        }
        let content = Rc::new(self.content());
        let streams = self.streams.iter_mut();
        streams
            .map(|stream| {
                stream.last_ms = stream.last_ms.max(now_ms + 2);
                Arrival::Message {
                    at_ms: stream.last_ms,
                    call: stream.call,
                    content: Rc::clone(&content),
                }
            })
            .collect()
    }

    fn end_streams(&mut self, ending: Ending, now_ms: u64) -> Vec<Arrival> {
        let streams = std::mem::take(&mut self.streams).into_iter();
        streams
            .map(|stream| Arrival::End {
                at_ms: stream.ends_ms(now_ms),
                call: stream.call,
                ending,
            })
            .collect()
    }
}
