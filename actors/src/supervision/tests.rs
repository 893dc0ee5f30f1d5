//! Real ractor on a paused clock: every wait is for the thing itself, and takes no real time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::*;
use crate::observe::{Restarts, unobserved};
use crate::overheard::Overheard;

mod wedged;

const SECOND: Duration = Duration::from_secs(1);

/// At most 3 restarts in 10 s, waits of 10, 20, 40 ms.
fn three() -> Restart {
    Restart::new(3, 10_000, 10, 40).unwrap()
}

/// An actor that does what it is told, and writes down how it ended.
#[derive(Clone)]
struct Puppet {
    name: &'static str,
    log: Log,
}

type Log = Arc<Mutex<Vec<String>>>;

enum Order {
    Panic,
    Err,
    StopYourself,
    Wedge,
    Hello(oneshot::Sender<&'static str>),
    Ping(Ping),
}

impl From<Ping> for Order {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

impl Actor for Puppet {
    type Msg = Order;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Order>, (): ()) -> Result<(), ActorProcessingErr> {
        self.log.lock().unwrap().push(format!("+{}", self.name));
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Order>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        self.log.lock().unwrap().push(format!("-{}", self.name));
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Order>,
        order: Order,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Panic => panic!("the strings are cut"),
            Order::Err => return Err("the strings are tangled".into()),
            Order::StopYourself => myself.stop(None),
            Order::Wedge => std::future::pending().await,
            Order::Hello(reply) => drop(reply.send(self.name)),
            Order::Ping(ping) => ping.answer().await,
        }
        Ok(())
    }
}

fn puppet(name: &'static str, address: &Address<Order>, log: &Log) -> ChildSpec {
    let puppet = Puppet {
        name,
        log: Arc::clone(log),
    };
    ChildSpec::actor(name, three(), address, move |_| (puppet.clone(), ()))
}

async fn start(spec: SupervisorSpec) -> Root {
    Root::start(spec, SECOND).await.unwrap()
}

/// A tree of one puppet.
async fn one() -> (Root, Address<Order>) {
    let address = Address::new();
    let child = puppet("child", &address, &Log::default());
    let root = start(SupervisorSpec::new("root").child(child)).await;
    (root, address)
}

async fn answers(address: &Address<Order>) -> bool {
    let (reply, answer) = oneshot::channel();
    address.send(Order::Hello(reply)).is_ok() && answer.await.is_ok()
}

/// Waits until `path` was restarted `restarts` times and runs.
async fn back(tree: &Tree, path: &str, restarts: u64) -> ChildStatus {
    let is_back = |row: &&ChildStatus| {
        *row.path == *path && row.restarts == restarts && row.state == ChildState::Running
    };
    let wait = tree.wait_until(|rows| rows.iter().any(|r| is_back(&r)));
    // On a paused clock this passes at once when nothing else is left to happen.
    let rows = tokio::time::timeout(3_600 * SECOND, wait).await;
    let rows = rows.expect("the child never came back");
    rows.into_iter().find(|r| is_back(&r)).unwrap()
}

async fn restarts_after(kill: impl FnOnce(&Root, &Address<Order>)) -> Cause {
    let (root, address) = one().await;
    let died = Instant::now();
    kill(&root, &address);
    let status = back(root.tree(), "root/child", 1).await;
    assert_eq!(died.elapsed(), Duration::from_millis(10));
    assert!(answers(&address).await);
    assert_eq!((status.failures, status.alive), (1, 1));
    status.last_failure.unwrap().cause
}

