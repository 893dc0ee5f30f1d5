#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use super::*;
use crate::run::judge::{Finding, Verdict};
use crate::run::recording::{Observation, Outcome, Recording, Transition};
use crate::run::relay::Traffic;
use crate::scenario::AgentClock;
use crate::scenario::answer::Said;
use crate::scenario::caller::Caller;
use crate::scenario::file::ScenarioFile;
use crate::scenario::promise::{Always, Kind};

fn scenario(name: &str) -> Scenario {
    let path = format!("{}/scenarios/{name}.kdl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    ScenarioFile::parse(name, &text).unwrap().scenario
}

fn deployment(folder: &Path) -> Deployment {
    Deployment {
        agent: folder.join("agent.sock"),
        spire: folder.join("spire.sock"),
        relay: folder.join("relay.sock"),
        caller_id: "spiffe://example.org/frontend".to_owned(),
        caller_pem: String::new(),
        admin: None,
    }
}

async fn refused(deployment: &Deployment) -> String {
    deployment.check().await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_relay_at_another_socket_is_refused_by_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let mut deployment = deployment(folder.path());
    let _spire = tokio::net::UnixListener::bind(&deployment.spire).unwrap();
    deployment.check().await.unwrap();
    // The same path, told in another way; the agent's need not exist yet.
    deployment.relay = folder.path().join(".").join("agent.sock");
    let said = refused(&deployment).await;
    assert!(
        said.starts_with("--relay ") && said.contains("--agent-socket"),
        "{said}"
    );
    let link = folder.path().join("link.sock");
    std::os::unix::fs::symlink(&deployment.spire, &link).unwrap();
    deployment.relay = link;
    let said = refused(&deployment).await;
    assert!(
        said.starts_with("--relay ") && said.contains("--spire-socket"),
        "{said}"
    );
}

#[tokio::test]
async fn a_spire_that_is_not_there_is_named_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut deployment = deployment(folder.path());
    let said = refused(&deployment).await;
    assert!(
        said.starts_with("--spire-socket ") && said.contains("no such socket"),
        "{said}"
    );
    drop(std::os::unix::net::UnixListener::bind(&deployment.spire).unwrap());
    let said = refused(&deployment).await;
    assert!(said.contains("nobody listens"), "{said}");
    deployment.spire = deployment.agent.clone();
    let said = refused(&deployment).await;
    assert!(
        said.starts_with("--spire-socket ") && said.contains("--agent-socket"),
        "{said}"
    );
}

/// A stage before a SPIRE that greets whoever comes, and one who came if he is wanted.
async fn stage(folder: &Path, is_here: bool) -> (Deployed, Option<UnixStream>) {
    let deployment = deployment(folder);
    let spire = tokio::net::UnixListener::bind(&deployment.spire).unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = spire.accept().await {
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"hello")
                .await
                .unwrap();
            kept.push(stream);
        }
    });
    let relay = Relay::start(&deployment.relay, &deployment.spire, &deployment.agent).unwrap();
    let mut agent = None;
    if is_here {
        agent = Some(UnixStream::connect(&deployment.relay).await.unwrap());
        let own = Some(rustix::process::getpid());
        deployment.comes(&relay, own, COMES_WITHIN).await.unwrap();
    }
    let stage = Deployed {
        relay,
        sheet: Arc::new(Sheet::new()),
        socket: deployment.agent.clone(),
        met: Met::default(),
    };
    (stage, agent)
}

