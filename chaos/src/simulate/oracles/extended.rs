//! A failed refresh extends nothing: contact is that of the last full update, whatever came since.

use verdict::time::{Contact, Now};

use super::Violation;
use crate::simulate::ledger::Ledger;

/// Holds the agent's contact against the truth.
///
/// # Errors
/// They differ.
pub fn extended(contact: Option<Contact>, ledger: &Ledger, now: Now) -> Result<(), Violation> {
    // Of a withdrawal that nobody has stepped to yet, the store still holds the bytes; no answer
    // rests on them.
    let Some(material) = ledger.material(now) else {
        return Ok(());
    };
    match contact {
        Some(contact) if material.contact.is(contact) => Ok(()),
        other => Err(Violation::new(
            "extended",
            format!("contact {other:?}, should be {:?}", material.contact),
        )),
    }
}
