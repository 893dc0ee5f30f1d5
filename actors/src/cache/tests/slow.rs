//! A disk that hangs.

use super::withdrawals::process;
use super::*;

fn nothing() -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async {}))
}

/// A mount whose server is gone: nothing fails, nothing ends.
#[tokio::test(start_paused = true)]
async fn a_write_that_does_not_end_is_told_of() {
    let (told, mut heard) = tokio::sync::oneshot::channel();
    let (_never, end) = tokio::sync::oneshot::channel::<()>();
    let _write = AbortOnDropHandle::new(tokio::spawn(told_if_slow(end, || told.send(()).unwrap())));
    tokio::time::sleep(SLOW_AFTER - Duration::from_millis(1)).await;
    assert!(heard.try_recv().is_err());
    tokio::time::sleep(Duration::from_millis(2)).await;
    heard.try_recv().unwrap();
    told_if_slow(async {}, || panic!("it has ended")).await;

    let dir = TempDir::new().unwrap();
    let mut state = Caching {
        writer: Arc::new(process(&dir, shelf(&dir), &clock_at(NOW, "boot"))),
        on_disk: None,
        work: Work::Idle,
        failures: 0,
        keeping: Keeping::default(),
        _helper: nothing(),
    };
    state.slow();
    assert!(state.keeping.trouble().is_none(), "nothing is under way");
    state.work = Work::Writing { _task: nothing() };
    state.slow();
    let complaint = state.keeping.trouble().unwrap().complaint();
    assert!(
        complaint.contains("a write has not come to an end in 5 s"),
        "{complaint}"
    );
}
