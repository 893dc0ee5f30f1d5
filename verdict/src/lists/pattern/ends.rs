//! Where an end anchor of a path may stand.

use regex_syntax::hir::{Hir, HirKind, Look};

use super::PatternError;

/// Refuses `$` and `\z` anywhere but at the end of what they are part of: `/admin$/.*` matches
/// nothing, and on a denylist that would be a hole.
pub(super) fn check(path: &Hir) -> Result<(), PatternError> {
    if has_end_inside(path, true) {
        Err(PatternError::AnchorInside)
    } else {
        Ok(())
    }
}

/// Recurses as deep as `MAX_PATTERN_NESTING` lets a pattern nest.
fn has_end_inside(hir: &Hir, is_last: bool) -> bool {
    match hir.kind() {
        HirKind::Look(Look::End | Look::EndLF | Look::EndCRLF) => !is_last,
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
        HirKind::Repetition(some) => has_end_inside(&some.sub, is_last && some.max == Some(1)),
        HirKind::Capture(group) => has_end_inside(&group.sub, is_last),
        HirKind::Alternation(parts) => parts.iter().any(|part| has_end_inside(part, is_last)),
        HirKind::Concat(parts) => {
            let mut from_the_end = parts.iter().rev();
            let mut is_last = is_last;
            from_the_end.any(|part| {
                let inside = has_end_inside(part, is_last);
                is_last &= matches!(part.kind(), HirKind::Empty | HirKind::Look(_));
                inside
            })
        }
    }
}
