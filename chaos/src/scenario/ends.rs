//! Steps that end a fault of SPIRE: without the fault they do nothing, and nothing is shown by them.
//! `say-well` is none of them: what it says anew, after no fault either, is an update of its own.

use super::action::{Action, Spire};
use super::error::Rule;
use super::reader::{Node, Read};
use super::{Scenario, Step};

/// The words of the faults that a step ends; none, if it ends none.
const fn ended_by(act: Spire) -> Option<&'static str> {
    match act {
        Spire::Start => Some("stop or kill"),
        Spire::Thaw => Some("freeze"),
        Spire::AnswerWell => Some("hang, slow, answer or answer-http"),
        Spire::EntryCreated => Some("entry-deleted"),
        Spire::SocketAllowed => Some("socket-forbidden"),
        Spire::ServersStart => Some("servers-stop"),
        _ => None,
    }
}

/// Whether the second of two steps ends what the first has begun.
const fn ends(fault: Spire, act: Spire) -> bool {
    match act {
        Spire::Start => matches!(fault, Spire::Stop | Spire::Kill),
        Spire::Thaw => matches!(fault, Spire::Freeze),
        Spire::AnswerWell => matches!(
            fault,
            Spire::Hang | Spire::Slow(_) | Spire::Answer(_) | Spire::AnswerHttp(_)
        ),
        Spire::EntryCreated => matches!(fault, Spire::EntryDeleted),
        Spire::SocketAllowed => matches!(fault, Spire::SocketForbidden),
        Spire::ServersStart => matches!(fault, Spire::ServersStop),
        _ => false,
    }
}

/// Every step that ends a fault comes after one.
pub(super) fn check(root: &Node<'_>, scenario: &Scenario) -> Read<()> {
    let mut faults: Vec<Spire> = Vec::new();
    for Step { at_ms, action } in &scenario.timeline.steps {
        let Action::Spire(act) = action else { continue };
        let Some(needs) = ended_by(*act) else {
            faults.push(*act);
            continue;
        };
        let before = faults.len();
        faults.retain(|fault| !ends(*fault, *act));
        if faults.len() == before {
            let (at_ms, action) = (*at_ms, action.to_string());
            return Err(root.fail(Rule::EndsNothing {
                at_ms,
                action,
                needs,
            }));
        }
    }
    Ok(())
}
