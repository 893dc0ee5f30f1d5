//! What is right by the grammar but hardly meant: shown by `check-config`, never a reason to refuse.

mod cover;
mod environments;

use std::collections::HashMap;
use std::fmt;

use super::{EntryKind, List, RuleMatch};
use cover::Within;

/// The list an entry stands in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ListName {
    /// `allowlist`.
    Allow,
    /// `denylist`.
    Deny,
}

impl ListName {
    /// The block's name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allowlist",
            Self::Deny => "denylist",
        }
    }
}

/// The closed list of lints; the codes are stable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LintCode {
    /// An empty allowlist.
    AllowsNobody,
    /// `any`, or the pattern `.*`, in the allowlist.
    AllowsEverybody,
    /// `any`, or the pattern `.*`, in the denylist.
    DeniesEverybody,
    /// The same entry twice.
    DuplicateEntry,
    /// An entry that a broader one of the same list covers.
    RedundantEntry,
    /// An entry of the allowlist that the denylist covers.
    NeverAllowed,
    /// A pattern that more than one trust domain fits.
    PatternSpansTrustDomains,
    /// Production beside another environment in the allowlist.
    ProductionAndStaging,
}

impl LintCode {
    /// The code as printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowsNobody => "allows-nobody",
            Self::AllowsEverybody => "allows-everybody",
            Self::DeniesEverybody => "denies-everybody",
            Self::DuplicateEntry => "duplicate-entry",
            Self::RedundantEntry => "redundant-entry",
            Self::NeverAllowed => "never-allowed",
            Self::PatternSpansTrustDomains => "pattern-spans-trust-domains",
            Self::ProductionAndStaging => "production-and-staging",
        }
    }
}

/// An entry that a lint is about; shown as `allowlist prefix spiffe://example.org/services/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryRef {
    /// The list.
    pub list: ListName,
    /// The key.
    pub kind: EntryKind,
    /// Its place among the entries of that kind, from 0; 0 for `any`.
    pub index: usize,
    /// The entry as the operator wrote it; empty for `any`.
    pub entry: String,
}

impl EntryRef {
    fn new(list: ListName, rule: RuleMatch<'_>) -> Self {
        Self {
            list,
            kind: rule.kind,
            index: rule.index,
            entry: rule.entry.to_owned(),
        }
    }
}

impl fmt::Display for EntryRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = RuleMatch {
            kind: self.kind,
            index: self.index,
            entry: &self.entry,
        };
        write!(f, "{} {rule}", self.list.as_str())
    }
}

/// Something to look at twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lint {
    /// Which lint it is.
    pub code: LintCode,
    /// The entries it is about: the one to change first, then what makes it so.
    pub entries: Vec<EntryRef>,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

/// All lints of a policy. There are at most a few for each entry.
#[must_use]
pub fn lints(allow: &List, deny: &List) -> Vec<Lint> {
    let mut found = Vec::new();
    found.extend(everybody(allow, deny));
    for (name, list) in [(ListName::Allow, allow), (ListName::Deny, deny)] {
        found.extend(repeated(name, list));
        found.extend(wide_patterns(name, list));
    }
    found.extend(never_allowed(allow, deny));
    found.extend(environments::mixed(allow));
    found
}

fn everybody(allow: &List, deny: &List) -> Vec<Lint> {
    let mut found = Vec::new();
    if allow.is_empty() {
        found.push(Lint {
            code: LintCode::AllowsNobody,
            entries: Vec::new(),
            message: "the allowlist is empty: every identity is denied".to_owned(),
            advice: "name workloads, or write any to allow every verified one".to_owned(),
        });
    }
    if let Some(rule) = allow.any_rule() {
        found.push(Lint {
            code: LintCode::AllowsEverybody,
            entries: vec![EntryRef::new(ListName::Allow, rule)],
            message: format!(
                "{rule} allows every verified identity, those of federated trust domains too"
            ),
            advice: "name the trust domains that are meant under trust-domains".to_owned(),
        });
    }
    if let Some(rule) = deny.any_rule() {
        found.push(Lint {
            code: LintCode::DeniesEverybody,
            entries: vec![EntryRef::new(ListName::Deny, rule)],
            message: format!(
                "{rule} in the denylist denies everybody, whatever the allowlist says"
            ),
            advice: "name whom to deny; who is not in the allowlist is denied anyway".to_owned(),
        });
    }
    found
}

fn repeated(name: ListName, list: &List) -> Vec<Lint> {
    let mut found = Vec::new();
    for kind in EntryKind::WITH_ENTRIES {
        let mut seen = HashMap::new();
        for rule in list.rules(kind) {
            if let Some(&first) = seen.get(&cover::same_as(rule)) {
                found.push(pair(
                    LintCode::DuplicateEntry,
                    name,
                    (rule, name),
                    (first, name),
                ));
                continue;
            }
            seen.insert(cover::same_as(rule), rule);
            if let Some(broader) = cover::covering(list, list, rule, Within::SameList) {
                found.push(pair(
                    LintCode::RedundantEntry,
                    name,
                    (rule, name),
                    (broader, name),
                ));
            }
        }
    }
    found
}

fn never_allowed(allow: &List, deny: &List) -> Vec<Lint> {
    if deny.is_any() {
        return Vec::new();
    }
    let rules = EntryKind::WITH_ENTRIES
        .into_iter()
        .flat_map(|kind| allow.rules(kind));
    let denied = rules
        .filter_map(|rule| Some((rule, cover::covering(allow, deny, rule, Within::OtherList)?)));
    denied
        .map(|(rule, by)| {
            pair(
                LintCode::NeverAllowed,
                ListName::Allow,
                (rule, ListName::Allow),
                (by, ListName::Deny),
            )
        })
        .collect()
}

fn pair(
    code: LintCode,
    list: ListName,
    (rule, rule_list): (RuleMatch<'_>, ListName),
    (by, by_list): (RuleMatch<'_>, ListName),
) -> Lint {
    let (message, advice) = match code {
        LintCode::DuplicateEntry => (
            format!("{rule} says the same as {by}"),
            "remove one of them",
        ),
        LintCode::NeverAllowed => (
            format!("{rule} is covered by the denylist's {by}: nobody is allowed by it"),
            "remove one of them",
        ),
        _ => (
            format!("{rule} is covered by the broader {by}: it changes nothing"),
            "remove it, or the broader one if that allows more than is meant",
        ),
    };
    let advice = match list {
        ListName::Deny => advice.replace("allows", "denies"),
        ListName::Allow => advice.to_owned(),
    };
    Lint {
        code,
        entries: vec![EntryRef::new(rule_list, rule), EntryRef::new(by_list, by)],
        message,
        advice,
    }
}

fn wide_patterns(name: ListName, list: &List) -> Vec<Lint> {
    let wide = list
        .patterns
        .iter()
        .filter(|(_, pattern)| pattern.trust_domain().is_none());
    wide.map(|(index, _)| {
        let rule = list.rule(EntryKind::Patterns, *index);
        Lint {
            code: LintCode::PatternSpansTrustDomains,
            entries: vec![EntryRef::new(name, rule)],
            message: format!("{rule} fits more than one trust domain, and whoever runs one of them names its workloads"),
            advice: r"write a pattern for each trust domain; a dot that is meant as a dot is written \.".to_owned(),
        }
    })
    .collect()
}
