//! A validation worker: decodes the header, examines the leaf, verifies the path.
//!
//! A certificate can crash at most its own decision: the work runs on a blocking thread, a panic
//! there is caught, counted, and answered as `INTERNAL`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use proto::cert_header::{CertHeader, Raw};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use verdict::evidence::{Check, Evidence, Fault};
use verdict::policy::Failure;
use verdict::reason::Reason;
use verdict::time::Now;
use verdict::trust::{Basis, World};

use super::{Job, NoEvidence, Order, Validation};
use crate::metrics::count;
use crate::supervision::Ping;

/// The actor; its state is the intake it serves.
pub struct Worker {
    examiner: Examiner,
}

/// What judges a job: [`examine`], but for tests that want one which panics.
type Examiner = fn(&Job) -> Evidence;

/// What reaches a worker.
pub enum WorkerMsg {
    /// A job.
    Order(Order),
    /// The supervisor asks.
    Ping(Ping),
}

impl From<Ping> for WorkerMsg {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

impl Worker {
    /// A worker that examines.
    #[must_use]
    pub const fn new() -> Self {
        Self { examiner: judge }
    }

    #[cfg(test)]
    pub(super) const fn examining_by(examiner: Examiner) -> Self {
        Self { examiner }
    }

    /// Judges on a thread that may take its time; a panic there costs this job alone.
    async fn work(&self, order: Order, validation: &Validation) {
        let Order { job, reply, .. } = order;
        if reply.is_closed() {
            return;
        }
        let examiner = self.examiner;
        let work =
            tokio::task::spawn_blocking(move || catch_unwind(AssertUnwindSafe(|| examiner(&job))));
        let result = match work.await {
            Ok(Ok(evidence)) => Ok(evidence),
            Ok(Err(_)) | Err(_) => {
                count(&validation.metrics().panics_contained);
                Err(NoEvidence::Internal)
            }
        };
        // The asker may be gone; nobody else wants the answer.
        let _ = reply.send(result);
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self::new()
    }
}

/// What a worker is started with.
pub struct WorkerArgs {
    /// The intake.
    pub validation: Arc<Validation>,
    /// Its place among the workers.
    pub place: usize,
}

impl Actor for Worker {
    type Msg = WorkerMsg;
    type State = Arc<Validation>;
    type Arguments = WorkerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<WorkerMsg>,
        args: WorkerArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.validation.enlist(args.place, myself);
        Ok(args.validation)
    }

    async fn handle(
        &self,
        _myself: ActorRef<WorkerMsg>,
        message: WorkerMsg,
        validation: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WorkerMsg::Order(order) => self.work(order, validation).await,
            WorkerMsg::Ping(ping) => ping.answer().await,
        }
        Ok(())
    }
}

fn judge(job: &Job) -> Evidence {
    examine(
        &job.header,
        &job.raw,
        &job.world,
        &job.basis,
        &job.failure,
        job.now,
    )
}

/// What a worker finds in one credential.
#[must_use]
pub fn examine(
    header: &CertHeader,
    raw: &Raw<'_>,
    world: &World,
    basis: &Basis,
    failure: &Failure,
    now: Now,
) -> Evidence {
    match header.decode(raw) {
        Err(error) => {
            let rule = header.misread(raw, error);
            Evidence::faulty(Fault::new(Check::Parse, Reason::Malformed, &rule), world)
        }
        Ok(chain) => Evidence::judge(&chain.into_vec(), world, basis, failure, now),
    }
}
