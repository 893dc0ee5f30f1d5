//! `grpc.health.v1.Health` on the gRPC door: whether traffic may come, asked once or watched.
//!
//! It says what `/readyz` says: a degraded agent serves, unless `degraded-is-unready`. A watch ends
//! with the drain, so that it holds up none, and with the caller's standing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::connection::turned_away;
use super::service::Caller;
use crate::doors::Doors;

/// What may be asked about: the whole server, or one of its services. One answer holds for all.
const SERVICES: [&str; 4] = [
    "",
    "sentinel.agent.v2.AgentServiceV2",
    "zentinel.agent.v2.AgentServiceV2",
    "sentinel.agent.v1.AgentProcessor",
];

/// States that wait to be read; beyond them the watch stands still, and tells the newest next.
const WAITING_MAX: usize = 1;

/// The service, for one caller.
pub(super) struct Serving(pub(super) Caller);

/// What a watch is told.
pub(super) struct States {
    receiver: mpsc::Receiver<Result<HealthCheckResponse, Status>>,
    _task: AbortOnDropHandle<()>,
}

impl Stream for States {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context)
    }
}

#[tonic::async_trait]
impl Health for Serving {
    type WatchStream = States;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if is_served(request.get_ref()) {
            Ok(Response::new(said(status(&self.0.doors))))
        } else {
            Err(Status::not_found("no such service (gRPC health checking)"))
        }
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<States>, Status> {
        let (states, receiver) = mpsc::channel(WAITING_MAX);
        let (doors, standing) = (Arc::clone(&self.0.doors), self.0.standing.clone());
        let task = if is_served(request.get_ref()) {
            tokio::spawn(tell(doors, standing, states))
        } else {
            tokio::spawn(tell_unknown(doors, standing, states))
        };
        Ok(Response::new(States {
            receiver,
            _task: AbortOnDropHandle::new(task),
        }))
    }
}

fn is_served(request: &HealthCheckRequest) -> bool {
    SERVICES.contains(&request.service.as_str())
}

fn status(doors: &Doors) -> ServingStatus {
    if !doors.health.is_draining() && doors.health.process().readiness().is_ready() {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn said(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

type Sender = mpsc::Sender<Result<HealthCheckResponse, Status>>;

/// Every change, until we drain, the caller is trusted no more, or nobody listens.
async fn tell(doors: Arc<Doors>, standing: CancellationToken, states: Sender) {
    let mut readiness = doors.health.process().subscribe();
    let mut told = None;
    loop {
        readiness.mark_unchanged();
        let now = status(&doors);
        if told != Some(now) && states.send(Ok(said(now))).await.is_err() {
            return;
        }
        told = Some(now);
        if doors.health.is_draining() {
            return;
        }
        tokio::select! {
            changed = readiness.changed() => if changed.is_err() { return },
            () = doors.health.draining() => {}
            () = parted(&standing, &states) => return,
        }
    }
}

/// The protocol keeps a watch of an unknown service open: it could be added. Here it never is.
async fn tell_unknown(doors: Arc<Doors>, standing: CancellationToken, states: Sender) {
    let unknown = said(ServingStatus::ServiceUnknown);
    if states.send(Ok(unknown)).await.is_ok() {
        tokio::select! {
            () = doors.health.draining() => {}
            () = parted(&standing, &states) => {}
        }
    }
}

/// The caller is trusted no more, which it is told, or listens no more.
async fn parted(standing: &CancellationToken, states: &Sender) {
    tokio::select! {
        () = standing.cancelled() => {
            // It may be gone as well.
            let _ = states.send(Err(turned_away())).await;
        }
        () = states.closed() => {}
    }
}
