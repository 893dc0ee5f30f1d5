//! Everything that may go wrong, and its undoing, by name.

use tonic::Code;

use super::cast::Root;

/// A part of the agent that restarts alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// Bundle watcher.
    Bundles,
    /// Cache.
    Cache,
    /// Validation workers.
    Validation,
    /// Audit.
    Audit,
    /// Health.
    Health,
}

impl Actor {
    /// Every kind. A connection is not among them: it takes its own request with it and nothing else.
    pub const ALL: [Self; 5] = [
        Self::Bundles,
        Self::Cache,
        Self::Validation,
        Self::Audit,
        Self::Health,
    ];
}

/// One thing that happens from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SPIRE ends in order: streams end, the socket goes.
    Stop,
    /// SPIRE is killed: connections break, the socket's file stays.
    Kill,
    /// SPIRE starts (again).
    Start,
    /// Nothing is answered, nothing is closed.
    Hang,
    /// New calls are answered this much later, ms.
    Slow(u64),
    /// New calls get this status.
    Answer(Code),
    /// Open streams end with this status.
    EndStreams(Code),
    /// New calls are answered well.
    AnswerWell,
    /// The agent's registration entry is deleted.
    EntryDeleted,
    /// It is created again.
    EntryCreated,
    /// An update that is no bundles at all.
    Garbage,
    /// An update without any bundle.
    NoBundles,
    /// The partner's bundle cannot be read from now on.
    BadBundle,
    /// The bundle of our own domain is empty from now on.
    EmptyBundle,
    /// The partner is gone from the updates.
    Redacted,
    /// SPIRE says again what it should.
    SayWell,
    /// The partner's authority is another from now on.
    PartnerRotated(Root),
    /// A new authority beside the old.
    RotatedOverlapping(Root),
    /// A new authority in place of the old.
    RotatedAbruptly(Root),
    /// The socket's file is deleted.
    SocketDeleted,
    /// A regular file stands in its place.
    SocketReplaced,
    /// Nobody may connect.
    SocketForbidden,
    /// The path shows a socket that nobody listens on: a mount from before SPIRE restarted.
    SocketStale,
    /// SPIRE makes its socket anew.
    SocketWell,
    /// The wall clock is set, ms.
    WallJump(i64),
    /// The machine sleeps, ms.
    Suspend(u64),
    /// The machine starts again; so does the agent.
    Reboot,
    /// The agent is killed and started again.
    Sigkill,
    /// The agent is stopped in order and started again.
    Restart,
    /// An actor dies.
    KillActor(Actor),
    /// An actor does nothing for this long, ms.
    WedgeActor(Actor, u64),
    /// Other timings are pushed: `unavailable-after-ms`, `withdrawal-grace-ms`.
    Push(u64, u64),
    /// Nothing more fits on the disk.
    DiskFull,
    /// There is room again.
    DiskWell,
    /// The state file ends too early.
    FileTorn,
    /// A byte of the state file is another.
    FileDamaged,
    /// The state file is another program's.
    FileForeign,
    /// The state file is gone.
    FileGone,
    /// No audit record is taken by the sink.
    AuditStuck,
    /// Records are taken again.
    AuditWell,
}

/// Every status that is a failure.
pub const CODES: [Code; 16] = [
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];

impl Fault {
    /// One of each row of the coverage table, but for the statuses and the actors.
    const OTHERS: [Self; 34] = [
        Self::Stop,
        Self::Kill,
        Self::Start,
        Self::Hang,
        Self::Slow(0),
        Self::EndStreams(Code::Ok),
        Self::AnswerWell,
        Self::EntryDeleted,
        Self::EntryCreated,
        Self::Garbage,
        Self::NoBundles,
        Self::BadBundle,
        Self::EmptyBundle,
        Self::Redacted,
        Self::SayWell,
        Self::PartnerRotated(Root::P),
        Self::RotatedOverlapping(Root::A),
        Self::RotatedAbruptly(Root::A),
        Self::SocketDeleted,
        Self::SocketReplaced,
        Self::SocketForbidden,
        Self::SocketStale,
        Self::SocketWell,
        Self::WallJump(0),
        Self::Suspend(0),
        Self::Reboot,
        Self::Sigkill,
        Self::Restart,
        Self::Push(0, 0),
        Self::DiskFull,
        Self::DiskWell,
        Self::AuditStuck,
        Self::AuditWell,
        Self::FileGone,
    ];

