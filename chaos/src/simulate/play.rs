//! One play: the agent, its world and its faults on one virtual clock, watched by the oracles.

mod faults;
mod processes;
mod requests;
mod watching;

use std::rc::Rc;

use verdict::availability::{Blame, Phase};
use verdict::time::Now;

use super::actors::Actors;
use super::agent::{Agent, Watcher};
use super::cast::{Cast, begin_s};
use super::coverage::Coverage;
use super::disk::Disk;
use super::fault::Actor;
use super::ledger::Ledger;
use super::log::Log;
use super::machine::Machine;
use super::oracles::{
    Audited, Confirmed, FindsBack, Looks, Rests, Sight, Took, Violation, Way, extended,
};
use super::queue::Queue;
use super::rng::{Purpose, Rng};
use super::schedule::{BREAKING_MS, MENDED_MS, REQUESTS, Schedule};
use super::source::{Call, Content, Ending, Source};

/// How often a watcher looks around, ms; the product's own.
const LOOK_MS: u64 = 250;
/// How often health lets time pass while the source is away, ms; the product's own.
const TICK_MS: u64 = 100;
/// How often the audit sink takes what waits, ms.
const DRAIN_MS: u64 = 1_000;
/// What a service manager waits before it starts the agent again, ms.
const RESTART_MS: u64 = 1_000;
/// Moments around a deadline at which somebody asks, ms.
const AROUND_MS: [i64; 4] = [-1, 0, 1, 40];
/// Most requests at such moments: the rest of a play that never rests.
const PROBES_MAX: u64 = 900;
/// Requests after mending.
const REQUESTS_MENDED: u64 = 60;

/// What is to happen. What belongs to a process carries its number: a successor must not meet it.
enum Moment {
    Fault(usize),
    Mended,
    Ask(u64),
    /// A service manager starts the agent.
    Start,
    Process(u64, Step),
}

/// A step of one process.
enum Step {
    /// The watcher's alarm, by its number.
    Wake(u64),
    Look(u64),
    Tick,
    Message(Call, Rc<Content>),
    End(Call, Ending),
    Write,
    Drain,
    /// An actor is back.
    Back(Actor),
}

/// What a play came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Decisions made.
    pub decisions: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Starts of the agent within the grace of a refusal that an earlier process heard.
    pub resumed: u64,
    /// How long each way back took.
    pub took: Vec<Took>,
    /// Which fault met which state.
    pub coverage: Coverage,
    /// The promise that was broken, if one was, and when, ms.
    pub violation: Option<(u64, Violation)>,
    /// Everything that happened, if it was asked for.
    pub log: Log,
}

/// A play under way.
pub struct Play<'a> {
    cast: &'a Cast,
    schedule: &'a Schedule,
    queue: Queue<Moment>,
    at_ms: u64,
    machine: Machine,
    source: Source,
    disk: Disk,
    ledger: Ledger,
    agent: Option<Agent>,
    process: u64,
    actors: Actors,
    watcher: Option<Watcher>,
    watchers: u64,
    alarms: u64,
    steps: u64,
    asked: u64,
    audited: Audited,
    finds_back: FindsBack,
    confirmed: Confirmed,
    looks: Looks,
    rests: Rests,
    outcome: Outcome,
}

/// Plays a schedule to its end, or to the first promise that is broken.
#[must_use]
pub fn play(cast: &Cast, schedule: &Schedule, log: Log) -> Outcome {
    let mut play = Play::new(cast, schedule, log);
    if let Err(violation) = play.run() {
        let at_ms = play.at_ms;
        play.note(|| format!("BROKEN {}: {}", violation.oracle, violation.what));
        play.outcome.violation = Some((at_ms, violation));
    }
    play.outcome
}

