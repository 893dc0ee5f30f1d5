//! The agent under test: the parts that decide are the product's own, called as its actors call them.
//!
//! What is written anew here is only the shell: mailboxes and timers, which are a queue of moments in
//! a simulation, and the file system, which is a few bytes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ::actors::audit::{self, AuditQueue, AuditRecords, Corrects, Grounds, OnFull};
use ::actors::bundles::loss::{End, loss_of};
use ::actors::bundles::plan::{Action, AttemptId, Event, Pace, Plan, Reading, Sighting};
use ::actors::cache::{Image, image, load_image};
use ::actors::clock::{Clock, ToldClock};
use ::actors::memory::{Bounds, KeyRef, Memory};
use ::actors::metrics::{Answer, Metrics};
use ::actors::supervision::{Restart, RestartBudget, Ruling};
use ::actors::trust::{Advice, TrustStore};
use ::actors::validation::examine;
use tonic::{Code, Status};
use verdict::availability::{Blame, Loss, Timing};
use verdict::decide::{Intake, decide, refuse};
use verdict::evidence::{Check, Evidence, Fault as EvidenceFault};
use verdict::reason::Reason;
use verdict::time::{Contact, Now};

use super::cast::{Caller, Cast, Terms};
use super::fault::Actor;
use super::schedule::Times;
use super::source::{Call, Content, Ending};

/// The socket that the state file is bound to.
pub(super) const SOCKET: &str = "/run/spire/sockets/agent.sock";

/// Records that wait for the sink.
const AUDIT_QUEUE: usize = 64;

/// How long a failure is remembered, ms.
const FAILURE_MS: u64 = 1_000;

/// One process.
pub struct Agent {
    told: ToldClock,
    clock: Clock,
    trust: TrustStore,
    memory: Memory,
    audit: AuditQueue,
    records: Mutex<AuditRecords>,
    metrics: Arc<Metrics>,
    budgets: BTreeMap<Actor, RestartBudget>,
    changes: tokio::sync::watch::Receiver<()>,
}

/// A living bundle watcher.
pub struct Watcher {
    plan: Plan,
    calls: BTreeMap<AttemptId, Call>,
    /// Monotonic ms at its start.
    started_ms: u64,
}

/// What the watcher wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Make a call for this attempt.
    Call(AttemptId),
    /// Give this call up.
    Drop(Call),
    /// It reported this.
    Reported(Loss),
}

impl Agent {
    /// A start: reads the state file, as `main` does.
    #[must_use]
    pub fn start(times: Times, disk: &Image, boot: u64, now: Now) -> Self {
        let told = ToldClock::new(now, &format!("{boot:036}"));
        let clock = Clock::Told(told.clone());
        let timing = timing(times.unavailable_after_ms, times.withdrawal_grace_ms);
        let loaded = load_image(disk, Path::new(SOCKET), &clock);
        let metrics = Arc::<Metrics>::default();
        let world = loaded.world(timing, now);
        let trust = TrustStore::new(
            world,
            clock.clone(),
            Arc::clone(&metrics),
            Advice::default(),
        );
        let (audit, records) = AuditQueue::new(AUDIT_QUEUE, OnFull::Drop, Arc::clone(&metrics));
        let records = Mutex::new(records);
        let budgets = Actor::ALL.map(|actor| (actor, RestartBudget::new(Restart::STANDARD)));
        let mut changes = trust.subscribe();
        changes.mark_changed();
        let bounds = Bounds {
            identities_bytes: 1 << 20,
            failures: 256,
            failure_ms: FAILURE_MS,
        };
        Self {
            told,
            clock,
            trust,
            memory: Memory::new(bounds),
            audit,
            records,
            metrics,
            budgets: budgets.into_iter().collect(),
            changes,
        }
    }

    /// What its clocks read from now on.
    pub fn tell(&self, now: Now, suspended_ms: u64) {
        self.told
            .tell(now, i64::try_from(suspended_ms).unwrap_or(i64::MAX));
    }

