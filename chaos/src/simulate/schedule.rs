//! What a seed means: the terms of the play, and every fault at its time.
//!
//! Two phases. First anything may break, for an hour; then everything is mended, and the agent must
//! find its way back within a bound.

use tonic::Code;

use super::cast::Root;
use super::fault::{Actor, CODES, Fault};
use super::rng::{Purpose, Rng};

/// Length of the first phase, ms.
pub const BREAKING_MS: u64 = 3_600_000;
/// Length of the second, ms: longer than any way back.
pub const MENDED_MS: u64 = 120_000;
/// Requests of the first phase, beside those at the very moments when something changes.
pub const REQUESTS: u64 = 450;
/// Decisions that every play holds at least.
pub const DECISIONS_MIN: u64 = 1_000;

/// What the operator configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// `unavailable-after-ms`.
    pub unavailable_after_ms: u64,
    /// `withdrawal-grace-ms`.
    pub withdrawal_grace_ms: u64,
    /// `bundle-refresh-interval`, ms.
    pub refresh_ms: u64,
    /// `api-timeout-ms`.
    pub api_timeout_ms: u64,
}

/// A fault at its time, ms from the begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When.
    pub at_ms: u64,
    /// What.
    pub fault: Fault,
}

/// A play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Where all its chance comes from.
    pub seed: u64,
    /// The terms.
    pub times: Times,
    /// In the order of time.
    pub faults: Vec<Timed>,
}

impl Schedule {
    /// The play of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed, Purpose::Schedule);
        let times = times(&mut rng);
        let mut faults = Vec::new();
        let mut at_ms = 0;
        while at_ms < BREAKING_MS {
            at_ms += rng.stretch_ms(64, 131_072);
            scene(&mut rng, at_ms, times, &mut faults);
        }
        faults.retain(|timed| timed.at_ms < BREAKING_MS);
        faults.sort_by_key(|timed| timed.at_ms);
        Self {
            seed,
            times,
            faults,
        }
    }
}

fn times(rng: &mut Rng) -> Times {
    Times {
        unavailable_after_ms: rng.stretch_ms(1, 120_000),
        withdrawal_grace_ms: if rng.chance(10) {
            0
        } else {
            rng.stretch_ms(128, 60_000)
        },
        refresh_ms: rng.stretch_ms(1_000, 300_000),
        api_timeout_ms: rng.stretch_ms(128, 10_000),
    }
}

/// A fault with its undoing; now and then a state that is seldom met is brought about first.
fn scene(rng: &mut Rng, at_ms: u64, times: Times, faults: &mut Vec<Timed>) {
    let mut put = |at_ms, fault| faults.push(Timed { at_ms, fault });
    match rng.below(10) {
        // A start without SPIRE and without a file.
        0 => {
            put(at_ms, Fault::Stop);
            put(at_ms + 1, Fault::FileGone);
            put(at_ms + 2, Fault::Sigkill);
            let (within, back) = (times.unavailable_after_ms, rng.stretch_ms(2_048, 262_144));
            put(at_ms + back, Fault::Start);
            let later = at_ms + 1_200 + rng.below(within.min(back));
            broken(rng, later, &mut put);
        }
        // A withdrawal.
        1 => {
            put(at_ms, Fault::EntryDeleted);
            let gone = times.withdrawal_grace_ms + rng.stretch_ms(2_048, 131_072);
            let later = at_ms
                + times.withdrawal_grace_ms
                + 1_100
                + rng.below(gone - times.withdrawal_grace_ms);
            broken(rng, later, &mut put);
            put(at_ms + gone, Fault::EntryCreated);
        }
        // An outage, and something on top.
        2 => {
            let away = times.unavailable_after_ms + rng.stretch_ms(2_048, 262_144);
            put(
                at_ms,
                if rng.chance(50) {
                    Fault::Stop
                } else {
                    Fault::Kill
                },
            );
            let later = at_ms + rng.below(away);
            broken(rng, later, &mut put);
            put(at_ms + away, Fault::Start);
        }
        3 if rng.chance(75) => restarted_in_the_grace(rng, at_ms, times, &mut put),
        3 => at_the_end_of_the_grace(rng, at_ms, times, &mut put),
        _ => broken(rng, at_ms, &mut put),
    }
}

/// SPIRE says no throughout, or once and is gone; the agent is started again within every grace.
fn restarted_in_the_grace(
    rng: &mut Rng,
    at_ms: u64,
    times: Times,
    put: &mut impl FnMut(u64, Fault),
) {
    put(at_ms, Fault::EntryDeleted);
    let mut later = at_ms;
    for _ in 0..rng.between(1, 4) {
        later += 1 + rng.below(times.withdrawal_grace_ms.max(1));
        let how = [Fault::Restart, Fault::Sigkill, Fault::Reboot];
        put(later, rng.pick(&how).copied().unwrap_or(Fault::Sigkill));
    }
    let back = later + times.withdrawal_grace_ms + rng.stretch_ms(2_048, 131_072);
    if rng.chance(50) {
        put(later + 1, Fault::Stop);
        put(back, Fault::Start);
    }
    put(back + 1, Fault::EntryCreated);
}

