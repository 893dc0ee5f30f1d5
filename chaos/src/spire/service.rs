//! The two calls.

use std::sync::Arc;

use proto::workload::spiffe_workload_api_server::SpiffeWorkloadApi;
use proto::workload::{
    SECURITY_HEADER, SECURITY_HEADER_VALUE, X509BundlesRequest, X509BundlesResponse,
    X509svidRequest, X509svidResponse,
};
use tonic::{Request, Response, Status};

use super::fault::CallFault;
use super::shared::Shared;
use super::subscription::Subscription;
use super::truth::Message;

#[derive(Debug)]
pub(super) struct Service {
    pub(super) shared: Arc<Shared>,
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for Service {
    type FetchX509BundlesStream = Subscription<X509BundlesResponse>;
    type FetchX509SVIDStream = Subscription<X509svidResponse>;

    async fn fetch_x509_bundles(
        &self,
        request: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        self.check_security_header(&request)?;
        self.answer().await
    }

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        self.check_security_header(&request)?;
        self.answer().await
    }
}

impl Service {
    /// Exactly one value, exactly `true` (Workload Endpoint, section 3).
    fn check_security_header<R>(&self, request: &Request<R>) -> Result<(), Status> {
        let mut values = request.metadata().get_all(SECURITY_HEADER).iter();
        let present = values
            .next()
            .is_some_and(|value| value == SECURITY_HEADER_VALUE);
        if present && values.next().is_none() {
            return Ok(());
        }
        self.shared
            .calls_without_header
            .send_modify(|count| *count += 1);
        Err(Status::invalid_argument(
            "security header missing from request",
        ))
    }

    async fn answer<M: Message>(&self) -> Result<Response<Subscription<M>>, Status> {
        let mut fault = self.shared.fault.subscribe();
        loop {
            let now = fault.borrow_and_update().clone();
            match now {
                CallFault::Refuse(refusal) => return Err(refusal.status()),
                CallFault::Hang => {
                    if fault.changed().await.is_err() {
                        return Err(Status::unavailable("the simulated SPIRE is gone"));
                    }
                }
                CallFault::Delay(delay) => {
                    tokio::time::sleep(delay).await;
                    break;
                }
                CallFault::None | CallFault::HangAfterHeaders | CallFault::Http(_) => break,
            }
        }
        Ok(Response::new(Subscription::open(&self.shared)))
    }
}
