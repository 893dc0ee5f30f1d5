//! The availability of a trust source: one machine per source, and what may be concluded from it.
//!
//! ```text
//!             full update                    lost                      unavailable-after
//! Starting ────────────────► Live ─────────────────► Interrupted ─────────────────► Outage
//!    │                        ▲                           │                            │
//!    │ unavailable-after,     └──────── full update ──────┴────────────────────────────┤
//!    └─ or first failure with older disk material ────────────────────────────────────►┘
//!
//! any of them but Live ── withdrawal-grace after the first refusal, no full update ──► Withdrawn
//! Withdrawn ── full update ──► Live
//! ```
//!
//! Deadlines are data. [`State::settled`] says where a state has come by now, and every reader asks
//! it: with the health actor dead, nobody ticks, and `Interrupted` still ends.

mod found;
mod retry;
mod stance;

pub use self::found::{Earlier, Found};
pub use self::retry::{
    RETRY_MAX_LOCAL_MS, RETRY_MAX_REMOTE_MS, RETRY_MIN_MS, RETRY_OUR_FAULT_MS, retry_wait_ms,
};
pub(crate) use self::stance::in_outage;
pub use self::stance::{Stance, stance};
use crate::time::{Age, Now};

/// The two deadlines of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Absence shorter than this is an interruption, milliseconds.
    pub unavailable_after_ms: u64,
    /// A refusal stands this long before it counts, milliseconds.
    pub withdrawal_grace_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            unavailable_after_ms: 60_000,
            withdrawal_grace_ms: 30_000,
        }
    }
}

/// The state of one trust source. Times are boot-time milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No full update yet in this process, and no fresh disk material.
    Starting {
        /// When the process began to try.
        since_ms: i64,
        /// What lies on disk.
        shelf: Shelf,
        /// What went wrong so far.
        trouble: Trouble,
    },
    /// A stream is open and has delivered a full update.
    Live {
        /// Since when.
        since_ms: i64,
    },
    /// The source was lost less than `unavailable-after-ms` ago.
    Interrupted {
        /// When it was lost.
        since_ms: i64,
        /// What went wrong.
        trouble: Trouble,
    },
    /// The source is away.
    Outage {
        /// When it became an outage.
        since_ms: i64,
        /// What went wrong.
        trouble: Trouble,
    },
    /// SPIRE itself refused us, and meant it.
    Withdrawn {
        /// When the grace was over.
        since_ms: i64,
        /// Whether we are calling it wrongly.
        blame: Blame,
    },
}

/// Material on disk at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shelf {
    /// None, or unusable.
    Empty,
    /// Older than `unavailable-after-ms`.
    Older,
}

/// What is known about an absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trouble {
    /// Whether SPIRE refused us since the last full update.
    pub refusal: Refusal,
    /// Whose fault it is.
    pub blame: Blame,
}

/// Whether `grpc-status: 7` was received since the last full update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Not once.
    Never,
    /// First at this boot-time millisecond, whatever errors came after.
    Since(i64),
}

/// Whose fault an absence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The source's.
    Theirs,
    /// `InvalidArgument` or `Unimplemented` was answered: the fault mark. `fail_open` acts as
    /// `fail_closed` while it stands, since waiting cures nothing.
    Ours,
}

impl Trouble {
    /// Nothing yet.
    pub const NONE: Self = Self {
        refusal: Refusal::Never,
        blame: Blame::Theirs,
    };

    const fn with(self, cause: Loss, now_ms: i64) -> Self {
        Self {
            refusal: match (self.refusal, cause) {
                (Refusal::Never, Loss::Refused) => Refusal::Since(now_ms),
                (earlier, _) => earlier,
            },
            blame: self.blame.with(cause),
        }
    }
}

impl Blame {
    const fn with(self, cause: Loss) -> Self {
        match cause {
            Loss::OurFault => Self::Ours,
            Loss::Refused | Loss::Ended | Loss::Transport | Loss::TimedOut | Loss::Unreadable => {
                self
            }
        }
    }
}

/// How a source was lost, or an attempt to reach it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// The stream ended in good order.
    Ended,
    /// `Unavailable`, any other status, or an error of the transport.
    Transport,
    /// No answer within `api-timeout-ms`.
    TimedOut,
    /// The first message of an attempt was no full update.
    Unreadable,
    /// `grpc-status: 7` came over the wire.
    Refused,
    /// `InvalidArgument` or `Unimplemented`: we call it wrongly.
    OurFault,
}

