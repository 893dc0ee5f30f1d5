#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use super::*;
use crate::run::judge::judge;
use crate::run::recording::{Life, Observation, Outcome, Recording, Transition};
use crate::scenario::answer::Said;
use crate::scenario::caller::Caller;
use crate::scenario::file::ScenarioFile;
use verdict::availability::Phase;

fn scenario() -> Scenario {
    let text = include_str!("../../scenarios/spire-killed-cache.kdl");
    ScenarioFile::parse("spire-killed-cache.kdl", text)
        .unwrap()
        .scenario
}

fn run() -> Run {
    let observation = |n: u64, outcome| Observation {
        id: format!("frontend-0-{n}"),
        caller: Caller::Frontend,
        sent_ms: n * 10,
        took_us: 700 + n,
        outcome,
    };
    let mut recording = Recording {
        ended_ms: 5_000,
        transitions: vec![Transition {
            at_ms: 0,
            to: Phase::Live,
        }],
        lives: vec![Life {
            serving_ms: 0,
            ended_ms: None,
            as_told: false,
        }],
        ..Recording::default()
    };
    let said = |n| observation(n, Outcome::Said(Said::Verified));
    recording.observations = (0..400).map(said).collect();
    let evil = Outcome::Wrong("<script>alert(\"1\")</script>".to_owned());
    recording.observations.push(observation(401, evil));
    let verdicts = judge(&scenario(), &recording);
    Run {
        recording,
        verdicts,
        unshown: None,
    }
}

fn heading() -> Heading {
    Heading {
        title: "spire-killed-cache".to_owned(),
        breaks: None,
        mark: Mark::Broken,
        at: "today".to_owned(),
        on: "a deployment: the agent at /run/<agent>.sock".to_owned(),
    }
}

#[test]
fn a_page_needs_nothing_from_outside_and_runs_nothing() {
    let page = page(&heading(), &scenario(), &run());
    for outside in [
        "http:", "https:", "src=", "url(", "@import", "<script", "<link",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(
        page.contains("&lt;script&gt;"),
        "what was wrong is told, as text"
    );
    assert!(page.contains("prefers-color-scheme: dark"));
    assert!(page.contains("width=device-width"));
}

#[test]
fn every_promise_is_on_the_page_with_what_was_found() {
    let run = run();
    let page = page(&heading(), &scenario(), &run);
    for verdict in &run.verdicts {
        assert!(page.contains(&escape(&verdict.promise)), "{verdict:?}");
        assert!(
            page.contains(&escape(verdict.finding.words())),
            "{verdict:?}"
        );
    }
}

#[test]
fn what_nobody_looked_at_is_not_shown_as_kept() {
    let mut run = run();
    run.verdicts.truncate(1);
    run.verdicts[0].finding = Finding::NotJudged("not from here".to_owned());
    let page = page(&heading(), &scenario(), &run);
    assert!(page.contains("<b class=\"badge skipped\">not judged</b>"));
    assert!(!page.contains("badge kept"), "{page}");
    assert!(run.is_kept() && run.broken().next().is_none());
}

#[test]
fn the_page_says_on_what_the_run_was_made() {
    let page = page(&heading(), &scenario(), &run());
    assert!(page.contains("a deployment: the agent at /run/&lt;agent&gt;.sock"));
}

#[test]
fn an_error_and_a_skip_are_none_of_both_results() {
    let row = |mark| Row {
        page: None,
        heading: Heading { mark, ..heading() },
        says: "why".to_owned(),
    };
    let index = index("today", &[row(Mark::Error), row(Mark::Skipped)], &[]);
    assert!(index.contains(">error</b>") && index.contains(">skipped</b>"));
    assert!(!index.contains("as promised") && !index.contains(">broken<"));
}

#[test]
fn a_run_that_showed_nothing_says_so_and_why() {
    let mut run = run();
    run.unshown = Some("the agent stayed <Live>".to_owned());
    let mark = Mark::NothingShown;
    let page = page(&Heading { mark, ..heading() }, &scenario(), &run);
    assert!(page.contains("<b class=\"badge skipped\">nothing shown</b>"));
    assert!(page.contains("the agent stayed &lt;Live&gt;"), "{page}");
}

#[test]
fn tags_close() {
    let page = page(&heading(), &scenario(), &run());
    for tag in [
        "section", "table", "tbody", "svg", "div", "main", "header", "ol",
    ] {
        let (opened, closed) = (format!("<{tag}"), format!("</{tag}>"));
        let opened = page.matches(&opened).filter(|_| true).count();
        // `<header` also begins no other tag here, `<table` none, `<main` none.
        assert_eq!(opened, page.matches(&closed).count(), "{tag}");
    }
}

#[test]
fn a_run_of_nothing_has_a_page_too() {
    let recording = Recording::default();
    let verdicts = judge(&scenario(), &recording);
    let run = Run {
        recording,
        verdicts,
        unshown: None,
    };
    assert!(page(&heading(), &scenario(), &run).contains("</html>"));
}

#[test]
fn a_page_of_a_deployment_says_whence_it_knows_and_what_it_does_not() {
    let mut run = run();
    assert!(page(&heading(), &scenario(), &run).contains("state as it logged it"));
    run.recording.lives.clear();
    let told = page(&heading(), &scenario(), &run);
    assert!(told.contains("as its status page tells it") && !told.contains("logged it"));
    assert!(told.contains("not seen: the process is its owner’s"));
    assert!(!told.contains("only --admin-address shows"));
    run.recording.transitions.clear();
    let untold = page(&heading(), &scenario(), &run);
    assert!(untold.contains("not seen: only --admin-address shows the agent’s states"));
}
