//! A pattern: two regular expressions, one for the trust domain and one for the path.
//!
//! Matched against the ID as one text, `.*` in the trust domain would run over the slash and into
//! the path of anybody's ID. Split on the parsed pattern, each half sees only its own half of the
//! ID.

mod ends;
mod error;
mod split;
mod table;
mod viable;

use regex_syntax::hir::{Hir, HirKind};

pub use error::PatternError;

use super::limits::{MAX_PATTERN_BYTES, MAX_PATTERN_NESTING};
use crate::id::{TrustDomain, WorkloadId};
use split::Split;
pub(super) use table::Budget;
use table::Table;
use viable::Grammar;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    trust_domain: DomainTest,
    path: Table,
}

/// Most patterns name one trust domain: that is a comparison.
#[derive(Clone, Debug)]
enum DomainTest {
    Is(TrustDomain),
    Matches(Table),
}

impl Pattern {
    /// Compiles a pattern; none if it is `.*`, which means `any`.
    pub(super) fn parse(entry: &str, budget: &mut Budget) -> Result<Option<Self>, PatternError> {
        if entry.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong { bytes: entry.len() });
        }
        if !entry.is_ascii() {
            return Err(PatternError::NotAscii);
        }
        let Some(Split { trust_domain, path }) = split::split(entry)? else {
            return Ok(None);
        };
        let domain_hir = parse(trust_domain)?;
        viable::check(&domain_hir, Grammar::TrustDomain)?;
        let path_hir = parse(path)?;
        ends::check(&path_hir)?;
        viable::check(&path_hir, Grammar::Path)?;
        let trust_domain = match one_domain(&domain_hir) {
            Some(name) => DomainTest::Is(name),
            None => DomainTest::Matches(budget.compile(&domain_hir, Grammar::TrustDomain)?),
        };
        Ok(Some(Self {
            trust_domain,
            path: budget.compile(&path_hir, Grammar::Path)?,
        }))
    }

    pub(super) fn matches(&self, id: &WorkloadId) -> bool {
        self.fits_domain(id.trust_domain()) && self.path.fits(id.path())
    }

    /// Whether it can match a workload of this trust domain.
    pub(super) fn fits_domain(&self, domain: &TrustDomain) -> bool {
        match &self.trust_domain {
            DomainTest::Is(name) => name == domain,
            DomainTest::Matches(table) => table.fits(domain.as_str()),
        }
    }

    /// The trust domain, if the pattern can match only one.
    pub(super) fn trust_domain(&self) -> Option<&TrustDomain> {
        match &self.trust_domain {
            DomainTest::Is(name) => Some(name),
            DomainTest::Matches(_) => None,
        }
    }
}

/// IDs are ASCII, so classes are too: `\w{1,63}` would otherwise be some megabytes.
fn parse(half: &str) -> Result<Hir, PatternError> {
    let mut builder = regex_syntax::ParserBuilder::new();
    builder
        .unicode(false)
        .utf8(false)
        .nest_limit(MAX_PATTERN_NESTING);
    builder.build().parse(half).map_err(|error| error.into())
}

fn one_domain(hir: &Hir) -> Option<TrustDomain> {
    match hir.kind() {
        HirKind::Literal(literal) => TrustDomain::parse(&literal.0).ok(),
        _ => None,
    }
}
