//! The trust source's machine and material, owned above the actors that drive them.
//!
//! Readers load one immutable [`World`]; writers step the machine under a lock that is held for the
//! step alone, never across an await. So an actor that dies takes nothing with it, and a successor
//! finds things as they are.

mod timeline;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;
use tokio::time::Instant;
use verdict::availability::{Effect, Event, Loss, Phase, State, Timing, Transition};
use verdict::time::Now;
use verdict::trust::{Snapshot, UpdateError, UpdateReport, World};

pub use self::timeline::{CHANGES_MAX, Change, Timeline};
use crate::clock::Clock;
use crate::metrics::{Metrics, count};
use crate::observe::{self, Happened, Happening, Observer};

/// The world, and the only way to change it.
pub struct TrustStore {
    world: ArcSwap<World>,
    writer: Mutex<()>,
    changed: watch::Sender<()>,
    timeline: Timeline,
    clock: Clock,
    metrics: Arc<Metrics>,
    observer: Arc<dyn Observer>,
    advice: Advice,
}

/// What an operator must do when SPIRE refuses the agent; printed with the withdrawal.
#[derive(Clone, Debug, Default)]
pub struct Advice {
    /// User id of this process, for the registration's selector.
    pub uid: u32,
}

impl TrustStore {
    /// The store at the start of the process.
    #[must_use]
    pub fn new(world: World, clock: Clock, metrics: Arc<Metrics>, advice: Advice) -> Self {
        let timeline = Timeline::new(world.state().phase(), clock.now());
        Self {
            timeline,
            world: ArcSwap::from_pointee(world),
            writer: Mutex::new(()),
            changed: watch::Sender::new(()),
            clock,
            metrics,
            observer: observe::unobserved(),
            advice,
        }
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
        let _writing = self.write();
        let now = self.clock.now();
        // What time has withdrawn by now is gone before the update is read: it keeps nothing alive.
        self.let_pass(now);
        let world = self.world.load_full();
        let (snapshot, report) = world
            .snapshot()
            .updated(bundles, now)
            .inspect_err(|error| {
                count(&self.metrics.updates_discarded);
                self.tell(Happening::Discarded(error), since, || {
                    tracing::warn!(%error, "update discarded, the last good one stays");
                });
            })?;
        // Counted before it is told, so that who is told finds it counted.
        count(&self.metrics.updates);
        for _ in &report.unreadable {
            count(&self.metrics.bundles_unreadable);
        }
        self.step(&world, Arc::new(snapshot), Event::FullUpdate, now);
        self.tell(Happening::Updated(&report), since, || {
            report_update(&report)
        });
        Ok(report)
    }

    /// Notes that the source was lost, or that an attempt failed.
    pub fn lost(&self, cause: Loss) {
        self.event(Event::Lost(cause));
    }

    /// Lets time pass: the transitions that nobody else brings about are made, and reported.
    pub fn tick(&self) {
        self.event(Event::Tick);
    }

    /// Puts other deadlines in force.
    pub fn set_timing(&self, timing: Timing) {
        let _writing = self.write();
        // What has happened under the old deadlines has happened: longer ones do not take it back.
        self.let_pass(self.clock.now());
        let world = self.world.load_full();
        if world.timing() != timing {
            self.publish(world.next(world.state(), timing, Arc::clone(world.snapshot())));
        }
    }

    fn let_pass(&self, now: Now) {
        let world = self.world.load_full();
        self.step(&world, Arc::clone(world.snapshot()), Event::Tick, now);
    }

    fn event(&self, event: Event) {
        let _writing = self.write();
        let world = self.world.load_full();
        let snapshot = Arc::clone(world.snapshot());
        self.step(&world, snapshot, event, self.clock.now());
    }

    fn step(&self, world: &World, snapshot: Arc<Snapshot>, event: Event, now: Now) {
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
                self.report(transition, state);
            }
        }
    }

    fn publish(&self, world: World) {
        self.world.store(Arc::new(world));
        self.changed.send_replace(());
    }

    /// A poisoned lock guards nothing but the order of writers: the world itself is replaced whole.
    fn write(&self) -> MutexGuard<'_, ()> {
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

    fn report(&self, transition: Transition, state: State) {
        count(&self.metrics.transitions);
        let cause = cause(transition.trigger);
        let what = Happening::Changed { transition, cause };
        self.tell(what, Instant::now(), || {
            self.log_transition(transition, cause, state);
        });
    }

    fn tell(&self, what: Happening<'_>, since: Instant, mut tell: impl FnMut()) {
        self.observer.happened(&Happened { what, since }, &mut tell);
    }

    fn log_transition(&self, transition: Transition, cause: &str, state: State) {
        let (from, to) = (transition.from.as_str(), transition.to.as_str());
        match transition.to {
            Phase::Live => tracing::info!(from, to, cause, "trust source availability changed"),
            Phase::Starting | Phase::Interrupted | Phase::Outage => {
                tracing::warn!(from, to, cause, fault = ?state.blame(), "trust source availability changed");
            }
            Phase::Withdrawn => {
                let uid = self.advice.uid;
                tracing::error!(
                    from,
                    to,
                    cause,
                    "trust source availability changed: SPIRE refuses this agent, every request with a credential is refused"
                );
                tracing::error!(
                    "register it: spire-server entry create -spiffeID spiffe://TRUST_DOMAIN/sentinel-spiffe-agent \
                     -parentID spiffe://TRUST_DOMAIN/NODE -selector unix:uid:{uid}; or set \
                     allow_unauthenticated_verifiers = true in the SPIRE agent (then without federated bundles)"
                );
            }
        }
    }
}

fn report_update(report: &UpdateReport) {
    let domains = |list: &[verdict::id::TrustDomain]| {
        list.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    if !(report.added.is_empty() && report.changed.is_empty() && report.removed.is_empty()) {
        tracing::info!(
            added = domains(&report.added),
            changed = domains(&report.changed),
            removed = domains(&report.removed),
            "trust bundles updated"
        );
    }
    for unreadable in &report.unreadable {
        tracing::warn!(%unreadable, "bundle cannot be read, the domain keeps its last one for cache-ttl");
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
mod tests {
    use std::time::Duration;

    use verdict::availability::Found;

    use super::*;
    use crate::clock::TestClock;

    const SHORT: Timing = Timing {
        unavailable_after_ms: 1_000,
        withdrawal_grace_ms: 1_000,
    };
    const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;

    /// Between a deadline and the tick that reports it nobody has stepped the machine; a push of longer
    /// deadlines must not find it as it was before.
    #[tokio::test(start_paused = true)]
    async fn longer_deadlines_take_nothing_back() {
        let start = Now {
            wall_ms: 1_700_000_000_000,
            boot_ms: 5_000,
        };
        for (loss, expected) in [
            (Loss::Transport, Phase::Outage),
            (Loss::Refused, Phase::Withdrawn),
        ] {
            let clock = Clock::Test(TestClock::new(
                start,
                "00000000-0000-0000-0000-000000000000",
            ));
            let state = State::start(Found::Nothing, SHORT, clock.now());
            let world = World::new(state, SHORT, Snapshot::default());
            let store = TrustStore::new(world, clock, Arc::default(), Advice::default());
            store.lost(loss);
            tokio::time::advance(Duration::from_millis(1_500)).await;
            store.set_timing(Timing {
                unavailable_after_ms: YEAR_MS,
                withdrawal_grace_ms: YEAR_MS,
            });
            assert_eq!(store.phase(), expected);
        }
    }
}
