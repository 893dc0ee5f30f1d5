//! Memory for large messages, out of the budget that all doors share.
//!
//! HTTP/2's windows bound what a peer sends unread; but a message is read in pieces until it is
//! whole, and there may be hundreds of connections with as many calls. So a call's body is watched
//! on its way in: a large message's bytes pass as far as there is memory for them, and must then
//! arrive within the time that a large frame on the Unix socket has.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::MESSAGE_MAX_BYTES;
use crate::doors::budget::{FrameBudget, FrameMemory, LARGE_FRAME_SHARE, Owner, SMALL_FRAME_BYTES};

/// gRPC's prefix of a message: one byte of flags, four of length.
const PREFIX_BYTES: usize = 5;

/// Why a call's body ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeterError<E> {
    /// It broke.
    #[error("{0}")]
    Body(E),
    /// Its memory was wanted back.
    #[error("a message did not arrive whole within {0} ms")]
    Slow(u64),
}

/// Memory that is awaited.
type Waiting = Pin<Box<dyn Future<Output = FrameMemory> + Send>>;

/// What a large message has of the budget.
enum Memory {
    /// None: the message is small, or there is none, or it has not come that far.
    Unneeded,
    /// It waits for more; of its time so much is left.
    Waiting { waiting: Waiting, left: Duration },
    /// It has some, until this time is over.
    Granted {
        memory: FrameMemory,
        due: Pin<Box<Sleep>>,
    },
}

/// A body with its large messages metered.
pub(super) struct Metered<B> {
    body: B,
    budget: FrameBudget,
    owner: Owner,
    within_ms: u64,
    prefix: Prefix,
    /// Bytes of the current message.
    length: usize,
    /// Of these, those that are still to come.
    left: usize,
    memory: Memory,
    /// Received, and not yet passed on.
    held: Bytes,
}

impl<B> Metered<B> {
    /// Meters the body of this owner's call; a small message may take `handshake_timeout_ms`, a large
    /// one its share of it.
    pub(super) fn new(
        body: B,
        budget: FrameBudget,
        owner: Owner,
        handshake_timeout_ms: u64,
    ) -> Self {
        Self {
            body,
            budget,
            owner,
            within_ms: handshake_timeout_ms / LARGE_FRAME_SHARE,
            prefix: Prefix::default(),
            length: 0,
            left: 0,
            memory: Memory::Unneeded,
            held: Bytes::new(),
        }
    }

    /// Waits for memory where the next bytes need some, or for the end of its time.
    fn poll_memory(&mut self, context: &mut Context<'_>) -> Poll<Result<(), u64>> {
        if let Memory::Waiting { waiting, left } = &mut self.memory {
            let memory = ready!(waiting.as_mut().poll(context));
            let due = Box::pin(sleep(*left));
            self.memory = Memory::Granted { memory, due };
        }
        if let Memory::Granted { due, .. } = &mut self.memory {
            if self.left == 0 {
                // The message was whole, and whoever asks for more is done with it.
                self.memory = Memory::Unneeded;
            } else if due.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(self.within_ms));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What of the held bytes may pass: everything up to what there is memory for.
    fn release(&mut self) -> Bytes {
        let mut passed = 0;
        let held = self.held.clone();
        let mut rest: &[u8] = &held;
        while !rest.is_empty() && !matches!(self.memory, Memory::Waiting { .. }) {
            if self.left > 0 {
                let taken = self.left.min(rest.len()).min(self.room());
                if taken == 0 {
                    self.grow();
                    continue;
                }
                self.left = self.left.saturating_sub(taken);
                rest.advance(taken);
                passed += taken;
                continue;
            }
            passed += 1;
            if let Some(length) = self.prefix.take(rest.get_u8()) {
                (self.length, self.left) = (length, length);
                // What the message before had of the budget is not this one's.
                self.memory = Memory::Unneeded;
            }
        }
        self.held.split_to(passed)
    }

    /// How many bytes of the message may pass yet.
    fn room(&self) -> usize {
        let granted = match &self.memory {
            Memory::Granted { memory, .. } => memory.granted(),
            Memory::Unneeded | Memory::Waiting { .. } => SMALL_FRAME_BYTES,
        };
        // What is over the limit is refused for its length, and needs no memory.
        if granted >= self.length.min(MESSAGE_MAX_BYTES) {
            return self.left;
        }
        granted.saturating_sub(self.length.saturating_sub(self.left))
    }

    /// Begins to wait for more memory; that time is not the peer's.
    fn grow(&mut self) {
        let (memory, left) = match std::mem::replace(&mut self.memory, Memory::Unneeded) {
            Memory::Granted { memory, due } => {
                let left = due.deadline().saturating_duration_since(Instant::now());
                (memory, left)
            }
            Memory::Unneeded | Memory::Waiting { .. } => {
                let length = self.length.min(MESSAGE_MAX_BYTES);
                let memory = self.budget.enter(self.owner.clone(), length);
                (memory, Duration::from_millis(self.within_ms))
            }
        };
        self.memory = Memory::Waiting {
            waiting: Box::pin(memory.grow()),
            left,
        };
    }
}

impl<B> Body for Metered<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = MeterError<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        loop {
            if let Err(within_ms) = ready!(this.poll_memory(context)) {
                return Poll::Ready(Some(Err(MeterError::Slow(within_ms))));
            }
            if this.held.is_empty() {
                let frame = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                    None => return Poll::Ready(None),
                    Some(Err(error)) => return Poll::Ready(Some(Err(MeterError::Body(error)))),
                    Some(Ok(frame)) => frame,
                };
                match frame.into_data() {
                    Ok(data) => this.held = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                }
            }
            let passed = this.release();
            // Nothing passes before there is memory: what there is to do is to wait for it.
            if !passed.is_empty() || !matches!(this.memory, Memory::Waiting { .. }) {
                return Poll::Ready(Some(Ok(Frame::data(passed))));
            }
        }
    }
}

