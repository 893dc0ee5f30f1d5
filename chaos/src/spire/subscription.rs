//! One open stream.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;
use tonic::Status;

use super::fault::{CallFault, EndOfStreams};
use super::shared::{Outgoing, Shared};
use super::truth::Message;

/// Resolves when a fault no longer holds the first message back.
type Hold = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Subscription<M> {
    shared: Arc<Shared>,
    number: u64,
    outgoing: mpsc::Receiver<Outgoing>,
    frozen_below: WatchStream<u64>,
    phase: Phase,
    message: PhantomData<fn() -> M>,
}

enum Phase {
    Held(Hold),
    Flowing,
    Frozen,
    Ended,
}

impl<M> Subscription<M> {
    pub(super) fn open(shared: &Arc<Shared>) -> Self {
        let seat = shared.take_seat();
        let held = *shared.fault.borrow() == CallFault::HangAfterHeaders;
        Self {
            shared: Arc::clone(shared),
            number: seat.number,
            outgoing: seat.outgoing,
            frozen_below: WatchStream::new(shared.frozen_below.subscribe()),
            phase: if held {
                Phase::Held(hold(shared))
            } else {
                Phase::Flowing
            },
            message: PhantomData,
        }
    }

    /// Follows freezing and thawing; the last word counts.
    fn watch_frost(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(below)) = Pin::new(&mut self.frozen_below).poll_next(cx) {
            match (&self.phase, self.number < below) {
                (Phase::Flowing, true) => self.phase = Phase::Frozen,
                (Phase::Frozen, false) => self.phase = Phase::Flowing,
                _ => {}
            }
        }
    }
}

/// A future that owns what it watches, so that it can outlive this call.
fn hold(shared: &Arc<Shared>) -> Hold {
    let mut fault = shared.fault.subscribe();
    Box::pin(async move {
        // An error means that the simulation is gone, and with it the connection.
        let _ended = fault
            .wait_for(|fault| *fault != CallFault::HangAfterHeaders)
            .await
            .is_ok();
    })
}

impl<M: Message> Subscription<M> {
    fn deliver(&mut self, outgoing: Option<Outgoing>) -> Option<Result<M, Status>> {
        let last = match outgoing {
            Some(Outgoing::Message(truth)) => match M::from_truth(&truth) {
                Ok(message) => return Some(Ok(message)),
                Err(refusal) => Some(Err(refusal.status())),
            },
            Some(Outgoing::End(EndOfStreams::With(refusal))) => Some(Err(refusal.status())),
            Some(Outgoing::End(EndOfStreams::Cleanly)) => None,
            None => Some(Err(Status::resource_exhausted(
                "the client did not read its stream",
            ))),
        };
        self.phase = Phase::Ended;
        self.shared.leave_seat(self.number);
        last
    }
}

impl<M: Message> Stream for Subscription<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.watch_frost(cx);
        if let Phase::Held(hold) = &mut self.phase {
            ready!(hold.as_mut().poll(cx));
            self.phase = Phase::Flowing;
        }
        match self.phase {
            Phase::Frozen | Phase::Held(_) => Poll::Pending,
            Phase::Ended => Poll::Ready(None),
            Phase::Flowing => {
                let outgoing = ready!(self.outgoing.poll_recv(cx));
                Poll::Ready(self.deliver(outgoing))
            }
        }
    }
}

impl<M> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.shared.leave_seat(self.number);
    }
}
