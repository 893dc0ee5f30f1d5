#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use std::path::PathBuf;
use std::time::Duration;

use chaos::ca::{Authority, AuthorityOptions};
use tokio::time::advance;
use verdict::availability::{Found, State};
use verdict::policy::{Failure, Mode, Policy, ValidationFailure};
use verdict::time::Contact;

use super::absence::REMIND_EVERY_MS;
use super::*;
use crate::clock::TestClock;
use crate::overheard::Overheard;

const SHORT: Timing = Timing {
    unavailable_after_ms: 1_000,
    withdrawal_grace_ms: 1_000,
};
const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;
const START: Now = Now {
    wall_ms: 1_700_000_000_000,
    boot_ms: 5_000,
};
/// Older than `SHORT` makes an interruption.
const BEFORE: Now = Now {
    wall_ms: START.wall_ms - 2_000,
    boot_ms: START.boot_ms - 2_000,
};
const SOCKET: &str = "/run/spire/agent.sock";
const ERROR: &str = "connection refused: nobody listens on SPIRE's socket";

/// Between a deadline and the tick that reports it nobody has stepped the machine; a push of longer
/// deadlines must not find it as it was before.
#[tokio::test(start_paused = true)]
async fn longer_deadlines_take_nothing_back() {
    for (loss, expected) in [
        (Loss::Transport, Phase::Outage),
        (Loss::Refused, Phase::Withdrawn),
    ] {
        let store = store(Found::Nothing);
        store.lost(loss);
        advance(Duration::from_millis(1_500)).await;
        store.set_timing(Timing {
            unavailable_after_ms: YEAR_MS,
            withdrawal_grace_ms: YEAR_MS,
        });
        assert_eq!(store.phase(), expected);
    }
}

/// Whoever comes early is kept until there is something to say, and no longer than he can wait.
#[tokio::test(start_paused = true)]
async fn the_first_word_is_waited_for_within_reason() {
    let longest = Duration::from_millis(100);
    for (found, word, waited_ms) in [
        (Found::Nothing, None, 100),
        (Found::Nothing, Some(None), 10),
        (
            Found::Material(Contact::at(BEFORE)),
            Some(Some(Loss::Transport)),
            10,
        ),
        // Nothing follows from it: there is nothing on disk to judge by.
        (Found::Nothing, Some(Some(Loss::Transport)), 100),
    ] {
        let store = Arc::new(store(found));
        let begun = Instant::now();
        let waiter = Arc::clone(&store);
        let waits = tokio::spawn(async move {
            waiter.started(longest).await;
            begun.elapsed()
        });
        tokio::time::sleep(Duration::from_millis(10)).await;
        match word {
            Some(None) => deliver(&store),
            Some(Some(loss)) => store.lost(loss),
            None => {}
        }
        assert_eq!(
            waits.await.unwrap().as_millis(),
            waited_ms,
            "{found:?} {word:?}"
        );
    }
}

fn store(found: Found) -> TrustStore {
    let clock = Clock::Test(TestClock::new(
        START,
        "00000000-0000-0000-0000-000000000000",
    ));
    let state = State::start(found, SHORT, clock.now());
    let world = World::new(state, SHORT, Snapshot::default());
    let advice = Advice {
        uid: 7,
        socket: PathBuf::from(SOCKET),
    };
    TrustStore::new(world, clock, Arc::default(), advice)
}

fn under(mode: Mode, cache_ttl_s: u64) -> Failure {
    Failure {
        spire_unavailable: mode,
        cache_ttl_s,
        ..Failure::default()
    }
}

/// A policy that allows the workloads of `example.org`.
fn policy(failure: Failure) -> Arc<Policy> {
    allowing("trust-domains \"example.org\"", failure)
}

/// A policy with this allowlist.
fn allowing(entries: &str, failure: Failure) -> Arc<Policy> {
    let text = format!("allowlist {{ {entries} }}");
    let file = config::FileConfig::parse("test.kdl", &text).unwrap();
    let settings = config::Settings::resolve(Some(file), &config::Overrides::default());
    let mut spec = settings.unwrap().policy().cloned().unwrap();
    spec.failure = failure;
    Arc::new(Policy::new(spec))
}

/// A store that was live, under this policy.
fn live(failure: Failure) -> TrustStore {
    let store = store(Found::Nothing);
    store.judge_by(Arc::new(move || vec![policy(failure)]));
    deliver(&store);
    store
}