/// A status page that says one state after the other.
async fn page_of(states: &'static [Phase]) -> SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for state in states {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            let pid = std::process::id();
            let change = format!(r#"{{"ago_ms":9,"from":null,"to":"{}"}}"#, state.as_str());
            let status =
                format!(r#"{{"process":{{"pid":{pid}}},"trust":{{"timeline":[{change}]}}}}"#);
            let answer = format!("HTTP/1.0 200 OK\r\n\r\n{status}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

/// SPIRE's first bytes say nothing of bundles, and those of an earlier start verify as well.
#[tokio::test]
async fn an_agent_that_is_not_live_is_waited_for_and_is_an_error_then() {
    let folder = tempfile::tempdir().unwrap();
    let mut deployment = deployment(folder.path());
    deployment.until_live(None, Duration::ZERO).await.unwrap();
    deployment.admin = Some(page_of(&[Phase::Outage, Phase::Live]).await);
    deployment.until_live(None, COMES_WITHIN).await.unwrap();
    deployment.admin = Some(page_of(&[Phase::Outage]).await);
    let never = deployment.until_live(None, Duration::ZERO).await;
    assert!(matches!(never, Err(RunError::Unready(_))), "{never:?}");
    let said = never.unwrap_err().to_string();
    assert!(said.contains("is Outage, not Live"), "{said}");
}

#[tokio::test]
async fn an_agent_that_is_not_behind_the_relay_is_no_kept_promise() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, _) = stage(folder.path(), false).await;
    let deployment = deployment(folder.path());
    let nobody = deployment.comes(&stage.relay, None, Duration::ZERO).await;
    let said = nobody.unwrap_err().to_string();
    let remedy = format!("--spire-socket {}", deployment.relay.display());
    assert!(
        said.contains("nobody came") && said.contains(&remedy),
        "{said}"
    );
    let struck = stage.act(0, &Action::Spire(Act::Kill)).await;
    assert!(matches!(struck, Err(RunError::Unready(_))), "{struck:?}");
}

/// Whoever else is connected to the relay, as a `spire-agent api watch` that was forgotten.
#[tokio::test]
async fn somebody_else_at_the_relay_is_not_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, _other) = stage(folder.path(), true).await;
    let deployment = deployment(folder.path());
    let elsewhere = Some(Pid::INIT);
    let absent = deployment.comes(&stage.relay, elsewhere, Duration::ZERO);
    let said = absent.await.unwrap_err().to_string();
    let remedy = format!("--spire-socket {}", deployment.relay.display());
    assert!(
        said.contains("process 1,") && said.contains("does not use the relay"),
        "{said}"
    );
    assert!(said.contains(&remedy), "{said}");
    stage.met.agent = elsewhere;
    let struck = stage.act(0, &Action::Spire(Act::Kill)).await;
    assert!(matches!(struck, Err(RunError::Unready(_))), "{struck:?}");
}

#[tokio::test]
async fn an_agent_that_was_started_again_is_found_by_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, _agent) = stage(folder.path(), true).await;
    let own = Some(rustix::process::getpid());
    assert_eq!(listener_of(&stage.socket).await, None);
    let _listener = std::os::unix::net::UnixListener::bind(&stage.socket).unwrap();
    assert_eq!(listener_of(&stage.socket).await, own);
    stage.met.agent = Some(Pid::INIT);
    stage.act(0, &Action::Spire(Act::Kill)).await.unwrap();
    assert_eq!((stage.met.agent, stage.met.cut), (own, 1));
}

#[tokio::test]
async fn a_later_step_that_meets_nobody_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (mut stage, agent) = stage(folder.path(), true).await;
    stage.act(0, &Action::Spire(Act::Kill)).await.unwrap();
    drop(agent);
    while stage.relay.traffic(None).open > 0 {
        tokio::task::yield_now().await;
    }
    stage.act(0, &Action::Spire(Act::Start)).await.unwrap();
    stage.act(0, &Action::Spire(Act::Kill)).await.unwrap();
    assert_eq!(stage.met.missed.len(), 1, "{:?}", stage.met);
    assert!(stage.met.unshown().unwrap().contains("1 of 2 steps"));
    let often = Met {
        struck: 2,
        missed: stage.met.missed.clone(),
        ..Met::default()
    };
    assert_eq!(often.unshown(), None);
    let scenario = scenario("spire-killed-cache");
    let view = View::of(&scenario, false).unwrap();
    let told = view.told(
        &scenario,
        &[],
        (&Recording::default(), &Ok(Vec::new())),
        &stage.met,
    );
    assert!(
        matches!(&told.last().unwrap().finding, Finding::NotJudged(why) if why.contains("kill"))
    );
}

#[test]
fn what_is_not_seen_from_outside_is_not_judged_and_the_rest_says_of_whom() {
    let scenario = scenario("spire-killed-cache");
    let view = View::of(&scenario, false).unwrap();
    let kept = |name: &str| Verdict {
        promise: name.to_owned(),
        finding: Finding::Kept("100 answers".to_owned()),
    };
    let names = Always::ALL.iter().map(|always| always.as_str());
    let names = names.chain(scenario.promises.iter().map(|promise| &*promise.name));
    let judged: Vec<_> = names.map(kept).collect();
    let told = view.told(
        &scenario,
        &judged,
        (&Recording::default(), &Ok(Vec::new())),
        &Met::default(),
    );
    let of = |name: &str| &told.iter().find(|one| one.promise == name).unwrap().finding;
    for unseen in [
        "every answer is recorded once",
        "the process lives",
        // These name states, these nobody can ask.
        "by bundles that are known to be old",
        "lists hold",
        "the outage is seen, and its end",
    ] {
        assert!(matches!(of(unseen), Finding::NotJudged(_)), "{unseen}");
    }
    assert_eq!(
        *of("no wrong allow"),
        Finding::Kept("100 answers".to_owned())
    );
    let in_time = of("every request is answered in time").words();
    assert!(in_time.contains("500, and 1500 ms"), "{in_time}");
    let narrowed = of("the listed are verified throughout");
    assert!(narrowed.is_kept(), "{narrowed:?}");
    for absent in ["services", "fresh", "partner"] {
        assert!(narrowed.words().contains(absent), "{narrowed:?}");
    }
    let judged = &view.scenario.promises[0].kind;
    let Kind::Window { callers, .. } = judged else {
        panic!("{judged:?}");
    };
    assert_eq!(*callers, [Caller::Frontend, Caller::Spoofing]);
}