#[tokio::test(start_paused = true)]
async fn every_end_that_nobody_ordered_is_a_failure_and_restarts() {
    let cause = restarts_after(|_, a| a.send(Order::Panic).unwrap()).await;
    assert_eq!(cause, Cause::Failed("the strings are cut".into()));
    let cause = restarts_after(|_, a| a.send(Order::Err).unwrap()).await;
    assert_eq!(cause, Cause::Failed("the strings are tangled".into()));
    let cause = restarts_after(|_, a| a.send(Order::StopYourself).unwrap()).await;
    assert_eq!(cause, Cause::Stopped);
    let cause =
        restarts_after(|_, a| a.current().unwrap().stop(Some("by a stranger".into()))).await;
    assert_eq!(cause, Cause::Stopped);
    let cause = restarts_after(|_, a| a.current().unwrap().drain().unwrap()).await;
    assert_eq!(cause, Cause::Stopped);
    let cause = restarts_after(|root, _| assert_eq!(root.tree().kill("child"), 1)).await;
    assert_eq!(cause, Cause::Killed);
}

#[tokio::test(start_paused = true)]
async fn a_child_killed_while_its_handler_is_stuck_restarts() {
    let cause = restarts_after(|root, address| {
        address.send(Order::Wedge).unwrap();
        assert_eq!(root.tree().kill("root/child"), 1);
    });
    assert_eq!(cause.await, Cause::Killed);
}

#[tokio::test(start_paused = true)]
async fn only_the_failed_child_is_restarted() {
    let (left, right, log) = (Address::new(), Address::new(), Log::default());
    let spec = SupervisorSpec::new("root")
        .child(puppet("left", &left, &log))
        .child(puppet("right", &right, &log));
    let root = start(spec).await;
    left.send(Order::Panic).unwrap();
    back(root.tree(), "root/left", 1).await;
    assert!(answers(&right).await);
    assert_eq!(root.tree().status("root/right").unwrap().restarts, 0);
    assert_eq!(*log.lock().unwrap(), ["+left", "+right", "+left"]);
}

/// Who reads the log learns which part it was, how often, and how near the end is.
#[tokio::test(start_paused = true)]
async fn a_restart_is_told_in_plain_words() {
    let (log, _guard) = Overheard::listen();
    let address = Address::new();
    let spec = SupervisorSpec::new("root").child(puppet("bundles", &address, &Log::default()));
    let watcher = Arc::new(Restarts(unobserved()));
    let farewell = Farewell::at_once(SECOND);
    let root = Root::start_watched(spec, farewell, Some(watcher))
        .await
        .unwrap();
    for (restarts, left) in [(1, 2), (2, 1), (3, 0)] {
        address.send(Order::Err).unwrap();
        back(root.tree(), "root/bundles", restarts).await;
        let lines = log.lines();
        let down = lines
            .iter()
            .find(|line| line.contains("actor down, restarting it path=root/bundles"));
        let down = down.unwrap_or_else(|| panic!("{lines:#?}"));
        let part = "part=\"the watcher of SPIRE's bundles\"";
        let told = format!(
            "{part} cause=failed: the strings are tangled failures={restarts} \
             budget=\"{left} of 3 restarts within 10 s left\" wait_ms="
        );
        assert!(down.contains(&told), "{down}");
        let again =
            format!("actor runs again path=root/bundles {part} restarts={restarts} down=\"");
        assert!(
            lines.iter().any(|line| line.contains(&again)),
            "{again} in {lines:#?}"
        );
    }
    address.send(Order::Err).unwrap();
    root.ended().await;
    let lines = log.lines().join("\n");
    let given_up = "actor given up, its supervisor fails path=root/bundles part=\"the watcher";
    assert!(lines.contains(given_up), "{lines}");
}

#[tokio::test(start_paused = true)]
async fn one_failure_too_many_within_the_window_ends_the_tree() {
    let (root, address) = one().await;
    for restarts in 1..=3 {
        address.send(Order::Panic).unwrap();
        back(root.tree(), "root/child", restarts).await;
    }
    address.send(Order::Err).unwrap();
    let escalation = Escalation {
        child: "root/child".into(),
        max: 3,
        within_ms: 10_000,
        cause: Cause::Failed("the strings are tangled".into()),
    };
    assert_eq!(root.ended().await, Ended::GaveUp(escalation));
    let status = root.tree().status("root/child").unwrap();
    assert_eq!(status.state, ChildState::GivenUp);
    assert_eq!((status.failures, status.restarts, status.alive), (4, 3, 0));
    assert_eq!(address.send(Order::Err), Err(Down));
}

