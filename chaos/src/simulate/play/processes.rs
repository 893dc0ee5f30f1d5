//! Processes of the agent, their actors, and the state file they leave.

use super::{DRAIN_MS, LOOK_MS, Moment, Play, Step, TICK_MS};
use crate::simulate::actors::Actors;
use crate::simulate::agent::{Agent, Watcher};
use crate::simulate::fault::Actor;
use crate::simulate::oracles::{Audited, Violation};
use verdict::availability::Phase;

impl Play<'_> {
    pub(super) fn start(&mut self) {
        if self.agent.is_some() {
            return;
        }
        let now = self.now();
        self.process += 1;
        self.actors = Actors::default().with_audit_of(&self.actors);
        self.audited = Audited::default();
        self.ledger
            .started(self.schedule.times, self.machine.boot(), now);
        self.outcome.resumed += u64::from(self.ledger.is_in_grace(now));
        let agent = Agent::start(
            self.schedule.times,
            self.disk.image(),
            self.machine.boot(),
            now,
        );
        self.agent = Some(agent);
        self.note(|| "the agent starts".to_owned());
        self.start_watcher();
        for (wait_ms, step) in [(TICK_MS, Step::Tick), (DRAIN_MS, Step::Drain)] {
            self.queue
                .put(self.at_ms + wait_ms, Moment::Process(self.process, step));
        }
        self.ask_around();
    }

    pub(super) fn end_process(&mut self) -> Result<(), Violation> {
        self.drop_watcher();
        if let Some(agent) = self.agent.take() {
            self.note(|| "the agent ends".to_owned());
            self.audited.recorded(&agent.drain())?;
            self.audited.settled(agent.dropped())?;
        }
        // What was planned for this process meets nobody.
        self.process += 1;
        self.disk.forget_plans();
        Ok(())
    }

    pub(super) fn start_watcher(&mut self) {
        let Some(agent) = &self.agent else { return };
        let watcher = Watcher::start(
            agent,
            self.schedule.times,
            self.machine.suspended_ms(),
            self.mono_ms(),
        );
        self.watcher = Some(watcher);
        self.watchers += 1;
        self.later(0, Step::Look(self.watchers));
        self.tick_watcher();
    }

    pub(super) fn drop_watcher(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            for call in watcher.calls() {
                self.source.dropped(call);
            }
        }
        self.watchers += 1;
    }

    pub(super) fn later(&mut self, wait_ms: u64, step: Step) {
        self.queue
            .put(self.at_ms + wait_ms, Moment::Process(self.process, step));
    }

    pub(super) fn step(&mut self, step: Step) -> Result<(), Violation> {
        // A wedged actor takes nothing from its mailbox until it moves again.
        if let Some(until_ms) = self.actors.wedged_until(step.actor(), self.at_ms) {
            let moment = Moment::Process(self.process, step);
            self.queue.put(until_ms, moment);
            return Ok(());
        }
        match step {
            Step::Wake(alarm) if alarm == self.alarms => self.tick_watcher(),
            Step::Look(watcher) if watcher == self.watchers => {
                self.look();
                self.later(LOOK_MS, Step::Look(watcher));
            }
            Step::Wake(_) | Step::Look(_) => {}
            Step::Tick => self.tick(),
            Step::Message(call, content) => self.receive(call, &content)?,
            Step::End(call, ending) => self.ended(call, ending),
            Step::Write => self.write(),
            Step::Drain => self.drain()?,
            Step::Back(actor) => self.back(actor),
        }
        Ok(())
    }

    pub(super) fn back(&mut self, actor: Actor) {
        self.actors.up(actor);
        match actor {
            Actor::Bundles => self.start_watcher(),
            // A predecessor may have died before it wrote.
            Actor::Cache => self.plan_write(),
            Actor::Validation | Actor::Audit | Actor::Health => {}
        }
    }

    pub(super) fn tick(&mut self) {
        if let Some(agent) = &self.agent
            && self.actors.is_up(Actor::Health, self.at_ms)
        {
            agent.trust().tick();
        }
        // While the source is there, time alone changes nothing.
        let rare = self.ledger.phase(self.now()) == Phase::Live;
        self.later(if rare { 10 * TICK_MS } else { TICK_MS }, Step::Tick);
    }

    pub(super) fn drain(&mut self) -> Result<(), Violation> {
        if let Some(agent) = &self.agent
            && self.actors.takes_records(self.at_ms)
        {
            self.audited.recorded(&agent.drain())?;
            self.audited.settled(agent.dropped())?;
        }
        self.later(DRAIN_MS, Step::Drain);
        Ok(())
    }

    pub(super) fn follow_changes(&mut self) {
        if self.agent.as_mut().is_some_and(Agent::has_changed) {
            self.plan_write();
        }
    }

    pub(super) fn plan_write(&mut self) {
        if let Some(wait_ms) = self.disk.plan(self.at_ms) {
            self.later(wait_ms, Step::Write);
        }
    }

    pub(super) fn write(&mut self) {
        let up = self.actors.is_up(Actor::Cache, self.at_ms);
        let (Some(agent), true) = (&self.agent, up) else {
            self.disk.forget_plans();
            return;
        };
        let image = agent.image(self.disk.image());
        if self.disk.write(image) {
            self.ledger.written(self.machine.boot(), self.now());
        } else if let Some(wait_ms) = self.disk.plan(self.at_ms) {
            self.later(wait_ms, Step::Write);
        }
    }
}
