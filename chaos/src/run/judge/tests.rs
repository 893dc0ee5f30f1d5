#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use verdict::availability::Phase;

use super::*;
use crate::run::recording::{Event, Life, Observation, Outcome, Record, Transition};
use crate::scenario::action::{Action, Process, Spire};
use crate::scenario::answer::Said;
use crate::scenario::caller::Caller;
use crate::scenario::file::ScenarioFile;

const AWAY: Said = Said::Denied("TRUST_UNAVAILABLE");

const FILE: &str = r#"
scenario "recorded" {
    shows "how promises are judged"
    agent { state-dir #true }
    load { callers frontend partner }
    timeline lasts-ms=6000 {
        at 1000 { spire kill }
        at 4000 { spire start }
    }
    promises {
        window "before" from=0 to=1000 { callers frontend partner; only verified; states Live }
        window "during" from=2000 to=4000 { callers frontend partner; only TRUST_UNAVAILABLE }
        recovery "back" after=4000 within-ms=500 { callers frontend partner; answer verified }
        recoveries "each time" after-spire="start" within-ms=500 { callers frontend; answer verified }
        transitions "states" { in-order Live Outage Live; never Withdrawn }
        restarts "nothing died" actor="cache" most=0
        log "said" { says "no bundles" }
    }
    twin breaks="during" { agent { failure { spire-unavailable "cache" } } }
}
"#;

fn scenario() -> Scenario {
    ScenarioFile::parse("recorded.kdl", FILE).unwrap().scenario
}

/// A run in which everything was kept: asked every 100 ms, steps 50 ms late.
fn kept() -> Recording {
    let mut recording = Recording {
        ended_ms: 6_050,
        events: vec![
            event(1_000, 1_050, Spire::Kill),
            event(4_000, 4_050, Spire::Start),
        ],
        transitions: [
            (0, Phase::Live),
            (1_600, Phase::Outage),
            (4_200, Phase::Live),
        ]
        .map(|(at_ms, to)| Transition { at_ms, to })
        .into(),
        log: vec!["WARN no bundles from the Workload API".to_owned()],
        lives: vec![Life {
            serving_ms: 0,
            ended_ms: None,
            as_told: false,
        }],
        ..Recording::default()
    };
    for n in 0..60 {
        let sent_ms = n * 100;
        let said = if (1_600..4_300).contains(&sent_ms) {
            AWAY
        } else {
            Said::Verified
        };
        for caller in [Caller::Frontend, Caller::Partner] {
            answer(&mut recording, caller, sent_ms, said);
        }
    }
    recording
}

fn event(planned_ms: u64, began_ms: u64, act: Spire) -> Event {
    Event {
        planned_ms,
        began_ms,
        done_ms: began_ms + 5,
        action: Action::Spire(act),
    }
}

/// An answer with its record.
fn answer(recording: &mut Recording, caller: Caller, sent_ms: u64, said: Said) {
    let id = format!("{}-{sent_ms}", caller.as_str());
    let denied = match said {
        Said::Denied(reason) => Some(reason.to_owned()),
        _ => None,
    };
    let record = Record {
        verdict: if denied.is_some() { "deny" } else { "allow" }.to_owned(),
        identity: if said == Said::Verified {
            "verified"
        } else {
            "none"
        }
        .to_owned(),
        state: Some(if sent_ms < 1_100 { "Live" } else { "Outage" }.to_owned()),
        reason: denied,
    };
    recording.records.insert(id.clone(), vec![record]);
    recording.observations.push(Observation {
        id,
        caller,
        sent_ms,
        took_us: 900,
        outcome: Outcome::Said(said),
    });
}

/// The promises that are broken in this recording.
fn broken(recording: &Recording) -> Vec<String> {
    let verdicts = judge(&scenario(), recording).into_iter();
    let broken = verdicts.filter(|verdict| !verdict.finding.is_kept());
    broken.map(|verdict| verdict.promise).collect()
}

/// What is broken once the good recording is altered so.
fn after(alter: impl FnOnce(&mut Recording)) -> Vec<String> {
    let mut recording = kept();
    alter(&mut recording);
    broken(&recording)
}

fn seen(recording: &mut Recording, sent_ms: u64) -> &mut Observation {
    let mut all = recording.observations.iter_mut();
    all.find(|seen| seen.sent_ms == sent_ms).unwrap()
}

#[test]
fn what_was_kept_is_kept() {
    assert_eq!(after(|_| {}), Vec::<String>::new());
}

#[test]
fn steps_that_were_late_move_the_windows() {
    let recording = kept();
    assert_eq!(recording.after(2_000), 2_055);
    // Begun at 4050: what seems to end with that millisecond may have met it.
    assert_eq!(recording.before(4_000), 4_048);
    assert_eq!(recording.before(1_000), 1_000);
    // Planned for 1000 and done at 1055: what was asked in between is in no window.
    let early = after(|recording| answer(recording, Caller::Frontend, 1_010, AWAY));
    assert_eq!(early, Vec::<String>::new());
}

#[test]
fn one_other_answer_breaks_a_window() {
    let wrong = after(|recording| {
        seen(recording, 3_000).outcome = Outcome::Said(Said::Verified);
        let record = recording.records.get_mut("frontend-3000").unwrap();
        record.first_mut().unwrap().verdict = "allow".to_owned();
        record.first_mut().unwrap().identity = "verified".to_owned();
    });
    assert_eq!(wrong, ["during"]);
}

#[test]
fn a_window_in_which_nobody_asked_shows_nothing() {
    let silent = after(|recording| {
        let mut kept = std::mem::take(&mut recording.observations);
        kept.retain(|seen| {
            seen.caller == Caller::Frontend || seen.sent_ms < 1_000 || seen.sent_ms > 4_000
        });
        recording.observations = kept;
    });
    assert_eq!(silent, ["during"]);
}

#[test]
fn the_records_say_in_which_state() {
    let outage = after(|recording| {
        let record = recording.records.get_mut("frontend-500").unwrap();
        record.first_mut().unwrap().state = Some("Outage".to_owned());
    });
    assert_eq!(outage, ["before"]);
}

#[test]
fn a_window_whose_records_name_no_state_shows_none() {
    let unread = after(|recording| {
        for record in recording.records.values_mut().flatten() {
            record.state = None;
        }
    });
    assert_eq!(unread, ["before"]);
}

#[test]
fn a_recovery_counts_from_when_the_step_was_done_and_for_the_last_caller() {
    let late = after(|recording| {
        for seen in &mut recording.observations {
            if seen.caller == Caller::Partner && (4_050..4_700).contains(&seen.sent_ms) {
                seen.outcome = Outcome::Said(AWAY);
                recording.records.remove(&seen.id);
            }
        }
    });
    assert_eq!(late, ["every answer is recorded once", "back"]);
}

/// What is said of a promise once the good recording is altered so.
fn words_of(promise: &str, alter: impl FnOnce(&mut Recording)) -> String {
    let mut recording = kept();
    alter(&mut recording);
    let mut verdicts = judge(&scenario(), &recording).into_iter();
    let found = verdicts.find(|verdict| verdict.promise == promise).unwrap();
    found.finding.words().to_owned()
}

#[test]
fn a_way_back_is_measured_only_where_something_was_lost() {
    assert_eq!(words_of("back", |_| {}), "after 245 ms");
    let once = words_of("each time", |_| {});
    assert!(
        once.starts_with("1 times: p50 245 ms") && !once.contains("lost"),
        "{once}"
    );
    let unchanged = |recording: &mut Recording| {
        for seen in &mut recording.observations {
            seen.outcome = Outcome::Said(Said::Verified);
        }
    };
    let told = words_of("back", unchanged);
    assert_eq!(
        told,
        "nothing was lost: verified before it and until all had it again"
    );
    let each = words_of("each time", unchanged);
    assert_eq!(each, "nothing was lost, 1 times");
    // A second time at which something was lost is told alone.
    let one = words_of("each time", |recording| {
        recording.events.insert(0, event(500, 550, Spire::Start));
    });
    assert_eq!(
        one,
        "1 times: p50 245 ms, p99 245 ms, longest 245 ms; 1 times more nothing was lost"
    );
    // Lost in the middle of the step, and by one of them alone.
    let met = words_of("back", |recording| {
        unchanged(recording);
        let mut seen = recording.observations.iter_mut().rev();
        let partner = seen.find(|seen| seen.caller == Caller::Partner && seen.sent_ms <= 4_100);
        let partner = partner.unwrap();
        (partner.sent_ms, partner.outcome) = (4_052, Outcome::Lost);
    });
    assert_eq!(met, "after 145 ms");
}

#[test]
fn a_recovery_that_never_comes_is_broken() {
    let never = after(|recording| {
        recording.observations.retain(|seen| seen.sent_ms < 4_000);
        recording.transitions.pop();
    });
    assert_eq!(never, ["back", "each time", "states"]);
}

#[test]
fn wrong_allows_late_answers_and_lost_requests_are_always_broken() {
    let wrong =
        after(|recording| seen(recording, 500).outcome = Outcome::Wrong("as admin".to_owned()));
    assert_eq!(wrong, ["no wrong allow"]);
    let limit_us = (500 + always::SLACK_MS) * 1_000;
    let late = after(|recording| seen(recording, 1_200).took_us = limit_us + 1_000);
    assert_eq!(late, ["every request is answered in time"]);
    let in_time = after(|recording| seen(recording, 1_200).took_us = limit_us);
    assert_eq!(in_time, Vec::<String>::new());
    for outcome in [Outcome::Lost, Outcome::Unsent, Outcome::Silent] {
        let lost = after(|recording| seen(recording, 1_200).outcome = outcome);
        assert_eq!(lost, ["every request is answered in time"]);
    }
}

#[test]
fn only_an_end_that_was_told_excuses_lost_requests() {
    let life = |as_told| {
        move |recording: &mut Recording| {
            let life = recording.lives.first_mut().unwrap();
            (life.ended_ms, life.as_told) = (Some(1_200), as_told);
            recording.lives.push(Life {
                serving_ms: 1_300,
                ended_ms: None,
                as_told: false,
            });
            seen(recording, 1_200).outcome = Outcome::Lost;
        }
    };
    assert_eq!(after(life(true)), Vec::<String>::new());
    let untold = ["every request is answered in time", "the process lives"];
    assert_eq!(after(life(false)), untold);
}

#[test]
fn a_process_that_was_held_excuses_late_answers() {
    let held = |acts: &'static [(Process, u64)]| {
        after(|recording| {
            for (act, at_ms) in acts {
                recording.events.push(Event {
                    planned_ms: *at_ms,
                    began_ms: *at_ms,
                    done_ms: *at_ms,
                    action: Action::Agent(*act),
                });
            }
            recording.events.sort_by_key(|event| event.planned_ms);
            seen(recording, 5_000).took_us = 9_000_000;
        })
    };
    assert_eq!(
        held(&[(Process::Suspend, 4_900), (Process::Resume, 5_500)]),
        Vec::<String>::new()
    );
    assert_eq!(held(&[]), ["every request is answered in time"]);
}