#[test]
fn a_mode_that_does_not_stop_the_agent_is_not_played() {
    let mut traffic = Traffic::default();
    let view = View::of(&scenario("socket-forbidden"), false).unwrap();
    view.is_felt_by(traffic).unwrap();
    traffic.by_root = true;
    let skipped = view.is_felt_by(traffic);
    assert!(matches!(skipped, Err(RunError::Skipped(_))), "{skipped:?}");
    let view = View::of(&scenario("socket-deleted"), false).unwrap();
    view.is_felt_by(traffic).unwrap();
}

#[test]
fn a_window_is_judged_in_its_states_and_in_no_others() {
    let scenario = scenario("spire-killed-cache");
    let view = View::of(&scenario, true).unwrap();
    let name = "by bundles that are known to be old";
    let judged = [Verdict {
        promise: name.to_owned(),
        finding: Finding::Kept("100 answers".to_owned()),
    }];
    let finding = |states: States| {
        let told = view.told(
            &scenario,
            &judged,
            (&Recording::default(), &states),
            &Met::default(),
        );
        let found = told.into_iter().find(|one| one.promise == name);
        found.unwrap().finding
    };
    let at = |at_ms, to| Transition { at_ms, to };
    let outage = vec![at(0, Phase::Live), at(1_700, Phase::Outage)];
    assert!(finding(Ok(outage)).is_kept());
    // A fault that the agent's own timings do not count as an outage.
    let brief = finding(Ok(vec![at(0, Phase::Live), at(1_100, Phase::Interrupted)]));
    assert!(
        matches!(&brief, Finding::NotJudged(why) if why.contains("Interrupted")),
        "{brief:?}"
    );
    let unknown = finding(Err("no page".to_owned()));
    assert_eq!(unknown, Finding::NotJudged("no page".to_owned()));
}

/// Promised are an outage, what is answered in it, and what is answered throughout.
#[test]
fn a_fault_that_became_no_outage_shows_nothing() {
    let scenario = scenario("spire-killed-fail-closed");
    let at = |at_ms, to| Transition { at_ms, to };
    let unshown = |states: &States| outage::unshown(&scenario, &Recording::default(), states, 0);
    let live = Ok(vec![at(0, Phase::Live)]);
    assert!(unshown(&live).unwrap().contains("stayed Live"));
    let brief = vec![at(0, Phase::Live), at(1_100, Phase::Interrupted)];
    let brief = unshown(&Ok(brief)).unwrap();
    assert!(
        brief.contains("never in Outage (Live → Interrupted)"),
        "{brief}"
    );
    let met = Ok(vec![at(0, Phase::Live), at(1_700, Phase::Outage)]);
    assert_eq!(unshown(&met), None);
    let view = View::of(&scenario, true).unwrap();
    let finding = |name: &str, states: &States| {
        let broken = [Verdict {
            promise: name.to_owned(),
            finding: Finding::Broken("otherwise".to_owned()),
        }];
        let told = view.told(
            &scenario,
            &broken,
            (&Recording::default(), states),
            &Met::default(),
        );
        told.into_iter()
            .find(|one| one.promise == name)
            .unwrap()
            .finding
    };
    assert!(
        matches!(finding("the states", &live), Finding::NotJudged(why) if why.contains("Live"))
    );
    assert!(finding("the states", &met).is_broken());
    // Nobody needs an outage for these. Another mode than the scenario's would break the one.
    for (name, is_of_the_mode) in [
        ("verified until it is an outage", true),
        ("no wrong allow", false),
    ] {
        let broken = finding(name, &live);
        assert!(broken.is_broken(), "{name}");
        assert_eq!(broken.words().contains("the agent's mode"), is_of_the_mode);
    }
    let refused = finding("refused while it is one", &live);
    assert!(matches!(refused, Finding::NotJudged(_)), "{refused:?}");
}