impl Loss {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Ended,
        Self::Transport,
        Self::TimedOut,
        Self::Unreadable,
        Self::Refused,
        Self::OurFault,
    ];

    /// The label in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "stream_ended",
            Self::Transport => "transport",
            Self::TimedOut => "timed_out",
            Self::Unreadable => "unreadable_update",
            Self::Refused => "permission_denied",
            Self::OurFault => "our_fault",
        }
    }
}

/// What happens to a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A full update was received on an open stream.
    FullUpdate,
    /// The stream was lost or an attempt failed.
    Lost(Loss),
    /// Time went by.
    Tick,
}

/// The name of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// [`State::Starting`].
    Starting,
    /// [`State::Live`].
    Live,
    /// [`State::Interrupted`].
    Interrupted,
    /// [`State::Outage`].
    Outage,
    /// [`State::Withdrawn`].
    Withdrawn,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 5] = [
        Self::Starting,
        Self::Live,
        Self::Interrupted,
        Self::Outage,
        Self::Withdrawn,
    ];

    /// The name used everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Live => "Live",
            Self::Interrupted => "Interrupted",
            Self::Outage => "Outage",
            Self::Withdrawn => "Withdrawn",
        }
    }
}

/// What a step asks its actor to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Log, count, trace and show this, once.
    Report(Transition),
    /// Forget all material, in memory and on disk, and leave a tombstone.
    Withdraw,
}

/// A change of phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: Phase,
    /// After.
    pub to: Phase,
    /// What brought it about.
    pub trigger: Event,
}

impl State {
    /// The state of a source when the process starts, and no earlier one was refused.
    #[must_use]
    pub fn start(found: Found, timing: Timing, now: Now) -> Self {
        Self::resume(found, Earlier::Nothing, timing, now)
    }

    /// The state of a source when the process starts: a restart does not begin the grace anew.
    #[must_use]
    pub fn resume(found: Found, earlier: Earlier, timing: Timing, now: Now) -> Self {
        let since_ms = now.boot_ms;
        let trouble = Trouble {
            refusal: earlier.refusal(timing, now),
            ..Trouble::NONE
        };
        if let Some(withdrawn) = trouble.withdrawn(timing, now) {
            return withdrawn;
        }
        let starting = |shelf| Self::Starting {
            since_ms,
            shelf,
            trouble,
        };
        match found {
            Found::Tombstone => Self::Withdrawn {
                since_ms,
                blame: Blame::Theirs,
            },
            Found::Nothing => starting(Shelf::Empty),
            Found::Material(contact) => match contact.age(now) {
                Age::InTheFuture => starting(Shelf::Empty),
                Age::Ms(age_ms) if age_ms < timing.unavailable_after_ms => Self::Interrupted {
                    since_ms: since_ms.saturating_sub_unsigned(age_ms),
                    trouble,
                },
                Age::Ms(_) => starting(Shelf::Older),
            },
        }
    }