    /// The trust store.
    #[must_use]
    pub const fn trust(&self) -> &TrustStore {
        &self.trust
    }

    /// The contact it judges ages by.
    #[must_use]
    pub fn contact(&self) -> Option<Contact> {
        self.trust.load().snapshot().contact()
    }

    /// Records lost because the queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.metrics
            .audit_dropped
            .load(std::sync::atomic::Ordering::Relaxed)
    }

    /// An actor died at this monotonic moment: when it is back, or that its budget is used up.
    pub fn died(&mut self, actor: Actor, at_ms: u64) -> Ruling {
        self.budgets
            .get_mut(&actor)
            .map_or(Ruling::GiveUp, |budget| budget.on_failure(at_ms))
    }

    /// Whether the world changed since this was last asked.
    pub fn has_changed(&mut self) -> bool {
        let changed = self.changes.has_changed().unwrap_or(false);
        self.changes.mark_unchanged();
        changed
    }

    /// What the disk must say that says `before`; none if it stays as it is.
    #[must_use]
    pub fn image(&self, before: &Image) -> Option<Image> {
        image(&self.trust, &self.clock, Path::new(SOCKET), before)
    }

    /// Other deadlines are pushed.
    pub fn push(&self, unavailable_after_ms: u64, withdrawal_grace_ms: u64) {
        self.trust
            .set_timing(timing(unavailable_after_ms, withdrawal_grace_ms));
    }

    /// The sink takes what waits: the correlation ids, in order.
    pub fn drain(&self) -> Vec<u64> {
        let Ok(mut records) = self.records.try_lock() else {
            return Vec::new();
        };
        let mut ids = Vec::new();
        while let Some(line) = records.try_take() {
            let record: serde_json::Value = serde_json::from_slice(&line).unwrap_or_default();
            let id = record
                .get("correlation_id")
                .and_then(|id| id.as_str()?.parse().ok());
            ids.push(id.unwrap_or(u64::MAX));
        }
        ids
    }

    /// A request; `validation` says whether new credentials can be judged at all.
    pub fn ask(
        &self,
        number: u64,
        caller: &Caller,
        terms: &Terms,
        validation: Validation,
    ) -> Answer {
        let now = self.clock.now();
        let policy = &terms.policy;
        let world = Arc::clone(&self.trust.load());
        let failure = policy.policy.failure();
        let basis = world.basis(failure, now);
        let evidence = match policy.header.find(caller.lines()) {
            Err(error) => {
                let fault = EvidenceFault::new(Check::Parse, Reason::Malformed, &error);
                Some(Evidence::faulty(fault, &world))
            }
            Ok(None) => Some(Evidence::absent(&world)),
            Ok(Some(raw)) => {
                let key = KeyRef::new(policy.reading, &raw);
                let recalled = self.memory.recall(key, &world, &basis, failure, now);
                recalled.or_else(|| match validation {
                    Validation::Down => None,
                    Validation::Up => {
                        let evidence = examine(&policy.header, &raw, &world, &basis, failure, now);
                        self.memory.keep(key, &evidence, now);
                        Some(evidence)
                    }
                })
            }
        };
        let (decision, grounds) = match &evidence {
            Some(evidence) => {
                let grounds = Grounds {
                    evidence,
                    basis: &basis,
                };
                (decide(evidence, &basis, &policy.policy), Some(grounds))
            }
            None => (refuse(Intake::Overloaded, &"no worker in time"), None),
        };
        let id = number.to_string();
        let request = audit::Request {
            id: None,
            correlation_id: &id,
            trace_id: None,
            client_ip: None,
            proxy: "simulated",
            door: "simulated",
        };
        if let Some(line) = audit::render(
            &decision,
            grounds,
            Some(policy),
            request,
            now,
            Corrects::Nothing,
        ) {
            self.audit.put(line);
        }
        Answer::of(&decision)
    }
}

/// Whether credentials that are not remembered can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// They can.
    Up,
    /// The workers are dead or stuck.
    Down,
}

