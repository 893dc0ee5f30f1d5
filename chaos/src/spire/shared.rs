//! The state that the server, its streams and the control handles share.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use super::fault::{CallFault, EndOfStreams, Refusal};
use super::listener::Life;
use super::truth::{BundleMap, Truth, WorkloadSvid};

/// Messages a stream may fall behind (or collect while frozen) before it is cut off.
const STREAM_BACKLOG_MESSAGES: usize = 256;

/// What is put on a stream.
#[derive(Debug, Clone)]
pub(super) enum Outgoing {
    Message(Arc<Truth>),
    End(EndOfStreams),
}

pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) life: Mutex<Life>,
    streams: Mutex<Streams>,
    pub(super) calls: watch::Sender<u64>,
    pub(super) calls_without_header: watch::Sender<u64>,
    pub(super) subscribers: watch::Sender<u64>,
    pub(super) connections: watch::Sender<u64>,
    pub(super) fault: watch::Sender<CallFault>,
    /// Streams with a smaller number deliver nothing.
    pub(super) frozen_below: watch::Sender<u64>,
}

struct Streams {
    truth: Arc<Truth>,
    open: BTreeMap<u64, mpsc::Sender<Outgoing>>,
    next_number: u64,
}

/// A place among the open streams.
pub(super) struct Seat {
    pub(super) number: u64,
    pub(super) outgoing: mpsc::Receiver<Outgoing>,
}

impl Shared {
    pub(super) fn new(path: PathBuf, bundles: BundleMap) -> Self {
        let truth = Arc::new(Truth {
            bundles,
            svids: Vec::new(),
        });
        Self {
            path,
            life: Mutex::new(Life::Stopped),
            streams: Mutex::new(Streams {
                truth,
                open: BTreeMap::new(),
                next_number: 0,
            }),
            calls: watch::Sender::new(0),
            calls_without_header: watch::Sender::new(0),
            subscribers: watch::Sender::new(0),
            connections: watch::Sender::new(0),
            fault: watch::Sender::new(CallFault::None),
            frozen_below: watch::Sender::new(0),
        }
    }

    pub(super) fn path_text(&self) -> String {
        self.path.display().to_string()
    }

    pub(super) fn bundles(&self) -> BundleMap {
        self.lock_streams().truth.bundles.clone()
    }

    /// Joins the open streams; the whole truth as of now is the first message.
    pub(super) fn take_seat(&self) -> Seat {
        let mut streams = self.lock_streams();
        let (sender, outgoing) = mpsc::channel(STREAM_BACKLOG_MESSAGES);
        // An empty channel with room for many takes one.
        let _taken = sender.try_send(Outgoing::Message(Arc::clone(&streams.truth)));
        let number = streams.next_number;
        streams.next_number += 1;
        streams.open.insert(number, sender);
        self.count_subscribers(&streams);
        Seat { number, outgoing }
    }

    pub(super) fn leave_seat(&self, number: u64) {
        let mut streams = self.lock_streams();
        streams.open.remove(&number);
        self.count_subscribers(&streams);
    }

    /// SPIRE sends nothing when nothing changed.
    pub(super) fn set_bundles(&self, bundles: BundleMap) {
        let mut streams = self.lock_streams();
        if streams.truth.bundles == bundles {
            return;
        }
        let svids = streams.truth.svids.clone();
        streams.truth = Arc::new(Truth { bundles, svids });
        streams.send_truth();
    }

    pub(super) fn set_svids(&self, svids: Vec<WorkloadSvid>) {
        let mut streams = self.lock_streams();
        let bundles = streams.truth.bundles.clone();
        streams.truth = Arc::new(Truth { bundles, svids });
        streams.send_truth();
    }

    pub(super) fn publish(&self) {
        self.lock_streams().send_truth();
    }

    pub(super) fn send_raw(&self, bundles: BundleMap) {
        let mut streams = self.lock_streams();
        let svids = streams.truth.svids.clone();
        streams.send(&Outgoing::Message(Arc::new(Truth { bundles, svids })));
    }

    pub(super) fn end_streams(&self, how: EndOfStreams) {
        self.lock_streams().send(&Outgoing::End(how));
    }

    /// New calls first, so that no stream can slip in between.
    pub(super) fn withdraw(&self) {
        self.fault
            .send_replace(CallFault::Refuse(Refusal::no_identity()));
        self.end_streams(EndOfStreams::With(Refusal::no_identity()));
    }

    pub(super) fn freeze_streams(&self) {
        let next = self.lock_streams().next_number;
        self.frozen_below.send_replace(next);
    }

    fn count_subscribers(&self, streams: &Streams) {
        self.subscribers.send_replace(streams.open.len() as u64);
    }

    fn lock_streams(&self) -> MutexGuard<'_, Streams> {
        // Nothing under this lock can panic half-way.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Streams {
    fn send_truth(&mut self) {
        let message = Outgoing::Message(Arc::clone(&self.truth));
        self.send(&message);
    }

    /// A stream that does not take it loses its sender, and so ends.
    fn send(&mut self, outgoing: &Outgoing) {
        self.open
            .retain(|_number, stream| stream.try_send(outgoing.clone()).is_ok());
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Shared")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
