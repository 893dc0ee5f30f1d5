//! The bundle watcher: what reaches it, and what it wants.

use ::actors::bundles::plan::{Reading, Sighting};
use verdict::availability::Loss;

use super::{Moment, Play, Step};
use crate::simulate::agent::{Watcher, Wish};
use crate::simulate::oracles::Violation;
use crate::simulate::source::{Arrival, Call, Content, Ending};

impl Play<'_> {
    pub(super) fn tick_watcher(&mut self) {
        let (random, at_ms) = (self.random(), self.mono_ms());
        if let (Some(agent), Some(watcher)) = (&self.agent, &mut self.watcher) {
            let wishes = watcher.tick(agent, at_ms, random);
            self.fulfil(wishes);
        }
    }

    pub(super) fn look(&mut self) {
        let (random, at_ms) = (self.random(), self.mono_ms());
        let suspended_ms = i64::try_from(self.machine.suspended_ms()).unwrap_or(i64::MAX);
        let sighting = Sighting {
            socket: self.source.file(),
            suspended_ms,
        };
        if let (Some(agent), Some(watcher)) = (&self.agent, &mut self.watcher) {
            let wishes = watcher.look(sighting, agent, at_ms, random);
            self.fulfil(wishes);
        }
    }

    pub(super) fn receive(&mut self, call: Call, content: &Content) -> Result<(), Violation> {
        let (random, at_ms, now) = (self.random(), self.mono_ms(), self.now());
        let (Some(agent), Some(watcher)) = (&self.agent, &mut self.watcher) else {
            return Ok(());
        };
        let Some(id) = watcher.attempt(call) else {
            return Ok(());
        };
        let full = self.ledger.heard(content, now);
        let (reading, wishes) = watcher.receive(id, (content, self.cast), agent, at_ms, random);
        if reading == Reading::Full {
            self.confirmed.heard(self.at_ms);
        }
        self.note(|| format!("update {content:?}: {reading:?}"));
        if full != (reading == Reading::Full) {
            let what = format!("{content:?} was taken as {reading:?}");
            return Err(Violation::new("update", what));
        }
        self.fulfil(wishes);
        self.ask_around();
        Ok(())
    }

    pub(super) fn ended(&mut self, call: Call, ending: Ending) {
        let (random, at_ms) = (self.random(), self.mono_ms());
        let (Some(agent), Some(watcher)) = (&self.agent, &mut self.watcher) else {
            return;
        };
        let Some(id) = watcher.attempt(call) else {
            return;
        };
        let wishes = watcher.ended(id, ending, agent, at_ms, random);
        // The end of a call is a loss, whatever the agent makes of it.
        self.lost(ending.loss());
        self.fulfil(wishes);
    }

    pub(super) fn fulfil(&mut self, wishes: Vec<Wish>) {
        for wish in wishes {
            match wish {
                Wish::Call(id) => {
                    self.looks.tried(self.sight());
                    let (call, arrivals) = self.source.call(self.at_ms);
                    if let Some(watcher) = &mut self.watcher {
                        watcher.called(id, call);
                    }
                    self.expect(arrivals);
                }
                Wish::Drop(call) => self.source.dropped(call),
                // What a call did not do, only its caller can say.
                Wish::Reported(loss @ (Loss::TimedOut | Loss::Unreadable)) => self.lost(loss),
                Wish::Reported(Loss::Ended | Loss::Transport | Loss::Refused | Loss::OurFault) => {}
            }
        }
        self.set_alarm();
    }

    pub(super) fn lost(&mut self, loss: Loss) {
        let (before, now) = (self.phase_name(), self.now());
        self.ledger.lost(loss, now);
        let after = self.phase_name();
        self.note(|| format!("lost   {} {before} -> {after}", loss.as_str()));
        if before != after {
            self.ask_around();
        }
    }

    pub(super) fn set_alarm(&mut self) {
        self.alarms += 1;
        let wake_ms = self.watcher.as_ref().and_then(Watcher::wake_at_ms);
        if let Some(wake_ms) = wake_ms {
            let wait_ms = wake_ms.saturating_sub(self.mono_ms());
            self.later(wait_ms, Step::Wake(self.alarms));
        }
    }

    pub(super) fn expect(&mut self, arrivals: Vec<Arrival>) {
        for arrival in arrivals {
            let (at_ms, step) = match arrival {
                Arrival::Message {
                    at_ms,
                    call,
                    content,
                } => (at_ms, Step::Message(call, content)),
                Arrival::End {
                    at_ms,
                    call,
                    ending,
                } => (at_ms, Step::End(call, ending)),
            };
            self.queue.put(at_ms, Moment::Process(self.process, step));
        }
    }
}
