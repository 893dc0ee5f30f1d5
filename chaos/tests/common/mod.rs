//! A real gRPC client of the Workload API, and what the tests share.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic, and uses what it needs"
)]

use std::path::Path;
use std::time::Duration;

use chaos::spire::BundleMap;
use hyper_util::rt::TokioIo;
use proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use proto::workload::{
    SECURITY_HEADER, X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

/// Longer than anything here takes; only a failure gets there.
pub const LIMIT: Duration = Duration::from_secs(10);

pub type WorkloadApi = SpiffeWorkloadApiClient<Channel>;

/// Connects now; an error is the connection's.
pub async fn connect(path: &Path) -> Result<WorkloadApi, tonic::transport::Error> {
    let path = path.to_owned();
    let connector = tower::service_fn(move |_uri| {
        let path = path.clone();
        async move {
            tokio::net::UnixStream::connect(path)
                .await
                .map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://workload-api.invalid");
    let channel = within("connection", endpoint.connect_with_connector(connector)).await?;
    Ok(SpiffeWorkloadApiClient::new(channel))
}

pub fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert(SECURITY_HEADER, "true".parse().unwrap());
    request
}

pub async fn fetch_bundles(
    api: &mut WorkloadApi,
) -> Result<Streaming<X509BundlesResponse>, Status> {
    let call = api.fetch_x509_bundles(with_header(X509BundlesRequest {}));
    Ok(within("response headers", call).await?.into_inner())
}

pub async fn fetch_svids(api: &mut WorkloadApi) -> Result<Streaming<X509svidResponse>, Status> {
    let call = api.fetch_x509svid(with_header(X509svidRequest {}));
    Ok(within("response headers", call).await?.into_inner())
}

/// A connection and a stream whose first message has been read.
pub async fn subscribe(path: &Path) -> (WorkloadApi, Streaming<X509BundlesResponse>, BundleMap) {
    let mut api = connect(path).await.unwrap();
    let mut stream = fetch_bundles(&mut api).await.unwrap();
    let first = next(&mut stream).await;
    (api, stream, first)
}

/// The next message's bundles.
pub async fn next(stream: &mut Streaming<X509BundlesResponse>) -> BundleMap {
    let message = within("a message", stream.message())
        .await
        .expect("no error")
        .expect("no end");
    message.bundles.into_iter().collect()
}

/// How the stream ends: with a status, or in order.
pub async fn end<M>(stream: &mut Streaming<M>) -> Option<Status> {
    match within("the end", stream.message()).await {
        Err(status) => Some(status),
        Ok(None) => None,
        Ok(Some(_)) => panic!("a message instead of the end"),
    }
}

pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, wait)
        .await
        .unwrap_or_else(|_elapsed| panic!("waited too long for {what}"))
}

pub fn bundles(entries: &[(&str, &[u8])]) -> BundleMap {
    entries
        .iter()
        .map(|(key, der)| ((*key).to_owned(), der.to_vec()))
        .collect()
}