    /// The rows of the coverage table.
    pub fn rows() -> impl Iterator<Item = &'static str> {
        let on_file = [Self::FileTorn, Self::FileDamaged, Self::FileForeign];
        let actors = Actor::ALL.into_iter();
        let all = Self::OTHERS.into_iter().chain(on_file);
        let all = all.chain(CODES.map(Self::Answer));
        let all =
            all.chain(actors.flat_map(|one| [Self::KillActor(one), Self::WedgeActor(one, 0)]));
        all.map(|fault| fault.name())
    }

    /// Its name, without what it carries: the row of the coverage table.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Start => "start",
            Self::Hang => "hang",
            Self::Slow(_) => "slow",
            Self::Answer(code) => answer_name(*code),
            Self::EndStreams(_) => "end streams",
            Self::AnswerWell => "answer well",
            Self::EntryDeleted => "entry deleted",
            Self::EntryCreated => "entry created",
            Self::Garbage => "garbage update",
            Self::NoBundles => "update without bundles",
            Self::BadBundle => "one bad bundle",
            Self::EmptyBundle => "empty bundle",
            Self::Redacted => "domain redacted",
            Self::SayWell => "say well",
            Self::PartnerRotated(_) => "partner rotated",
            Self::RotatedOverlapping(_) => "rotated, overlapping",
            Self::RotatedAbruptly(_) => "rotated, abruptly",
            Self::SocketDeleted => "socket deleted",
            Self::SocketReplaced => "socket replaced by a file",
            Self::SocketForbidden => "socket forbidden",
            Self::SocketStale => "socket stale",
            Self::SocketWell => "socket well",
            Self::WallJump(_) => "wall clock jumps",
            Self::Suspend(_) => "suspend",
            Self::Reboot => "reboot",
            Self::Sigkill => "agent killed",
            Self::Restart => "agent restarted",
            Self::KillActor(Actor::Bundles) => "kill bundles",
            Self::KillActor(Actor::Cache) => "kill cache",
            Self::KillActor(Actor::Validation) => "kill validation",
            Self::KillActor(Actor::Audit) => "kill audit",
            Self::KillActor(Actor::Health) => "kill health",
            Self::WedgeActor(Actor::Bundles, _) => "wedge bundles",
            Self::WedgeActor(Actor::Cache, _) => "wedge cache",
            Self::WedgeActor(Actor::Validation, _) => "wedge validation",
            Self::WedgeActor(Actor::Audit, _) => "wedge audit",
            Self::WedgeActor(Actor::Health, _) => "wedge health",
            Self::Push(..) => "timings pushed",
            Self::DiskFull => "disk full",
            Self::DiskWell => "disk well",
            Self::FileTorn => "file torn",
            Self::FileDamaged => "file damaged",
            Self::FileForeign => "file foreign",
            Self::FileGone => "file gone",
            Self::AuditStuck => "audit stuck",
            Self::AuditWell => "audit well",
        }
    }
}

const fn answer_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "answer ok",
        Code::Cancelled => "answer cancelled",
        Code::Unknown => "answer unknown",
        Code::InvalidArgument => "answer invalid_argument",
        Code::DeadlineExceeded => "answer deadline_exceeded",
        Code::NotFound => "answer not_found",
        Code::AlreadyExists => "answer already_exists",
        Code::PermissionDenied => "answer permission_denied",
        Code::ResourceExhausted => "answer resource_exhausted",
        Code::FailedPrecondition => "answer failed_precondition",
        Code::Aborted => "answer aborted",
        Code::OutOfRange => "answer out_of_range",
        Code::Unimplemented => "answer unimplemented",
        Code::Internal => "answer internal",
        Code::Unavailable => "answer unavailable",
        Code::DataLoss => "answer data_loss",
        Code::Unauthenticated => "answer unauthenticated",
    }
}
