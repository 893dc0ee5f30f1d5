//! Certificates not seen before: permits, single flight, workers.
//!
//! A mailbox is unbounded, so no request waits in one. A permit is taken before the work; without
//! one the answer is `OVERLOADED` at once. The same credential at once is judged once. A worker
//! that dies drops its jobs' answers, and the asker takes the job to the next worker.

mod flight;
mod worker;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use proto::cert_header::{CertHeader, Raw};
use ractor::ActorRef;
use tokio::sync::{Notify, Semaphore, oneshot};
use verdict::evidence::Evidence;
use verdict::policy::Failure;
use verdict::time::Now;
use verdict::trust::{Basis, World};

use self::flight::{Flights, Seat};
pub use self::worker::{Worker, WorkerArgs};
use crate::memory::{Key, KeyRef, Memory, Reading};
use crate::metrics::Metrics;

/// Validations a worker does in 50 ms at 0.4 ms each (P-384, the slowest common authority key). More
/// would only be answered after the deadline.
const PERMITS_PER_WORKER: usize = 125;

/// Workers at least: one can die, or be busy with a slow key, while the other serves.
const WORKERS_MIN: usize = 2;

/// How many workers a setting means: 0 is one for each processor.
#[must_use]
pub fn workers(setting: usize) -> usize {
    let wanted = match setting {
        0 => std::thread::available_parallelism().map_or(WORKERS_MIN, std::num::NonZero::get),
        workers => workers,
    };
    wanted.max(WORKERS_MIN)
}

/// How often a job is taken to another worker after one died under it.
const ATTEMPTS: usize = 3;

/// One credential to judge, in one world, at one moment.
#[derive(Clone)]
pub struct Job {
    /// The credential as it came.
    pub raw: Raw<'static>,
    /// How it is read.
    pub header: Arc<CertHeader>,
    /// The settings the key depends on.
    pub reading: Reading,
    /// The world.
    pub world: Arc<World>,
    /// What may be concluded in it.
    pub basis: Basis,
    /// The policy's failure block.
    pub failure: Failure,
    /// The moment.
    pub now: Now,
}

impl Job {
    fn key(&self) -> KeyRef<'_> {
        KeyRef::new(self.reading, &self.raw)
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
}

/// The intake of the workers, owned above them.
pub struct Validation {
    permits: Semaphore,
    flights: Flights,
    workers: RwLock<Vec<Option<ActorRef<Order>>>>,
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
            permits: Semaphore::new(workers * PERMITS_PER_WORKER),
            flights: Flights::default(),
            workers: RwLock::new(vec![None; workers]),
            enlisted: Notify::new(),
            turn: AtomicUsize::new(0),
            memory,
            metrics,
        }
    }

    /// Puts a (re)started worker in its place.
    pub fn enlist(&self, place: usize, worker: ActorRef<Order>) {
        let mut workers = self
            .workers
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(slot) = workers.get_mut(place) {
            *slot = Some(worker);
        }
        drop(workers);
        self.enlisted.notify_waiters();
    }

    /// Judges a credential.
    ///
    /// # Errors
    /// No permit was free, or the validation failed internally: both deny.
    pub async fn judge(&self, job: Job) -> Result<Evidence, NoEvidence> {
        match self.flights.board(&job) {
            Seat::Passenger(flight) => match flight.landed().await {
                Some(result) => result,
                // The leader was cancelled (its connection closed): fly alone.
                None => self.fly(&Arc::new(job)).await,
            },
            Seat::Pilot(pilot) => {
                let result = self.fly(&Arc::new(job)).await;
                pilot.land(result.clone());
                result
            }
        }
    }

    async fn fly(&self, job: &Arc<Job>) -> Result<Evidence, NoEvidence> {
        let Ok(_permit) = self.permits.try_acquire() else {
            return Err(NoEvidence::Overloaded);
        };
        for _ in 0..ATTEMPTS {
            let worker = self.worker().await;
            let (reply, answer) = oneshot::channel();
            let order = Order {
                job: Arc::clone(job),
                reply,
            };
            if worker.cast(order).is_ok()
                && let Ok(result) = answer.await
            {
                if let Ok(evidence) = &result {
                    self.memory.keep(job.key(), evidence, job.now);
                }
                return result;
            }
        }
        Err(NoEvidence::Internal)
    }

    /// A running worker; with none, the next to be enlisted. The asker's deadline bounds the wait.
    async fn worker(&self) -> ActorRef<Order> {
        loop {
            let mut enlisted = std::pin::pin!(self.enlisted.notified());
            enlisted.as_mut().enable();
            if let Some(worker) = self.next_worker() {
                return worker;
            }
            enlisted.await;
        }
    }

    fn next_worker(&self) -> Option<ActorRef<Order>> {
        let workers = self
            .workers
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (0..workers.len())
            .filter_map(|step| {
                workers
                    .get(turn.wrapping_add(step) % workers.len())?
                    .clone()
            })
            .find(|worker| worker.get_status() <= ractor::ActorStatus::Running)
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

/// What a flight is for: the same credential, judged by the same world and terms.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Route {
    key: Key,
    world: usize,
    judges_trust: bool,
    cache_ttl_s: u64,
}

impl Route {
    fn of(job: &Job) -> Self {
        Self {
            key: job.key().to_key(),
            // Kept alive by the job that flies, so the address stands for that world alone.
            world: Arc::as_ptr(&job.world) as usize,
            judges_trust: job.basis.stance.judges_trust(),
            cache_ttl_s: job.failure.cache_ttl_s,
        }
    }
}
