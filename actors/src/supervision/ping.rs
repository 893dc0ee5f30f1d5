//! The question a supervisor asks its child, and how a child's own tasks come to answer it.

use ractor::{ActorCell, Message};
use tokio::sync::{mpsc, oneshot};

/// A supervisor's question whether its child still does its work. It arrives where work arrives, so
/// who answers is not stuck. A child whose work is done by a task passes it on: see [`attentive`].
#[derive(Debug)]
pub struct Ping {
    answered: oneshot::Sender<()>,
    #[cfg(any(test, feature = "chaos-hooks"))]
    mishap: Option<Mishap>,
}

/// What befalls whoever answers next. For chaos tests only: absent from default builds.
#[cfg(any(test, feature = "chaos-hooks"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It is stuck for so long.
    Wedge {
        /// In ms; `u64::MAX` is for ever.
        for_ms: u64,
    },
    /// It panics.
    Panic,
}

impl Ping {
    pub(super) fn new() -> (Self, oneshot::Receiver<()>) {
        let (answered, answer) = oneshot::channel();
        let ping = Self {
            answered,
            #[cfg(any(test, feature = "chaos-hooks"))]
            mishap: None,
        };
        (ping, answer)
    }

    #[cfg(any(test, feature = "chaos-hooks"))]
    pub(super) fn with(self, mishap: Option<Mishap>) -> Self {
        Self { mishap, ..self }
    }

    /// Says that all is well.
    pub async fn answer(self) {
        #[cfg(any(test, feature = "chaos-hooks"))]
        if let Some(mishap) = self.mishap {
            mishap.befall().await;
        }
        // A supervisor that is gone asks no more.
        let _ = self.answered.send(());
    }
}

#[cfg(any(test, feature = "chaos-hooks"))]
impl Mishap {
    async fn befall(self) {
        match self {
            Self::Wedge { for_ms } => {
                tokio::time::sleep(std::time::Duration::from_millis(for_ms)).await;
            }
            #[expect(clippy::panic, reason = "what was ordered, in a build for chaos tests")]
            Self::Panic => panic!("a chaos hook was told to panic"),
        }
    }
}

/// Puts a question into a child's mailbox; `false`: the child has ended.
pub(super) type Ask = fn(&ActorCell, Ping) -> bool;

pub(super) fn ask<M: Message + From<Ping>>(child: &ActorCell, ping: Ping) -> bool {
    child.send_message(M::from(ping)).is_ok()
}

/// Where an actor passes questions on to its task.
#[derive(Debug)]
pub struct Pings(mpsc::Sender<Ping>);

/// Where a task finds the questions that were passed on to it.
#[derive(Debug)]
pub struct Passed(mpsc::Receiver<Ping>);

impl Pings {
    /// A way for one question at a time: the supervisor asks no second one before the first is answered.
    #[must_use]
    pub fn new() -> (Self, Passed) {
        let (pings, passed) = mpsc::channel(1);
        (Self(pings), Passed(passed))
    }

    /// Passes a question on. A task that has left one lying is stuck; then this one is dropped.
    pub fn pass(&self, ping: Ping) {
        let _ = self.0.try_send(ping);
    }
}

/// Does `work`, and answers in between, in the same task: when the task is stuck, nobody answers.
/// What `work` may wait for without end, such as a connection or a slow disk, is no reason to be stuck.
pub async fn attentive<T>(mut passed: Passed, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            Some(ping) = passed.0.recv() => ping.answer().await,
        }
    }
}