/// SPIRE gives bundles.
fn deliver(store: &TrustStore) {
    deliver_with(store, &[]);
}

/// Besides what is usual, these bundles.
fn deliver_with(store: &TrustStore, more: &[(&str, &[u8])]) {
    let now_s = START.wall_ms.unsigned_abs() / 1_000;
    let ca = Authority::new("example.org", AuthorityOptions::at(now_s)).unwrap();
    let (key, der) = (ca.bundle_key(), ca.anchors_der());
    let mut all = vec![(key.as_str(), der.as_slice())];
    all.extend_from_slice(more);
    store.update(all.into_iter()).unwrap();
    assert_eq!(store.phase(), Phase::Live);
}

fn refused_connection() -> Why {
    Why {
        error: ERROR.to_owned(),
        remedy: "start the SPIRE agent".to_owned(),
    }
}

/// Lets time pass as the health actor does, for `total`.
async fn pass(store: &TrustStore, total: Duration) {
    const TICK: Duration = Duration::from_secs(1);
    for _ in 0..total.as_secs() {
        advance(TICK).await;
        store.tick();
    }
}

/// Another SPIRE's bundles are told of once, with what to do; of a policy that names no domain there is
/// nothing to tell.
#[tokio::test(start_paused = true)]
async fn bundles_of_no_domain_that_the_policy_names_are_told_of() {
    let five = "trust-domains \"a.test\" \"b.test\" \"c.test\" \"d.test\" \"e.test\"";
    for (entries, named) in [
        (
            "exact \"spiffe://a.test/x\"",
            Some("names (a.test), but of example.org"),
        ),
        (
            five,
            Some("names (a.test, b.test, c.test, d.test and 1 more)"),
        ),
        (
            "patterns \"spiffe://[a-c]+\\\\.test/.*\"",
            Some("names (those that its patterns fit)"),
        ),
        (
            "prefix \"spiffe://example.org/x\" \"spiffe://a.test\"",
            None,
        ),
        ("any #true", None),
    ] {
        let (log, _guard) = Overheard::listen();
        let store = store(Found::Nothing);
        let policy = allowing(entries, Failure::default());
        store.judge_by(Arc::new(move || vec![Arc::clone(&policy)]));
        store.tick();
        assert_eq!(store.foreign(), None, "without bundles: {entries}");
        deliver(&store);
        pass(&store, Duration::from_secs(3)).await;
        let told = log.lines();
        let told = told
            .iter()
            .filter(|line| line.contains("nobody whom the policy"));
        assert_eq!(told.count(), usize::from(named.is_some()), "{entries}");
        let foreign = store.foreign().map(|why| why.to_string());
        let says = foreign.as_deref().unwrap_or_default();
        assert!(
            says.contains(named.unwrap_or_default()),
            "{entries}: {says}"
        );
        assert_eq!(foreign.is_some(), named.is_some(), "{entries}");
    }
}

/// Whom a policy names and SPIRE leaves out is known, but for whose bundle came and cannot be read.
#[tokio::test(start_paused = true)]
async fn domains_that_a_policy_names_and_nobody_delivers_are_known() {
    let named = |names: &str| format!("trust-domains \"example.org\" {names}");
    let many = "\"a.test\" \"b.test\" \"c.test\" \"d.test\" \"e.test\" \"f.test\"";
    for (entries, total, says) in [
        (named(many), 5, "a.test, b.test, c.test, d.test and 1 more"),
        (named("\"a.test\""), 1, "names a.test, and SPIRE"),
        (named("\"f.test\""), 0, ""),
        (named(""), 0, ""),
        ("patterns \"spiffe://[a-e]+\\\\.test/.*\"".to_owned(), 0, ""),
    ] {
        let store = store(Found::Nothing);
        let policy = allowing(&entries, Failure::default());
        store.judge_by(Arc::new(move || vec![Arc::clone(&policy)]));
        store.tick();
        assert_eq!(store.undelivered(), None, "without bundles: {entries}");
        deliver_with(&store, &[("spiffe://f.test", b"unreadable")]);
        let found = store.undelivered();
        assert_eq!(found.as_ref().map_or(0, Undelivered::total), total);
        let told = found.map_or(String::new(), |found| found.to_string());
        assert!(told.contains(says), "{entries}: {told}");
        // Delivered, they are missing no more.
        let all = ["a", "b", "c", "d", "e"].map(|name| format!("spiffe://{name}.test"));
        let all: Vec<_> = all
            .iter()
            .map(|key| (key.as_str(), b"".as_slice()))
            .collect();
        deliver_with(&store, &all);
        let left = store.undelivered().map_or(0, |found| found.total());
        assert_eq!(left, usize::from(entries.contains("f.test")), "{entries}");
    }
}

