#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use super::*;
use crate::scenario::setup::LOAD;

const GOOD: &str = r#"
scenario "small" {
    shows "that a file is read"
    agent { failure { spire-unavailable "cache" } }
    load connections=1 every-ms=20 { callers frontend forged }
    timeline lasts-ms=3000 {
        at 1000 { spire kill }
        repeat 2 from=1500 every-ms=500 { at 0 { spire start }; at 100 { spire kill } }
    }
    promises {
        window "verified" from=0 to=3000 { callers frontend; only verified }
    }
    twin breaks="verified" { agent { failure { spire-unavailable "fail_closed" } } }
}
"#;

/// The good file with one thing replaced, and what is said of it.
fn said_of(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    let text = GOOD.replacen(old, new, 1);
    let error = ScenarioFile::parse("small.kdl", &text).unwrap_err();
    error.to_string()
}

#[test]
fn a_file_is_read_with_its_twin() {
    let file = ScenarioFile::parse("small.kdl", GOOD).unwrap();
    let moments = file.scenario.timeline.steps.iter().map(|step| step.at_ms);
    assert_eq!(moments.collect::<Vec<_>>(), [1000, 1500, 1600, 2000, 2100]);
    assert!(file.scenario.agent.config.contains("\"cache\""));
    assert!(file.twin.scenario.agent.config.contains("\"fail_closed\""));
    assert!(!file.twin.scenario.agent.config.contains("\"cache\""));
    assert_eq!(file.twin.scenario.timeline, file.scenario.timeline);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_would_do() {
    for (old, new, place, words) in [
        (
            "spire kill }",
            "spire vanish }",
            "small.kdl:7:19: ",
            "known: stop, kill, start",
        ),
        (
            "at 1000",
            "when 1000",
            "small.kdl:7:9: ",
            "\"when\" is no part of a timeline; known: at, repeat",
        ),
        (
            "spire kill }",
            "spire answer status=OK }",
            "small.kdl:7:19: ",
            "\"OK\" is no gRPC status",
        ),
        (
            "callers frontend;",
            "callers everybody;",
            "small.kdl:11:44: ",
            "\"everybody\" is no caller",
        ),
        (
            "only verified",
            "only ALLOWED",
            "small.kdl:11:62: ",
            "\"ALLOWED\" is no answer",
        ),
        (
            "callers frontend;",
            "callers partner;",
            "small.kdl:11:9: ",
            "\"partner\" is not among the callers",
        ),
        (
            "to=3000",
            "to=3001",
            "small.kdl:11:9: ",
            "3001 ms is after the end",
        ),
        (
            "from=0 to=3000",
            "from=3000 to=3000",
            "small.kdl:11:9: ",
            "not after from",
        ),
        (
            "breaks=\"verified\"",
            "breaks=\"refused\"",
            "small.kdl:13:5: ",
            "no promise is named \"refused\"",
        ),
        (
            "\"cache\"",
            "\"cash\"",
            "small.kdl:4:5: ",
            "the agent refuses this configuration",
        ),
        (
            "scenario \"small\"",
            "scenario \"large\"",
            "small.kdl:2:1: ",
            "its file \"small\"",
        ),
        (
            "shows",
            "show",
            "small.kdl:3:5: ",
            "\"show\" is no key here",
        ),
        (
            "lasts-ms=3000",
            "lasts-ms=-1",
            "small.kdl:6:5: ",
            "lasts-ms is not a whole number",
        ),
        (
            "window \"verified\"",
            "window",
            "small.kdl:11:9: ",
            "needs a name in quotes",
        ),
        (
            "only verified",
            "only verified from=1",
            "small.kdl:11:62: ",
            "takes no from=",
        ),
        (
            "callers frontend;",
            "callers frontend least=9;",
            "small.kdl:11:44: ",
            "takes no least=",
        ),
        (
            "agent {",
            "agent state-dir=#true {",
            "small.kdl:4:5: ",
            "takes no state-dir=",
        ),
        (
            "shows \"that",
            "shows from=1 \"that",
            "small.kdl:3:5: ",
            "takes no from=",
        ),
        (
            "spire kill }",
            "spire kill { now } }",
            "small.kdl:7:19: ",
            "takes no \"now\" in it",
        ),
        (
            "every-ms=20",
            "every-ms=0",
            "small.kdl:5:5: ",
            "every-ms is zero",
        ),
        (
            "connections=1",
            "connections=0",
            "small.kdl:5:5: ",
            "not between 1 and 65535",
        ),
        (
            "lasts-ms=3000",
            "lasts-ms=2100",
            "small.kdl:6:5: ",
            "2100 ms is after the end",
        ),
        (
            "repeat 2",
            "repeat 0",
            "small.kdl:8:9: ",
            "how often is zero",
        ),
        (
            "spire kill }",
            "spire answer-http status=0 }",
            "small.kdl:7:19: ",
            "not between 200 and 599",
        ),
        (
            "spire kill }",
            "spire answer status=14 }",
            "small.kdl:7:19: ",
            "status is not a word",
        ),
        (
            "spire kill }",
            "actor kill bundels }",
            "small.kdl:7:19: ",
            "\"bundels\" is no actor; known: root,",
        ),
        (
            "spire kill }",
            "agent start }",
            "small.kdl:2:1: ",
            "\"agent start\" of an agent that runs",
        ),
        (
            "spire kill }",
            "agent kill }",
            "small.kdl:2:1: ",
            "at the end of the timeline the agent is down",
        ),
        (
            "spire kill }",
            "agent suspend }",
            "small.kdl:2:1: ",
            "the agent is suspended",
        ),
        (
            "spire kill }",
            "state-file torn }",
            "small.kdl:2:1: ",
            "the agent keeps none",
        ),
        (
            "{ spire kill }",
            "{ spire kill",
            "small.kdl:",
            "this is no KDL 2",
        ),
    ] {
        let said = said_of(old, new);
        assert!(said.starts_with(place), "{new}: {said}");
        assert!(said.contains(words), "{new}: {said}");
    }
}

/// Each can never break as it is written, or shows nothing.
#[test]
fn what_can_only_be_kept_is_no_promise() {
    let window = "window \"verified\" from=0 to=3000 { callers frontend; only verified }";
    for (promise, words) in [
        ("restarts \"few\" actor=\"bundels\" most=0", "is no actor"),
        ("restarts \"few\" actor=\"bundles\"", "needs least or most"),
        ("log \"said\" { says }", "needs what is to be said"),
        ("log \"said\" { says \"\" }", "needs what is to be said"),
        (
            "recovery \"back\" after=700 within-ms=9 { callers frontend; answer verified }",
            "no step begins at 700 ms",
        ),
    ] {
        let said = said_of(window, &format!("{window}\n{promise}"));
        assert!(said.starts_with("small.kdl:12:"), "{said}");
        assert!(said.contains(words), "{promise}: {said}");
    }
    for (old, new, words) in [
        (
            window,
            "",
            "small.kdl:10:5: \"promises\" needs a promise in it: window, ",
        ),
        (
            "{ agent { failure",
            "{ promises { }; agent { failure",
            "small.kdl:13:30: \"promises\" needs a promise",
        ),
    ] {
        let said = said_of(old, new);
        assert!(said.starts_with(words), "{new}: {said}");
    }
    let block = format!("promises {{\n        {window}\n    }}");
    let none = said_of(&block, "");
    assert!(
        none.starts_with("small.kdl:2:1: \"scenario\" needs promises"),
        "{none}"
    );
    let text = GOOD.replacen("only verified", "only verified; states Live", 1);
    let text = text.replacen("agent { failure", "agent { records \"stuck\"; failure", 1);
    let unread = ScenarioFile::parse("small.kdl", &text).unwrap_err();
    assert_eq!(unread.rule, Rule::NoRecords);
}

#[test]
fn whoever_mistakes_a_key_of_the_load_is_shown_all_of_them() {
    let load = "load connections=1 every-ms=20 { callers frontend forged }";
    for (wrong, place, words) in [
        (
            "load { connections 1 }",
            "small.kdl:5:12: ",
            "\"connections\" is no key here",
        ),
        (
            "load per-second=9",
            "small.kdl:5:5: ",
            "\"per-second\" is no property here",
        ),
        ("load 9", "small.kdl:5:5: ", "takes no argument 9"),
        (
            "load callers=\"frontend\"",
            "small.kdl:5:5: ",
            "\"callers\" is no property here",
        ),
    ] {
        let said = said_of(load, wrong);
        assert!(said.starts_with(place), "{said}");
        assert!(said.contains(words) && said.ends_with(LOAD), "{said}");
    }
    let all = ScenarioFile::parse("small.kdl", &GOOD.replacen(load, LOAD, 1)).unwrap();
    let load = all.scenario.load;
    assert_eq!((load.connections, load.every_ms), (2, 10));
    let none = GOOD.replacen(
        "load connections=1 every-ms=20 { callers frontend forged }",
        "",
        1,
    );
    let none = ScenarioFile::parse("small.kdl", &none)
        .unwrap()
        .scenario
        .load;
    assert_eq!((none.connections, none.every_ms), (2, 10));
}

/// An actor, and what is said of a promise and of a step about it, of an agent with two workers.
#[test]
fn an_actor_that_the_agent_has_not_is_refused_where_it_is_named() {
    let window = "window \"verified\" from=0 to=3000 { callers frontend; only verified }";
    let two = GOOD.replacen(
        "agent {",
        "agent { agent { limits { validation-workers 2 } };",
        1,
    );
    let parsed = |old: &str, new: &str| {
        assert!(two.contains(old), "{old}");
        ScenarioFile::parse("small.kdl", &two.replacen(old, new, 1))
    };
    let promised = |actor: &str| {
        let promise = format!("{window}\nrestarts \"few\" actor=\"{actor}\" most=0");
        parsed(window, &promise).map(drop)
    };
    for actor in [
        "worker-0", "worker-1", "doors", "bundles", "sentinel", "admin",
    ] {
        promised(actor).unwrap();
    }
    let known = "worker-0 to worker-1";
    for actor in [
        "worker-2",
        "worker-99",
        "worker-00",
        "grpc",
        "identity",
        "cache",
    ] {
        let said = promised(actor).unwrap_err().to_string();
        assert!(said.starts_with("small.kdl:12:1: "), "{said}");
        assert!(said.contains(&format!("has no {actor:?}")), "{said}");
        assert!(said.contains(known), "{said}");
        let step = parsed(
            "at 1000 { spire kill }",
            &format!("at 1000 {{ actor kill {actor} }}"),
        );
        let said = step.unwrap_err().to_string();
        assert!(said.contains(&format!("has no {actor:?}")), "{said}");
    }
    for actor in ["root", "connection"] {
        let said = promised(actor).unwrap_err().to_string();
        assert!(said.contains(&format!("starts {actor:?} again")), "{said}");
    }
    let words = "state-dir #true; agent { grpc-address \"127.0.0.1:8443\"; limits {";
    let with_a_door = two.replacen("agent { limits {", words, 1);
    for actor in ["grpc", "cache"] {
        let promise = format!("{window}\nrestarts \"few\" actor=\"{actor}\" most=0");
        let text = with_a_door.replacen(window, &promise, 1);
        ScenarioFile::parse("small.kdl", &text).unwrap();
    }
}

/// Neither the parser's stack nor its patience is for whoever writes the file.
#[test]
fn a_file_is_bounded_before_it_is_read() {
    for text in ["a{".repeat(8 * 1024), "/*".repeat(8 * 1024)] {
        let error = ScenarioFile::parse("deep.kdl", &text).unwrap_err();
        assert!(matches!(error.rule, Rule::Syntax(_)), "{error}");
    }
    let nested = format!("{}b{}", "a {\n".repeat(40), "\n}".repeat(40));
    let error = ScenarioFile::parse("deep.kdl", &nested).unwrap_err();
    assert_eq!((error.line, &error.rule), (33, &Rule::TooDeep));
    let long = format!("// {}\n{GOOD}", "x".repeat(64 * 1024));
    let error = ScenarioFile::parse("small.kdl", &long).unwrap_err();
    assert_eq!(error.rule, Rule::TooLong);
}

/// What stands behind `//` is no configuration.
#[test]
fn the_deadline_is_the_configurations() {
    let words = "agent { /* decision-deadline-ms 60000 */ agent { limits { decision-deadline-ms 7 } }; failure";
    let file = ScenarioFile::parse("small.kdl", &GOOD.replacen("agent { failure", words, 1));
    assert_eq!(file.unwrap().scenario.agent.deadline_ms, 7);
}

#[test]
fn the_status_of_an_outage_is_the_configurations() {
    let status = |text: &str| {
        let file = ScenarioFile::parse("small.kdl", text).unwrap();
        file.scenario.agent.unavailable_status.get()
    };
    assert_eq!(status(GOOD), 503);
    let set = "spire-unavailable \"cache\"; unavailable-status 429";
    assert_eq!(
        status(&GOOD.replacen("spire-unavailable \"cache\"", set, 1)),
        429
    );
}

#[test]
fn a_promise_has_one_name_and_a_twin_alters_something() {
    let window = "window \"verified\" from=0 to=3000 { callers frontend; only verified }";
    let twice = said_of(window, &format!("{window}\n{window}"));
    assert!(twice.contains("\"verified\" is there twice"), "{twice}");
    let always = said_of("window \"verified\"", "window \"no wrong allow\"");
    assert!(
        always.contains("every scenario promises \"no wrong allow\" unasked"),
        "{always}"
    );
    let same = said_of(
        "{ agent { failure { spire-unavailable \"fail_closed\" } } }",
        "{ agent { failure { spire-unavailable \"cache\" } } }",
    );
    assert!(same.contains("the twin alters nothing"), "{same}");
}

#[test]
fn every_scenario_here_is_right() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let file = ScenarioFile::parse(&name, &text).unwrap_or_else(|error| panic!("{error}"));
        assert!(
            !file.scenario.promises.is_empty(),
            "{name} promises nothing"
        );
        names.push(name);
    }
    assert!(names.len() >= 5, "the folder was found: {names:?}");
}