impl<'a> Play<'a> {
    fn new(cast: &'a Cast, schedule: &'a Schedule, log: Log) -> Self {
        let mut queue = Queue::default();
        queue.put(0, Moment::Start);
        for (at, timed) in schedule.faults.iter().enumerate() {
            queue.put(timed.at_ms, Moment::Fault(at));
        }
        queue.put(BREAKING_MS, Moment::Mended);
        let mut rng = Rng::new(schedule.seed, Purpose::Requests);
        for number in 0..REQUESTS {
            queue.put(rng.below(BREAKING_MS), Moment::Ask(number));
        }
        for number in 0..REQUESTS_MENDED {
            queue.put(
                BREAKING_MS + rng.below(MENDED_MS),
                Moment::Ask(REQUESTS + number),
            );
        }
        Self {
            cast,
            schedule,
            queue,
            at_ms: 0,
            machine: Machine::default(),
            source: Source::new(schedule.seed),
            disk: Disk::new(schedule.seed),
            ledger: Ledger::new(schedule.times),
            agent: None,
            process: 0,
            actors: Actors::default(),
            watcher: None,
            watchers: 0,
            alarms: 0,
            steps: 0,
            asked: 0,
            audited: Audited::default(),
            finds_back: FindsBack::default(),
            confirmed: Confirmed::default(),
            looks: Looks::default(),
            rests: Rests::default(),
            outcome: Outcome {
                log,
                ..Outcome::default()
            },
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        while let Some((at_ms, moment)) = self.queue.take() {
            if at_ms > BREAKING_MS + MENDED_MS {
                break;
            }
            self.rests.see(at_ms)?;
            self.meet(at_ms, moment)?;
        }
        self.has_converged()
    }

    /// The second phase is longer than any way back.
    fn has_converged(&self) -> Result<(), Violation> {
        let phase = self.phase_name();
        if phase == Phase::Live.as_str() {
            return Ok(());
        }
        Err(Violation::new(
            "finds_back",
            format!("{phase} at the end, {MENDED_MS} ms after everything was mended"),
        ))
    }

    fn now(&self) -> Now {
        self.machine.now(self.at_ms, begin_s() * 1_000)
    }

    fn mono_ms(&self) -> u64 {
        self.machine.monotonic_ms(self.at_ms)
    }

    fn random(&mut self) -> u64 {
        self.steps += 1;
        Rng::new(self.schedule.seed, Purpose::Agent(self.steps)).next()
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        self.outcome.log.line(self.at_ms, text);
    }

    fn meet(&mut self, at_ms: u64, moment: Moment) -> Result<(), Violation> {
        // A machine that sleeps runs nothing of ours; SPIRE may be on another.
        let ours = !matches!(moment, Moment::Fault(_) | Moment::Mended);
        let awake_ms = self.machine.awake_at_ms();
        if ours && at_ms < awake_ms {
            self.queue.put(awake_ms, moment);
            return Ok(());
        }
        self.at_ms = at_ms;
        if let Some(agent) = &self.agent {
            agent.tell(self.now(), self.machine.suspended_ms());
        }
        match moment {
            Moment::Fault(at) => self.suffer(at)?,
            Moment::Mended => self.mend()?,
            Moment::Ask(number) => self.ask(number)?,
            Moment::Start => self.start(),
            Moment::Process(process, step) if process == self.process => self.step(step)?,
            Moment::Process(..) => {}
        }
        self.follow_changes();
        self.look_at_promises()
    }

    /// What is always so, at every moment.
    fn look_at_promises(&mut self) -> Result<(), Violation> {
        let (now, way, times) = (self.now(), self.way(), self.schedule.times);
        if let Some(agent) = &self.agent {
            extended(agent.contact(), &self.ledger, now)?;
        }
        let phase = self.ledger.phase(now);
        self.confirmed.see(way, phase, times, self.at_ms)?;
        self.looks.see(way, self.sight(), self.at_ms)?;
        let blame = if self.ledger.is_our_fault() {
            Blame::Ours
        } else {
            Blame::Theirs
        };
        let took = self
            .finds_back
            .see(way, (phase, blame), times, self.at_ms)?;
        self.outcome.took.extend(took);
        Ok(())
    }

    fn way(&self) -> Way {
        let listens = self.agent.is_some()
            && self.actors.is_up(Actor::Bundles, self.at_ms)
            && self.at_ms >= self.machine.awake_at_ms();
        match (listens, self.source.is_well(self.at_ms)) {
            (false, false) => Way::Neither,
            (false, true) => Way::NoAgent,
            (true, false) => Way::NoSource,
            (true, true) => Way::Clear,
        }
    }

    fn sight(&self) -> Sight {
        Sight {
            file: self.source.file(),
            suspended_ms: self.machine.suspended_ms(),
        }
    }

    fn phase_name(&self) -> &'static str {
        match &self.agent {
            Some(_) => self.ledger.phase(self.now()).as_str(),
            None => "down",
        }
    }
}

impl Step {
    const fn actor(&self) -> Actor {
        match self {
            Self::Wake(_) | Self::Look(_) | Self::Message(..) | Self::End(..) => Actor::Bundles,
            Self::Tick => Actor::Health,
            Self::Write => Actor::Cache,
            Self::Drain => Actor::Audit,
            Self::Back(actor) => *actor,
        }
    }
}
