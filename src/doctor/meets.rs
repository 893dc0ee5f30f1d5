//! What requests meet now, where that is not what they should: with the cause and the remedy that the
//! running agent has.

use std::os::unix::fs::MetadataExt as _;

use actors::admin::status::Status;
use config::Settings;

use super::finding::{Examination, Severity};

/// What the agent says is wrong, and what to do about it.
#[derive(Default)]
struct Causes {
    seen: Vec<String>,
    remedies: Vec<String>,
}

/// Of an agent that is ready.
pub(super) fn look(status: &Status, examination: &mut Examination) {
    let refused_unrecorded = status.audit.as_ref().is_some_and(|audit| audit.refuses);
    if !status.health.ready || refused_unrecorded {
        return;
    }
    let (severity, code, what) = match status.health.state.as_str() {
        "unhealthy" if is_unenforced(status) => (
            Severity::Warning,
            "requests-unverified",
            "the agent is ready, and would refuse requests now; as enforce is off, they pass unverified",
        ),
        "unhealthy" => (
            Severity::Problem,
            "requests-refused",
            "the agent is ready, and refuses requests now",
        ),
        "degraded" => (
            Severity::Warning,
            "requests-at-risk",
            "the agent answers for now, but not as it does when all is well",
        ),
        _ => return,
    };
    let (seen, fix) = Causes::of(status).told("look at `status`, and at the agent's log");
    examination.add(severity, code, what, &seen, &fix);
}

/// Whether each policy in force lets pass whom it denies.
fn is_unenforced(status: &Status) -> bool {
    let policies = &status.policies;
    let told = policies.shown.len() == policies.total && policies.total > 0;
    told && policies.shown.iter().all(|policy| !policy.enforce)
}

/// Of one that is not, as far as its status could be read.
pub(super) fn not_ready(
    said: String,
    status: Option<&Status>,
    settings: &Settings,
    examination: &mut Examination,
) {
    let mut causes = status.map(Causes::of).unwrap_or_default();
    causes.seen.insert(0, said);
    causes.seen.extend(of_another_user(settings));
    let (seen, fix) = causes
        .told("it waits for a policy (--config gives it one) or for SPIRE: `status` says which");
    let what = "the agent says that it is not ready";
    examination.problem("not-ready", what, &seen, &fix);
}

/// What this user may do is not what another may: the socket's owner is who made it.
fn of_another_user(settings: &Settings) -> Option<String> {
    let socket = settings.agent().socket.value.as_path();
    let (owner, here) = (socket.metadata().ok()?.uid(), super::sockets::uid());
    (owner != here).then(|| {
        format!("the agent runs as uid {owner}, this as uid {here}: what is reached from here it need not reach")
    })
}

impl Causes {
    fn of(status: &Status) -> Self {
        let trust = &status.trust;
        let mut causes = Self::default();
        causes.seen.push(format!("SPIRE is {}", trust.state));
        causes.seen.extend(trust.error.clone());
        let requests = status.requests.iter();
        causes
            .seen
            .extend(requests.map(|said| format!("requests: {said}")));
        causes.remedies.extend(trust.remedy.clone());
        if let Some(refused) = &trust.refused {
            causes.add(refused.error.clone(), &refused.remedy);
        }
        for one in &trust.barren {
            causes.add(format!("{}: {}", one.trust_domain, one.error), &one.remedy);
        }
        if let Some(foreign) = &trust.foreign {
            causes.add(foreign.error.clone(), &foreign.remedy);
        }
        if let Some(lost) = &status.process.socket_lost {
            let seen = format!("the agent's socket is {}", lost.error);
            causes.add(seen, &lost.remedy);
        }
        if let Some(dir) = &status.state_dir
            && let Some(complaint) = &dir.complaint
        {
            // Of an agent that does not tell it by itself.
            let remedy = "mend the state directory, as is said at the end of what is seen of it";
            causes.add(complaint.clone(), dir.remedy.as_deref().unwrap_or(remedy));
        }
        causes.remedies.dedup();
        causes
    }

    fn add(&mut self, seen: String, remedy: &str) {
        self.seen.push(seen);
        self.remedies.push(remedy.to_owned());
    }

    /// What is seen, and what to do, which is `otherwise` where the agent has nothing to say.
    fn told(self, otherwise: &str) -> (String, String) {
        let fix = match self.remedies.is_empty() {
            true => otherwise.to_owned(),
            false => self.remedies.join("; "),
        };
        (self.seen.join("; "), fix)
    }
}
