//! A connection of the Unix socket: reads frames, answers them, and ends with its socket.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proto::sentinel::control;
use proto::sentinel::frame::{self, FrameError, MessageType};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::budget::{FrameMemory, LARGE_FRAME_SHARE};
use super::peer::Peer;
use super::reader::{Kind, Message, Next, Reader};
use super::reports::{self, REPORT_INTERVAL_MS};
use super::session::{Session, SessionError, Step};
use super::turns::TURN_MESSAGES;
use super::{AGENT_ID, Doors};
use crate::metrics::count;
use crate::unhurried::unhurried;

/// Time a peer may not read at all while we have something to say, milliseconds.
pub(super) const WRITE_STALL_MS: u64 = 30_000;
/// The same once the connection is to end, beyond what its answers take to be made, milliseconds:
/// whoever is there reads within a round trip, and others wait for the end.
pub(super) const PARTING_MS: u64 = 1_000;
/// Unwritten answers beyond which reading stops, bytes.
const OUT_MAX_BYTES: usize = 256 * 1024;

/// Serves a Unix socket's connection to its end.
///
/// # Errors
/// We closed it, and why.
pub(super) async fn serve(
    stream: UnixStream,
    doors: Arc<Doors>,
    peer: Peer,
) -> Result<(), ConnectionError> {
    Connection::new(stream, doors, peer).serve().await
}

/// Why a connection was closed by us.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Session(#[from] SessionError),
    #[error("no handshake within {0} ms (agent protocol, section 2)")]
    NoGreeting(u64),
    #[error("a frame did not arrive whole within {0} ms")]
    SlowFrame(u64),
    #[error("the peer did not read for {WRITE_STALL_MS} ms, or {PARTING_MS} ms while draining")]
    NeverReads,
    #[error("the connection ended inside a frame (agent protocol, section 1)")]
    Torn,
}

/// Whether the peer may still ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// It may.
    Open,
    /// Draining: so many bytes lay in the socket when it began, and are still read and answered.
    Draining(usize),
    /// No more is read; what is under way is finished.
    Finishing,
}

/// How a pass over the frames ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Nothing is left that can be dealt with.
    Through,
    /// There may be more, after the others' turn.
    OthersTurn,
}

/// A wait for memory, and since when: that time is not the peer's.
struct Wait {
    since: Instant,
    memory: Pin<Box<dyn Future<Output = FrameMemory> + Send>>,
}

/// What the task works with.
struct Connection {
    incoming: OwnedReadHalf,
    outgoing: OwnedWriteHalf,
    reader: Reader,
    session: Session,
    doors: Arc<Doors>,
    out: Vec<u8>,
    written: usize,
    pending: JoinSet<Vec<u8>>,
    /// A push that waits for what is in flight, whose answers would wait for it.
    held: Option<Message>,
    memory: Option<Wait>,
    peer: Peer,
    flow: Flow,
    /// When the frame that is under way must be whole, or the handshake must have come.
    frame_due: Option<Instant>,
    /// When the peer must have read something.
    write_due: Option<Instant>,
}

impl Connection {
    fn new(stream: UnixStream, doors: Arc<Doors>, peer: Peer) -> Self {
        let (incoming, outgoing) = stream.into_split();
        Self {
            incoming,
            outgoing,
            reader: Reader::new(),
            session: Session::new(Arc::clone(&doors), peer.clone()),
            out: Vec::new(),
            written: 0,
            pending: JoinSet::new(),
            held: None,
            memory: None,
            peer,
            flow: Flow::Open,
            frame_due: Some(
                Instant::now() + Duration::from_millis(doors.bounds.handshake_timeout_ms),
            ),
            write_due: None,
            doors,
        }
    }

