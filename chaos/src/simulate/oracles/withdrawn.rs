//! `Withdrawn` refuses in every mode, across restarts.

use ::actors::metrics::Answer;
use verdict::availability::Phase;

use super::{Seen, Violation};

pub(super) fn withdrawn(seen: &Seen<'_>) -> Result<(), Violation> {
    let allowed = matches!(
        seen.answer,
        Answer::Verified | Answer::Unverified(_) | Answer::Anonymous
    );
    if allowed && seen.ledger.phase(seen.now) == Phase::Withdrawn {
        return Err(Violation::new(
            "withdrawn",
            format!("{:?} while SPIRE refuses the agent", seen.answer),
        ));
    }
    Ok(())
}
