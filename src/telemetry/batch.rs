//! A bounded queue, and a task that takes batches from it.
//!
//! Ours and not the SDK's: there what a full queue or a failed export loses cannot be counted, each
//! signal has a thread, and a shutdown may wait for a collector. A producer never waits, and does not
//! wake anybody until there is a batch: on the way of a request that would be a system call.

use std::future::Future;
use std::sync::Arc;

use opentelemetry_sdk::error::OTelSdkResult;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::losses::{Loss, Losses};
use super::plan::Batch;

/// Where producers put things.
#[derive(Debug)]
pub(super) struct Queue<T> {
    sender: mpsc::Sender<T>,
    full: Arc<Notify>,
    batch: usize,
    losses: Arc<Losses>,
}

/// Where they are taken from.
pub(super) struct Batches<T> {
    receiver: mpsc::Receiver<T>,
    full: Arc<Notify>,
    batch: Batch,
    losses: Arc<Losses>,
}

/// Both ends.
pub(super) fn queue<T>(batch: Batch, losses: &Arc<Losses>) -> (Queue<T>, Batches<T>) {
    let (sender, receiver) = mpsc::channel(batch.queue.get());
    let full = Arc::new(Notify::new());
    let queue = Queue {
        sender,
        full: Arc::clone(&full),
        batch: batch.size.get(),
        losses: Arc::clone(losses),
    };
    let batches = Batches {
        receiver,
        full,
        batch,
        losses: Arc::clone(losses),
    };
    (queue, batches)
}

impl<T> Queue<T> {
    /// Never waits; what finds no room is counted as lost.
    pub(super) fn put(&self, item: T) {
        if self.sender.try_send(item).is_err() {
            self.losses.count(Loss::QueueFull, 1);
            return;
        }
        let waiting = self.sender.max_capacity() - self.sender.capacity();
        if waiting >= self.batch {
            self.full.notify_one();
        }
    }
}

impl<T> Batches<T> {
    /// Exports batches until told to stop, then what is left.
    pub(super) async fn run<F, E>(mut self, stop: CancellationToken, export: E)
    where
        E: Fn(Vec<T>) -> F,
        F: Future<Output = OTelSdkResult>,
    {
        let mut stopping = false;
        while !stopping {
            tokio::select! {
                () = sleep(self.batch.delay) => {}
                () = self.full.notified() => {}
                () = stop.cancelled() => {}
            }
            stopping = stop.is_cancelled();
            while let Some(batch) = self.next() {
                self.deliver(batch, &export).await;
            }
        }
    }

    fn next(&mut self) -> Option<Vec<T>> {
        let size = self.receiver.len().min(self.batch.size.get());
        let mut batch = Vec::with_capacity(size);
        while batch.len() < self.batch.size.get()
            && let Ok(item) = self.receiver.try_recv()
        {
            batch.push(item);
        }
        (!batch.is_empty()).then_some(batch)
    }

    async fn deliver<F, E>(&self, batch: Vec<T>, export: &E)
    where
        E: Fn(Vec<T>) -> F,
        F: Future<Output = OTelSdkResult>,
    {
        let of = batch.len();
        let result = match timeout(self.batch.timeout, export(batch)).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the collector does not answer".to_owned()),
        };
        self.losses.delivery(of, result);
    }
}