/// What an operator needs stands in the line itself: where, why, what to do, what requests meet.
#[tokio::test(start_paused = true)]
async fn a_change_says_where_why_and_what_requests_meet() {
    let refused = "every request with a credential is refused, 503 TRUST_UNAVAILABLE";
    for (mode, then, outage) in [
        (
            Mode::FailClosed,
            "then fail_closed refuses",
            format!("fail_closed: {refused}, until SPIRE is back"),
        ),
        (
            Mode::Cache,
            "then cache goes on",
            "cache: verified by the bundles of 1 s ago, for another 9 s, until cache-ttl (10 s)"
                .to_owned(),
        ),
        (
            Mode::FailOpen,
            "then fail_open lets pass",
            "fail_open: verified by the bundles of 1 s ago, for another 9 s".to_owned(),
        ),
    ] {
        let (log, _guard) = Overheard::listen();
        let store = live(under(mode, 10));
        log.lines();
        store.lost_for(Loss::Transport, refused_connection());
        pass(&store, Duration::from_secs(1)).await;
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{lines:#?}");
        for (line, to) in lines.iter().zip(["Interrupted", "Outage"]) {
            let changed = "WARN actors::trust::told: trust source availability changed from=";
            assert!(line.trim_start().starts_with(changed), "{line}");
            assert!(line.contains(&format!("to=\"{to}\"")), "{line}");
            assert!(line.contains(&format!("socket={SOCKET}")), "{line}");
            assert!(line.contains(&format!("error=\"{ERROR}\"")), "{line}");
            assert!(line.contains("remedy=\"start the SPIRE agent\""), "{line}");
        }
        let before = format!("requests=\"verified as before, for another 1 s; {then}");
        assert!(lines[0].contains(&before), "{}", lines[0]);
        assert!(
            lines[1].contains(&format!("requests=\"{outage}")),
            "{}",
            lines[1]
        );
        deliver(&store);
        let back = log.lines().join("\n");
        assert!(
            back.contains("INFO") && back.contains("away=\"1 s\""),
            "{back}"
        );
        assert!(
            back.contains("requests=\"verified by the bundles of SPIRE\""),
            "{back}"
        );
    }
}

/// SPIRE's own "no", and a call that it does not accept: a mode is about absence only.
#[tokio::test(start_paused = true)]
async fn what_no_mode_excuses_is_said_so() {
    let (log, _guard) = Overheard::listen();
    let store = live(under(Mode::FailOpen, 10));
    store.lost(Loss::OurFault);
    pass(&store, Duration::from_secs(1)).await;
    let outage = log.lines().pop().unwrap();
    assert!(outage.contains("as with fail_closed"), "{outage}");
    store.lost(Loss::Refused);
    pass(&store, Duration::from_secs(1)).await;
    let lines = log.lines();
    assert!(
        lines[0].contains("ERROR") && lines[0].contains("to=\"Withdrawn\""),
        "{lines:#?}"
    );
    assert!(
        lines[0].contains("in every mode, until SPIRE gives this agent bundles"),
        "{lines:#?}"
    );
    assert!(
        lines[1].contains("register it: spire-server entry create"),
        "{lines:#?}"
    );
    assert!(lines[1].contains("-selector unix:uid:7"), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn policies_are_told_apart_and_none_is_told() {
    let (log, _guard) = Overheard::listen();
    let store = store(Found::Nothing);
    let modes = Mode::ALL.map(|mode| under(mode, 3_600));
    let mut many = modes.to_vec();
    many.extend(modes);
    many.extend((1..=3).map(|ttl_s| under(Mode::Cache, ttl_s)));
    store.lost(Loss::Ended);
    pass(&store, Duration::from_secs(1)).await;
    let none = log.lines().pop().unwrap();
    assert!(
        none.contains("no policy is in force: every request is refused, 503 NOT_CONFIGURED"),
        "{none}"
    );
    let store = live(under(Mode::FailClosed, 1));
    let world = store.load();
    let at = |ms| Now {
        wall_ms: store.clock.now().wall_ms + ms,
        boot_ms: store.clock.now().boot_ms + ms,
    };
    assert_eq!(
        meets::requests(&world, &many, at(0)),
        "verified by the bundles of SPIRE"
    );
    store.lost(Loss::Ended);
    let line = meets::requests(&store.load(), &many, at(2_500));
    assert_eq!(
        line.matches("; under another policy: ").count(),
        2,
        "{line}"
    );
    assert!(line.ends_with("; and 3 more policies"), "{line}");
    let off = Failure {
        enforce: false,
        ..modes[0]
    };
    let line = meets::requests(&store.load(), &[off], at(2_500));
    let begins = "enforce is off: who would be denied passes unverified; with it: fail_closed: every request";
    assert!(line.starts_with(begins), "{line}");
}

/// Who passes without being verified is told while SPIRE is there, too.
#[tokio::test(start_paused = true)]
async fn a_policy_that_lets_pass_is_told_while_all_is_well() {
    let (_log, _guard) = Overheard::listen();
    let strict = under(Mode::FailClosed, 3_600);
    let tolerant = Failure {
        validation_failure: ValidationFailure::LogAndAllow,
        ..strict
    };
    let off = Failure {
        enforce: false,
        ..tolerant
    };
    let store = live(strict);
    let (now, verified) = (store.clock.now(), "verified by the bundles of SPIRE");
    let meet = |failure, at| meets::requests(&store.load(), &[failure], at);
    assert_eq!(meet(strict, now), verified);
    let passes =
        "whose credential does not stand passes unverified (validation-failure \"log_and_allow\")";
    assert_eq!(meet(tolerant, now), format!("{verified}; {passes}"));
    let off_line = meet(off, now);
    assert!(
        off_line.starts_with("enforce is off: who would be denied passes unverified"),
        "{off_line}"
    );
    // It has no effect where nobody can be verified.
    store.lost(Loss::Ended);
    let later = Now {
        wall_ms: now.wall_ms + 120_000,
        boot_ms: now.boot_ms + 120_000,
    };
    let refused = meet(tolerant, later);
    assert!(
        refused.contains("is refused") && !refused.contains(passes),
        "{refused}"
    );
}

/// What a refusal will end is not promised for longer.
#[tokio::test(start_paused = true)]
async fn an_outage_in_which_spire_refuses_promises_no_more_than_the_grace() {
    let (_log, _guard) = Overheard::listen();
    for mode in [Mode::Cache, Mode::FailOpen] {
        let store = live(under(mode, 3_600));
        store.set_timing(Timing {
            unavailable_after_ms: 1_000,
            withdrawal_grace_ms: 30_000,
        });
        store.lost(Loss::Ended);
        let begun = store.clock.now();
        let at = |ms| Now {
            wall_ms: begun.wall_ms + ms,
            boot_ms: begun.boot_ms + ms,
        };
        let said = |ms| meets::requests(&store.load(), &[under(mode, 3_600)], at(ms));
        let before = said(2_000);
        assert!(!before.contains("SPIRE refuses this agent"), "{before}");
        store.lost(Loss::Refused);
        for (ms, left) in [(500, "in 29 s"), (10_000, "in 20 s")] {
            let during = said(ms);
            let overruled = format!("but SPIRE refuses this agent, and {left} that holds");
            assert!(during.contains(&overruled), "{during}");
        }
        let after = said(30_000);
        assert!(
            after.contains("in every mode, until SPIRE gives"),
            "{after}"
        );
    }
}

/// One line every ten minutes, and one when `cache-ttl` is over, which is no change of state.
#[tokio::test(start_paused = true)]
async fn an_outage_is_repeated_until_it_is_over() {
    let repeat = Duration::from_millis(REMIND_EVERY_MS);
    let (log, _guard) = Overheard::listen();
    let store = live(under(Mode::Cache, 15 * 60));
    store.lost_for(Loss::Transport, refused_connection());
    pass(&store, Duration::from_secs(1)).await;
    assert_eq!(log.lines().len(), 4, "two at the start, two of the loss");
    // More failures are no news.
    store.lost_for(Loss::Transport, refused_connection());
    pass(&store, repeat.saturating_sub(Duration::from_secs(1))).await;
    assert_eq!(log.lines(), [""; 0]);
    pass(&store, Duration::from_secs(1)).await;
    let lines = log.lines();
    let [line] = lines.as_slice() else {
        panic!("{lines:#?}");
    };
    for part in [
        "WARN actors::trust::told: trust source still away state=\"Outage\" lasts=\"10 min 1 s\" since=2023-11-14T22:13:20.000Z",
        "socket=/run/spire/agent.sock",
        "error=\"connection refused: nobody listens on SPIRE's socket\" remedy=\"start the SPIRE agent\"",
        "requests=\"cache: verified by the bundles of 10 min 1 s ago, for another 4 min 59 s, until cache-ttl (900 s) is over",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    pass(&store, Duration::from_secs(4 * 60 + 59)).await;
    assert_eq!(log.lines(), [""; 0]);
    pass(&store, Duration::from_secs(1)).await;
    let over = log.lines().join("\n");
    let refused = "TRUST_UNAVAILABLE: there are no bundles younger than cache-ttl (900 s)";
    assert!(
        over.contains("still away") && over.contains(refused),
        "{over}"
    );
    pass(&store, repeat * 3).await;
    assert_eq!(log.lines().len(), 3);
    deliver(&store);
    assert!(log.lines().concat().contains("to=\"Live\""));
    pass(&store, repeat * 3).await;
    assert_eq!(log.lines(), [""; 0]);
}

/// What SPIRE may say as fast as it can: updates that are discarded, and good ones that change all the
/// time. Some are told, the rest are counted, and the next minute is told again.
#[tokio::test(start_paused = true)]
async fn a_stream_of_updates_fills_no_log() {
    const UPDATES: usize = 1_000;
    // Of each kind of line, and there are a few kinds.
    const TOLD_MAX: usize = 10 * crate::sparse::RARE_LINES as usize;
    let store = live(Failure::default());
    let (log, _guard) = Overheard::listen();
    for _ in 0..UPDATES {
        assert!(store.update(std::iter::empty()).is_err());
    }
    let told = log.lines();
    assert!((1..=TOLD_MAX).contains(&told.len()), "{}", told.len());
    assert!(told[0].contains("update discarded"), "{}", told[0]);
    pass(&store, Duration::from_secs(61)).await;
    assert!(store.update(std::iter::empty()).is_err());
    let later = log.lines().concat();
    assert!(later.contains("left_out="), "{later}");

    let now_s = START.wall_ms.unsigned_abs() / 1_000;
    let ended = AuthorityOptions::at(now_s - 1_000_000_000);
    let others = [
        Authority::new("other.test", AuthorityOptions::at(now_s)).unwrap(),
        Authority::new("example.org", ended).unwrap(),
    ];
    for ca in others.iter().cycle().take(UPDATES) {
        let (key, der) = (ca.bundle_key(), ca.anchors_der());
        let bad = (0..100).map(|number| format!("spiffe://bad-{number}.test"));
        let bad: Vec<String> = bad.collect();
        let bad = bad.iter().map(|key| (key.as_str(), b"bad".as_slice()));
        let all: Vec<_> = bad.chain([(key.as_str(), der.as_slice())]).collect();
        store.update(all.into_iter()).unwrap();
    }
    let told = log.lines();
    assert!((2..=TOLD_MAX).contains(&told.len()), "{}", told.len());
    assert!(told.concat().contains("trust bundles updated"));
}

/// However many trust domains an update is of, a line of the log is a line.
#[tokio::test(start_paused = true)]
async fn an_update_of_many_domains_is_told_in_a_line() {
    let (log, _guard) = Overheard::listen();
    let store = store(Found::Nothing);
    let now_s = START.wall_ms.unsigned_abs() / 1_000;
    let ca = Authority::new("example.org", AuthorityOptions::at(now_s)).unwrap();
    let der = ca.anchors_der();
    let keys: Vec<String> = (0..500).map(|n| format!("spiffe://d{n}.test")).collect();
    let all: Vec<_> = keys.iter().map(|key| (key.as_str(), &*der)).collect();
    store.update(all.into_iter()).unwrap();
    let told = log.lines();
    let line = told.iter().find(|line| line.contains("bundles updated"));
    let line = line.unwrap();
    assert!(line.len() < 1_000 && line.contains("and 4"), "{line}");
}
