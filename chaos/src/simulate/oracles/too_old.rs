//! Nothing rests on material beyond `cache-ttl` in any state but `Live` and `Interrupted`.

use ::actors::metrics::Answer;
use verdict::availability::Phase;

use super::{Seen, Violation};

pub(super) fn too_old(seen: &Seen<'_>) -> Result<(), Violation> {
    let phase = seen.ledger.phase(seen.now);
    if seen.answer != Answer::Verified || matches!(phase, Phase::Live | Phase::Interrupted) {
        return Ok(());
    }
    let age_ms = seen
        .ledger
        .material(seen.now)
        .and_then(|material| material.contact.age_ms(seen.now));
    match age_ms {
        Some(age_ms) if age_ms <= seen.ttl_ms => Ok(()),
        Some(age_ms) => Err(Violation::new(
            "too_old",
            format!(
                "verified from material of {age_ms} ms, ttl {} ms",
                seen.ttl_ms
            ),
        )),
        None => Err(Violation::new(
            "too_old",
            "verified from no usable material",
        )),
    }
}
