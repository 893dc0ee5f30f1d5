//! What came of one run, for a person at a terminal.

use chaos::report::{Heading, Mark};
use chaos::run::judge::Finding;
use chaos::run::{Run, RunError};
use chaos::scenario::Scenario;

use crate::commands::FAILED;

/// One run to be made.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) scenario: Scenario,
    /// The promise that must break, and no other.
    pub(super) breaks: Option<String>,
}

impl Job {
    pub(super) fn title(&self) -> String {
        match self.breaks {
            None => self.scenario.name.clone(),
            Some(_) => format!("{}, twin", self.scenario.name),
        }
    }
}

/// What came of it.
pub(super) struct Done {
    pub(super) job: Job,
    pub(super) result: Result<Run, RunError>,
}

impl Done {
    pub(super) fn mark(&self) -> Mark {
        match (&self.result, &self.job.breaks) {
            (Err(RunError::Skipped(_)), _) => Mark::Skipped,
            (Err(_), _) => Mark::Error,
            (Ok(run), None) if run.is_kept() => match run.unshown {
                Some(_) => Mark::NothingShown,
                None => Mark::AsPromised,
            },
            (Ok(run), Some(breaks)) if run.broken().eq([breaks]) => Mark::AsPromised,
            (Ok(_), _) => Mark::Broken,
        }
    }

    pub(super) fn heading(&self, at: &str, on: &str) -> Heading {
        Heading {
            title: self.job.title(),
            breaks: self.job.breaks.clone(),
            mark: self.mark(),
            at: at.to_owned(),
            on: on.to_owned(),
        }
    }

    /// In one piece: several end at once.
    pub(super) fn told(&self) -> String {
        let title = self.job.title();
        let shows = &self.job.scenario.shows;
        let (run, head) = match (&self.result, self.mark()) {
            // The scenario's sentence is not what went wrong.
            (Err(error), Mark::Skipped) => return format!("  –  {title}: {error}"),
            (Err(error), _) => return format!("ERROR  {title}: {error}"),
            (Ok(run), Mark::Broken) => (run, format!("BROKEN {title}: {shows}")),
            (Ok(run), Mark::NothingShown) => {
                let why = run.unshown.as_deref().unwrap_or_default();
                (run, format!("NOTHING SHOWN {title}: {why}"))
            }
            (Ok(run), _) => (run, format!(" ok  {title}: {shows}")),
        };
        let mut lines = vec![head];
        match (&self.job.breaks, self.mark()) {
            (Some(breaks), Mark::AsPromised) => {
                lines.push(format!("       {breaks:?} breaks, as it must"));
                return lines.join("\n");
            }
            (Some(breaks), _) => {
                lines.push(format!("       {breaks:?} must break, and nothing else"));
            }
            (None, _) => {}
        }
        for verdict in &run.verdicts {
            let (promise, words) = (&verdict.promise, verdict.finding.words());
            let mark = match verdict.finding {
                Finding::Kept(_) => "ok",
                Finding::Broken(_) => "BROKEN",
                Finding::NotJudged(_) => "–",
            };
            let not = match verdict.finding {
                Finding::NotJudged(_) => "not judged: ",
                Finding::Kept(_) | Finding::Broken(_) => "",
            };
            lines.push(format!("       {mark:<7}{promise:<42} {not}{words}"));
        }
        lines.join("\n")
    }
}

/// How many ended how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) kept: usize,
    pub(super) broken: usize,
    pub(super) unshown: usize,
    pub(super) errors: usize,
    pub(super) skipped: usize,
}

/// A promise was broken, or a twin did not break as it must.
pub(super) const BROKEN: u8 = 1;
/// No run showed anything.
const NOTHING_SHOWN: u8 = 3;

impl Total {
    pub(super) fn of(marks: impl Iterator<Item = Mark>) -> Self {
        let mut total = Self::default();
        for mark in marks {
            *match mark {
                Mark::AsPromised => &mut total.kept,
                Mark::Broken => &mut total.broken,
                Mark::NothingShown => &mut total.unshown,
                Mark::Error => &mut total.errors,
                Mark::Skipped => &mut total.skipped,
            } += 1;
        }
        total
    }

    pub(super) const fn code(&self) -> u8 {
        match self {
            Self { broken: 1.., .. } => BROKEN,
            Self { errors: 1.., .. } => FAILED,
            Self { kept: 0, .. } => NOTHING_SHOWN,
            Self { .. } => 0,
        }
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            kept,
            broken,
            unshown,
            errors,
            skipped,
        } = self;
        write!(
            f,
            "{kept} as promised, {broken} not, {unshown} showed nothing, {errors} in error, \
             {skipped} skipped"
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use chaos::run::judge::Verdict;
    use chaos::run::recording::Recording;

    fn done(result: Result<Run, RunError>) -> Done {
        let scenario = crate::commands::scenarios::find("spire-killed-cache")
            .unwrap()
            .scenario;
        let job = Job {
            scenario,
            breaks: None,
        };
        Done { job, result }
    }

    #[test]
    fn an_error_is_none_of_the_scenario_and_breaks_nothing() {
        let done = done(Err(RunError::Unready("nobody came".to_owned())));
        assert_eq!(done.mark(), Mark::Error);
        let told = done.told();
        assert!(
            told.starts_with("ERROR") && told.contains("nobody came"),
            "{told}"
        );
        assert!(
            !told.contains(&done.job.scenario.shows) && !told.contains("BROKEN"),
            "{told}"
        );
    }

    #[test]
    fn a_fault_that_was_none_is_not_headlined_as_kept() {
        let run = |finding| {
            done(Ok(Run {
                recording: Recording::default(),
                verdicts: vec![Verdict {
                    promise: "verified".to_owned(),
                    finding,
                }],
                unshown: Some("the agent stayed Live".to_owned()),
            }))
        };
        let unshown = run(Finding::Kept("9 answers".to_owned()));
        assert_eq!(unshown.mark(), Mark::NothingShown);
        let told = unshown.told();
        assert!(told.starts_with("NOTHING SHOWN spire-killed-cache: the agent stayed Live"));
        assert!(told.contains("9 answers"), "{told}");
        let broken = run(Finding::Broken("NOT_ALLOWED".to_owned()));
        assert_eq!(broken.mark(), Mark::Broken);
    }

    #[test]
    fn what_was_not_judged_is_said_to_be_so() {
        let verdicts = vec![Verdict {
            promise: "states".to_owned(),
            finding: Finding::NotJudged("not seen from here".to_owned()),
        }];
        let told = done(Ok(Run {
            recording: Recording::default(),
            verdicts,
            unshown: None,
        }))
        .told();
        assert!(told.contains("not judged: not seen from here"), "{told}");
        assert!(
            told.contains("–") && !told.contains("ok     states"),
            "{told}"
        );
    }

    #[test]
    fn the_exit_code_says_what_was_shown() {
        use Mark::{AsPromised, Broken, Error, NothingShown, Skipped};
        let code = |marks: &[Mark]| Total::of(marks.iter().copied()).code();
        assert_eq!(code(&[AsPromised, Skipped]), 0);
        assert_eq!(code(&[AsPromised, Error, Broken]), 1);
        assert_eq!(code(&[AsPromised, Error]), 2);
        assert_eq!(code(&[Skipped, Skipped]), 3);
        assert_eq!(code(&[]), 3);
        assert_eq!(code(&[NothingShown]), 3);
        assert_eq!(code(&[NothingShown, AsPromised]), 0);
        assert_eq!(code(&[NothingShown, Error]), 2);
    }
}