/// What comes between the moment at which a withdrawal is due and the next look at the clock.
fn at_the_end_of_the_grace(
    rng: &mut Rng,
    at_ms: u64,
    times: Times,
    put: &mut impl FnMut(u64, Fault),
) {
    let due_ms = at_ms + times.withdrawal_grace_ms;
    put(at_ms, Fault::EntryDeleted);
    put(due_ms, Fault::WedgeActor(Actor::Health, 4_096));
    let later_ms = due_ms + rng.stretch_ms(8_192, 131_072);
    match rng.below(3) {
        0 => {
            put(at_ms + 1, Fault::BadBundle);
            put(due_ms + 1, Fault::EntryCreated);
            put(later_ms, Fault::SayWell);
        }
        // Past what the refusal takes to arrive.
        1 => {
            let longer_ms = times.withdrawal_grace_ms + 60_000;
            let push = Fault::Push(times.unavailable_after_ms, longer_ms);
            put(due_ms + rng.between(16, 64), push);
        }
        // Nobody is there at that moment; its successor finds bundles, and a refusal that is too old.
        _ => put(
            due_ms.saturating_sub(rng.below(1_000)).max(at_ms + 1),
            Fault::Sigkill,
        ),
    }
    put(later_ms, Fault::EntryCreated);
}

/// One fault, and its undoing if it has one.
fn broken(rng: &mut Rng, at_ms: u64, put: &mut impl FnMut(u64, Fault)) {
    let (fault, undoing) = any(rng);
    put(at_ms, fault);
    if let Some(undoing) = undoing {
        put(at_ms + rng.stretch_ms(16, 131_072), undoing);
    }
    if matches!(fault, Fault::Kill) && rng.chance(20) {
        flap(rng, at_ms, put);
    }
}

fn flap(rng: &mut Rng, mut at_ms: u64, put: &mut impl FnMut(u64, Fault)) {
    for _ in 0..rng.between(2, 10) {
        at_ms += rng.stretch_ms(8, 4_096);
        put(at_ms, Fault::Start);
        at_ms += rng.stretch_ms(8, 4_096);
        put(at_ms, Fault::Kill);
    }
}

/// How many kinds [`any`] draws from.
const KINDS: u64 = 36;

fn any(rng: &mut Rng) -> (Fault, Option<Fault>) {
    let home = [Root::A, Root::B, Root::C];
    let root = |rng: &mut Rng| rng.pick(&home).copied().unwrap_or(Root::A);
    let actor = |rng: &mut Rng| rng.pick(&Actor::ALL).copied().unwrap_or(Actor::Bundles);
    match rng.below(KINDS) {
        0 => (Fault::Stop, Some(Fault::Start)),
        1 | 2 => (Fault::Kill, Some(Fault::Start)),
        3 => (Fault::Hang, Some(Fault::AnswerWell)),
        4 => (
            Fault::Slow(rng.stretch_ms(16, 40_000)),
            Some(Fault::AnswerWell),
        ),
        5 | 6 => (Fault::Answer(code(rng)), Some(Fault::AnswerWell)),
        7 => (Fault::EndStreams(ending(rng)), None),
        8 => (Fault::EntryDeleted, Some(Fault::EntryCreated)),
        9 => (Fault::Garbage, Some(Fault::SayWell)),
        10 => (Fault::NoBundles, Some(Fault::SayWell)),
        11 | 12 => (Fault::BadBundle, Some(Fault::SayWell)),
        13 => (Fault::EmptyBundle, Some(Fault::SayWell)),
        14 => (Fault::Redacted, Some(Fault::SayWell)),
        15 => (
            Fault::PartnerRotated(if rng.chance(50) { Root::P } else { Root::Q }),
            None,
        ),
        16 => (Fault::RotatedOverlapping(root(rng)), None),
        17 => (Fault::RotatedAbruptly(root(rng)), None),
        18 => (Fault::SocketDeleted, Some(Fault::SocketWell)),
        19 => (Fault::SocketReplaced, Some(Fault::SocketWell)),
        20 => (Fault::SocketForbidden, Some(Fault::SocketWell)),
        21 => (Fault::SocketStale, Some(Fault::SocketWell)),
        22 => (jump(rng), None),
        23 => (Fault::Suspend(rng.stretch_ms(512, 600_000)), None),
        24 => (Fault::Reboot, None),
        25 => (Fault::Sigkill, None),
        26 => (Fault::Restart, None),
        27 | 28 => (Fault::KillActor(actor(rng)), None),
        29 | 30 => (
            Fault::WedgeActor(actor(rng), rng.stretch_ms(64, 30_000)),
            None,
        ),
        31 => (
            Fault::Push(rng.stretch_ms(1, 120_000), rng.stretch_ms(1, 60_000)),
            None,
        ),
        32 => (Fault::DiskFull, Some(Fault::DiskWell)),
        33 => (on_file(rng), None),
        34 => (on_file(rng), Some(Fault::Sigkill)),
        _ => (Fault::AuditStuck, Some(Fault::AuditWell)),
    }
}

/// Every status but `Ok`; the one that means most comes more often.
fn code(rng: &mut Rng) -> Code {
    if rng.chance(25) {
        return Code::PermissionDenied;
    }
    rng.pick(&CODES).copied().unwrap_or(Code::Unavailable)
}

fn ending(rng: &mut Rng) -> Code {
    if rng.chance(20) { Code::Ok } else { code(rng) }
}

fn on_file(rng: &mut Rng) -> Fault {
    let faults = [
        Fault::FileTorn,
        Fault::FileDamaged,
        Fault::FileForeign,
        Fault::FileGone,
    ];
    rng.pick(&faults).copied().unwrap_or(Fault::FileGone)
}

/// Forward or back, by less or by far more than is tolerated of a contact in the future.
fn jump(rng: &mut Rng) -> Fault {
    let ms = i64::try_from(rng.stretch_ms(1_024, 8_388_608)).unwrap_or(i64::MAX);
    Fault::WallJump(if rng.chance(50) { ms } else { -ms })
}
