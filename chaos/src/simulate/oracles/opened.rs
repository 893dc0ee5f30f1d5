//! `fail_open` opens in `Outage` alone, and not while we call SPIRE wrongly.

use ::actors::metrics::Answer;
use verdict::availability::Phase;
use verdict::decide::Unverified;
use verdict::policy::Mode;

use super::{Seen, Violation};

pub(super) fn opened(seen: &Seen<'_>) -> Result<(), Violation> {
    if !matches!(seen.answer, Answer::Unverified(Unverified::FailOpen)) {
        return Ok(());
    }
    let broken = |what: String| Err(Violation::new("opened", what));
    let phase = seen.ledger.phase(seen.now);
    if seen.mode != Mode::FailOpen {
        return broken(format!("opened under {}", seen.mode.as_str()));
    }
    if phase != Phase::Outage {
        return broken(format!("opened in {}", phase.as_str()));
    }
    if seen.ledger.is_our_fault() {
        return broken("opened although it is our fault".to_owned());
    }
    Ok(())
}