/// No agent's timings are so long: the loss of a stream is Interrupted at once.
#[test]
fn an_agent_that_was_cut_off_and_stayed_live_is_judged() {
    let scenario = scenario("spire-killed-fail-closed");
    let view = View::of(&scenario, true).unwrap();
    let live = Ok(vec![Transition {
        at_ms: 0,
        to: Phase::Live,
    }]);
    let why = outage::unshown(&scenario, &Recording::default(), &live, 1).unwrap();
    assert!(why.contains("another agent's page"), "{why}");
    let broken = [Verdict {
        promise: "the states".to_owned(),
        finding: Finding::Broken("Live, not Outage".to_owned()),
    }];
    let met = Met {
        cut: 1,
        ..Met::default()
    };
    let told = view.told(&scenario, &broken, (&Recording::default(), &live), &met);
    let states = told.iter().find(|row| row.promise == "the states").unwrap();
    assert!(states.finding.is_broken(), "{states:?}");
}

#[test]
fn where_nobody_tells_states_answers_do_that_an_outage_changes() {
    let mut recording = Recording::default();
    let untold: [States; 2] = [Ok(Vec::new()), Err("no page".to_owned())];
    let closed = scenario("spire-killed-fail-closed");
    for states in &untold {
        let why = outage::unshown(&closed, &recording, states, 0).unwrap();
        assert!(why.contains("no answer is one of an outage"), "{why}");
        // No answer would change: nothing is known, and so nothing shown.
        let cached = scenario("spire-killed-cache");
        let why = outage::unshown(&cached, &recording, states, 0).unwrap();
        assert!(why.contains("--admin-address"), "{why}");
    }
    recording.observations.push(Observation {
        id: String::new(),
        caller: Caller::Frontend,
        sent_ms: 2_000,
        took_us: 0,
        outcome: Outcome::Said(Said::Denied("TRUST_UNAVAILABLE")),
    });
    assert_eq!(outage::unshown(&closed, &recording, &untold[0], 0), None);
}

/// The fault is what the agent is started with, and no step.
#[test]
fn a_fault_that_is_around_our_own_agent_is_not_played_on_a_deployment() {
    for (name, key) in [
        ("audit-full", "records full"),
        ("audit-stuck", "records stuck"),
    ] {
        let skipped = View::of(&scenario(name), true).err().unwrap();
        assert!(matches!(skipped, RunError::Skipped(_)), "{skipped:?}");
        assert!(skipped.to_string().contains(key), "{skipped}");
    }
    let mut driven = scenario("spire-killed-cache");
    driven.agent.clock = AgentClock::Driven;
    let skipped = View::of(&driven, true).err().unwrap();
    assert!(skipped.to_string().contains("clock driven"), "{skipped}");
}

/// What every scenario promises is none of its own.
#[test]
fn a_run_without_a_judged_promise_of_its_own_shows_nothing() {
    let scenario = scenario("spire-killed-cache");
    let kept = |promise: &str| Verdict {
        promise: promise.to_owned(),
        finding: Finding::Kept("100 answers".to_owned()),
    };
    let own = &scenario.promises[0].name;
    let mut verdicts = vec![
        kept("no wrong allow"),
        Verdict {
            promise: own.clone(),
            finding: Finding::NotJudged("not seen".to_owned()),
        },
    ];
    let why = view::unjudged(&scenario, &verdicts).unwrap();
    assert!(why.contains("of its own"), "{why}");
    verdicts.push(kept(own));
    assert_eq!(view::unjudged(&scenario, &verdicts), None);
}

#[test]
fn an_agent_without_a_number_is_said_to_be_told_by_nothing() {
    let scenario = scenario("spire-killed-cache");
    let view = View::of(&scenario, false).unwrap();
    let told = |agent| {
        let met = Met {
            agent,
            ..Met::default()
        };
        let seen = (&Recording::default(), &Ok(Vec::new()));
        let rows = view.told(&scenario, &[], seen, &met);
        rows.into_iter()
            .find(|row| row.promise == "who came by the relay is the agent")
    };
    let row = told(None).unwrap();
    assert!(
        matches!(&row.finding, Finding::NotJudged(why) if why.contains("whoever came")),
        "{row:?}"
    );
    assert_eq!(told(Some(Pid::INIT)), None);
}
