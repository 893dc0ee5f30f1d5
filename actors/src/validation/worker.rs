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

/// The actor; its state is the intake it serves.
pub struct Worker;

/// What a worker is started with.
pub struct WorkerArgs {
    /// The intake.
    pub validation: Arc<Validation>,
    /// Its place among the workers.
    pub place: usize,
}

impl Actor for Worker {
    type Msg = Order;
    type State = Arc<Validation>;
    type Arguments = WorkerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<Order>,
        args: WorkerArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        args.validation.enlist(args.place, myself);
        Ok(args.validation)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Order>,
        order: Order,
        validation: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let Order { job, reply } = order;
        if reply.is_closed() {
            return Ok(());
        }
        let work =
            tokio::task::spawn_blocking(move || catch_unwind(AssertUnwindSafe(|| judge(&job))));
        let result = match work.await {
            Ok(Ok(evidence)) => Ok(evidence),
            Ok(Err(_)) | Err(_) => {
                count(&validation.metrics().panics_contained);
                Err(NoEvidence::Internal)
            }
        };
        // The asker may be gone; nobody else wants the answer.
        let _ = reply.send(result);
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
        Err(error) => Evidence::faulty(Fault::new(Check::Parse, Reason::Malformed, &error), world),
        Ok(chain) => Evidence::judge(&chain.into_vec(), world, basis, failure, now),
    }
}
