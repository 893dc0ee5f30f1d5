//! The trust source's machine and material, owned above the actors that drive them.
//!
//! Readers load one immutable [`World`]; writers step the machine under a lock that is held for the
//! step alone, never across an await. So an actor that dies takes nothing with it, and a successor
//! finds things as they are.

mod absence;
mod barren;
mod faults;
mod foreign;
mod meets;
mod timeline;
mod told;
mod turn;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;
use tokio::time::Instant;
use verdict::availability::{Effect, Event, Loss, Phase, Timing, Transition};
use verdict::policy::Policy;
use verdict::time::Now;
use verdict::trust::{Coverage, Foreign, Snapshot, Undelivered, UpdateError, UpdateReport, World};

use self::absence::Absence;
pub use self::absence::{REMIND_EVERY_MS, Why};
use self::barren::Watch;
use self::faults::FaultsSeen;
pub use self::faults::{Fault, Faults};
pub use self::meets::requests as requests_meet;
pub use self::timeline::{CHANGES_MAX, Change, Timeline};
use crate::clock::Clock;
use crate::metrics::{Metrics, count};
use crate::observe::{self, Happened, Happening, Observer};

/// The world, and the only way to change it.
pub struct TrustStore {
    world: ArcSwap<World>,
    /// Guards the order of writers, and what they say.
    writer: Mutex<Absence>,
    changed: watch::Sender<()>,
    timeline: Timeline,
    clock: Clock,
    metrics: Arc<Metrics>,
    observer: Arc<dyn Observer>,
    advice: Advice,
    in_force: OnceLock<PoliciesInForce>,
    /// Of whom nobody can be verified, as it was last told.
    barren: Watch,
    /// Whether the bundles are of other trust domains than a policy names, likewise.
    foreign: foreign::Watch,
    faults: FaultsSeen,
    lines: told::Lines,
}

/// Asks for every policy in force.
pub type PoliciesInForce = Arc<dyn Fn() -> Vec<Arc<Policy>> + Send + Sync>;

/// What the log says to an operator beside what happened.
#[derive(Clone, Debug, Default)]
pub struct Advice {
    /// User id of this process, for the registration's selector.
    pub uid: u32,
    /// The Workload API's socket.
    pub socket: PathBuf,
}

impl TrustStore {
    /// The store at the start of the process.
    #[must_use]
    pub fn new(world: World, clock: Clock, metrics: Arc<Metrics>, advice: Advice) -> Self {
        let now = clock.now();
        let absence = Absence::at_start(world.state(), now);
        Self {
            timeline: Timeline::new(world.state().phase(), now),
            world: ArcSwap::from_pointee(world),
            writer: Mutex::new(absence),
            changed: watch::Sender::new(()),
            clock,
            metrics,
            observer: observe::unobserved(),
            advice,
            in_force: OnceLock::new(),
            barren: Watch::default(),
            foreign: foreign::Watch::default(),
            faults: FaultsSeen::default(),
            lines: told::Lines::default(),
        }
    }

    /// Says by which policies requests are judged, so that the log can say what they meet. The first
    /// to say it holds.
    pub fn judge_by(&self, in_force: PoliciesInForce) {
        let _ = self.in_force.set(in_force);
    }

    /// The same, told to an observer.
    #[must_use]
    pub fn observed(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// The world now: one atomic load.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<World>> {
        self.world.load()
    }

    /// Told after every change of state or material.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until the source is no longer `Starting`, and at most so long.
    pub async fn started(&self, longest: Duration) {
        let mut changed = self.subscribe();
        let started = async {
            while self.phase() == Phase::Starting {
                // This store holds the sender.
                let _ = changed.changed().await;
            }
        };
        let _ = tokio::time::timeout(longest, started).await;
    }

    /// The latest changes of availability.
    #[must_use]
    pub const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Whether the source was `Live` once in this process: each full update makes it so.
    #[must_use]
    pub fn has_lived(&self) -> bool {
        self.metrics.updates.load(Ordering::Relaxed) > 0
    }