#[test]
fn each_answer_has_one_record_and_it_says_the_same() {
    let none = after(|recording| recording.records.retain(|id, _| id != "frontend-500"));
    assert_eq!(none, ["every answer is recorded once"]);
    let twice = after(|recording| {
        let records = recording.records.get_mut("frontend-500").unwrap();
        records.extend(records.clone());
    });
    assert_eq!(twice, ["every answer is recorded once"]);
    let other = after(|recording| {
        let records = recording.records.get_mut("frontend-500").unwrap();
        records.first_mut().unwrap().verdict = "deny".to_owned();
    });
    assert_eq!(other, ["every answer is recorded once"]);
}

#[test]
fn states_restarts_and_the_log_are_looked_at() {
    let withdrawn = after(|recording| {
        recording.transitions.push(Transition {
            at_ms: 5_000,
            to: Phase::Withdrawn,
        });
    });
    assert_eq!(withdrawn, ["states"]);
    let died = after(|recording| recording.restarts.push((5, "root/trust/cache".to_owned())));
    assert_eq!(died, ["nothing died"]);
    assert_eq!(after(|recording| recording.log.clear()), ["said"]);
}

#[test]
fn a_window_tells_for_how_long_nobody_was_answered() {
    let whole = words_of("before", |_| {});
    assert!(!whole.contains("none between"), "{whole}");
    let stretch = words_of("during", |recording| {
        recording
            .observations
            .retain(|seen| !(2_200..3_800).contains(&seen.sent_ms));
    });
    assert!(
        stretch.contains(", none between 2100 and 3800"),
        "{stretch}"
    );
}
