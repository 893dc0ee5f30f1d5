//! What every call passes first: the count, and the faults of something between client and SPIRE.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use proto::workload::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use tonic::body::Body;
use tonic::codegen::Service as TowerService;
use tonic::server::NamedService;

use super::fault::CallFault;
use super::service::Service;
use super::shared::Shared;

#[derive(Clone)]
pub(super) struct Front {
    shared: Arc<Shared>,
    inner: SpiffeWorkloadApiServer<Service>,
}

impl Front {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let service = Service {
            shared: Arc::clone(shared),
        };
        Self {
            shared: Arc::clone(shared),
            inner: SpiffeWorkloadApiServer::new(service),
        }
    }

    /// A plain HTTP answer, if a proxy in between is to give one.
    fn answer_of_a_proxy(&self) -> Option<Response<Body>> {
        let CallFault::Http(status) = *self.shared.fault.borrow() else {
            return None;
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        Some(response)
    }
}

impl NamedService for Front {
    const NAME: &'static str = <SpiffeWorkloadApiServer<Service> as NamedService>::NAME;
}

impl TowerService<Request<Body>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.shared.calls.send_modify(|count| *count += 1);
        match self.answer_of_a_proxy() {
            Some(response) => Box::pin(std::future::ready(Ok(response))),
            None => self.inner.call(request),
        }
    }
}
