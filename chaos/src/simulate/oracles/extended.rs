//! A failed refresh extends nothing: contact is that of the last full update, whatever came since.

use verdict::availability::Phase;
use verdict::time::{Contact, Now};

use super::Violation;
use crate::simulate::ledger::Ledger;

/// Holds the agent's contact against the truth.
///
/// # Errors
/// They differ.
pub fn extended(contact: Option<Contact>, ledger: &Ledger, now: Now) -> Result<(), Violation> {
    // Until somebody steps to it, the store holds what a withdrawal ends; no answer rests on that.
    if ledger.phase(now) == Phase::Withdrawn {
        return Ok(());
    }
    let truth = ledger.material(now).map(|material| material.contact);
    let same = match (contact, truth) {
        (Some(contact), Some(truth)) => truth.is(contact),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if same {
        return Ok(());
    }
    Err(Violation::new(
        "extended",
        format!("contact {contact:?}, should be {truth:?}"),
    ))
}
