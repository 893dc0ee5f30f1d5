//! A configuration file. No peer writes it, but the one error that is worse than a wrong file is a
//! process that dies of it: nesting, size, and spans that point out of the text.

use config::{FileConfig, MAX_PROBLEMS, Overrides, Place, Problem, Settings};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match FileConfig::parse("agent.kdl", text) {
        Ok(file) => {
            let again = FileConfig::parse("agent.kdl", text).expect("parsed once");
            let settings = Settings::resolve(Some(file), &Overrides::default());
            assert_eq!(
                settings,
                Settings::resolve(Some(again), &Overrides::default())
            );
            if let Err(errors) = settings {
                assert!(errors.lines().count() >= 1, "refused without a word");
            }
        }
        Err(errors) => {
            assert!((1..=MAX_PROBLEMS).contains(&errors.problems().count()));
            for problem in errors.problems() {
                check_place(problem, text);
            }
            for line in errors.lines() {
                assert!(
                    line.len() <= 4 * super::MAX_ERROR_BYTES,
                    "a line of {} bytes",
                    line.len()
                );
                assert!(!line.contains('\n'), "a line that is not one: {line:?}");
            }
        }
    }
}

fn check_place(problem: &Problem, text: &str) {
    let Place::Span { start, len } = problem.at else {
        return;
    };
    let end = start.checked_add(len).expect("a span has an end");
    let inside = text.get(start..end).is_some();
    assert!(
        inside,
        "bytes {start}..{end} are not in the text: {}",
        problem.rule
    );
}
