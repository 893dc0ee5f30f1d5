//! Nothing is `Verified` without a chain to a bundle of its own domain, valid at that moment.

use ::actors::metrics::Answer;

use super::{Seen, Violation};
use crate::simulate::cast::{Nature, begin_s};
use crate::simulate::ledger::Held;

pub(super) fn verified(seen: &Seen<'_>) -> Result<(), Violation> {
    if seen.answer != Answer::Verified {
        return Ok(());
    }
    let broken = |what: &str| Err(Violation::new("verified", what));
    let Nature::Svid {
        domain,
        signer,
        valid_s,
        ..
    } = seen.caller.nature
    else {
        return broken("the credential is no SVID");
    };
    let Some(signer) = signer else {
        return broken("no authority of a bundle has signed it");
    };
    let at_s = seen.now.wall_ms.div_euclid(1_000) - begin_s();
    if at_s < valid_s.0 || at_s > valid_s.1 {
        return broken("it is not valid at this moment");
    }
    let bundle = seen
        .ledger
        .material(seen.now)
        .and_then(|material| material.domains.get(&domain));
    match bundle {
        None => broken("its trust domain has no bundle"),
        Some(held) if !held.roots.contains(&signer) => broken("its authority is not in the bundle"),
        Some(held) if held.kept && is_older(held, seen) => {
            broken("its bundle could not be renewed, and is older than cache-ttl")
        }
        Some(_) => Ok(()),
    }
}

fn is_older(held: &Held, seen: &Seen<'_>) -> bool {
    held.contact
        .age_ms(seen.now)
        .is_none_or(|age_ms| age_ms > seen.ttl_ms)
}
