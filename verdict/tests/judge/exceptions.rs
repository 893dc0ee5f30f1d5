//! The file of permitted differences, and the rules by which a case is held against it
//! (`tests/peers/README.md`, The judge).

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Tags of bytes changed at random: what comes of it cannot be foretold.
pub const RANDOM: [&str; 3] = ["damage", "damage-signed", "id-mutated"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[expect(dead_code, reason = "the Go side checks it")]
    pub format: u32,
    pub exceptions: Vec<Exception>,
    /// Our reasons, and the judge's classes that mean the same.
    pub same: BTreeMap<String, Vec<String>>,
    /// Reasons that mean the same for some tags only.
    #[serde(default)]
    pub also: Vec<Also>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Also {
    pub tags: Vec<String>,
    pub reason: String,
    pub judge: String,
    #[expect(dead_code, reason = "for people")]
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    pub name: String,
    pub kind: String,
    pub tags: Vec<String>,
    pub ours: Side,
    pub judge: Side,
    #[expect(dead_code, reason = "for people")]
    pub rule: String,
    #[expect(dead_code, reason = "for people")]
    pub why: String,
    /// Why accepting what the judge refuses is no wrong allow.
    #[serde(default)]
    pub laxer: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    pub verdict: String,
    /// Of ours: reasons of the verdict.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Of the judge: classes of refusal.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Words of the refusal, one of which must be in its text.
    #[serde(default)]
    pub details: Vec<String>,
}

/// What one side says of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept {
        id: String,
    },
    Refuse {
        /// Our reason, or the judge's class.
        label: String,
        detail: String,
    },
}

/// A case as the rules see it.
pub struct Found<'a> {
    pub kind: &'a str,
    pub tags: &'a [String],
    pub ours: Verdict,
    pub judge: Verdict,
}

/// Why a case fails.
#[derive(Debug, PartialEq, Eq)]
pub enum Objection {
    /// Neither agreement nor exception.
    Difference,
    /// An exception says that they differ, and they do not.
    UnexpectedAgreement(String),
    /// Both refuse, for reasons that do not stand together in `same`.
    OtherReason,
    /// The judge could not read the case: a defect of the test.
    BadCase,
}

impl Side {
    fn fits(&self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Accept { .. } => self.verdict == "accept",
            Verdict::Refuse { label, detail } => {
                let labels = self.reasons.iter().chain(&self.classes);
                let label_fits =
                    labels.clone().count() == 0 || labels.into_iter().any(|l| l == label);
                let detail_fits =
                    self.details.is_empty() || self.details.iter().any(|d| detail.contains(d));
                self.verdict == "refuse" && label_fits && detail_fits
            }
        }
    }
}

impl Side {
    /// Which of several rules broken refuses first is ours to choose.
    fn fits_one_of(&self, tags: &[String], verdict: &Verdict) -> bool {
        let refuses = matches!(verdict, Verdict::Refuse { .. }) && self.verdict == "refuse";
        self.fits(verdict) || (refuses && tags.len() > 1)
    }
}

impl Exception {
    fn names(&self, kind: &str, tag: &str) -> bool {
        self.kind == kind && self.tags.iter().any(|t| t == tag)
    }
}

fn is_random(tag: &str) -> bool {
    RANDOM.contains(&tag)
}

/// The file, and what of it a run has shown to be true.
pub struct Ledger {
    file: File,
    shown: BTreeSet<(usize, String)>,
    explained: Vec<usize>,
}

impl Ledger {
    pub fn new(file: File) -> Self {
        let explained = vec![0; file.exceptions.len()];
        Self {
            file,
            shown: BTreeSet::new(),
            explained,
        }
    }

    /// Rules 1 to 3.
    pub fn hold(&mut self, found: &Found<'_>) -> Result<(), Objection> {
        match (&found.ours, &found.judge) {
            (_, Verdict::Refuse { label, .. }) if label == "bad-case" => Err(Objection::BadCase),
            (Verdict::Accept { id: a }, Verdict::Accept { id: b }) if a == b => self.agreed(found),
            (Verdict::Refuse { label: reason, .. }, Verdict::Refuse { label: class, .. }) => {
                self.agreed(found)?;
                self.same_reason(found, reason, class)
            }
            _ => self.differed(found),
        }
    }

    fn agreed(&self, found: &Found<'_>) -> Result<(), Objection> {
        let [tag] = found.tags else { return Ok(()) };
        let forbids = |e: &&Exception| e.names(found.kind, tag) && !is_random(tag);
        match self.file.exceptions.iter().find(forbids) {
            Some(exception) => Err(Objection::UnexpectedAgreement(exception.name.clone())),
            None => Ok(()),
        }
    }

    fn same_reason(&self, found: &Found<'_>, reason: &str, class: &str) -> Result<(), Objection> {
        if found.tags.len() > 1 || found.tags.iter().any(|tag| is_random(tag)) {
            return Ok(());
        }
        let same = self.file.same.get(reason);
        let same = same.is_some_and(|classes| classes.iter().any(|c| c == class));
        let also = self.file.also.iter().any(|also| {
            let names = found.tags.iter().any(|tag| also.tags.contains(tag));
            names && also.reason == reason && also.judge == class
        });
        match same || also {
            true => Ok(()),
            false => Err(Objection::OtherReason),
        }
    }

    fn differed(&mut self, found: &Found<'_>) -> Result<(), Objection> {
        for (index, exception) in self.file.exceptions.iter().enumerate() {
            let named = found
                .tags
                .iter()
                .find(|tag| exception.names(found.kind, tag));
            let Some(tag) = named else { continue };
            if exception.ours.fits_one_of(found.tags, &found.ours)
                && exception.judge.fits(&found.judge)
            {
                self.explained[index] += 1;
                if found.tags.len() == 1 {
                    self.shown.insert((index, tag.clone()));
                }
                return Ok(());
            }
        }
        Err(Objection::Difference)
    }