/// What is not exported when the process ends is lost too.
impl<T> Drop for Batches<T> {
    fn drop(&mut self) {
        self.receiver.close();
        let left = self.receiver.len();
        if left > 0 {
            let signal = self.losses.signal().as_str();
            self.losses.count(Loss::NotDelivered, left);
            tracing::warn!(
                signal,
                left,
                "telemetry is lost: there was no time to deliver it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use crate::telemetry::losses::tests::losses;
    use std::num::NonZeroUsize;
    use std::sync::Mutex;
    use std::time::Duration;

    use opentelemetry_sdk::error::OTelSdkError;

    use super::super::plan::Signal;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const SOON: Duration = Duration::from_millis(50);

    fn batch(delay: Duration, timeout: Duration) -> Batch {
        Batch {
            queue: NonZeroUsize::new(8).unwrap(),
            size: NonZeroUsize::new(3).unwrap(),
            delay,
            timeout,
        }
    }

    struct Stage {
        queue: Queue<u32>,
        losses: Arc<Losses>,
        stop: CancellationToken,
        exported: Arc<Mutex<Vec<Vec<u32>>>>,
    }

    impl Stage {
        /// Whatever is exported is kept; what is not `accepted` fails.
        fn new(
            delay: Duration,
            accepted: impl Fn(&[u32]) -> OTelSdkResult + Send + Sync + 'static,
        ) -> Self {
            let losses = Arc::new(losses(Signal::Traces));
            let (queue, batches) = queue(batch(delay, HOUR), &losses);
            let stop = CancellationToken::new();
            let exported: Arc<Mutex<Vec<Vec<u32>>>> = Arc::default();
            let seen = Arc::clone(&exported);
            tokio::spawn(batches.run(stop.clone(), move |batch: Vec<u32>| {
                let result = accepted(&batch);
                seen.lock().unwrap().push(batch);
                async move { result }
            }));
            Self {
                queue,
                losses,
                stop,
                exported,
            }
        }

        async fn exports(&self, expected: &[&[u32]]) {
            until(|| *self.exported.lock().unwrap() == expected).await;
        }

        fn lost(&self) -> [u64; 2] {
            Loss::ALL.map(|loss| self.losses.total(loss))
        }

        fn put(&self, items: std::ops::Range<u32>) {
            items.for_each(|item| self.queue.put(item));
        }
    }

    async fn until(mut is: impl FnMut() -> bool) {
        let waiting = async {
            while !is() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), waiting).await.unwrap();
    }

    #[tokio::test]
    async fn a_few_wait_for_the_delay() {
        let stage = Stage::new(SOON, |_| Ok(()));
        let begun = std::time::Instant::now();
        stage.put(0..2);
        stage.exports(&[&[0, 1]]).await;
        assert!(begun.elapsed() >= SOON);
    }

    #[tokio::test]
    async fn a_batch_goes_at_once() {
        let stage = Stage::new(HOUR, |_| Ok(()));
        stage.put(0..4);
        stage.exports(&[&[0, 1, 2], &[3]]).await;
        stage.put(4..7);
        stage.exports(&[&[0, 1, 2], &[3], &[4, 5, 6]]).await;
        assert_eq!(stage.lost(), [0, 0]);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted() {
        let stage = Stage::new(HOUR, |_| Ok(()));
        stage.put(0..10);
        assert_eq!(stage.lost(), [2, 0]);
        stage.exports(&[&[0, 1, 2], &[3, 4, 5], &[6, 7]]).await;
    }

    #[tokio::test]
    async fn what_the_collector_does_not_take_is_counted_and_the_next_is_tried() {
        let stage = Stage::new(HOUR, |batch| match batch.first() {
            Some(0) => Err(OTelSdkError::InternalFailure("no".to_owned())),
            _ => Ok(()),
        });
        stage.put(0..5);
        stage.exports(&[&[0, 1, 2], &[3, 4]]).await;
        assert_eq!(stage.lost(), [0, 3]);
    }

    #[tokio::test]
    async fn a_stop_delivers_what_is_left() {
        let stage = Stage::new(HOUR, |_| Ok(()));
        stage.put(0..2);
        stage.stop.cancel();
        stage.exports(&[&[0, 1]]).await;
    }

    #[tokio::test]
    async fn who_takes_forever_holds_up_for_a_timeout_and_then_it_counts() {
        let losses = Arc::new(losses(Signal::Logs));
        let (queue, batches) = queue(batch(SOON, SOON), &losses);
        let stop = CancellationToken::new();
        tokio::spawn(batches.run(stop, |_: Vec<u32>| std::future::pending()));
        (0..20).for_each(|item| queue.put(item));
        assert_eq!(losses.total(Loss::QueueFull), 12);
        until(|| losses.total(Loss::NotDelivered) == 8).await;
    }

    #[tokio::test]
    async fn what_is_left_at_the_end_is_counted() {
        let losses = Arc::new(losses(Signal::Logs));
        let (queue, batches) = queue(batch(HOUR, HOUR), &losses);
        (0..5).for_each(|item: u32| queue.put(item));
        drop(batches);
        assert_eq!(losses.total(Loss::NotDelivered), 5);
    }
}
