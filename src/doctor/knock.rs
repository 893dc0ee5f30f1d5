//! One request to the hop, as any client could send it: over TCP, or over TLS.
//!
//! Who the hop is does not matter here, only what it does with a header: any certificate of a server is
//! taken. What is sent is forged and no secret, and nothing of the answer is believed but its status.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::Uri;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::wire::{Address, Dial};

/// How long the hop may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// `HTTP/1.1 200`, and a byte more would be none of ours to read.
const STATUS_LINE_BYTES: usize = 12;

/// Where to knock, and as whom.
pub(super) struct Hop {
    dial: Dial,
    /// What the request is for.
    target: String,
    authority: String,
}

/// A file's name, and what it has to hold.
fn named(path: &Path, what: &str) -> String {
    format!("read {what} from {}", path.display())
}

impl Hop {
    /// The hop behind this URL; `svid` is where an SVID and its key are, for one that asks for it.
    pub(super) fn new(url: &str, svid: Option<&PathBuf>) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().context("that is no URL")?;
        let address = Address::of(&uri)?;
        let tls = address.is_tls().then(|| client_config(svid)).transpose()?;
        Ok(Self {
            dial: Dial::new(address, tls),
            target: uri.path_and_query().map_or("/", |all| all.as_str()).into(),
            authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
        })
    }

    /// The status that it answers with.
    pub(super) async fn ask(&self, headers: &[(&str, &str)]) -> anyhow::Result<u16> {
        let asked = tokio::time::timeout(PATIENCE, self.exchange(headers)).await;
        asked.with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?
    }

    async fn exchange(&self, headers: &[(&str, &str)]) -> anyhow::Result<u16> {
        let mut stream = self.dial.connect().await?;
        let (target, authority) = (&self.target, &self.authority);
        let headers = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let headers: String = headers.collect();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut start = [0; STATUS_LINE_BYTES];
        // A server that wants a certificate of us says so when we read (RFC 8446, 4.4.2.4).
        stream.read_exact(&mut start).await?;
        let start = String::from_utf8_lossy(&start);
        let status = start.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..));
        let status = status.and_then(|status| status.parse().ok());
        status.context("what answers does not speak HTTP/1.1")
    }
}

fn client_config(svid: Option<&PathBuf>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let anybody = Arc::new(Anybody(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(anybody);
    let mut config = match svid {
        None => config.with_no_client_auth(),
        Some(dir) => {
            let (chain, key) = (dir.join("svid.0.pem"), dir.join("svid.0.key"));
            let chain_of = CertificateDer::pem_file_iter(&chain);
            let certificates = chain_of.and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certificates = certificates.with_context(|| named(&chain, "an SVID"))?;
            let private = PrivateKeyDer::from_pem_file(&key).with_context(|| named(&key, "a key"));
            config.with_client_auth_cert(certificates, private?)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes every server for the hop; that it holds the key of what it shows is still looked at.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
