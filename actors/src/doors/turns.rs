//! Turns: a peer that always has more to say must not keep a thread to itself.
//!
//! The runtime ends a task's turn after 128 reads, each of which may hold hundreds of small messages:
//! a few busy connections would then delay everybody's answers by tens of milliseconds.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Frames that a connection deals with in one turn: some tenths of a millisecond.
pub(super) const TURN_MESSAGES: u32 = 32;

/// A stream whose reader has one read a turn, of some 16 KiB at most.
#[derive(Debug)]
pub(super) struct InTurns<S> {
    stream: S,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Reading,
    /// The turn is over: the next read waits until the others had theirs.
    Over,
}

impl<S> InTurns<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            stage: Stage::Reading,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for InTurns<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.stage == Stage::Over {
            self.stage = Stage::Reading;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.stage = Stage::Over;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InTurns<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::cell::Cell;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// On one thread: beside a peer that never stops, the neighbour has a turn after each of its.
    #[tokio::test]
    async fn who_never_stops_leaves_turns_to_others() {
        const READS: u32 = 400;
        let reads = Cell::new(0_u32);
        let longest = Cell::new(0_u32);
        let busy = async {
            let mut endless =
                InTurns::new(tokio::io::join(tokio::io::repeat(0), tokio::io::sink()));
            let mut some = [0; 16];
            while reads.get() < READS {
                endless.read_exact(&mut some).await.unwrap();
                reads.set(reads.get() + 1);
            }
        };
        let neighbour = async {
            let mut seen = 0;
            while seen < READS {
                longest.set(longest.get().max(reads.get() - seen));
                seen = reads.get();
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(busy, neighbour);
        // Who of the two comes first alternates.
        assert!((1..=2).contains(&longest.get()), "{longest:?}");
    }
}
