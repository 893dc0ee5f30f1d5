//! Connections to a collector: TCP, and TLS by the one provider that is in this process.
//!
//! The exporters could bring their own, and with them a second TLS set-up; and the HTTP clients they
//! know are each larger than what is needed to post one message every few seconds.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::plan::{Protocol, Target};
use crate::wire::{Address, Dial};

/// Largest answer that is read, bytes: a collector says little.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Of an address that is none.
const ADDRESS_SHOWN_CHARS: usize = 100;

/// Why a collector cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("{0:?} is no http:// or https:// address")]
    Address(String),
    #[error("read {path}: {error}")]
    Certificate { path: String, error: String },
    #[error("this system has no certificate authorities: {0}")]
    NoAuthorities(String),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why the last message over HTTP had no answer, `None` when it had one: of that the exporter only says
/// "network error".
#[derive(Clone, Debug, Default)]
pub(super) struct Fault(Arc<Mutex<Option<String>>>);

impl Fault {
    fn set(&self, fault: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// What an exporter says, and why.
    pub(super) fn explain(&self, said: &impl fmt::Display) -> String {
        let fault = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*fault {
            Some(fault) => format!("{said}: {fault}"),
            None => said.to_string(),
        }
    }
}

/// An address as it may be told: without the name and password that may stand before an `@`, and without
/// the token that may stand in a query.
pub(super) fn shown(endpoint: &str) -> String {
    let endpoint = endpoint
        .split_once(['?', '#'])
        .map_or(endpoint, |(place, _)| place);
    let shown = match endpoint.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => endpoint.to_owned(),
    };
    shown.chars().take(ADDRESS_SHOWN_CHARS).collect()
}

/// How to reach a collector.
pub(super) fn dial(target: &Target) -> Result<Dial, TargetError> {
    let wrong = || TargetError::Address(shown(&target.endpoint));
    let uri: Uri = target.endpoint.parse().map_err(|_| wrong())?;
    let address = Address::of(&uri).map_err(|_| wrong())?;
    let tls = address
        .is_tls()
        .then(|| client_config(target))
        .transpose()?;
    Ok(Dial::new(address, tls))
}

/// A channel that connects when it is first used, and again when it must.
pub(super) fn channel(target: &Target) -> Result<Channel, TargetError> {
    let wrong = || TargetError::Address(shown(&target.endpoint));
    let origin: Uri = target.endpoint.parse().map_err(|_| wrong())?;
    let dial = dial(target)?;
    let connector = service_fn(move |_: Uri| {
        let dial = dial.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(dial.connect().await?)) }
    });
    // The scheme is the connector's affair: the channel would look for TLS of its own.
    Ok(Endpoint::from_static("http://collector")
        .origin(origin)
        .connect_timeout(target.timeout)
        .timeout(target.timeout)
        .connect_with_connector_lazy(connector))
}

/// A client that posts.
pub(super) fn client(target: &Target, fault: &Fault) -> Result<Post, TargetError> {
    Ok(Post {
        dial: dial(target)?,
        fault: fault.clone(),
        timeout: target.timeout,
    })
}

fn client_config(target: &Target) -> Result<ClientConfig, TargetError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities(target.certificate.as_deref())?)
        .with_no_client_auth();
    config.alpn_protocols = vec![match target.protocol {
        Protocol::Grpc => b"h2".to_vec(),
        Protocol::Http => b"http/1.1".to_vec(),
    }];
    Ok(config)
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, TargetError> {
    let mut store = RootCertStore::empty();
    match file {
        Some(path) => {
            let wrong = |error: String| TargetError::Certificate {
                path: path.display().to_string(),
                error,
            };
            let found = CertificateDer::pem_file_iter(path).map_err(|e| wrong(e.to_string()))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                store.add(certificate)?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
                return Err(TargetError::NoAuthorities(errors.join("; ")));
            }
        }
    }
    Ok(store)
}

/// Posts each message over a connection of its own: one every few seconds.
#[derive(Debug)]
pub(super) struct Post {
    dial: Dial,
    fault: Fault,
    timeout: Duration,
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.fault.set(None);
        let posted = match timeout(self.timeout, self.post(request)).await {
            Ok(posted) => posted,
            Err(_) => Err("no answer within OTEL_EXPORTER_OTLP_TIMEOUT".into()),
        };
        self.fault
            .set(posted.as_ref().err().map(ToString::to_string));
        posted
    }
}

impl Post {
    async fn post(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let authority = request.uri().authority().map(ToString::to_string);
        let host = HeaderValue::try_from(authority.unwrap_or_default())?;
        request.headers_mut().insert(header::HOST, host);
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
        let wire = TokioIo::new(self.dial.connect().await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(wire).await?;
        let _driven = AbortOnDropHandle::new(tokio::spawn(connection));
        let (head, body) = sender
            .send_request(request.map(Full::new))
            .await?
            .into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(endpoint: &str) -> Result<Dial, TargetError> {
        super::dial(&Target {
            protocol: Protocol::Http,
            endpoint: endpoint.to_owned(),
            certificate: None,
            timeout: Duration::from_secs(1),
        })
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (endpoint, expected) in [
            ("http://collector:4318/v1/traces", "collector:4318"),
            ("http://10.0.0.1", "10.0.0.1:80"),
            ("http://[::1]:4318", "::1:4318"),
        ] {
            let dial = dial(endpoint).map(|dial| format!("{dial:?}"));
            assert!(
                matches!(&dial, Ok(found) if found == expected),
                "{endpoint}: {dial:?}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_told_without_its_password() {
        let error = dial("ftp://me:secret@collector").map_err(|error| error.to_string());
        let told = error.err().unwrap_or_default();
        assert!(
            told.contains("…@collector") && !told.contains("secret"),
            "{told}"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in [
            "",
            "collector:4318",
            "collector",
            "ftp://c",
            "unix:///x",
            "http://",
        ] {
            assert!(
                matches!(dial(wrong), Err(TargetError::Address(_))),
                "{wrong}"
            );
        }
    }
}
