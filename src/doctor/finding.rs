//! What was found: what it is, how it shows, how bad it is, and what to do.

use serde::Serialize;
use verdict::time::Now;

use crate::output::{BAD, DOUBTFUL, FAINT, GOOD, Page, Report, STRONG, clean, counted};

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Requests fail, or are let in wrongly.
    Problem,
    /// They will, or might.
    Warning,
    /// There is a better way.
    Advice,
}

/// Findings of one code that are listed; each more is counted: what SPIRE delivers may be wrong in ten
/// thousand places, and in one way.
const ALIKE_MAX: usize = 16;

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// The stable name.
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    pub(super) what: String,
    pub(super) evidence: String,
    pub(super) fix: String,
    /// How many more of this code there are, on the last one that is listed.
    #[serde(skip_serializing_if = "is_none")]
    pub(super) more: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_none(more: &usize) -> bool {
    *more == 0
}

/// Everything that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Examination {
    pub(super) findings: Vec<Finding>,
    /// What is as it should be.
    pub(super) well: Vec<String>,
    #[serde(skip)]
    pub(super) now: Now,
}

impl Examination {
    pub(super) const fn at(now: Now) -> Self {
        Self {
            findings: Vec::new(),
            well: Vec::new(),
            now,
        }
    }

    /// Takes back what was found before more was known.
    pub(super) fn withdraw(&mut self, code: &str) {
        self.findings.retain(|finding| finding.code != code);
    }

    pub(super) fn problem(&mut self, code: &'static str, what: &str, evidence: &str, fix: &str) {
        self.add(Severity::Problem, code, what, evidence, fix);
    }

    pub(super) fn warn(&mut self, code: &'static str, what: &str, evidence: &str, fix: &str) {
        self.add(Severity::Warning, code, what, evidence, fix);
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        what: &str,
        evidence: &str,
        fix: &str,
    ) {
        let mut alike = self.findings.iter_mut().filter(|one| one.code == code);
        if let Some(last) = alike.nth(ALIKE_MAX - 1) {
            last.more += 1;
            return;
        }
        self.findings.push(Finding {
            code,
            severity,
            what: what.to_owned(),
            evidence: evidence.to_owned(),
            fix: fix.to_owned(),
            more: 0,
        });
    }

    /// Whether one of these was found.
    pub(super) fn has_any(&self, codes: &[&str]) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| codes.contains(&finding.code))
    }

    pub(super) fn well(&mut self, text: impl Into<String>) {
        self.well.push(text.into());
    }
}

impl Report for Examination {
    fn write(&self, page: &mut Page) {
        for text in &self.well {
            page.line(format_args!("{GOOD}ok{GOOD:#}       {}", clean(text)));
        }
        let mut findings: Vec<&Finding> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.severity);
        for finding in findings {
            finding.write(page);
        }
        let more: usize = self.findings.iter().map(|one| one.more).sum();
        let count = self.findings.len() + more;
        page.line(counted(count, "finding", "findings"));
    }
}

impl Finding {
    fn write(&self, page: &mut Page) {
        let (style, word) = match self.severity {
            Severity::Problem => (BAD, "problem"),
            Severity::Warning => (DOUBTFUL, "warning"),
            Severity::Advice => (FAINT, "advice"),
        };
        let (what, code) = (clean(&self.what), self.code);
        page.line(format_args!(
            "{style}{word:<8}{style:#} {STRONG}{what}{STRONG:#}  [{code}]"
        ));
        for (name, text) in [("seen", &self.evidence), ("do", &self.fix)] {
            if !text.is_empty() {
                page.line(format_args!("         {name:<5}{}", clean(text)));
            }
        }
        if self.more > 0 {
            page.line(format_args!("         and {} more like it", self.more));
        }
    }
}
