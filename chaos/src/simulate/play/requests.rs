//! Who asks, when, and whether the answer is right.

use super::{AROUND_MS, Moment, PROBES_MAX, Play, REQUESTS_MENDED};
use crate::simulate::agent::Validation;
use crate::simulate::fault::Actor;
use crate::simulate::oracles::{Seen, Violation, judge};
use crate::simulate::rng::{Purpose, Rng};
use crate::simulate::schedule::{DECISIONS_MIN, MENDED_MS, REQUESTS};

impl Play<'_> {
    /// Somebody asks at the very moments when time alone changes something.
    pub(super) fn ask_around(&mut self) {
        let boot_ms = self.now().boot_ms;
        let deadlines: Vec<i64> = self.ledger.deadlines().chain([boot_ms]).collect();
        for deadline_ms in deadlines {
            for around_ms in AROUND_MS {
                let wait_ms = u64::try_from(deadline_ms + around_ms - boot_ms);
                if let Ok(wait_ms) = wait_ms
                    && self.asked < PROBES_MAX
                {
                    self.asked += 1;
                    let number = REQUESTS + REQUESTS_MENDED + self.asked;
                    self.queue.put(self.at_ms + wait_ms, Moment::Ask(number));
                }
            }
        }
    }

    /// An agent that was away for most of the time was asked little: it makes up for that now.
    pub(super) fn make_up(&mut self) {
        let missing = DECISIONS_MIN.saturating_sub(self.outcome.decisions);
        let mut rng = Rng::new(self.schedule.seed, Purpose::MakeUp);
        for number in 0..missing {
            let number = REQUESTS + REQUESTS_MENDED + PROBES_MAX + 1 + number;
            let at_ms = self.at_ms + rng.below(MENDED_MS);
            self.queue.put(at_ms, Moment::Ask(number));
        }
    }

    pub(super) fn ask(&mut self, number: u64) -> Result<(), Violation> {
        let mut rng = Rng::new(self.schedule.seed, Purpose::Request(number));
        let (Some(caller), Some(terms)) =
            (rng.pick(&self.cast.callers), rng.pick(&self.cast.terms))
        else {
            return Ok(());
        };
        let validation = if self.actors.is_up(Actor::Validation, self.at_ms) {
            Validation::Up
        } else {
            Validation::Down
        };
        let Some(agent) = &self.agent else {
            return Ok(());
        };
        self.outcome.decisions += 1;
        self.audited.decided();
        let answer = agent.ask(self.outcome.decisions, caller, terms, validation);
        let phase = agent.trust().phase();
        let (mode, ttl_s) = (terms.mode.as_str(), terms.ttl_s);
        let seen = Seen {
            now: self.now(),
            caller,
            mode: terms.mode,
            ttl_ms: i64::try_from(ttl_s.saturating_mul(1_000)).unwrap_or(i64::MAX),
            answer,
            phase,
            validation,
            ledger: &self.ledger,
        };
        let judged = judge(&seen);
        self.outcome.log.line(self.at_ms, || {
            format!(
                "ask    {} {mode} ttl {ttl_s} s in {}: {answer:?}",
                caller.name,
                phase.as_str()
            )
        });
        judged
    }
}