/// A message's prefix, as far as it has come.
#[derive(Clone, Copy, Default)]
struct Prefix {
    bytes: usize,
    length: u32,
}

impl Prefix {
    /// Takes the next byte; the last gives the message's length.
    fn take(&mut self, byte: u8) -> Option<usize> {
        self.bytes += 1;
        // The first byte is flags, and is shifted out by the four after it.
        self.length = self.length << 8 | u32::from(byte);
        if self.bytes < PREFIX_BYTES {
            return None;
        }
        let length = std::mem::take(self).length;
        // On machines where it does not fit, it is over every limit all the same.
        Some(usize::try_from(length).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::future::poll_fn;

    use super::*;

    /// Pieces, then silence.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None => Poll::Pending,
            }
        }
    }

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        bytes.resize(PREFIX_BYTES + length, 7);
        bytes
    }

    fn metered(bytes: &[u8], piece: usize, budget: &FrameBudget) -> Metered<Pieces> {
        let pieces = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
        Metered::new(Pieces(pieces), budget.clone(), None, 10_000)
    }

    async fn next(body: &mut Metered<Pieces>) -> Result<Bytes, MeterError<Infallible>> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.unwrap().map(|frame| frame.into_data().unwrap())
    }

    async fn read(body: &mut Metered<Pieces>, bytes: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < bytes {
            all.extend(next(body).await.unwrap());
        }
        all
    }

    /// Whatever the pieces, the bytes are the same: nothing is lost, doubled or held back.
    #[tokio::test(start_paused = true)]
    async fn bytes_pass_as_they_came() {
        let budget = FrameBudget::new(0);
        let mut bytes = Vec::new();
        for length in [
            0,
            1,
            300,
            SMALL_FRAME_BYTES,
            SMALL_FRAME_BYTES + 1,
            0,
            200_000,
            5,
        ] {
            bytes.extend(message(length));
        }
        for piece in [1, 3, 5, 16_384, bytes.len()] {
            let mut body = metered(&bytes, piece, &budget);
            assert_eq!(
                read(&mut body, bytes.len()).await,
                bytes,
                "pieces of {piece}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn large_messages_wait_for_memory_and_small_ones_do_not() {
        let budget = FrameBudget::new(0);
        let everything = budget.enter(None, 16 * 1024 * 1024).grow().await;
        let large = message(MESSAGE_MAX_BYTES);
        let mut waiting = metered(&large, large.len(), &budget);
        let first = next(&mut waiting).await.unwrap().len();
        assert_eq!(first, PREFIX_BYTES + SMALL_FRAME_BYTES);
        let more = tokio::time::timeout(Duration::from_secs(60), next(&mut waiting)).await;
        assert!(more.is_err(), "no memory, no bytes");
        let small = message(1_000);
        let mut beside = metered(&small, small.len(), &budget);
        assert_eq!(read(&mut beside, small.len()).await, small);
        drop(everything);
        let rest = MESSAGE_MAX_BYTES - SMALL_FRAME_BYTES;
        assert_eq!(next(&mut waiting).await.unwrap().len(), rest);
    }

    /// Whoever begins large messages and does not end them takes the memory from nobody for long.
    #[tokio::test(start_paused = true)]
    async fn memory_is_taken_back_from_the_slow() {
        let budget = FrameBudget::new(0);
        let large = message(MESSAGE_MAX_BYTES);
        let begun = large.get(..100_000).unwrap();
        let mut slow = metered(begun, 100_000, &budget);
        assert_eq!(read(&mut slow, 100_000).await, begun);
        assert!(matches!(
            next(&mut slow).await,
            Err(MeterError::Slow(1_000))
        ));
        drop(slow);
        let whole = budget.enter(None, 16 * 1024 * 1024).grow().await;
        assert_eq!(whole.granted(), 16 * 1024 * 1024);
    }
}
