//! Spawned tasks whose end cannot go unseen.
//!
//! A panic in a bare spawned task is silent: nobody is told. Here the owner gets a message, and the
//! task ends with whoever holds its handle, so an accept loop cannot outlive its actor.

use std::future::Future;
use std::sync::Arc;

use ractor::{ActorRef, Message};
use tokio_util::task::AbortOnDropHandle;

use super::cause::bounded;

/// A watched task panicked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task panicked: {0}")]
pub struct TaskPanicked(pub(super) Arc<str>);

/// Runs `future` beside its owner; its end reaches the owner as `message(result)`. Keep the handle
/// in the owner's state: dropping it ends the task, and then no message is sent.
#[must_use = "dropping the handle ends the task"]
pub fn spawn_watched<T, M>(
    owner: &ActorRef<M>,
    future: impl Future<Output = T> + Send + 'static,
    message: impl FnOnce(Result<T, TaskPanicked>) -> M + Send + 'static,
) -> AbortOnDropHandle<()>
where
    T: Send + 'static,
    M: Message,
{
    let owner = owner.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let end = contained(future).await;
        // An owner that is gone no longer wants to know.
        let _ = owner.send_message(message(end));
    }))
}

/// Runs `future` in a task of its own, so that a panic in it is a value here. Dropping this future
/// ends the task.
pub(super) async fn contained<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> Result<T, TaskPanicked> {
    let task = AbortOnDropHandle::new(tokio::spawn(future));
    task.await.map_err(|err| {
        // Only a runtime that shuts down cancels the task while it is awaited here.
        TaskPanicked(match err.try_into_panic() {
            Ok(payload) => bounded(panic_text(payload.as_ref())),
            Err(err) => bounded(&err.to_string()),
        })
    })
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
}
