//! Whether a peer still takes what we say: the connection asks a response's body for more only while
//! the peer's windows have room.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Moves with every piece of every answer that a connection takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Notify>);

impl Progress {
    /// This body, whose pieces are seen.
    pub(super) fn of<B>(&self, body: B) -> Seen<B> {
        Seen {
            body,
            progress: self.clone(),
        }
    }

    /// Waits until nothing was taken for so long.
    pub(super) async fn stands_still(&self, within: Duration) {
        while timeout(within, self.0.notified()).await.is_ok() {}
    }
}

/// A body whose pieces are seen.
#[derive(Debug)]
pub(super) struct Seen<B> {
    body: B,
    progress: Progress,
}

impl<B: Body + Unpin> Body for Seen<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_ready() {
            self.progress.0.notify_one();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
