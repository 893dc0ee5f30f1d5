//! Certificates not seen before: permits, single flight, workers.
//!
//! A mailbox is unbounded, so no request waits in one. A permit is taken before the work, and before
//! the credential is copied; without one the answer is `OVERLOADED` at once. The same credential at
//! once is judged once. A worker that dies drops its jobs' answers, and the flight takes the job to
//! the next worker.

mod flight;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use proto::cert_header::{CertHeader, Raw};
use ractor::ActorRef;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use verdict::evidence::Evidence;
use verdict::policy::Failure;
use verdict::time::Now;
use verdict::trust::{Basis, World};

pub use self::flight::Ticket;
use self::flight::{Flights, Pilot};
pub use self::worker::{Worker, WorkerArgs, WorkerMsg, examine};
use crate::memory::{KeyRef, Memory, Reading};
use crate::metrics::Metrics;

/// Validations a worker does in 50 ms at 0.4 ms each (P-384, the slowest common authority key). More
/// would only be answered after the deadline.
const PERMITS_PER_WORKER: usize = 125;

/// Workers at least: one can die, or be busy with a slow key, while the other serves.
const WORKERS_MIN: usize = 2;

/// How often a job is taken to another worker after one died under it.
const ATTEMPTS: usize = 3;

/// Longest wait for one worker: by then an order is taken to another, and the first skips it if
/// it has not begun it. A worker that is stuck costs who was with it this much, until it is replaced.
const ATTEMPT_MAX: Duration = Duration::from_millis(FLIGHT_MAX_MS / 4);

/// Longest flight, milliseconds: far beyond any decision deadline, so that a permit always returns.
const FLIGHT_MAX_MS: u64 = 2_000;

/// How many workers a setting means: 0 is one for each processor.
#[must_use]
pub fn workers(setting: usize) -> usize {
    let wanted = match setting {
        0 => std::thread::available_parallelism().map_or(WORKERS_MIN, std::num::NonZero::get),
        workers => workers,
    };
    wanted.max(WORKERS_MIN)
}

/// What is asked about one credential, borrowed from the request.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The credential as it came.
    pub raw: &'a Raw<'a>,
    /// How it is read.
    pub header: &'a Arc<CertHeader>,
    /// The settings the key depends on.
    pub reading: Reading,
    /// The world.
    pub world: &'a Arc<World>,
    /// What may be concluded in it.
    pub basis: Basis,
    /// The policy's failure block.
    pub failure: Failure,
    /// The moment.
    pub now: Now,
}

/// The same, to be kept.
pub struct Job {
    raw: Raw<'static>,
    header: Arc<CertHeader>,
    reading: Reading,
    world: Arc<World>,
    basis: Basis,
    failure: Failure,
    now: Now,
}

impl Asked<'_> {
    fn to_job(self) -> Job {
        Job {
            raw: self.raw.clone().into_owned(),
            header: Arc::clone(self.header),
            reading: self.reading,
            world: Arc::clone(self.world),
            basis: self.basis,
            failure: self.failure,
            now: self.now,
        }
    }

    fn key(&self) -> KeyRef<'_> {
        KeyRef::new(self.reading, self.raw)
    }
}

impl Job {
    fn key(&self) -> KeyRef<'_> {
        KeyRef::new(self.reading, &self.raw)
    }

    /// Whether its evidence answers the question: the same credential, world and terms, at most a
    /// flight's length earlier.
    fn answers(&self, asked: &Asked<'_>) -> bool {
        Arc::ptr_eq(&self.world, asked.world)
            && self.basis.stance == asked.basis.stance
            && self.failure.cache_ttl_s == asked.failure.cache_ttl_s
            && self.now.unix_seconds() == asked.now.unix_seconds()
            && self.key() == asked.key()
    }
}

/// Why a job got no evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEvidence {
    /// No permit was free.
    #[error("every validation permit is taken")]
    Overloaded,
    /// The validation panicked, or every worker died under it.
    #[error("the validation failed internally")]
    Internal,
}

