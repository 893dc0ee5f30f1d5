//! `/events`: the status, again at every change and every second, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;

use super::answer::Body;
use super::streams::Place;
use super::{Admin, Subject};
use crate::health::Readiness;

/// Shown at least so often: ages and counters move without anybody saying so.
const AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// And at most so often, whatever happens: above what an answer may be old, so each is a new one.
const AT_MOST_EVERY: Duration = Duration::from_millis(250);

/// How soon a browser that lost us comes back, and then the first event.
const GREETING: &str = "retry: 1000\n\n";

type Piece = Result<Frame<Bytes>, Infallible>;

/// A stream; `place` is given back with its end.
pub(super) fn open(admin: &Arc<Admin>, place: Place) -> Body {
    // One piece waits while one is sent: who does not read is not written for.
    let (pieces, body) = mpsc::channel(1);
    let admin = Arc::clone(admin);
    tokio::spawn(async move {
        let gone = pieces.clone();
        tokio::select! {
            () = tell(&admin, &pieces) => {}
            // Whoever looked has gone, or the connection's time is over.
            () = gone.closed() => {}
            () = place.lost() => {}
        }
    });
    StreamBody::new(ReceiverStream::new(body)).boxed_unsync()
}

async fn tell(admin: &Admin, pieces: &mpsc::Sender<Piece>) {
    let mut changes = Changes::of(&admin.subject);
    let mut event = Bytes::from_static(GREETING.as_bytes());
    loop {
        if pieces.send(Ok(Frame::data(event))).await.is_err() {
            return;
        }
        let Ok(json) = admin.latest.json(&admin.subject) else {
            return;
        };
        if pieces.send(Ok(Frame::data(framed(&json)))).await.is_err() {
            return;
        }
        let not_before = Instant::now() + AT_MOST_EVERY;
        tokio::select! {
            () = changes.next() => {}
            () = sleep(AT_LEAST_EVERY) => {}
        }
        sleep_until(not_before).await;
        event = Bytes::new();
    }
}

/// JSON holds no line ends, so one event is one line.
fn framed(json: &Bytes) -> Bytes {
    let mut event = BytesMut::with_capacity(json.len() + 32);
    event.put_slice(b"event: status\ndata: ");
    event.put_slice(json);
    event.put_slice(b"\n\n");
    event.freeze()
}

/// What says of itself that it changed.
struct Changes {
    tree: Option<Receiver<u64>>,
    trust: Receiver<()>,
    readiness: Receiver<Readiness>,
}

impl Changes {
    fn of(subject: &Subject) -> Self {
        Self {
            tree: subject.tree.get().map(|tree| tree.changes()),
            trust: subject.doors.judge.trust.subscribe(),
            readiness: subject.doors.health.process().subscribe(),
        }
    }

    async fn next(&mut self) {
        let tree = async {
            match &mut self.tree {
                Some(tree) => drop(tree.changed().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tree => {}
            _ = self.trust.changed() => {}
            _ = self.readiness.changed() => {}
        }
    }
}
