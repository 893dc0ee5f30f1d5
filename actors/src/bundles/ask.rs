//! Asking the Workload API once, for who looks and does not watch the bundles: the commands,
//! and the gRPC door for its own SVID.

use std::path::Path;
use std::time::Duration;

use proto::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use proto::workload::{X509BundlesResponse, X509svidRequest, X509svidResponse};
use tonic::Streaming;

use super::MESSAGE_MAX_BYTES;
use super::attempt::{connect, request, with_header};
use super::loss::End;
use super::observed::{Observed, Received};

/// A subscription: its messages as they come.
pub struct Subscription<T> {
    stream: Streaming<T>,
    received: Received,
}

/// The bundles, as this process gets them.
///
/// # Errors
/// Why there are none.
pub async fn bundles(socket: &Path) -> Result<Subscription<X509BundlesResponse>, End> {
    let channel = connect(socket).await?;
    let received = Received::default();
    let mut client = SpiffeWorkloadApiClient::new(Observed::new(channel, received.clone()))
        .max_decoding_message_size(MESSAGE_MAX_BYTES);
    match client.fetch_x509_bundles(request()).await {
        Ok(response) => Ok(Subscription::of(response.into_inner(), received)),
        Err(status) => Err(received.end(&status)),
    }
}

/// Our own SVIDs, keys included.
///
/// # Errors
/// Why there are none.
pub async fn svids(socket: &Path) -> Result<Subscription<X509svidResponse>, End> {
    let channel = connect(socket).await?;
    let received = Received::default();
    let mut client = SpiffeWorkloadApiClient::new(Observed::new(channel, received.clone()))
        .max_decoding_message_size(MESSAGE_MAX_BYTES);
    match client.fetch_x509svid(with_header(X509svidRequest {})).await {
        Ok(response) => Ok(Subscription::of(response.into_inner(), received)),
        Err(status) => Err(received.end(&status)),
    }
}

impl<T> Subscription<T> {
    const fn of(stream: Streaming<T>, received: Received) -> Self {
        Self { stream, received }
    }

    /// The next message.
    ///
    /// # Errors
    /// The stream ended, in good order or not.
    pub async fn next(&mut self) -> Result<T, End> {
        match self.stream.message().await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(End::in_order()),
            Err(status) => Err(self.received.end(&status)),
        }
    }
}

/// What comes of it within this time.
///
/// # Errors
/// The error of the asking, or that time was up.
pub async fn within<T>(
    limit: Duration,
    asking: impl Future<Output = Result<T, End>>,
) -> Result<T, End> {
    let late = End::silent(format!("no answer within {} ms", limit.as_millis()));
    tokio::time::timeout(limit, asking)
        .await
        .unwrap_or(Err(late))
}