    /// The name of the state.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Starting { .. } => Phase::Starting,
            Self::Live { .. } => Phase::Live,
            Self::Interrupted { .. } => Phase::Interrupted,
            Self::Outage { .. } => Phase::Outage,
            Self::Withdrawn { .. } => Phase::Withdrawn,
        }
    }

    /// Since when it has been so, boot-time milliseconds.
    #[must_use]
    pub const fn since_ms(&self) -> i64 {
        match self {
            Self::Starting { since_ms, .. }
            | Self::Live { since_ms }
            | Self::Interrupted { since_ms, .. }
            | Self::Outage { since_ms, .. }
            | Self::Withdrawn { since_ms, .. } => *since_ms,
        }
    }

    /// Whose fault the absence is; `Theirs` while there is none.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Live { .. } => Blame::Theirs,
            Self::Starting { trouble, .. }
            | Self::Interrupted { trouble, .. }
            | Self::Outage { trouble, .. } => trouble.blame,
            Self::Withdrawn { blame, .. } => *blame,
        }
    }

    /// Since when SPIRE says no; a withdrawal says it without.
    #[must_use]
    pub const fn refusal(&self) -> Refusal {
        match self {
            Self::Live { .. } | Self::Withdrawn { .. } => Refusal::Never,
            Self::Starting { trouble, .. }
            | Self::Interrupted { trouble, .. }
            | Self::Outage { trouble, .. } => trouble.refusal,
        }
    }

    /// Where this state has come by now, through the passing of time alone.
    #[must_use]
    pub const fn settled(self, timing: Timing, now: Now) -> Self {
        match self {
            Self::Live { .. } | Self::Withdrawn { .. } => self,
            Self::Starting {
                since_ms, trouble, ..
            }
            | Self::Interrupted { since_ms, trouble } => match trouble.withdrawn(timing, now) {
                Some(withdrawn) => withdrawn,
                None if elapsed(since_ms, timing.unavailable_after_ms, now) => Self::Outage {
                    since_ms: since_ms.saturating_add_unsigned(timing.unavailable_after_ms),
                    trouble,
                },
                None => self,
            },
            Self::Outage { trouble, .. } => match trouble.withdrawn(timing, now) {
                Some(withdrawn) => withdrawn,
                None => self,
            },
        }
    }

    /// Takes one event; the effects are for the actor to carry out.
    ///
    /// What time has brought about unnoticed is reported first, as time's doing. Only a state that
    /// ends `Withdrawn` asks to forget: an actor lets time pass ([`Event::Tick`]) before it takes
    /// the material of a full update, so that nothing withdrawn meanwhile is kept.
    #[must_use]
    pub fn step(self, event: Event, timing: Timing, now: Now) -> (Self, Vec<Effect>) {
        let waited = self.settled(timing, now);
        let next = waited.after(event, now).settled(timing, now);
        let by_time = Transition::between(self, waited, Event::Tick);
        let by_event = Transition::between(waited, next, event);
        let reports = by_time.into_iter().chain(by_event).map(Effect::Report);
        let withdrawn = self.phase() != Phase::Withdrawn && next.phase() == Phase::Withdrawn;
        let withdraw = withdrawn.then_some(Effect::Withdraw);
        (next, reports.chain(withdraw).collect())
    }

    const fn after(self, event: Event, now: Now) -> Self {
        let since_ms = now.boot_ms;
        match (self, event) {
            (_, Event::Tick) | (Self::Live { .. }, Event::FullUpdate) => self,
            (
                Self::Starting { .. }
                | Self::Interrupted { .. }
                | Self::Outage { .. }
                | Self::Withdrawn { .. },
                Event::FullUpdate,
            ) => Self::Live { since_ms },
            (Self::Live { .. }, Event::Lost(cause)) => Self::Interrupted {
                since_ms,
                trouble: Trouble::NONE.with(cause, since_ms),
            },
            (
                Self::Starting {
                    shelf: Shelf::Older,
                    trouble,
                    ..
                },
                Event::Lost(cause),
            ) => Self::Outage {
                since_ms,
                trouble: trouble.with(cause, since_ms),
            },
            (
                Self::Starting {
                    since_ms: began_ms,
                    shelf: Shelf::Empty,
                    trouble,
                },
                Event::Lost(cause),
            ) => Self::Starting {
                since_ms: began_ms,
                shelf: Shelf::Empty,
                trouble: trouble.with(cause, since_ms),
            },
            (
                Self::Interrupted {
                    since_ms: lost_ms,
                    trouble,
                },
                Event::Lost(cause),
            ) => Self::Interrupted {
                since_ms: lost_ms,
                trouble: trouble.with(cause, since_ms),
            },
            (
                Self::Outage {
                    since_ms: away_ms,
                    trouble,
                },
                Event::Lost(cause),
            ) => Self::Outage {
                since_ms: away_ms,
                trouble: trouble.with(cause, since_ms),
            },
            (
                Self::Withdrawn {
                    since_ms: gone_ms,
                    blame,
                },
                Event::Lost(cause),
            ) => Self::Withdrawn {
                since_ms: gone_ms,
                blame: blame.with(cause),
            },
        }
    }
}

impl Transition {
    fn between(from: State, to: State, trigger: Event) -> Option<Self> {
        let (from, to) = (from.phase(), to.phase());
        (from != to).then_some(Self { from, to, trigger })
    }
}

impl Trouble {
    const fn withdrawn(self, timing: Timing, now: Now) -> Option<State> {
        match self.refusal {
            Refusal::Since(first_ms) if elapsed(first_ms, timing.withdrawal_grace_ms, now) => {
                Some(State::Withdrawn {
                    since_ms: first_ms.saturating_add_unsigned(timing.withdrawal_grace_ms),
                    blame: self.blame,
                })
            }
            Refusal::Since(_) | Refusal::Never => None,
        }
    }
}

const fn elapsed(since_ms: i64, limit_ms: u64, now: Now) -> bool {
    now.boot_ms >= since_ms.saturating_add_unsigned(limit_ms)
}

#[cfg(test)]
mod tests;