/// Of nothing but such steps there would be a scenario without a fault.
#[test]
fn a_step_that_ends_a_fault_which_there_is_not_is_refused() {
    let said = said_of("spire kill", "spire start");
    assert!(
        said.contains("at 1000 ms: \"spire start\" ends nothing: no stop or kill"),
        "{said}"
    );
    for (end, fault) in [
        ("thaw", "freeze"),
        ("socket-allowed", "socket-forbidden"),
        ("answer-well", "hang"),
        ("entry-created", "entry-deleted"),
        ("servers-start", "servers-stop"),
    ] {
        let said = said_of("spire kill", &format!("spire kill; spire {end}"));
        assert!(
            said.contains(&format!("spire {end}")) && said.contains(fault),
            "{said}"
        );
        let well = format!("spire kill; spire {fault}; spire {end}");
        ScenarioFile::parse("small.kdl", &GOOD.replacen("spire kill", &well, 1)).unwrap();
    }
}

#[test]
fn what_could_not_be_kept_or_would_show_nothing_is_refused() {
    let least = said_of("to=3000 {", "to=3000 least=0 {");
    assert!(least.contains("least is zero"), "{least}");
    let window = "window \"verified\" from=0 to=3000 { callers frontend; only verified }";
    let back = |within| {
        let more = format!("recovery \"back\" after=2000 within-ms={within}");
        format!("{window}\n{more} {{ callers frontend; answer verified }}")
    };
    let late = said_of(window, &back(1_001));
    assert!(
        late.contains("3001 ms is after the end of the timeline"),
        "{late}"
    );
    let whole = GOOD.replacen(window, &back(1_000), 1);
    ScenarioFile::parse("small.kdl", &whole).unwrap();
}
