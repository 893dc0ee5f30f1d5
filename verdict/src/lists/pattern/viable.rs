//! Whether half a pattern can match anything at all.
//!
//! The grammar of a trust domain or a path is a small automaton. For each node of a pattern we work
//! out which states its texts can lead to from which; nodes combine as relations do, so counted
//! repetitions cost their logarithm.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use super::PatternError;
use crate::id::{MAX_ID_BYTES, MAX_TRUST_DOMAIN_BYTES, SCHEME, is_name_byte, is_segment_byte};

/// Which half of an ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grammar {
    TrustDomain,
    Path,
}

/// Refuses a half that matches nothing, and one with a part that can never take part in a match.
pub(super) fn check(hir: &Hir, grammar: Grammar) -> Result<(), PatternError> {
    let reached = relation(hir, grammar)?
        .0
        .first()
        .copied()
        .unwrap_or_default();
    if reached & grammar.accepted() == 0 {
        Err(grammar.nothing_fits())
    } else {
        Ok(())
    }
}

/// States of the path's automaton; a trust domain needs only the first and the last.
const STATES: usize = 5;
/// Before the first byte.
pub(super) const START: usize = 0;
const AFTER_SLASH: usize = 1;
const DOT: usize = 2;
const DOT_DOT: usize = 3;
const NAME: usize = 4;
/// Where a text may end.
pub(super) const ACCEPTED: usize = NAME;

impl Grammar {
    pub(super) fn step(self, state: usize, byte: u8) -> Option<usize> {
        match self {
            Self::TrustDomain => is_name_byte(byte).then_some(NAME),
            Self::Path if byte == b'/' => matches!(state, START | NAME).then_some(AFTER_SLASH),
            Self::Path if !is_segment_byte(byte) || state == START => None,
            Self::Path if byte == b'.' && state == AFTER_SLASH => Some(DOT),
            Self::Path if byte == b'.' && state == DOT => Some(DOT_DOT),
            Self::Path => Some(NAME),
        }
    }

    const fn accepted(self) -> u8 {
        1 << ACCEPTED
    }

    /// The longest text of it.
    pub(super) const fn max_bytes(self) -> usize {
        match self {
            Self::TrustDomain => MAX_TRUST_DOMAIN_BYTES,
            Self::Path => MAX_ID_BYTES - SCHEME.len() - 1,
        }
    }

    fn contains(self, byte: u8) -> bool {
        (0..STATES).any(|state| self.step(state, byte).is_some())
    }

    fn nothing_fits(self) -> PatternError {
        match self {
            Self::TrustDomain => PatternError::NoTrustDomain,
            Self::Path => PatternError::NoPath,
        }
    }

    fn foreign(self, byte: u8) -> PatternError {
        match self {
            Self::TrustDomain if byte == b'/' => PatternError::SlashInTrustDomain,
            Self::TrustDomain if byte.is_ascii_uppercase() => PatternError::NoTrustDomain,
            Self::TrustDomain => PatternError::ByteInTrustDomain { byte },
            Self::Path => PatternError::ByteInPath { byte },
        }
    }
}

/// For each state a set of states, one bit each.
#[derive(Clone, Copy)]
struct Relation([u8; STATES]);

impl Relation {
    const NONE: Self = Self([0; STATES]);

    fn identity() -> Self {
        Self(std::array::from_fn(|state| 1 << state))
    }

    fn byte(grammar: Grammar, byte: u8) -> Self {
        Self(std::array::from_fn(|state| {
            grammar.step(state, byte).map_or(0, |next| 1 << next)
        }))
    }

    fn or(self, other: Self) -> Self {
        let mut rows = other.0;
        rows.iter_mut()
            .zip(self.0)
            .for_each(|(row, more)| *row |= more);
        Self(rows)
    }

    fn then(self, next: Self) -> Self {
        Self(self.0.map(|reached| {
            let rows = next.0.iter().enumerate();
            rows.filter(|(state, _)| reached & (1 << state) != 0)
                .fold(0, |all, (_, row)| all | row)
        }))
    }

    fn times(self, count: u32) -> Self {
        let (mut result, mut power, mut left) = (Self::identity(), self, count);
        while left > 0 {
            if left & 1 == 1 {
                result = result.then(power);
            }
            power = power.then(power);
            left >>= 1;
        }
        result
    }

    fn repeated(self, repetition: &Repetition) -> Self {
        let optional = match repetition.max {
            Some(max) => max.saturating_sub(repetition.min),
            // More rounds than states reach nothing new.
            None => 8,
        };
        self.times(repetition.min)
            .then(self.or(Self::identity()).times(optional))
    }
}

/// Recurses as deep as `MAX_PATTERN_NESTING` lets a pattern nest.
fn relation(hir: &Hir, grammar: Grammar) -> Result<Relation, PatternError> {
    Ok(match hir.kind() {
        // A look-around may hold or not; to say that it may refuses nothing that could match.
        HirKind::Empty | HirKind::Look(_) => Relation::identity(),
        HirKind::Literal(literal) => of_literal(&literal.0, grammar)?,
        HirKind::Class(class) => of_class(class, grammar)?,
        HirKind::Repetition(repetition) => relation(&repetition.sub, grammar)?.repeated(repetition),
        HirKind::Capture(capture) => relation(&capture.sub, grammar)?,
        HirKind::Concat(parts) => parts.iter().try_fold(Relation::identity(), |all, part| {
            relation(part, grammar).map(|part| all.then(part))
        })?,
        HirKind::Alternation(parts) => parts.iter().try_fold(Relation::NONE, |all, part| {
            relation(part, grammar).map(|part| all.or(part))
        })?,
    })
}

fn of_literal(bytes: &[u8], grammar: Grammar) -> Result<Relation, PatternError> {
    bytes.iter().try_fold(Relation::identity(), |all, &byte| {
        if !grammar.contains(byte) {
            return Err(grammar.foreign(byte));
        }
        Ok(all.then(Relation::byte(grammar, byte)))
    })
}

fn of_class(class: &Class, grammar: Grammar) -> Result<Relation, PatternError> {
    let mut bytes = (0..=u8::MAX)
        .filter(|&byte| class_contains(class, byte))
        .peekable();
    let first = bytes.peek().copied();
    let mut ours = bytes.filter(|&byte| grammar.contains(byte)).peekable();
    match (ours.peek(), first) {
        (None, Some(foreign)) => Err(grammar.foreign(foreign)),
        (None, None) => Err(grammar.nothing_fits()),
        _ => Ok(ours.fold(Relation::NONE, |all, byte| {
            all.or(Relation::byte(grammar, byte))
        })),
    }
}

fn class_contains(class: &Class, byte: u8) -> bool {
    match class {
        Class::Bytes(class) => class
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&byte)),
        Class::Unicode(class) => class
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&byte.into())),
    }
}