    /// Where the machine stands at this moment, whoever last stepped it.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let world = self.load();
        world
            .state()
            .settled(world.timing(), self.clock.now())
            .phase()
    }

    /// Takes a message of the source.
    ///
    /// # Errors
    /// The message was discarded whole; the last good one stays, and contact is not renewed.
    pub fn update<'a>(
        &self,
        bundles: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<UpdateReport, UpdateError> {
        let since = Instant::now();
        let mut absence = self.write();
        let now = self.clock.now();
        // What time has withdrawn by now is gone before the update is read: it keeps nothing alive.
        self.let_pass(&mut absence, now);
        let world = self.world.load_full();
        let (snapshot, report) = world
            .snapshot()
            .updated(bundles, now)
            .inspect_err(|error| {
                count(&self.metrics.updates_discarded);
                self.faults.discarded(error, now);
                self.tell(Happening::Discarded(error), since, || {
                    self.lines.discarded(error);
                });
            })?;
        // Counted before it is told, so that who is told finds it counted.
        count(&self.metrics.updates);
        for _ in &report.unreadable {
            count(&self.metrics.bundles_unreadable);
        }
        self.faults.updated(&report, now);
        let event = Event::FullUpdate;
        self.step(&mut absence, &world, Arc::new(snapshot), event, now);
        self.tell(Happening::Updated(&report), since, || {
            self.lines.updated(&report, self.load().snapshot());
        });
        Ok(report)
    }

    /// Notes that the source was lost, or that an attempt failed.
    pub fn lost(&self, cause: Loss) {
        let error = cause.as_str().to_owned();
        let remedy = String::new();
        self.lost_for(cause, Why { error, remedy });
    }

    /// The same, with what the log is to say of it.
    pub fn lost_for(&self, cause: Loss, why: Why) {
        let mut absence = self.write();
        let now = self.clock.now();
        absence.fails(why, now);
        self.event(&mut absence, Event::Lost(cause), now);
    }

    /// Lets time pass: the transitions that nobody else brings about are made, and reported.
    pub fn tick(&self) {
        let mut absence = self.write();
        self.let_pass(&mut absence, self.clock.now());
    }

    /// Puts other deadlines in force.
    pub fn set_timing(&self, timing: Timing) {
        let mut absence = self.write();
        // What has happened under the old deadlines has happened: longer ones do not take it back.
        self.let_pass(&mut absence, self.clock.now());
        let world = self.world.load_full();
        if world.timing() != timing {
            self.publish(world.next(world.state(), timing, Arc::clone(world.snapshot())));
        }
    }

    /// What of SPIRE's updates cannot be used.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults.now()
    }

    /// Of how many trust domains at hand somebody can be verified, as last looked at: a second ago at
    /// most.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.barren.coverage()
    }

    /// Whether SPIRE's bundles are none of a policy's, as last looked at: a second ago at most.
    #[must_use]
    pub fn foreign(&self) -> Option<Foreign> {
        self.foreign.foreign()
    }

    /// Trust domains that policies in force name and SPIRE does not deliver, likewise.
    #[must_use]
    pub fn undelivered(&self) -> Option<Undelivered> {
        self.foreign.undelivered()
    }

    /// Why SPIRE is away, as it was last seen; `None` while it is not, or nothing is known.
    #[must_use]
    pub fn why(&self) -> Option<Why> {
        self.write().why().cloned()
    }

    fn let_pass(&self, absence: &mut Absence, now: Now) {
        self.event(absence, Event::Tick, now);
    }

    fn event(&self, absence: &mut Absence, event: Event, now: Now) {
        let world = self.world.load_full();
        let snapshot = Arc::clone(world.snapshot());
        self.step(absence, &world, snapshot, event, now);
    }

    fn step(
        &self,
        absence: &mut Absence,
        world: &World,
        snapshot: Arc<Snapshot>,
        event: Event,
        now: Now,
    ) {
        let (state, effects) = world.state().step(event, world.timing(), now);
        let snapshot = match effects.contains(&Effect::Withdraw) {
            true => Arc::new(snapshot.withdrawn()),
            false => snapshot,
        };
        // Noted before it is so: who sees the new state finds its cause.
        for effect in &effects {
            if let Effect::Report(transition) = effect {
                self.note(*transition, now);
            }
        }
        if state != world.state() || !Arc::ptr_eq(&snapshot, world.snapshot()) {
            self.publish(world.next(state, world.timing(), snapshot));
        }
        // Said once it is so: who reads the log may ask the next moment.
        for effect in effects {
            if let Effect::Report(transition) = effect {
                self.report(transition, absence, now);
            }
        }
        self.remind(absence, now);
        let world = self.load();
        self.barren.look(world.snapshot(), now);
        let (in_force, faults) = (|| self.policies(), || self.faults.now());
        self.foreign.look(world.snapshot(), in_force, faults, now);
    }

    fn publish(&self, world: World) {
        self.world.store(Arc::new(world));
        self.changed.send_replace(());
    }

    /// A poisoned lock guards the order of writers and what they say: the world is replaced whole.
    fn write(&self) -> MutexGuard<'_, Absence> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, transition: Transition, at: Now) {
        self.timeline.push(Change {
            at,
            from: Some(transition.from),
            to: transition.to,
            cause: cause(transition.trigger),
        });
    }

    fn report(&self, transition: Transition, absence: &mut Absence, now: Now) {
        count(&self.metrics.transitions);
        let cause = cause(transition.trigger);
        let what = Happening::Changed { transition, cause };
        self.tell(what, Instant::now(), || {
            self.log_transition(transition, cause, absence, now);
        });
        match transition.to {
            Phase::Live => absence.ends(),
            Phase::Starting | Phase::Interrupted | Phase::Outage | Phase::Withdrawn => {
                absence.said(self.change_in_ms(now), now);
            }
        }
    }

    fn tell(&self, what: Happening<'_>, since: Instant, mut tell: impl FnMut()) {
        self.observer.happened(&Happened { what, since }, &mut tell);
    }
}

const fn cause(trigger: Event) -> &'static str {
    match trigger {
        Event::FullUpdate => "full_update",
        Event::Lost(loss) => loss.as_str(),
        Event::Tick => "time",
    }
}

#[cfg(test)]
mod tests;