    /// Rule 4: tags of exceptions that no case with this tag alone has shown.
    pub fn not_shown(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (index, exception) in self.file.exceptions.iter().enumerate() {
            for tag in exception.tags.iter().filter(|tag| !is_random(tag)) {
                if !self.shown.contains(&(index, tag.clone())) {
                    missing.push(format!("{}: {tag}", exception.name));
                }
            }
        }
        missing
    }

    /// Every exception with the number of cases it has explained.
    pub fn explained(&self) -> impl Iterator<Item = (&Exception, usize)> {
        self.file
            .exceptions
            .iter()
            .zip(self.explained.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"format": 1, "exceptions": [
        {"name": "strict", "kind": "chain", "tags": ["odd", "damage-signed"], "rule": "r", "why": "w",
         "ours": {"verdict": "refuse", "reasons": ["MALFORMED"]}, "judge": {"verdict": "accept"}},
        {"name": "lax", "kind": "chain", "tags": ["junk", "damage-signed"], "rule": "r", "why": "w", "laxer": "l",
         "ours": {"verdict": "accept"}, "judge": {"verdict": "refuse", "classes": ["parse"], "details": ["URI"]}}
    ], "same": {"MALFORMED": ["parse"]},
    "also": [{"tags": ["old"], "reason": "MALFORMED", "judge": "path", "why": "w"}]}"#;

    fn accept(id: &str) -> Verdict {
        Verdict::Accept { id: id.to_owned() }
    }

    fn refuse(label: &str, detail: &str) -> Verdict {
        Verdict::Refuse {
            label: label.to_owned(),
            detail: detail.to_owned(),
        }
    }

    fn hold(
        ledger: &mut Ledger,
        tags: &[&str],
        ours: Verdict,
        judge: Verdict,
    ) -> Result<(), Objection> {
        let tags: Vec<_> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        ledger.hold(&Found {
            kind: "chain",
            tags: &tags,
            ours,
            judge,
        })
    }

    #[test]
    fn a_case_is_held_against_the_file() {
        let ledger = &mut Ledger::new(serde_json::from_str(FILE).unwrap());
        let mine = || refuse("MALFORMED", "x");
        let parse = || refuse("parse", "a bad URI");
        let difference = Err(Objection::Difference);
        let agreement = |name: &str| Err(Objection::UnexpectedAgreement(name.to_owned()));
        // Rule 1.
        assert_eq!(hold(ledger, &[], accept("a"), accept("a")), Ok(()));
        assert_eq!(hold(ledger, &[], accept("a"), accept("b")), difference);
        assert_eq!(
            hold(ledger, &["odd"], accept("a"), accept("a")),
            agreement("strict")
        );
        assert_eq!(hold(ledger, &["junk"], mine(), parse()), agreement("lax"));
        assert_eq!(
            hold(ledger, &["odd", "x"], accept("a"), accept("a")),
            Ok(())
        );
        assert_eq!(hold(ledger, &["damage-signed"], mine(), parse()), Ok(()));
        // Rule 2: the kind, the tag and both sides must fit.
        assert_eq!(hold(ledger, &[], mine(), accept("a")), difference);
        assert_eq!(hold(ledger, &["x"], mine(), accept("a")), difference);
        assert_eq!(
            hold(ledger, &["odd"], refuse("EXPIRED", ""), accept("a")),
            difference
        );
        assert_eq!(hold(ledger, &["odd"], accept("a"), parse()), difference);
        assert_eq!(
            hold(ledger, &["junk"], accept("a"), refuse("parse", "other")),
            difference
        );
        assert_eq!(
            hold(ledger, &["junk"], accept("a"), refuse("expired", "URI")),
            difference
        );
        assert_eq!(
            hold(ledger, &["odd", "x"], refuse("EXPIRED", ""), accept("a")),
            Ok(())
        );
        assert_eq!(
            hold(ledger, &["junk", "x"], refuse("EXPIRED", ""), accept("a")),
            difference
        );
        let tags = ["odd".to_owned()];
        let id = Found {
            kind: "id",
            tags: &tags,
            ours: mine(),
            judge: accept("a"),
        };
        assert_eq!(ledger.hold(&id), difference);
        // Rule 3.
        assert_eq!(hold(ledger, &["x"], mine(), parse()), Ok(()));
        assert_eq!(
            hold(ledger, &["x"], mine(), refuse("path", "")),
            Err(Objection::OtherReason)
        );
        assert_eq!(
            hold(ledger, &["x", "y"], mine(), refuse("path", "")),
            Ok(())
        );
        assert_eq!(
            hold(ledger, &["x"], mine(), refuse("bad-case", "")),
            Err(Objection::BadCase)
        );
        assert_eq!(hold(ledger, &["old"], mine(), refuse("path", "")), Ok(()));
        assert_eq!(
            hold(ledger, &["old"], mine(), refuse("expired", "")),
            Err(Objection::OtherReason)
        );
        // Rule 4.
        assert_eq!(ledger.not_shown(), ["strict: odd", "lax: junk"]);
        assert_eq!(hold(ledger, &["x", "junk"], accept("a"), parse()), Ok(()));
        assert_eq!(ledger.not_shown(), ["strict: odd", "lax: junk"]);
        assert_eq!(hold(ledger, &["odd"], mine(), accept("a")), Ok(()));
        assert_eq!(hold(ledger, &["junk"], accept("a"), parse()), Ok(()));
        assert_eq!(ledger.not_shown(), [""; 0]);
        assert_eq!(
            ledger.explained().map(|(_, n)| n).collect::<Vec<_>>(),
            [2, 2]
        );
    }
}
