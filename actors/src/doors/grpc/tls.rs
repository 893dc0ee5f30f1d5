//! Mutual TLS: our certificate is our SVID, and the caller's must be the SVID of a trusted proxy.
//!
//! Certificates are judged by the same code and the same bundles as those of requests. Nothing is
//! resumed, so every connection is judged anew by what is in force.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig,
    ServerConnection, SignatureScheme,
};
use tokio_rustls::TlsAcceptor;
use verdict::id::{TrustDomain, WorkloadId};
use verdict::svid::{self, Refusal};

use super::identity::OwnIdentity;
use crate::clock::Clock;
use crate::doors::peer::Peer;
use crate::trust::TrustStore;

/// HTTP/2, and nothing else.
const ALPN: &[u8] = b"h2";

/// The one provider, named wherever TLS is set up: with two of them linked, rustls has no default.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Who may connect, and how that is judged.
pub struct TrustedProxies {
    /// The proxies.
    pub ids: Vec<WorkloadId>,
    /// The bundles.
    pub trust: Arc<TrustStore>,
    /// How long a bundle counts that could not be renewed, milliseconds.
    pub cache_ttl_ms: u64,
    /// The clock.
    pub clock: Clock,
}

/// Why a caller is closed: `UNTRUSTED_PROXY`.
#[derive(Debug, thiserror::Error)]
pub enum UntrustedCaller {
    /// Its certificate is no valid SVID.
    #[error("{0}")]
    Svid(#[from] Refusal),
    /// It is somebody else.
    #[error("{0} is not in trusted-proxies (decisions, the trusted hop)")]
    NotListed(String),
    /// There is nothing to judge it by.
    #[error("no bundle of {0}: its proxies cannot be told from others")]
    NoBundle(TrustDomain),
}

impl TrustedProxies {
    /// Judges a chain in DER, the leaf first.
    ///
    /// # Errors
    /// Whose it is may not connect.
    pub fn judge(&self, chain: &[Vec<u8>]) -> Result<(), UntrustedCaller> {
        let presented = svid::examine(chain)?;
        let id = presented.id();
        if !self.ids.contains(id) {
            return Err(UntrustedCaller::NotListed(id.as_str().to_owned()));
        }
        let now = self.clock.now();
        let world = self.trust.load();
        // In an outage the last known bundle serves: what requests get then is the mode's affair.
        // A withdrawal leaves none.
        let bundle = world
            .snapshot()
            .bundle(id.trust_domain(), self.cache_ttl_ms, now)
            .ok_or_else(|| UntrustedCaller::NoBundle(id.trust_domain().clone()))?;
        svid::validate(&presented, bundle.anchors(), now.unix_seconds())?;
        Ok(())
    }
}

/// Makes the acceptor of a door with this identity for these proxies.
///
/// # Errors
/// The provider knows no common protocol version; ours does.
pub fn acceptor(
    identity: Arc<OwnIdentity>,
    proxies: TrustedProxies,
) -> Result<TlsAcceptor, rustls::Error> {
    let provider = provider();
    let verifier = Verifier {
        proxies,
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(identity);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Whose connection this is, after the handshake.
pub(super) fn peer(connection: &ServerConnection) -> Option<Peer> {
    let chain: Vec<Vec<u8>> = connection
        .peer_certificates()?
        .iter()
        .take(1)
        .map(|certificate| certificate.to_vec())
        .collect();
    let presented = svid::examine(&chain).ok()?;
    Some(Peer::Workload(presented.id().clone()))
}

/// The proxies as rustls asks about them.
struct Verifier {
    proxies: TrustedProxies,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("ids", &self.proxies.ids)
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Verifier {
    /// No hints: a SPIFFE peer has one certificate, and the names of authorities are nobody's business.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        // One more than may be shows that there are too many.
        let chain: Vec<Vec<u8>> = chain
            .take(svid::CHAIN_MAX_CERTIFICATES + 1)
            .map(|certificate| certificate.to_vec())
            .collect();
        match self.proxies.judge(&chain) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(error) => Err(CertificateError::Other(OtherError(Arc::new(error))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
