//! An explanation for people.

use super::case::{Answer, CheckMade, Explanation};
use super::record::{Again, Explained, Unexplained};
use crate::output::{BAD, DOUBTFUL, FAINT, GOOD, Page, Report, STRONG, clean};
use crate::when;

impl Report for Explanation {
    fn write(&self, page: &mut Page) {
        let mut line = |name: &str, text: &str| {
            page.line(format_args!("{STRONG}{name:<12}{STRONG:#}{}", clean(text)));
        };
        line("at", &self.at);
        line("policy", &self.policy);
        line("bundles", &self.bundles);
        if let Some(away) = &self.away {
            line(
                "SPIRE",
                away.spire
                    .as_deref()
                    .unwrap_or("taken to be away, as asked"),
            );
            if let Some(remedy) = &away.remedy {
                line("", remedy);
            }
            line("state", &away.state);
            for one in &away.modes {
                let mark = if one.in_force { "in force: " } else { "" };
                line(one.mode, &format!("{mark}{}", one.requests));
            }
        }
        if let Some(certificate) = &self.certificate {
            line("certificate", &certificate.spiffe_id);
            line("", &format!("sha256 {}", certificate.sha256));
            let (from, to) = (certificate.not_before, certificate.not_after);
            line("", &format!("{} to {}", when::shown(from), when::shown(to)));
        }
        page.line("");
        for check in &self.checks {
            write_check(check, page);
        }
        page.line("");
        write_answer(&self.answer, page);
        if let Some(meanwhile) = &self.meanwhile {
            page.line(format_args!("{BAD}but now     {BAD:#}{}", clean(meanwhile)));
        }
    }
}

impl Report for Explained {
    fn write(&self, page: &mut Page) {
        let mut line = |name: &str, text: Option<&str>| {
            if let Some(text) = text {
                page.line(format_args!("{STRONG}{name:<12}{STRONG:#}{}", clean(text)));
            }
        };
        line("record of", Some(&self.time));
        line("request", self.request_id.as_deref());
        line("certificate", self.spiffe_id.as_deref());
        line("", self.leaf_sha256.as_deref());
        line("policy", self.other_policy.as_deref());
        page.line("");
        for check in &self.checks {
            write_check(check, page);
        }
        page.line("");
        if let Some(answer) = &self.answer {
            write_answer(answer, page);
        }
        if let Some(contradiction) = &self.contradiction {
            page.line(format_args!(
                "{BAD}the record is not what a decision leaves{BAD:#}: {}",
                clean(contradiction)
            ));
        }
        if let Some(again) = &self.again {
            write_again(again, page);
        }
        page.line("");
    }
}

impl Report for Unexplained {
    fn write(&self, page: &mut Page) {
        let (style, text) = match (&self.error, self.note) {
            (Some(error), _) => (BAD, clean(error)),
            (None, note) => (DOUBTFUL, note.unwrap_or_default().to_owned()),
        };
        page.line(format_args!("{style}line {}{style:#}: {text}", self.line()));
        page.line("");
    }
}

fn write_again(again: &Again, page: &mut Page) {
    let reason = again.reason.unwrap_or_default();
    let (style, words) = match again.agrees {
        true => (GOOD, "the same"),
        false => (BAD, "something else"),
    };
    let note = again
        .note
        .map(|note| format!(" ({note})"))
        .unwrap_or_default();
    let verdict = &again.verdict;
    page.line(format_args!(
        "{STRONG}again       {STRONG:#}{style}{words}{style:#}: {verdict} {reason}{note}"
    ));
}

fn write_check(check: &CheckMade, page: &mut Page) {
    let style = match check.outcome {
        "passed" => GOOD,
        "failed" => BAD,
        "skipped" => DOUBTFUL,
        _ => FAINT,
    };
    let found = clean(check.found.as_deref().unwrap_or_default());
    let (number, name, outcome) = (check.number, check.check, check.outcome);
    let outcome = outcome.replace('_', " ");
    page.line(format!("{number:>2} {name:<10} {style}{outcome:<11}{style:#} {found}").trim_end());
}

fn write_answer(answer: &Answer, page: &mut Page) {
    let style = match (answer.verdict.as_str(), answer.identity.as_str()) {
        ("allow", "verified") => GOOD,
        ("allow", _) => DOUBTFUL,
        _ => BAD,
    };
    let mut words = answer.verdict.clone();
    match answer.status {
        Some(status) => words.push_str(&format!(" {status}")),
        None => words.push_str(&format!(", identity {}", answer.identity)),
    }
    if let Some(reason) = answer.reason {
        words.push_str(&format!(" {reason}"));
    }
    page.line(format_args!(
        "{STRONG}verdict     {STRONG:#}{style}{words}{style:#}"
    ));
    let mut line = |name: &str, text: Option<&str>| {
        if let Some(text) = text {
            page.line(format_args!("{STRONG}{name:<12}{STRONG:#}{}", clean(text)));
        }
    };
    line("matched", answer.matched.as_deref());
    line("rule", answer.rule.as_deref());
    line("means", answer.means);
    line("do", answer.advice.as_deref());
}
