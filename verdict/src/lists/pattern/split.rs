//! Where a pattern's trust domain ends and its path begins, told from the parsed pattern.

use std::ops::Range;

use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{self, AssertionKind, Ast, Flag, Flags, GroupKind, LiteralKind};

use super::PatternError;
use crate::id::SCHEME;
use crate::lists::limits::MAX_PATTERN_NESTING;

/// The two halves, as they stand in the pattern; the path begins with its literal `/`.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Split<'a> {
    pub(super) trust_domain: &'a str,
    pub(super) path: &'a str,
}

/// Splits a pattern; none if it is `.*`, which means `any`.
pub(super) fn split(pattern: &str) -> Result<Option<Split<'_>>, PatternError> {
    let root = ParserBuilder::new()
        .nest_limit(MAX_PATTERN_NESTING)
        .build()
        .parse(pattern)?;
    let items = without_anchors(match &root {
        Ast::Alternation(_) => return Err(PatternError::Alternation),
        Ast::Concat(concat) => &concat.asts,
        one => std::slice::from_ref(one),
    });
    if is_any(items, pattern) {
        return Ok(None);
    }
    let (trust_domain, path) = halves(items)?;
    check_domain_items(trust_domain)?;
    check_path_items(path)?;
    let text = |items| text_of(items, pattern).ok_or(PatternError::NoTrustDomain);
    Ok(Some(Split {
        trust_domain: text(trust_domain)?,
        path: text(path)?,
    }))
}

/// One anchor at either end says what holds anyway. On the parsed pattern `\$` is a literal, and stays.
fn without_anchors(items: &[Ast]) -> &[Ast] {
    let items = match items {
        [first, rest @ ..] if is_start(first) => rest,
        _ => items,
    };
    match items {
        [rest @ .., last] if is_end(last) => rest,
        _ => items,
    }
}

fn is_any(items: &[Ast], pattern: &str) -> bool {
    matches!(items, [Ast::Repetition(_)]) && text_of(items, pattern) == Some(".*")
}

/// The items between `spiffe://` and the first literal `/`, and those from there on.
fn halves(items: &[Ast]) -> Result<(&[Ast], &[Ast]), PatternError> {
    let (scheme, rest) = items
        .split_at_checked(SCHEME.len())
        .ok_or(PatternError::Beginning)?;
    if !scheme
        .iter()
        .zip(SCHEME.chars())
        .all(|(item, char)| is_verbatim(item, char))
    {
        return Err(PatternError::Beginning);
    }
    let slash = rest
        .iter()
        .position(is_slash)
        .ok_or_else(|| no_slash(rest))?;
    Ok(rest.split_at(slash))
}

/// A flag is the likelier mistake where both are made.
fn no_slash(items: &[Ast]) -> PatternError {
    check_domain_items(items)
        .err()
        .unwrap_or(PatternError::NoSlash)
}

fn check_domain_items(items: &[Ast]) -> Result<(), PatternError> {
    if items.iter().any(|item| matches!(item, Ast::Flags(_))) {
        return Err(PatternError::FlagsBeforePath);
    }
    check_items(items, |item| is_start(item) || is_end(item))
}

/// The path's end is the ID's end: where `$` may stand in it is for `ends` to say.
fn check_path_items(items: &[Ast]) -> Result<(), PatternError> {
    check_items(items, is_start)
}

fn check_items(items: &[Ast], is_contradiction: fn(&Ast) -> bool) -> Result<(), PatternError> {
    items
        .iter()
        .try_for_each(|item| ast::visit(item, Check { is_contradiction }))
}

/// Looks at every node, on the heap: no nesting can overflow the stack here.
struct Check {
    is_contradiction: fn(&Ast) -> bool,
}

impl ast::Visitor for Check {
    type Output = ();
    type Err = PatternError;

    fn finish(self) -> Result<(), PatternError> {
        Ok(())
    }

    fn visit_pre(&mut self, item: &Ast) -> Result<(), PatternError> {
        if (self.is_contradiction)(item) {
            return Err(PatternError::AnchorInside);
        }
        if flags(item).is_some_and(is_refused) {
            Err(PatternError::Flag)
        } else {
            Ok(())
        }
    }
}

fn flags(item: &Ast) -> Option<&Flags> {
    match item {
        Ast::Flags(set) => Some(&set.flags),
        Ast::Group(group) => match &group.kind {
            GroupKind::NonCapturing(flags) => Some(flags),
            _ => None,
        },
        _ => None,
    }
}

/// `x` makes a comment of what we put behind a half; `u` brings back classes of megabytes.
fn is_refused(flags: &Flags) -> bool {
    [Flag::IgnoreWhitespace, Flag::Unicode]
        .into_iter()
        .any(|flag| flags.flag_state(flag) == Some(true))
}

fn is_start(item: &Ast) -> bool {
    matches!(item, Ast::Assertion(a) if matches!(a.kind, AssertionKind::StartLine | AssertionKind::StartText))
}

fn is_end(item: &Ast) -> bool {
    matches!(item, Ast::Assertion(a) if matches!(a.kind, AssertionKind::EndLine | AssertionKind::EndText))
}

fn is_verbatim(item: &Ast, char: char) -> bool {
    matches!(item, Ast::Literal(literal) if literal.kind == LiteralKind::Verbatim && literal.c == char)
}

fn is_slash(item: &Ast) -> bool {
    matches!(item, Ast::Literal(literal) if literal.c == '/')
}

/// The text of adjacent items; none if there are none.
fn text_of<'a>(items: &[Ast], pattern: &'a str) -> Option<&'a str> {
    let span: Range<usize> = items.first()?.span().start.offset..items.last()?.span().end.offset;
    pattern.get(span)
}
