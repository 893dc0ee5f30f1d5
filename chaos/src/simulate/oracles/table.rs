//! Every answer is the one that the tables of the decisions give: no false denial, no wrong reason.

use ::actors::metrics::Answer;
use verdict::availability::Phase;
use verdict::decide::Unverified;
use verdict::policy::Mode;
use verdict::reason::Reason;

use super::{Seen, Violation};
use crate::simulate::agent::Validation;
use crate::simulate::cast::{Domain, Listing, Nature, Root, begin_s};

pub(super) fn table(seen: &Seen<'_>) -> Result<(), Violation> {
    let phase = seen.ledger.phase(seen.now);
    if seen.phase != phase {
        let (said, is) = (seen.phase.as_str(), phase.as_str());
        return Err(Violation::new(
            "table",
            format!("the agent says {said}, it is {is}"),
        ));
    }
    let expected = expected(seen, phase);
    // What nobody can judge in time is refused; what is remembered need not be judged.
    let excused = seen.validation == Validation::Down
        && seen.answer == Answer::Denied(Reason::Overloaded)
        && seen.caller.header.is_some();
    if seen.answer == expected || excused {
        return Ok(());
    }
    let what = format!(
        "{:?}, should be {expected:?} ({})",
        seen.answer,
        phase.as_str()
    );
    Err(Violation::new("table", what))
}

/// How a judgement by the material goes.
#[derive(Clone, Copy)]
enum Basis {
    Refuse,
    Verify,
    OpenMaterial,
    Open,
}

fn expected(seen: &Seen<'_>, phase: Phase) -> Answer {
    let (domain, signer, valid_s, listing) = match seen.caller.nature {
        Nature::Absent => return Answer::Denied(Reason::NoCredential),
        Nature::Wrong(reason) => return Answer::Denied(reason),
        Nature::Svid {
            domain,
            signer,
            valid_s,
            listing,
        } => (domain, signer, valid_s, listing),
    };
    let at_s = seen.now.wall_ms.div_euclid(1_000) - begin_s();
    if at_s < valid_s.0 {
        return Answer::Denied(Reason::NotYetValid);
    }
    if at_s > valid_s.1 {
        return Answer::Denied(Reason::Expired);
    }
    match basis(seen, phase) {
        Basis::Refuse => Answer::Denied(Reason::TrustUnavailable),
        Basis::Open => listed(listing, Answer::Unverified(Unverified::FailOpen)),
        Basis::Verify => match trusted(seen, domain, signer) {
            Ok(()) => listed(listing, Answer::Verified),
            Err(reason) => Answer::Denied(reason),
        },
        Basis::OpenMaterial => match trusted(seen, domain, signer) {
            Ok(()) => listed(listing, Answer::Verified),
            Err(_) => listed(listing, Answer::Unverified(Unverified::FailOpen)),
        },
    }
}

fn basis(seen: &Seen<'_>, phase: Phase) -> Basis {
    let age_ms = seen
        .ledger
        .material(seen.now)
        .and_then(|material| material.contact.age_ms(seen.now));
    let usable = age_ms.is_some_and(|age_ms| age_ms <= seen.ttl_ms);
    match (phase, seen.mode) {
        (Phase::Starting | Phase::Withdrawn, _) | (Phase::Outage, Mode::FailClosed) => {
            Basis::Refuse
        }
        (Phase::Live | Phase::Interrupted, _) => Basis::Verify,
        (Phase::Outage, Mode::Cache) if usable => Basis::Verify,
        (Phase::Outage, Mode::Cache) => Basis::Refuse,
        (Phase::Outage, Mode::FailOpen) if seen.ledger.is_our_fault() => Basis::Refuse,
        (Phase::Outage, Mode::FailOpen) if usable => Basis::OpenMaterial,
        (Phase::Outage, Mode::FailOpen) => Basis::Open,
    }
}

fn trusted(seen: &Seen<'_>, domain: Domain, signer: Option<Root>) -> Result<(), Reason> {
    let material = seen.ledger.material(seen.now);
    let held = material
        .and_then(|material| material.domains.get(&domain))
        .filter(|held| {
            !held.kept
                || held
                    .contact
                    .age_ms(seen.now)
                    .is_some_and(|age_ms| age_ms <= seen.ttl_ms)
        });
    match (held, signer) {
        (None, _) => Err(Reason::UnknownTrustDomain),
        (Some(held), Some(signer)) if held.roots.contains(&signer) => Ok(()),
        (Some(_), _) => Err(Reason::Untrusted),
    }
}

const fn listed(listing: Listing, otherwise: Answer) -> Answer {
    match listing {
        Listing::Allowed => otherwise,
        Listing::Unlisted => Answer::Denied(Reason::NotAllowed),
        Listing::Denied => Answer::Denied(Reason::Denied),
    }
}