    async fn serve(mut self) -> Result<(), ConnectionError> {
        let mut reports = interval(Duration::from_millis(REPORT_INTERVAL_MS));
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        reports.reset();
        if self.doors.health.is_draining() {
            return Ok(());
        }
        // Whatever is whole in a pass was whole when it began, and its deadline counts from there.
        let mut at = Instant::now();
        loop {
            let result = self.process(at);
            let held_back = !self.has_room();
            self.flush_now()?;
            let pass = match result {
                Ok(pass) => pass,
                Err(error) => {
                    // What was answered so far, a refusal of the handshake above all, goes out first.
                    self.finish_writing().await?;
                    return Err(error);
                }
            };
            if self.is_finished() {
                return self.finish_writing().await;
            }
            // What waits for the room that is there now has been read already: nothing would tell of it.
            if held_back && self.has_room() {
                tokio::task::yield_now().await;
                continue;
            }
            if pass == Pass::OthersTurn {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                ready = self.outgoing.writable(), if !self.out.is_empty() => ready?,
                Some(answer) = self.pending.join_next(), if !self.pending.is_empty() => {
                    // A panic in there was the validation's, and is contained there; an abort is ours.
                    self.out.extend_from_slice(&answer.unwrap_or_default());
                }
                memory = async {
                    match &mut self.memory {
                        Some(wait) => wait.memory.as_mut().await,
                        None => std::future::pending().await,
                    }
                } => self.granted(memory),
                read = async {
                    self.incoming.read_buf(&mut self.reader.space()).await
                }, if self.wants_more() => {
                    match (read?, self.flow) {
                        (0, _) => self.ended()?,
                        (bytes, Flow::Draining(left)) => {
                            self.flow = Flow::Draining(left.saturating_sub(bytes));
                        }
                        (_, Flow::Open | Flow::Finishing) => {}
                    }
                }
                changed = self.session.health().changed() => {
                    if changed.is_err() || self.doors.health.is_draining() {
                        self.drain()?;
                    }
                    self.report_health();
                }
                _ = reports.tick() => self.report_metrics(),
                () = until(self.frame_due), if self.memory.is_none() => return Err(self.too_slow()),
                () = until(self.write_due) => return Err(ConnectionError::NeverReads),
            }
            at = Instant::now();
        }
    }

    /// Deals with every whole frame for which there is room, as many as a turn has.
    fn process(&mut self, at: Instant) -> Result<Pass, ConnectionError> {
        let mut left = TURN_MESSAGES;
        if self.pending.is_empty()
            && let Some(push) = self.held.take()
        {
            self.take(&push, at)?;
        }
        while left > 0 && self.flow != Flow::Finishing && self.has_room() {
            left -= 1;
            match self
                .reader
                .next()
                .inspect_err(|_| count(&self.doors.metrics.malformed_messages))?
            {
                Next::Message(message) if message.may_push() => {
                    // Answers do not wait for what compiling a push takes.
                    self.flush_now()?;
                    match self.pending.is_empty() {
                        true => self.take(&message, at)?,
                        false => self.held = Some(message),
                    }
                }
                Next::Message(message) => self.take(&message, at)?,
                Next::Memory(memory, bytes) => {
                    self.wait(memory, bytes);
                    break;
                }
                Next::Wait => break,
                Next::More => {
                    // What is not whole by now was not sent before the drain began.
                    if self.flow == Flow::Draining(0) {
                        self.flow = Flow::Finishing;
                    }
                    break;
                }
            }
        }
        // While we do not read, the peer is not the one who is slow; but what a large frame holds,
        // others wait for, whoever is slow.
        let amid = self.reader.is_amid() && (self.has_room() || self.reader.is_large());
        self.frame_due = match (self.session.is_greeted(), amid) {
            (true, false) => None,
            (true, true) => self
                .frame_due
                .or_else(|| Some(self.in_ms(self.doors.bounds.handshake_timeout_ms))),
            (false, _) => self.frame_due,
        };
        Ok(match left {
            0 => Pass::OthersTurn,
            _ => Pass::Through,
        })
    }

    /// Begins to wait for a large frame's memory.
    fn wait(&mut self, memory: Option<FrameMemory>, bytes: usize) {
        let memory = memory.unwrap_or_else(|| {
            // What it holds from now on, others may wait for: it must come soon. As long as requests
            // are under way, it is we who may not be reading.
            let share_ms = self.doors.bounds.handshake_timeout_ms / LARGE_FRAME_SHARE;
            let within_ms = share_ms.saturating_add(self.doors.bounds.decision_deadline_ms);
            let due = self.in_ms(within_ms);
            self.frame_due = Some(self.frame_due.map_or(due, |earlier| earlier.min(due)));
            let owner = Some(self.peer.clone());
            self.doors.frames.enter(owner, bytes)
        });
        self.memory = Some(Wait {
            since: Instant::now(),
            memory: Box::pin(memory.grow()),
        });
    }

    fn granted(&mut self, memory: FrameMemory) {
        if let Some(wait) = self.memory.take() {
            let waited = wait.since.elapsed();
            self.frame_due = self.frame_due.map(|due| due + waited);
        }
        self.reader.grant(memory);
    }

    fn take(&mut self, message: &Message, at: Instant) -> Result<(), ConnectionError> {
        let was_greeted = self.session.is_greeted();
        let (session, out, payload) = (&mut self.session, &mut self.out, &message.payload);
        let step = unhurried(payload.len(), || match message.kind {
            Kind::V2(MessageType::HandshakeRequest) if !was_greeted => session.greet(payload, out),
            Kind::V2(kind) => session.frame(kind, payload, at, out),
            Kind::V1 => session.message_v1(payload, at, out),
        })?;
        // The next frame's time begins with its first byte.
        self.frame_due = None;
        match step {
            Step::Done => {}
            Step::Later(pending) => {
                self.pending.spawn(pending.answer());
            }
            Step::Close => self.flow = Flow::Finishing,
        }
        if !was_greeted {
            self.report_health();
        }
        Ok(())
    }

