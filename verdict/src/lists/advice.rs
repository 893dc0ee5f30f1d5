//! What to write in place of an entry that was refused.

use super::{EntryKind, ListError, PatternError};
use crate::id::{IdError, SCHEME, SpiffeId, TrustDomain};

pub(super) fn of(kind: EntryKind, entry: &str, error: &ListError) -> Option<String> {
    match error {
        ListError::Id(error) => wildcard(kind, entry).or_else(|| of_id(kind, entry, *error)),
        ListError::NoPath(no_path) => Some(format!(
            "for all workloads of a trust domain write trust-domains \"{}\"",
            no_path.id.trust_domain()
        )),
        ListError::Pattern(error) => of_pattern(entry, error),
        ListError::TooManyEntries | ListError::TooMuchText => {
            Some("write what entries have in common as one prefix or trust domain".to_owned())
        }
        ListError::TooManyPatterns => {
            Some("prefix and trust-domains entries cost less and are not so few".to_owned())
        }
    }
}

/// Entries of another kind, written with `*` or as a regular expression.
fn wildcard(kind: EntryKind, entry: &str) -> Option<String> {
    if !entry.contains(['*', '\\']) {
        return None;
    }
    if kind == EntryKind::TrustDomains {
        let parent = entry.trim_start_matches(SCHEME).strip_prefix("*.")?;
        let parent = TrustDomain::parse(parent.as_bytes()).ok()?;
        let escaped = parent.as_str().replace('.', r"\.");
        return Some(format!(
            r#"for the trust domains below it write patterns "spiffe://.*\.{escaped}/.*""#
        ));
    }
    let prefix = entry.trim_end_matches(['*', '.']);
    let plain =
        prefix.ends_with('/') && SpiffeId::parse(prefix.trim_end_matches('/').as_bytes()).is_ok();
    Some(if plain {
        format!("for what lies below it write prefix \"{prefix}\"")
    } else {
        format!("{kind} entries are plain text: a regular expression belongs under patterns")
    })
}

fn of_id(kind: EntryKind, entry: &str, error: IdError) -> Option<String> {
    match (kind, error) {
        (EntryKind::Exact, IdError::TrailingSlash)
            if SpiffeId::parse(entry.trim_end_matches('/').as_bytes()).is_ok() =>
        {
            Some(format!(
                "for what lies below it write prefix \"{}/\"",
                entry.trim_end_matches('/')
            ))
        }
        (EntryKind::TrustDomains, IdError::PathInTrustDomain) => {
            let advice = error.advice(entry)?;
            Some(format!("{advice}, or put what stands here under prefix"))
        }
        (EntryKind::Exact | EntryKind::Prefix, IdError::Scheme) if entry.starts_with('/') => {
            path_alone(kind, entry).or_else(|| error.advice(entry))
        }
        (EntryKind::Prefix, _) if entry.ends_with('/') => {
            let prefix = error.suggestion(entry.strip_suffix('/')?)?;
            Some(format!("write \"{prefix}/\""))
        }
        _ => error.advice(entry),
    }
}

/// `/services`: which trust domain was meant is not ours to guess.
fn path_alone(kind: EntryKind, entry: &str) -> Option<String> {
    let id = format!("{SCHEME}a{entry}");
    let id = match kind {
        EntryKind::Prefix => id.strip_suffix('/').unwrap_or(&id),
        _ => &id,
    };
    SpiffeId::parse(id.as_bytes()).ok()?;
    Some(format!("write \"{SCHEME}TRUST-DOMAIN{entry}\""))
}

fn of_pattern(entry: &str, error: &PatternError) -> Option<String> {
    let advice = match error {
        PatternError::Alternation => {
            "write a pattern for each alternative, or put them in a group in the path"
        }
        PatternError::Beginning => return Some(beginning(entry)),
        PatternError::NoSlash => {
            "for everybody write any, for all workloads of a trust domain trust-domains, else go on with the path: /.*"
        }
        PatternError::FlagsBeforePath => "put the flags in a group in the path, as in (?i:name)",
        PatternError::Flag => {
            "leave the flag out: SPIFFE IDs are ASCII, and white space never stands in them"
        }
        PatternError::SlashInTrustDomain => {
            "write the / that begins the path outside of groups, classes and repetitions"
        }
        PatternError::AnchorInside => "leave the anchor out: a pattern matches the whole ID anyway",
        PatternError::NothingFits => {
            "look at word boundaries (\\b) inside, and at counted repetitions"
        }
        PatternError::NotAscii | PatternError::UnicodeClass => {
            "SPIFFE IDs are ASCII: write a class such as [A-Za-z]"
        }
        PatternError::NoTrustDomain => {
            "trust domains are lower case, of a-z 0-9 . - _ (SPIFFE-ID 2.1)"
        }
        PatternError::NoPath => return Some(no_path(entry)),
        PatternError::ByteInTrustDomain { .. } | PatternError::ByteInPath { .. } => {
            "leave it out: no ID contains it"
        }
        PatternError::TooLong { .. } | PatternError::TooLarge | PatternError::BudgetSpent => {
            "shorten counted repetitions, or write prefix entries"
        }
        PatternError::Syntax { .. } => return None,
    };
    Some(advice.to_owned())
}

fn beginning(entry: &str) -> String {
    let unescaped = entry.replace(r"\/", "/");
    if unescaped != entry && unescaped.trim_start_matches('^').starts_with(SCHEME) {
        return format!("a / needs no backslash: write \"{unescaped}\"");
    }
    if entry.contains(SCHEME) {
        return "put no group, flag or repetition before or around spiffe://".to_owned();
    }
    "a pattern matches the whole ID: begin with spiffe:// and the trust domain, as in spiffe://example\\.org/.*".to_owned()
}

fn no_path(entry: &str) -> String {
    let end = entry.trim_end_matches(['$', '^']).trim_end_matches(r"\z");
    if end.ends_with('/') {
        return format!("for what lies below write \"{end}.*\", or a prefix entry");
    }
    "a path has no empty segment, no . or .., and no slash at its end (SPIFFE-ID 2.2)".to_owned()
}