/// A job on its way to a worker.
pub struct Order {
    job: Arc<Job>,
    reply: oneshot::Sender<Result<Evidence, NoEvidence>>,
    _waits: Arc<()>,
}

/// A worker in its place.
#[derive(Clone)]
struct Seat {
    worker: ActorRef<WorkerMsg>,
    /// Held by each order that is with the worker: how many there are shows how far behind it is.
    waits: Arc<()>,
}

/// The intake of the workers, owned above them.
pub struct Validation {
    permits: Arc<Semaphore>,
    flights: Flights,
    workers: RwLock<Vec<Option<Seat>>>,
    enlisted: Notify,
    turn: AtomicUsize,
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
}

impl Validation {
    /// An intake for this many workers, without any yet.
    #[must_use]
    pub fn new(workers: usize, memory: Arc<Memory>, metrics: Arc<Metrics>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(workers * PERMITS_PER_WORKER)),
            flights: Flights::default(),
            workers: RwLock::new(vec![None; workers]),
            enlisted: Notify::new(),
            turn: AtomicUsize::new(0),
            memory,
            metrics,
        }
    }

    /// Puts a (re)started worker in its place.
    pub fn enlist(&self, place: usize, worker: ActorRef<WorkerMsg>) {
        let mut workers = self.workers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = workers.get_mut(place) {
            let waits = Arc::default();
            *slot = Some(Seat { worker, waits });
        }
        drop(workers);
        self.enlisted.notify_waiters();
    }

    /// Has a credential judged; must be called on the runtime.
    ///
    /// # Errors
    /// No permit is free.
    pub fn ask(self: &Arc<Self>, asked: &Asked<'_>) -> Result<Ticket, NoEvidence> {
        if let Some(ticket) = self.flights.board(asked) {
            return Ok(ticket);
        }
        let permits = Arc::clone(&self.permits);
        let permit = permits
            .try_acquire_owned()
            .map_err(|_| NoEvidence::Overloaded)?;
        let (pilot, ticket) = self.flights.begin(Arc::new(asked.to_job()));
        tokio::spawn(Arc::clone(self).fly(pilot, permit));
        Ok(ticket)
    }

    async fn fly(self: Arc<Self>, pilot: Pilot, _permit: OwnedSemaphorePermit) {
        let within = Duration::from_millis(FLIGHT_MAX_MS);
        let judged = tokio::time::timeout(within, self.judge(pilot.job())).await;
        let result = judged.unwrap_or(Err(NoEvidence::Internal));
        if let Ok(evidence) = &result {
            let job = pilot.job();
            self.memory.keep(job.key(), evidence, job.now);
        }
        pilot.land(result);
    }

    async fn judge(&self, job: &Arc<Job>) -> Result<Evidence, NoEvidence> {
        for _ in 0..ATTEMPTS {
            let Seat { worker, waits } = self.seat().await;
            let (reply, answer) = oneshot::channel();
            let order = Order {
                job: Arc::clone(job),
                reply,
                _waits: waits,
            };
            let answered = tokio::time::timeout(ATTEMPT_MAX, answer);
            if worker.cast(WorkerMsg::Order(order)).is_ok()
                && let Ok(Ok(result)) = answered.await
            {
                return result;
            }
        }
        Err(NoEvidence::Internal)
    }

    /// A running worker; with none, the next to be enlisted. The flight's length bounds the wait.
    async fn seat(&self) -> Seat {
        loop {
            let mut enlisted = std::pin::pin!(self.enlisted.notified());
            enlisted.as_mut().enable();
            if let Some(seat) = self.next_seat() {
                return seat;
            }
            enlisted.await;
        }
    }

    /// Whoever has the least to do, by turns: a worker that is stuck is soon passed by.
    fn next_seat(&self) -> Option<Seat> {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let by_turns = (0..workers.len()).filter_map(|step| {
            let seat = workers.get(turn.wrapping_add(step) % workers.len());
            seat.and_then(Option::as_ref)
        });
        by_turns
            .filter(|seat| seat.worker.get_status() <= ractor::ActorStatus::Running)
            .min_by_key(|seat| Arc::strong_count(&seat.waits))
            .cloned()
    }

    pub(crate) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}
