//! What the agent does, told to whoever watches: each decision once, and everything rare.
//!
//! Here it is plain, borrowed data; what becomes of it (spans, histograms) is the observer's
//! business, and no library for that is in this crate. The one that is there by default does nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use verdict::availability::Transition;
use verdict::decide::{Decision, Passage, Verdict};
use verdict::policy::Failure;
use verdict::time::{Age, Now};
use verdict::trust::{UpdateError, UpdateReport};

use crate::audit::{Grounds, Request};
use crate::configured::Pushed;
use crate::parts;
use crate::supervision::{ChildStatus, RestartWatcher};
use crate::words::span;

/// Whoever watches. It is called on the way of a request, and under the locks of what changes: it
/// must not wait, and not be slow.
pub trait Observer: Send + Sync + 'static {
    /// A request was answered; called once for each.
    fn decided(&self, decided: &Decided<'_>) {
        let _ = decided;
    }

    /// Something rare happened. `tell` logs it, and must be called once: so what it logs can be tied
    /// to what is made of it.
    fn happened(&self, happened: &Happened<'_>, tell: &mut dyn FnMut()) {
        let _ = happened;
        tell();
    }
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// Nobody, to be shared.
#[must_use]
pub fn unobserved() -> Arc<dyn Observer> {
    Arc::new(Unobserved)
}

/// Where evidence came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the memory.
    Remembered,
    /// From a validation, this request's or one that was under way.
    Judged,
    /// There was no credential to judge, or none that could be read.
    NothingToJudge,
}

/// One decision.
#[derive(Clone, Copy)]
pub struct Decided<'a> {
    /// Verdict, reason, rule and every check.
    pub decision: &'a Decision<'a>,
    /// What it was made from; `None` where check 0 refused.
    pub grounds: Option<Grounds<'a>>,
    /// Where the evidence came from; `None` where check 0 refused.
    pub origin: Option<Origin>,
    /// The policy's failure block; `None` where no policy is in force.
    pub failure: Option<&'a Failure>,
    /// The request, as the proxy told it.
    pub request: Request<'a>,
    /// Its `traceparent` (W3C Trace Context), as it came.
    pub traceparent: Option<&'a str>,
    /// When the whole question was there.
    pub started: Instant,
    /// When the answer was ready to be written.
    pub ended: Instant,
    /// The request's clock.
    pub now: Now,
}

impl Decided<'_> {
    /// `allow` or `deny`.
    #[must_use]
    pub const fn verdict(&self) -> &'static str {
        match self.decision.verdict() {
            Verdict::Deny(_) => "deny",
            Verdict::Allow(_) => "allow",
        }
    }

    /// What the identity is worth, as the audit record has it.
    #[must_use]
    pub const fn identity(&self) -> &'static str {
        match self.decision.verdict() {
            Verdict::Deny(_) => "none",
            Verdict::Allow(permit) => match permit.passage() {
                Passage::Verified(_) => "verified",
                Passage::Unverified(why) => why.auth_method(),
                Passage::Anonymous => "anonymous",
            },
        }
    }

    /// The status of a denial.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self.decision.verdict() {
            Verdict::Deny(denial) => Some(denial.status()),
            Verdict::Allow(_) => None,
        }
    }

    /// Whether the evidence came from the memory.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        self.origin == Some(Origin::Remembered)
    }

    /// How long ago SPIRE confirmed what the decision rests on, milliseconds.
    #[must_use]
    pub fn age_ms(&self) -> Option<u64> {
        match self.grounds?.basis.age? {
            Age::Ms(age_ms) => Some(age_ms),
            Age::InTheFuture => None,
        }
    }
}

/// Something rare, and since when it was under way.
#[derive(Clone, Copy)]
pub struct Happened<'a> {
    /// What.
    pub what: Happening<'a>,
    /// When it began; it ends as it is told.
    pub since: Instant,
}

/// What happens beside requests.
#[derive(Clone, Copy)]
pub enum Happening<'a> {
    /// The source delivered a full update, and it was taken.
    Updated(&'a UpdateReport),
    /// It delivered one that was discarded whole.
    Discarded(&'a UpdateError),
    /// The source's availability changed.
    Changed {
        /// From what to what.
        transition: Transition,
        /// What brought it about.
        cause: &'static str,
    },
    /// Our own SVID was replaced.
    Rotated {
        /// Whom it names.
        id: Option<&'a str>,
    },
    /// A proxy pushed a configuration.
    Pushed {
        /// The proxy.
        proxy: &'a str,
        /// What became of it.
        pushed: &'a Pushed,
    },
    /// An actor that had failed runs again.
    Restarted(&'a ChildStatus),
}

/// Passes restarts on to an observer.
pub struct Restarts(pub Arc<dyn Observer>);

impl RestartWatcher for Restarts {
    fn restarted(&self, status: &ChildStatus, after: Duration) {
        let now = Instant::now();
        let since = now.checked_sub(after).unwrap_or(now);
        let what = Happening::Restarted(status);
        let (path, restarts) = (&status.path, status.restarts);
        let (part, down) = (self.plain(path), span(millis(after)));
        self.0.happened(&Happened { what, since }, &mut || {
            tracing::info!(%path, part, restarts, down, "actor runs again");
        });
    }

    fn plain<'a>(&self, path: &'a str) -> &'a str {
        parts::plain(path)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
