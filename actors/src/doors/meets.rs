//! What requests meet now, in words: what the trust source says, unless the want of a record comes first.

use super::Doors;

impl Doors {
    /// What becomes of requests now, under each policy in force, by SPIRE and by the sinks.
    #[must_use]
    pub fn requests_meet(&self) -> String {
        let judged = self.judge.trust.requests_meet();
        let recording = self.health.recording();
        if !recording.refuses {
            return judged;
        }
        let policies = self.policies();
        let is_each_recorded = policies.iter().all(|policy| {
            let audit = &policy.spec().audit;
            audit.log_success && audit.log_failure
        });
        let who = match is_each_recorded {
            true => "every request is refused",
            false => "every request that a record is kept of is refused",
        };
        let on_full = recording.on_full.as_str();
        format!(
            "{who}, 503 OVERLOADED, until records can be kept (audit.on-full \"{on_full}\"); but for that: {judged}"
        )
    }
}