    /// A connection's own limit stops reading; it never refuses.
    fn has_room(&self) -> bool {
        let in_flight = match self.session.reports_in() {
            Some(_) => self.doors.bounds.in_flight,
            // Version 1 answers in turn.
            None => 1,
        };
        self.held.is_none()
            && self.pending.len() < in_flight
            && self.out.len().saturating_sub(self.written) < OUT_MAX_BYTES
    }

    fn wants_more(&self) -> bool {
        let reads = match self.flow {
            Flow::Open => true,
            Flow::Draining(left) => left > 0,
            Flow::Finishing => false,
        };
        reads && self.memory.is_none() && self.has_room()
    }

    /// What the peer sent before it could know is answered; a peer that goes on asking holds up nobody.
    fn drain(&mut self) -> Result<(), ConnectionError> {
        if self.flow == Flow::Open {
            let sent =
                rustix::io::ioctl_fionread(self.incoming.as_ref()).map_err(std::io::Error::from)?;
            self.flow = Flow::Draining(usize::try_from(sent).unwrap_or(usize::MAX));
        }
        self.hurry();
        Ok(())
    }

    /// Who reads nothing is waited for no longer than a drain waits for him.
    fn hurry(&mut self) {
        let parting = self.in_ms(PARTING_MS);
        self.write_due = self.write_due.map(|due| due.min(parting));
    }

    fn is_finished(&self) -> bool {
        self.flow == Flow::Finishing && self.pending.is_empty()
    }

    fn ended(&mut self) -> Result<(), ConnectionError> {
        self.flow = Flow::Finishing;
        match self.reader.is_amid() {
            true => Err(ConnectionError::Torn),
            false => Ok(()),
        }
    }

    /// Writes what the socket takes without waiting.
    fn flush_now(&mut self) -> Result<(), ConnectionError> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.outgoing.try_write(rest) {
                Ok(bytes) => {
                    self.written += bytes;
                    self.write_due = None;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let stall_ms = match self.doors.health.is_draining() {
                        true => PARTING_MS,
                        false => WRITE_STALL_MS,
                    };
                    self.write_due = self.write_due.or_else(|| Some(self.in_ms(stall_ms)));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.written = 0;
        self.out.clear();
        // A burst's memory is given back.
        self.out.shrink_to(OUT_MAX_BYTES);
        Ok(())
    }

    /// Writes what is left, as long as the peer takes some of it now and then, and no longer in all than
    /// it may read nothing.
    async fn finish_writing(&mut self) -> Result<(), ConnectionError> {
        let all_due = self.in_ms(WRITE_STALL_MS);
        loop {
            self.flush_now()?;
            if self.out.is_empty() {
                return Ok(());
            }
            let is_draining = self.doors.health.is_draining();
            if is_draining {
                self.hurry();
            }
            tokio::select! {
                ready = self.outgoing.writable() => ready?,
                () = self.doors.health.draining(), if !is_draining => {}
                () = until(self.write_due) => return Err(ConnectionError::NeverReads),
                () = sleep_until(all_due) => return Err(ConnectionError::NeverReads),
            }
        }
    }

    fn too_slow(&self) -> ConnectionError {
        let within_ms = self.doors.bounds.handshake_timeout_ms;
        match self.session.is_greeted() {
            true => ConnectionError::SlowFrame(within_ms),
            false => ConnectionError::NoGreeting(within_ms),
        }
    }

    fn in_ms(&self, ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    fn report_health(&mut self) {
        let state = reports::state(*self.session.health().borrow_and_update());
        let Some(encoding) = self.session.reports_in() else {
            return;
        };
        let at_ms = self.doors.clock.now().wall_ms.unsigned_abs();
        let fill = |out: &mut Vec<u8>| control::health(out, encoding, AGENT_ID, state, at_ms);
        if let Err(error) = frame::append(&mut self.out, MessageType::HealthStatus, fill) {
            tracing::error!(%error, "health report left out");
        }
    }

    fn report_metrics(&mut self) {
        let Some(encoding) = self.session.reports_in() else {
            return;
        };
        reports::metrics(&self.doors, |report| {
            let fill = |out: &mut Vec<u8>| report.render(out, encoding);
            if let Err(error) = frame::append(&mut self.out, MessageType::MetricsReport, fill) {
                tracing::error!(%error, "metrics report left out");
            }
        });
    }
}

pub(super) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
