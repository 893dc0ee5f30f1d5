//! What a fault does, and how everything is mended.

use ::actors::supervision::Ruling;

use super::{Moment, Play, RESTART_MS, Step};
use crate::simulate::fault::{Actor, Fault};
use crate::simulate::oracles::Violation;
use crate::simulate::schedule::BREAKING_MS;

impl Play<'_> {
    pub(super) fn suffer(&mut self, at: usize) -> Result<(), Violation> {
        let Some(timed) = self.schedule.faults.get(at) else {
            return Ok(());
        };
        let fault = timed.fault;
        let phase = self.phase_name();
        self.outcome.faults += 1;
        self.outcome.coverage.met(fault, phase);
        self.note(|| format!("fault  {fault:?} in {phase}"));
        self.apply(fault)?;
        self.ask_around();
        Ok(())
    }

    pub(super) fn apply(&mut self, fault: Fault) -> Result<(), Violation> {
        match fault {
            Fault::WallJump(ms) => self.machine.set_wall(ms),
            Fault::Suspend(ms) => {
                // Mending wakes it.
                let most_ms = BREAKING_MS.saturating_sub(self.at_ms);
                self.machine.sleep(self.at_ms, ms.min(most_ms));
            }
            Fault::Reboot => {
                self.end_process()?;
                self.machine.reboot(self.at_ms);
                self.queue.put(self.at_ms + RESTART_MS, Moment::Start);
            }
            Fault::Sigkill => {
                self.end_process()?;
                self.queue.put(self.at_ms + RESTART_MS, Moment::Start);
            }
            Fault::Restart => {
                self.write();
                self.end_process()?;
                self.queue.put(self.at_ms + RESTART_MS, Moment::Start);
            }
            Fault::KillActor(actor) => self.kill(actor)?,
            Fault::WedgeActor(actor, ms) => self.actors.wedge(actor, self.at_ms + ms),
            Fault::Push(unavailable_after_ms, withdrawal_grace_ms) => {
                if let Some(agent) = &self.agent {
                    agent.push(unavailable_after_ms, withdrawal_grace_ms);
                    self.ledger
                        .pushed(unavailable_after_ms, withdrawal_grace_ms, self.now());
                }
            }
            Fault::AuditStuck => self.actors.stick_audit(),
            Fault::AuditWell => self.actors.loosen_audit(),
            Fault::DiskFull | Fault::DiskWell => self.disk.set_full(fault == Fault::DiskFull),
            Fault::FileTorn | Fault::FileDamaged | Fault::FileForeign | Fault::FileGone => {
                self.disk.damage(fault);
                self.ledger.damaged();
            }
            other => {
                let arrivals = self.source.suffer(other, self.at_ms);
                self.expect(arrivals);
            }
        }
        Ok(())
    }

    pub(super) fn mend(&mut self) -> Result<(), Violation> {
        self.note(|| "mended".to_owned());
        self.actors.loosen_audit();
        let mending = [
            Fault::Start,
            Fault::AnswerWell,
            Fault::EntryCreated,
            Fault::SocketWell,
            Fault::SayWell,
            Fault::DiskWell,
        ];
        mending
            .into_iter()
            .try_for_each(|fault| self.apply(fault))?;
        if self.agent.is_none() {
            self.queue.put(self.at_ms, Moment::Start);
        }
        self.make_up();
        Ok(())
    }

    pub(super) fn kill(&mut self, actor: Actor) -> Result<(), Violation> {
        let at_ms = self.mono_ms();
        let Some(agent) = &mut self.agent else {
            return Ok(());
        };
        if self.actors.is_down(actor) {
            return Ok(());
        }
        let ruling = agent.died(actor, at_ms);
        match ruling {
            Ruling::RestartAfter(wait_ms) => {
                self.actors.down(actor);
                if actor == Actor::Bundles {
                    self.drop_watcher();
                }
                let back = Moment::Process(self.process, Step::Back(actor));
                self.queue.put(self.at_ms + wait_ms, back);
            }
            Ruling::GiveUp => {
                self.note(|| "the restart budget is used up: the agent ends".to_owned());
                self.end_process()?;
                self.queue.put(self.at_ms + RESTART_MS, Moment::Start);
            }
        }
        Ok(())
    }
}
