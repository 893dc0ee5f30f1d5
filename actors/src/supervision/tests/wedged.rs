//! Who is wedged is noticed, and who is only slow is left alone.

use super::*;

const FOR_EVER: Mishap = Mishap::Wedge { for_ms: u64::MAX };
/// From the first question that is not answered: a look until it is asked, and its patience.
const NOTICED_WITHIN: Duration =
    Duration::from_millis(LOOK_EVERY_MS + Vigilance::STANDARD.patience_ms());

#[tokio::test(start_paused = true)]
async fn a_wedged_child_is_noticed_killed_and_restarted() {
    let (root, address) = one().await;
    let wedged = Instant::now();
    address.send(Order::Wedge).unwrap();
    let status = back(root.tree(), "root/child", 1).await;
    let took = wedged.elapsed();
    assert!(took <= NOTICED_WITHIN + SECOND, "{took:?}");
    let cause = Cause::Wedged(Vigilance::STANDARD.patience_ms());
    assert_eq!(status.last_failure.unwrap().cause, cause);
    assert!(answers(&address).await);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_slow_within_its_patience_is_left_alone() {
    let (root, address) = one().await;
    for _ in 0..10 {
        let for_ms = Vigilance::STANDARD.patience_ms() - LOOK_EVERY_MS;
        assert_eq!(root.tree().befall("child", Mishap::Wedge { for_ms }), 1);
        tokio::time::sleep(NOTICED_WITHIN).await;
        assert!(answers(&address).await);
    }
    let status = root.tree().status("root/child").unwrap();
    assert_eq!((status.failures, status.restarts), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_child_may_be_given_less_patience() {
    let (address, log) = (Address::new(), Log::default());
    let least = Vigilance::new(LOOKS_MIN).unwrap();
    let child = puppet("child", &address, &log).vigilance(least);
    let root = start(SupervisorSpec::new("root").child(child)).await;
    root.tree().befall("child", FOR_EVER);
    let status = back(root.tree(), "root/child", 1).await;
    let cause = Cause::Wedged(least.patience_ms());
    assert_eq!(status.last_failure.unwrap().cause, cause);
}

#[tokio::test(start_paused = true)]
async fn one_wedged_child_keeps_no_other_from_its_restart() {
    let (stuck, other, log) = (Address::new(), Address::new(), Log::default());
    let spec = SupervisorSpec::new("root")
        .child(puppet("stuck", &stuck, &log))
        .child(puppet("other", &other, &log));
    let root = start(spec).await;
    stuck.send(Order::Wedge).unwrap();
    other.send(Order::Panic).unwrap();
    let died = Instant::now();
    back(root.tree(), "root/other", 1).await;
    assert_eq!(died.elapsed(), Duration::from_millis(10));
    back(root.tree(), "root/stuck", 1).await;
    assert_eq!(root.tree().status("root/other").unwrap().failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_wedged_supervisor_is_restarted_with_all_it_has() {
    let (address, log) = (Address::new(), Log::default());
    let low = SupervisorSpec::new("low").child(puppet("child", &address, &log));
    let spec = SupervisorSpec::new("root").child(ChildSpec::supervisor(three(), low));
    let root = start(spec).await;
    assert_eq!(root.tree().befall("low", FOR_EVER), 1);
    let status = back(root.tree(), "root/low", 1).await;
    assert!(matches!(
        status.last_failure.unwrap().cause,
        Cause::Wedged(_)
    ));
    assert!(answers(&address).await);
}

#[tokio::test(start_paused = true)]
async fn wedged_again_and_again_ends_the_tree() {
    // Each time takes as long as the patience, so the window has to be longer than for a death.
    let within_ms = 8 * Vigilance::STANDARD.patience_ms();
    let few = Restart::new(2, within_ms, 10, 10).unwrap();
    let puppet = Puppet {
        name: "child",
        log: Log::default(),
    };
    let child = ChildSpec::actor("child", few, &Address::new(), move |_| (puppet.clone(), ()));
    let root = start(SupervisorSpec::new("root").child(child)).await;
    let ended = root.ended();
    tokio::pin!(ended);
    let ended = loop {
        root.tree().befall("child", FOR_EVER);
        tokio::select! {
            ended = &mut ended => break ended,
            () = tokio::time::sleep(SECOND) => {}
        }
    };
    assert!(matches!(
        ended,
        Ended::GaveUp(Escalation {
            cause: Cause::Wedged(_),
            ..
        })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_death_and_back_within_a_second() {
    let (root, address) = one().await;
    let struck = Instant::now();
    assert_eq!(root.tree().befall("root/child", Mishap::Panic), 1);
    let status = back(root.tree(), "root/child", 1).await;
    // A look until it strikes, and the first backoff.
    assert!(struck.elapsed() <= Duration::from_millis(LOOK_EVERY_MS + 10));
    let cause = Cause::Failed("a chaos hook was told to panic".into());
    assert_eq!(status.last_failure.unwrap().cause, cause);
    assert!(answers(&address).await);
}

#[tokio::test(start_paused = true)]
async fn nothing_befalls_the_root_nor_a_connection() {
    let (root, _connections, _) = doors().await;
    assert_eq!(root.tree().befall("root", FOR_EVER), 0);
    assert_eq!(root.tree().befall("connection", FOR_EVER), 0);
    assert_eq!(root.tree().befall("nobody", FOR_EVER), 0);
}

/// A task that does the work of an actor, and one that is stuck in it.
#[tokio::test(start_paused = true)]
async fn a_task_answers_for_as_long_as_it_is_not_stuck() {
    let (pings, passed) = Pings::new();
    let (end, ended) = oneshot::channel::<()>();
    let working = tokio::spawn(attentive(passed, ended));
    for _ in 0..3 {
        let (ping, answer) = Ping::new();
        pings.pass(ping);
        answer.await.unwrap();
    }
    let (ping, stuck) = Ping::new();
    pings.pass(ping.with(Some(FOR_EVER)));
    tokio::task::yield_now().await;
    let (ping, unheard) = Ping::new();
    pings.pass(ping);
    let (ping, dropped) = Ping::new();
    pings.pass(ping);
    dropped.await.unwrap_err();
    end.send(()).unwrap();
    tokio::time::sleep(SECOND).await;
    assert!(!working.is_finished(), "what is stuck does not work either");
    working.abort();
    stuck.await.unwrap_err();
    unheard.await.unwrap_err();
}

/// Real threads: a handler that blocks its thread cannot be ended, and its successor starts all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_blocks_its_thread_is_left_behind() {
    let (unblock, blocked) = std::sync::mpsc::sync_channel::<()>(1);
    let blocked = Arc::new(Mutex::new(blocked));
    let starts = Arc::new(AtomicU32::new(0));
    let (address, log) = (Address::new(), Log::default());
    let counted = Arc::clone(&starts);
    let child = ChildSpec::actor("child", three(), &address, move |_| {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        let blocks = first.then(|| Arc::clone(&blocked));
        (Blocker { blocks }, ())
    });
    let child = child.vigilance(Vigilance::new(LOOKS_MIN).unwrap());
    let spec =
        SupervisorSpec::new("root")
            .child(child)
            .child(puppet("other", &Address::new(), &log));
    let root = start(spec).await;
    let status = back(root.tree(), "root/child", 1).await;
    assert!(matches!(
        status.last_failure.unwrap().cause,
        Cause::Wedged(_)
    ));
    assert_eq!(starts.load(Ordering::Relaxed), 2);
    // Its late end is nobody's failure.
    unblock.send(()).unwrap();
    let done = root.shutdown(10 * SECOND).await;
    assert_eq!((done.ended, status.failures), (Ended::Stopped, 1));
}

/// Blocks its thread when it is first asked.
struct Blocker {
    blocks: Option<Arc<Mutex<std::sync::mpsc::Receiver<()>>>>,
}

impl Actor for Blocker {
    type Msg = Order;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Order>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Order>,
        order: Order,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let Some(until) = &self.blocks {
            let _ = until.lock().unwrap().recv();
        }
        if let Order::Ping(ping) = order {
            ping.answer().await;
        }
        Ok(())
    }
}

/// What comes first when the root gives up.
#[tokio::test(start_paused = true)]
async fn a_root_that_gives_up_bids_farewell_while_the_others_work() {
    let (bad, good, log) = (Address::new(), Address::new(), Log::default());
    let never = Restart::new(0, 1, 0, 0).unwrap();
    let nervous = Puppet {
        name: "nervous",
        log: Arc::clone(&log),
    };
    let spec = SupervisorSpec::new("root")
        .child(puppet("good", &good, &log))
        .child(ChildSpec::actor("nervous", never, &bad, move |_| {
            (nervous.clone(), ())
        }));
    let (heard, asked) = (Arc::clone(&log), good.clone());
    let farewell = Farewell {
        first: Arc::new(move || {
            let (heard, asked) = (Arc::clone(&heard), asked.clone());
            Box::pin(async move {
                tokio::time::sleep(SECOND).await;
                assert!(answers(&asked).await);
                heard.lock().unwrap().push("farewell".to_owned());
            })
        }),
        first_within: 5 * SECOND,
        stop_within: SECOND,
    };
    let root = Root::start_with(spec, farewell).await.unwrap();
    bad.send(Order::Panic).unwrap();
    assert!(matches!(root.ended().await, Ended::GaveUp(e) if &*e.child == "root/nervous"));
    let expected = ["+good", "+nervous", "farewell", "-good"];
    assert_eq!(*log.lock().unwrap(), expected);
}