const fn timing(unavailable_after_ms: u64, withdrawal_grace_ms: u64) -> Timing {
    Timing {
        unavailable_after_ms,
        withdrawal_grace_ms,
    }
}

impl Watcher {
    /// A watcher that starts at this monotonic moment.
    #[must_use]
    pub fn start(agent: &Agent, times: Times, suspended_ms: u64, at_ms: u64) -> Self {
        let pace = Pace {
            refresh_ms: times.refresh_ms,
            api_timeout_ms: times.api_timeout_ms,
        };
        let blame: Blame = agent.trust.load().state().blame();
        let suspended_ms = i64::try_from(suspended_ms).unwrap_or(i64::MAX);
        Self {
            plan: Plan::new(pace, blame, suspended_ms, 0),
            calls: BTreeMap::new(),
            started_ms: at_ms,
        }
    }

    /// The monotonic moment at which it next wants to be woken.
    #[must_use]
    pub fn wake_at_ms(&self) -> Option<u64> {
        Some(self.plan.wake_at_ms()?.saturating_add(self.started_ms))
    }

    /// Which attempt a call belongs to.
    #[must_use]
    pub fn attempt(&self, call: Call) -> Option<AttemptId> {
        let mut calls = self.calls.iter();
        calls.find(|(_, known)| **known == call).map(|(id, _)| *id)
    }

    /// An attempt was begun with this call.
    pub fn called(&mut self, id: AttemptId, call: Call) {
        self.calls.insert(id, call);
    }

    /// All its calls; they end with it.
    pub fn calls(&self) -> impl Iterator<Item = Call> {
        self.calls.values().copied()
    }

    /// Time went by.
    pub fn tick(&mut self, agent: &Agent, at_ms: u64, random: u64) -> Vec<Wish> {
        self.step(Event::Tick, agent, at_ms, random)
    }

    /// A look around.
    pub fn look(
        &mut self,
        sighting: Sighting,
        agent: &Agent,
        at_ms: u64,
        random: u64,
    ) -> Vec<Wish> {
        self.step(Event::Sighted(sighting), agent, at_ms, random)
    }

    /// A message: whether the agent took it for a full update.
    pub fn receive(
        &mut self,
        id: AttemptId,
        (content, cast): (&Content, &Cast),
        agent: &Agent,
        at_ms: u64,
        random: u64,
    ) -> (Reading, Vec<Wish>) {
        let bundles: Vec<(&str, Vec<u8>)> = content
            .iter()
            .map(|(domain, said)| (domain.key(), cast.bytes(said)))
            .collect();
        let update = bundles.iter().map(|(key, der)| (*key, der.as_slice()));
        let reading = match agent.trust.update(update) {
            Ok(_) => Reading::Full,
            Err(_) => Reading::Unreadable,
        };
        (
            reading,
            self.step(Event::Message(id, reading), agent, at_ms, random),
        )
    }

    /// A call ended.
    pub fn ended(
        &mut self,
        id: AttemptId,
        ending: Ending,
        agent: &Agent,
        at_ms: u64,
        random: u64,
    ) -> Vec<Wish> {
        let loss = match ending {
            Ending::Broken => Loss::Transport,
            Ending::Status(Code::Ok) => End::in_order().loss,
            Ending::Status(code) => loss_of(&Status::new(code, "simulated"), Some(code)),
        };
        self.calls.remove(&id);
        self.step(Event::Ended(id, loss), agent, at_ms, random)
    }

    fn step(&mut self, event: Event, agent: &Agent, at_ms: u64, random: u64) -> Vec<Wish> {
        let now_ms = at_ms.saturating_sub(self.started_ms);
        let mut wishes = Vec::new();
        for action in self.plan.step(event, now_ms, random) {
            match action {
                Action::Open(id) => wishes.push(Wish::Call(id)),
                Action::Drop(id) => wishes.extend(self.calls.remove(&id).map(Wish::Drop)),
                Action::Report(loss) => {
                    agent.trust.lost(loss);
                    wishes.push(Wish::Reported(loss));
                }
            }
        }
        wishes
    }
}