#[tokio::test(start_paused = true)]
async fn failures_spread_out_never_end_the_tree() {
    let (root, address) = one().await;
    for restarts in 1..=100 {
        address.send(Order::Panic).unwrap();
        back(root.tree(), "root/child", restarts).await;
        tokio::time::advance(Duration::from_millis(3_334)).await;
    }
    assert!(answers(&address).await);
}

#[tokio::test(start_paused = true)]
async fn a_root_that_gives_up_stops_the_others_in_order() {
    let (bad, good, log) = (Address::new(), Address::new(), Log::default());
    let never = Restart::new(0, 1, 0, 0).unwrap();
    let nervous = Puppet {
        name: "nervous",
        log: Arc::clone(&log),
    };
    let spec = SupervisorSpec::new("root")
        .child(puppet("first", &good, &log))
        .child(puppet("second", &Address::new(), &log))
        .child(ChildSpec::actor("nervous", never, &bad, move |_| {
            (nervous.clone(), ())
        }));
    let root = start(spec).await;
    bad.send(Order::Panic).unwrap();
    assert!(matches!(root.ended().await, Ended::GaveUp(e) if &*e.child == "root/nervous"));
    let expected = ["+first", "+second", "+nervous", "-second", "-first"];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_nested_supervisor_that_gives_up_is_restarted_with_all_it_has() {
    let (watcher, cache, log) = (Address::new(), Address::new(), Log::default());
    let trust = SupervisorSpec::new("trust")
        .child(puppet("cache", &cache, &log))
        .child(puppet("watcher", &watcher, &log));
    let spec = SupervisorSpec::new("root").child(ChildSpec::supervisor(three(), trust));
    let root = start(spec).await;
    let path = "root/trust/watcher";
    for restarts in 1..=3 {
        watcher.send(Order::Panic).unwrap();
        back(root.tree(), path, restarts).await;
    }
    watcher.send(Order::Panic).unwrap();
    let trust = back(root.tree(), "root/trust", 1).await;
    let Some(Failure {
        cause: Cause::GaveUp(escalation),
        ..
    }) = trust.last_failure
    else {
        panic!("the cause is typed: {trust:?}");
    };
    assert_eq!(&*escalation.child, path);
    assert!(answers(&watcher).await && answers(&cache).await);
    // A new life has a fresh budget.
    watcher.send(Order::Panic).unwrap();
    back(root.tree(), path, 4).await;
}

#[tokio::test(start_paused = true)]
async fn escalation_climbs_to_the_root_and_never_loops() {
    let (leaf, never) = (Address::new(), Restart::new(1, 10_000, 10, 10).unwrap());
    let log = Log::default();
    let puppet = Puppet {
        name: "leaf",
        log: Arc::clone(&log),
    };
    let leaf_spec = ChildSpec::actor("leaf", never, &leaf, move |_| (puppet.clone(), ()));
    let low = SupervisorSpec::new("low").child(leaf_spec);
    let high = SupervisorSpec::new("high").child(ChildSpec::supervisor(never, low));
    let root = start(SupervisorSpec::new("root").child(ChildSpec::supervisor(never, high))).await;
    let mut kills = 0;
    let ended = root.ended();
    tokio::pin!(ended);
    let ended = loop {
        let mut changes = root.tree().changes();
        kills += root.tree().kill("leaf");
        tokio::select! {
            ended = &mut ended => break ended,
            _ = changes.changed() => {}
        }
    };
    let Ended::GaveUp(escalation) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(&*escalation.child, "root/high");
    assert!(matches!(&escalation.cause, Cause::GaveUp(e) if &*e.child == "root/high/low"));
    // Two lives at each of the three levels.
    assert_eq!(log.lock().unwrap().len(), 8);
    assert!(kills >= 8);
}

/// A child whose start fails as long as `bad` has turns left.
fn reluctant(turns: u32, how: fn() -> SpawnErr, address: &Address<Order>) -> ChildSpec {
    let (left, address) = (Arc::new(AtomicU32::new(turns)), address.clone());
    ChildSpec::new("child", three(), move |start| {
        let (left, address) = (Arc::clone(&left), address.clone());
        async move {
            let turn =
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
            if turn.is_ok() {
                return Err(how());
            }
            let puppet = Puppet {
                name: "child",
                log: Log::default(),
            };
            let (actor, _) =
                Actor::spawn_linked(None, puppet, (), start.supervisor.clone()).await?;
            address.set(actor.clone());
            Ok(actor.get_cell())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_three_times_then_succeeds() {
    let address = Address::new();
    let failing = || SpawnErr::StartupFailed("no strings yet".into());
    let spec = SupervisorSpec::new("root").child(reluctant(3, failing, &address));
    let (began, root) = (Instant::now(), start(spec).await);
    let status = back(root.tree(), "root/child", 3).await;
    assert_eq!(began.elapsed(), Duration::from_millis(10 + 20 + 40));
    let cause = Cause::NotStarted("no strings yet".into());
    assert_eq!(status.last_failure.unwrap().cause, cause);
    assert!(answers(&address).await);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_always_fails_or_panics_uses_up_the_budget() {
    let panicking = || panic!("the factory itself is broken");
    let spec = SupervisorSpec::new("root").child(reluctant(4, panicking, &Address::new()));
    let root = start(spec).await;
    let Ended::GaveUp(escalation) = root.ended().await else {
        panic!("the tree lives on");
    };
    let cause = Cause::NotStarted("the factory itself is broken".into());
    assert_eq!(escalation.cause, cause);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_hangs_keeps_no_sibling_down() {
    let hanging = {
        ChildSpec::new("slow", three(), move |start| async move {
            if start.attempt == 1 {
                std::future::pending::<()>().await;
            }
            let puppet = Puppet {
                name: "slow",
                log: Log::default(),
            };
            let supervisor = start.supervisor.clone();
            let (actor, _) = Actor::spawn_linked(None, puppet, (), supervisor).await?;
            Ok(actor.get_cell())
        })
    };
    let (quick, log) = (Address::new(), Log::default());
    let spec = SupervisorSpec::new("root")
        .child(hanging)
        .child(puppet("quick", &quick, &log));
    let root = start(spec).await;
    root.tree().kill("slow");
    root.tree().wait_until(|rows| rows[1].restarts == 1).await;
    let died = Instant::now();
    quick.send(Order::Panic).unwrap();
    back(root.tree(), "root/quick", 1).await;
    assert_eq!(died.elapsed(), Duration::from_millis(10));
    // And the hanging start is given up in time, and tried again.
    let slow = back(root.tree(), "root/slow", 2).await;
    assert!(died.elapsed() <= START_WITHIN + Duration::from_millis(20));
    assert_eq!(
        slow.last_failure.unwrap().cause,
        Cause::StartTimedOut(5_000)
    );
}

#[tokio::test(start_paused = true)]
async fn a_child_that_dies_before_its_start_is_known_is_a_failure_all_the_same() {
    let starts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&starts);
    let spec = ChildSpec::new("child", three(), move |start| {
        let doomed = counted.fetch_add(1, Ordering::Relaxed) < 3;
        async move {
            let puppet = Puppet {
                name: "child",
                log: Log::default(),
            };
            let supervisor = start.supervisor.clone();
            let (actor, _) = Actor::spawn_linked(None, puppet, (), supervisor).await?;
            if doomed {
                actor.send_message(Order::Err).unwrap();
                actor.get_cell().wait(None).await.ok();
            }
            Ok(actor.get_cell())
        }
    });
    let root = start(SupervisorSpec::new("root").child(spec)).await;
    let status = back(root.tree(), "root/child", 3).await;
    let cause = Cause::Failed("the strings are tangled".into());
    assert_eq!(status.last_failure.unwrap().cause, cause);
    assert_eq!((status.failures, starts.load(Ordering::Relaxed)), (3, 4));
}

#[tokio::test(start_paused = true)]
async fn a_death_crowded_out_by_others_is_still_noticed() {
    let spec = ChildSpec::new("child", three(), move |start| async move {
        let supervisor = &start.supervisor;
        let (actor, _) = Actor::spawn_linked(None, connection(), (), supervisor.clone()).await?;
        if start.attempt == 1 {
            for _ in 0..200 {
                let stranger = Actor::spawn_linked(None, connection(), (), supervisor.clone());
                stranger.await?.0.kill();
            }
            // All strangers are dead before the child, and their ends are told before its own.
            tokio::time::sleep(SECOND).await;
            actor.kill();
            actor.get_cell().wait(None).await.ok();
        }
        Ok(actor.get_cell())
    });
    let root = start(SupervisorSpec::new("root").child(spec)).await;
    root.tree().kill("child");
    let status = back(root.tree(), "root/child", 2).await;
    assert_eq!(status.failures, 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ended_before_it_was_counted_is_not_counted() {
    let (root, connections, _) = doors().await;
    let actor = connections.spawn(connection(), ()).await.unwrap();
    actor.kill();
    root.tree()
        .wait_until(|rows| rows.iter().any(|r| r.failures == 1))
        .await;
    connections.adopt_for_test(&actor.get_cell());
    assert_eq!(root.tree().status(CONNECTIONS).unwrap().alive, 0);
}

/// Real threads, real races: whatever is killed at whatever moment comes back or stays counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_any_moment_lose_nobody() {
    const KILLS: u64 = 60;
    let eager = Restart::new(RESTARTS_MAX, 600_000, 0, 0).unwrap();
    let (found, log) = (Arc::new(Mutex::new(None)), Log::default());
    let (give, puppet) = (Arc::clone(&found), Puppet { name: "uds", log });
    let listener = Address::new();
    let uds = ChildSpec::actor("uds", eager, &listener, move |start| {
        *give.lock().unwrap() = start.temporaries("connection");
        (puppet.clone(), ())
    });
    let doors = SupervisorSpec::new("doors")
        .child(uds)
        .temporary("connection");
    let root = start(SupervisorSpec::new("root").child(ChildSpec::supervisor(eager, doors))).await;
    for n in 1..=KILLS {
        let connections = found.lock().unwrap().clone().unwrap();
        for _ in 0..5 {
            if let Ok(actor) = connections.spawn(connection(), ()).await {
                let _ = actor.send_message(Order::Err);
            }
        }
        let place = if n % 3 == 0 { "doors" } else { "uds" };
        let before = root.tree().status("root/doors/uds").unwrap();
        while root.tree().kill(place) == 0 {
            tokio::task::yield_now().await;
        }
        root.tree()
            .wait_until(|rows| {
                let doors = rows.iter().find(|r| &*r.path == "root/doors").unwrap();
                let uds = rows.iter().find(|r| &*r.path == "root/doors/uds").unwrap();
                let again = doors.failures >= n / 3 && uds.failures >= before.failures;
                again && rows.iter().all(|r| r.state == ChildState::Running)
            })
            .await;
    }
    let none_left = |r: &ChildStatus| &*r.path == CONNECTIONS && r.alive == 0;
    root.tree()
        .wait_until(|rows| rows.iter().any(none_left))
        .await;
    root.tree()
        .wait_until(|rows| rows.iter().all(|r| r.state == ChildState::Running))
        .await;
    let done = root.shutdown(SECOND).await;
    assert_eq!(done.ended, Ended::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_cannot_come_up_says_why() {
    let never = Restart::new(0, 1, 0, 0).unwrap();
    let broken = ChildSpec::new("child", never, |_| async {
        Err(SpawnErr::StartupFailed("no strings".into()))
    });
    let err = Root::start(SupervisorSpec::new("root").child(broken), SECOND)
        .await
        .unwrap_err();
    let text = "the supervision tree did not start: gave up: root/child failed more than 0 times \
                within 1 ms, lastly it did not start: no strings";
    assert_eq!(err.to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_breaks_a_rule_starts_nothing() {
    let log = Log::default();
    let child = |name| puppet(name, &Address::new(), &log);
    let root = || SupervisorSpec::new("root");
    let doubled = [
        root().child(child("a")).child(child("a")),
        root().child(child("a")).temporary("a"),
    ];
    for spec in doubled {
        assert_eq!(spec.check(), Err(SpecError::DuplicateName("a".into())));
        Root::start(spec, SECOND).await.unwrap_err();
    }
    assert_eq!(
        root().child(child("a/b")).check(),
        Err(SpecError::BadName("a/b".into()))
    );
    assert_eq!(
        root().temporary("").check(),
        Err(SpecError::BadName("".into()))
    );
    assert!(log.lock().unwrap().is_empty());
}

/// A listener's way to its connections, taken out of its factory.
async fn doors() -> (Root, Temporaries, Address<Order>) {
    let (found, listener, log) = (Arc::new(Mutex::new(None)), Address::new(), Log::default());
    let (give, puppet) = (Arc::clone(&found), Puppet { name: "uds", log });
    let uds = ChildSpec::actor("uds", three(), &listener, move |start| {
        assert!(start.temporaries("tcp").is_none());
        *give.lock().unwrap() = start.temporaries("connection");
        (puppet.clone(), ())
    });
    let doors = SupervisorSpec::new("doors")
        .child(uds)
        .temporary("connection");
    let root =
        start(SupervisorSpec::new("root").child(ChildSpec::supervisor(three(), doors))).await;
    let connections = found.lock().unwrap().take().unwrap();
    (root, connections, listener)
}

const CONNECTIONS: &str = "root/doors/connection";

fn connection() -> Puppet {
    Puppet {
        name: "connection",
        log: Log::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn thousands_of_failing_connections_cost_nobody_a_budget() {
    let (root, connections, listener) = doors().await;
    for n in 0..5_000 {
        let actor = connections.spawn(connection(), ()).await.unwrap();
        match n % 50 {
            0 => actor.send_message(Order::Panic).unwrap(),
            1..25 => actor.send_message(Order::Err).unwrap(),
            _ => actor.kill(),
        }
    }
    let ended = |row: &ChildStatus| row.failures == 5_000 && row.alive == 0;
    root.tree().wait_until(|rows| rows.iter().any(ended)).await;
    assert!(answers(&listener).await);
    for path in ["root", "root/doors", "root/doors/uds"] {
        let status = root.tree().status(path).unwrap();
        assert_eq!((status.state, status.failures), (ChildState::Running, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_is_no_failure() {
    let (root, connections, _) = doors().await;
    let actor = connections.spawn(connection(), ()).await.unwrap();
    assert_eq!(root.tree().status(CONNECTIONS).unwrap().alive, 1);
    actor.send_message(Order::StopYourself).unwrap();
    root.tree()
        .wait_until(|rows| rows.iter().all(|r| &*r.path != CONNECTIONS || r.alive == 0))
        .await;
    assert_eq!(root.tree().status(CONNECTIONS).unwrap().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn connections_outlive_their_listener() {
    let (root, connections, listener) = doors().await;
    let actor = connections.spawn(connection(), ()).await.unwrap();
    listener.send(Order::Panic).unwrap();
    back(root.tree(), "root/doors/uds", 1).await;
    let (reply, answer) = oneshot::channel();
    actor.send_message(Order::Hello(reply)).unwrap();
    assert_eq!(answer.await, Ok("connection"));
}

#[tokio::test(start_paused = true)]
async fn the_kill_switch_kills_every_connection_and_their_supervisor_takes_them_along() {
    let (root, connections, _) = doors().await;
    for _ in 0..3 {
        connections.spawn(connection(), ()).await.unwrap();
    }
    assert_eq!(root.tree().kill(CONNECTIONS), 3);
    root.tree()
        .wait_until(|rows| rows.iter().any(|r| r.failures == 3))
        .await;
    let last = connections.spawn(connection(), ()).await.unwrap();
    assert_eq!(root.tree().kill("doors"), 1);
    last.get_cell().wait(None).await.unwrap();
    back(root.tree(), "root/doors", 1).await;
    assert_eq!(root.tree().status(CONNECTIONS).unwrap().alive, 0);
    assert_eq!(root.tree().kill("nobody"), 0);
    assert_eq!(root.tree().kill(CONNECTIONS), 0);
    // Whoever still holds the old way gets an error, not a connection nobody supervises.
    connections.spawn(connection(), ()).await.unwrap_err();
    assert_eq!(root.tree().status(CONNECTIONS).unwrap().alive, 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_stops_the_last_started_first_through_all_levels() {
    let log = Log::default();
    let child = |name| puppet(name, &Address::new(), &log);
    let trust = SupervisorSpec::new("trust")
        .child(child("cache"))
        .child(child("watcher"));
    let spec = SupervisorSpec::new("root")
        .child(child("audit"))
        .child(ChildSpec::supervisor(three(), trust))
        .child(child("door"));
    let root = start(spec).await;
    log.lock().unwrap().clear();
    let done = root.shutdown(SECOND).await;
    assert_eq!(
        done,
        Shutdown {
            ended: Ended::Stopped,
            killed: vec![]
        }
    );
    assert_eq!(
        *log.lock().unwrap(),
        ["-door", "-watcher", "-cache", "-audit"]
    );
    assert!(
        root.tree()
            .snapshot()
            .iter()
            .all(|r| r.state == ChildState::Stopped)
    );
    assert_eq!(root.ended().await, Ended::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_wedged_child_is_killed_in_time_and_costs_the_others_nothing() {
    let (door, log) = (Address::new(), Log::default());
    let doors = SupervisorSpec::new("doors").child(puppet("door", &door, &log));
    let spec = SupervisorSpec::new("root")
        .child(puppet("audit", &Address::new(), &log))
        .child(ChildSpec::supervisor(three(), doors));
    let root = start(spec).await;
    door.send(Order::Wedge).unwrap();
    let began = Instant::now();
    let done = root.shutdown(SECOND).await;
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!(done.ended, Ended::Stopped);
    assert_eq!(done.killed, [Arc::from("root/doors/door")]);
    assert_eq!(*log.lock().unwrap(), ["+audit", "+door", "-audit"]);
}

#[tokio::test(start_paused = true)]
async fn connections_are_stopped_first_and_a_wedged_one_is_killed() {
    let (root, connections, _) = doors().await;
    let log = Log::default();
    let polite = Puppet {
        name: "polite",
        log: Arc::clone(&log),
    };
    connections.spawn(polite, ()).await.unwrap();
    let stuck = connections.spawn(connection(), ()).await.unwrap();
    stuck.send_message(Order::Wedge).unwrap();
    let began = Instant::now();
    let done = root.shutdown(SECOND).await;
    assert!(began.elapsed() < SECOND);
    assert_eq!(done.killed, [Arc::from("root/doors")]);
    assert_eq!(*log.lock().unwrap(), ["+polite", "-polite"]);
    assert_eq!(stuck.get_status(), ractor::ActorStatus::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_while_a_child_waits_for_its_restart_starts_nothing() {
    let (root, address) = one().await;
    address.send(Order::Panic).unwrap();
    let waiting = |rows: &[ChildStatus]| rows[1].state == ChildState::Restarting;
    root.tree().wait_until(waiting).await;
    root.shutdown(SECOND).await;
    tokio::time::advance(10 * SECOND).await;
    assert_eq!(root.tree().status("root/child").unwrap().restarts, 0);
    assert_eq!(address.send(Order::Err), Err(Down));
}

#[tokio::test(start_paused = true)]
async fn a_root_that_is_killed_is_not_taken_for_one_that_was_stopped() {
    let (root, _) = one().await;
    assert_eq!(root.tree().kill("root"), 1);
    assert_eq!(root.ended().await, Ended::Died);
    assert_eq!(
        root.tree().status("root/child").unwrap().state,
        ChildState::Stopped
    );
}

#[tokio::test(start_paused = true)]
async fn the_live_tree_is_drawn_as_in_the_documentation() {
    let log = Log::default();
    let child = |name| puppet(name, &Address::new(), &log);
    let watcher = Address::new();
    let trust = SupervisorSpec::new("trust")
        .child(child("cache"))
        .child(puppet("x509", &watcher, &log));
    let doors = SupervisorSpec::new("doors")
        .child(child("uds"))
        .temporary("connection");
    let spec = SupervisorSpec::new("root")
        .child(child("audit"))
        .child(ChildSpec::supervisor(three(), trust))
        .child(ChildSpec::supervisor(three(), doors));
    let root = start(spec).await;
    let drawing = "\
root                    one_for_one
|- audit                permanent
|- trust                one_for_one
|  |- cache             permanent
|  `- x509              permanent
`- doors                one_for_one
   |- uds               permanent
   `- connection        temporary
";
    assert_eq!(root.tree().render(), drawing);
    tokio::time::advance(5 * SECOND).await;
    watcher.send(Order::Err).unwrap();
    back(root.tree(), "root/trust/x509", 1).await;
    let changed = "|  `- x509              permanent, 1 restarts, failed: the strings are tangled at 5000 ms\n";
    let drawing = drawing.replace("|  `- x509              permanent\n", changed);
    assert_eq!(root.tree().render(), drawing);
}

#[tokio::test(start_paused = true)]
async fn two_trees_in_one_process_do_not_collide() {
    let (first, one_address) = one().await;
    let (second, other_address) = one().await;
    one_address.send(Order::Panic).unwrap();
    back(first.tree(), "root/child", 1).await;
    assert_eq!(second.tree().status("root/child").unwrap().failures, 0);
    first.shutdown(SECOND).await;
    assert!(answers(&other_address).await);
}

/// An actor whose work is done by a spawned task, as an accept loop is.
struct Owner {
    until: Arc<Notify>,
    alive: Arc<()>,
}

enum OwnerMsg {
    TaskDone(Result<(), TaskPanicked>),
    Ping(Ping),
}

impl From<Ping> for OwnerMsg {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

impl Actor for Owner {
    type Msg = OwnerMsg;
    type State = tokio_util::task::AbortOnDropHandle<()>;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<OwnerMsg>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        let (until, alive) = (Arc::clone(&self.until), Arc::clone(&self.alive));
        let task = async move {
            let _alive = alive;
            until.notified().await;
            panic!("task 13 tripped")
        };
        Ok(spawn_watched(&myself, task, OwnerMsg::TaskDone))
    }

    async fn handle(
        &self,
        _: ActorRef<OwnerMsg>,
        message: OwnerMsg,
        _: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            OwnerMsg::TaskDone(end) => end?,
            OwnerMsg::Ping(ping) => ping.answer().await,
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_spawned_task_reaches_its_owner_and_a_dead_owner_ends_its_task() {
    let (until, alive) = (Arc::new(Notify::new()), Arc::new(()));
    let (trip, witness) = (Arc::clone(&until), Arc::clone(&alive));
    let child = ChildSpec::actor("owner", three(), &Address::new(), move |_| {
        let (until, alive) = (Arc::clone(&until), Arc::clone(&alive));
        (Owner { until, alive }, ())
    });
    let root = start(SupervisorSpec::new("root").child(child)).await;
    trip.notify_one();
    let status = back(root.tree(), "root/owner", 1).await;
    let cause = Cause::Failed("a task panicked: task 13 tripped".into());
    assert_eq!(status.last_failure.unwrap().cause, cause);
    root.tree().kill("owner");
    back(root.tree(), "root/owner", 2).await;
    root.shutdown(SECOND).await;
    while Arc::strong_count(&witness) > 2 {
        // An aborted task is dropped at its next turn; nothing tells when.
        tokio::task::yield_now().await;
    }
}
