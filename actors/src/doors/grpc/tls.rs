//! Mutual TLS: our certificate is our SVID, and the caller's must be the SVID of a trusted proxy.
//!
//! Certificates are judged by the same code and the same bundles as those of requests. Nothing is
//! resumed, so every connection is judged anew by what is in force; and it is judged again whenever
//! what it was judged by is no longer so.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use verdict::availability::Phase;
use verdict::id::{TrustDomain, WorkloadId};
use verdict::svid::{self, Presented, Refusal, VerifiedIdentity};
use verdict::trust::Generation;

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
    #[error("{0} is not in trusted-proxies (README, trusted-proxies)")]
    NotListed(String),
    /// There is nothing to judge it by.
    #[error("no bundle of {0}: its proxies cannot be told from others")]
    NoBundle(TrustDomain),
    /// TLS shows no certificate, where it demanded one.
    #[error("it has no certificate")]
    NoCertificate,
}

/// How often a caller is looked at between the world's changes, milliseconds. Bundles and paths end
/// by the wall clock, which can be set, and timers stand still while the machine sleeps.
const LOOK_MS: u64 = 1_000;

/// A caller that was found trusted, and what that rests on.
pub(super) struct Vouched {
    presented: Presented,
    identity: VerifiedIdentity,
    generation: Generation,
}

impl Vouched {
    pub(super) fn peer(&self) -> Peer {
        Peer::Workload(self.identity.id().clone())
    }
}

impl TrustedProxies {
    /// Judges a chain in DER, the leaf first.
    ///
    /// # Errors
    /// Whose it is may not connect.
    pub(super) fn judge(&self, chain: &[Vec<u8>]) -> Result<Vouched, UntrustedCaller> {
        let presented = svid::examine(chain)?;
        let id = presented.id();
        if !self.ids.contains(id) {
            return Err(UntrustedCaller::NotListed(id.as_str().to_owned()));
        }
        self.vouch(presented, None)
    }

    /// Judges a listed caller by what is in force now; `known` is what it was found by the last time,
    /// which holds as long as the bundle is the same and the path's time is not over.
    fn vouch(
        &self,
        presented: Presented,
        known: Option<(VerifiedIdentity, Generation)>,
    ) -> Result<Vouched, UntrustedCaller> {
        let now = self.clock.now();
        let world = self.trust.load();
        let domain = presented.id().trust_domain();
        // In an outage the last known bundle serves: what requests get then is the mode's affair.
        // A withdrawal leaves none, from the moment that its time has come.
        let phase = world.state().settled(world.timing(), now).phase();
        let bundle = world
            .snapshot()
            .bundle(domain, self.cache_ttl_ms, now)
            .filter(|_| phase != Phase::Withdrawn)
            .ok_or_else(|| UntrustedCaller::NoBundle(domain.clone()))?;
        let generation = bundle.generation();
        let identity = match known.filter(|(_, judged_by)| *judged_by == generation) {
            Some((identity, _)) => {
                identity.judge(now.unix_seconds())?;
                identity
            }
            None => svid::validate(&presented, bundle.anchors(), now.unix_seconds())?,
        };
        Ok(Vouched {
            presented,
            identity,
            generation,
        })
    }

    /// Waits until a caller is trusted no more, and says why: its path's time is over, or its trust
    /// domain's bundle changed and does not bear it, or is gone.
    pub(super) async fn doubted(&self, mut caller: Vouched) -> UntrustedCaller {
        let mut changed = self.trust.subscribe();
        loop {
            let known = Some((caller.identity, caller.generation));
            caller = match self.vouch(caller.presented, known) {
                Ok(caller) => caller,
                Err(error) => return error,
            };
            // Whoever can change the world is gone only with us; time goes on.
            let _ = timeout(Duration::from_millis(LOOK_MS), changed.changed()).await;
        }
    }
}

/// Makes the acceptor of a door with this identity for these proxies.
///
/// # Errors
/// The provider knows no common protocol version; ours does.
pub fn acceptor(
    identity: Arc<OwnIdentity>,
    proxies: Arc<TrustedProxies>,
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
pub(super) fn caller(
    connection: &ServerConnection,
    proxies: &TrustedProxies,
) -> Result<Vouched, UntrustedCaller> {
    let certificates = connection.peer_certificates();
    let chain = certificates.ok_or(UntrustedCaller::NoCertificate)?;
    proxies.judge(&owned(chain.iter()))
}

/// A chain as it is judged. One more than may be shows that there are too many.
fn owned<'a>(chain: impl Iterator<Item = &'a CertificateDer<'a>>) -> Vec<Vec<u8>> {
    chain
        .take(svid::CHAIN_MAX_CERTIFICATES + 1)
        .map(|certificate| certificate.to_vec())
        .collect()
}

/// The proxies as rustls asks about them.
struct Verifier {
    proxies: Arc<TrustedProxies>,
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
        match self.proxies.judge(&owned(chain)) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use chaos::ca::{Authority, AuthorityOptions, IssuedSvid, SvidOptions, Window};
    use verdict::availability::{Found, Loss, State, Timing};
    use verdict::id::SpiffeId;
    use verdict::time::Now;
    use verdict::trust::{Snapshot, World};

    use super::*;
    use crate::clock::ToldClock;
    use crate::trust::Advice;

    const PROXY: &str = "spiffe://example.org/proxy";
    const START_S: u64 = 1_700_000_000;
    const TIMING: Timing = Timing {
        unavailable_after_ms: 1_000,
        withdrawal_grace_ms: 1_000,
    };

    /// Trusted proxies on a clock that is told, their authority, and the bundle in force.
    struct Scene {
        proxies: TrustedProxies,
        authority: Authority,
        clock: ToldClock,
    }

    fn at(after_ms: i64) -> Now {
        Now {
            wall_ms: i64::try_from(START_S).unwrap() * 1_000 + after_ms,
            boot_ms: 5_000 + after_ms,
        }
    }

    impl Scene {
        fn new() -> Self {
            let told = ToldClock::new(at(0), "boot");
            let clock = Clock::Told(told.clone());
            let state = State::start(Found::Nothing, TIMING, at(0));
            let world = World::new(state, TIMING, Snapshot::default());
            let trust = TrustStore::new(world, clock.clone(), Arc::default(), Advice::default());
            let scene = Self {
                proxies: TrustedProxies {
                    ids: vec![
                        WorkloadId::try_from(SpiffeId::parse(PROXY.as_bytes()).unwrap()).unwrap(),
                    ],
                    trust: Arc::new(trust),
                    cache_ttl_ms: 3_600_000,
                    clock,
                },
                authority: Authority::new("example.org", AuthorityOptions::at(START_S)).unwrap(),
                clock: told,
            };
            scene.publish(&[&scene.authority]);
            scene
        }

        fn publish(&self, authorities: &[&Authority]) {
            let der: Vec<u8> = authorities
                .iter()
                .flat_map(|each| each.anchors_der())
                .collect();
            let key = self.authority.bundle_key();
            let bundles = [(key.as_str(), der.as_slice())];
            self.proxies.trust.update(bundles.into_iter()).unwrap();
        }

        fn svid(&self, lifetime_s: u64) -> IssuedSvid {
            let window = Window::from(START_S, lifetime_s);
            let options = SvidOptions::at(START_S).with_window(window);
            self.authority.issue(PROXY, &options).unwrap()
        }

        fn again(&self, caller: &Vouched) -> Result<Vouched, UntrustedCaller> {
            let known = Some((caller.identity.clone(), caller.generation));
            self.proxies.vouch(caller.presented.clone(), known)
        }
    }

    #[test]
    fn a_caller_is_trusted_until_its_path_ends() {
        let scene = Scene::new();
        let caller = scene.proxies.judge(&scene.svid(60).chain_der).unwrap();
        scene.clock.tell(at(59_000), 0);
        assert!(scene.again(&caller).is_ok());
        scene.clock.tell(at(62_000), 0);
        let error = scene.again(&caller).err().unwrap();
        assert!(
            matches!(error, UntrustedCaller::Svid(Refusal::Expired { .. })),
            "{error}"
        );
    }

    #[test]
    fn a_caller_is_trusted_while_a_changed_bundle_bears_it() {
        let scene = Scene::new();
        let other = Authority::new("example.org", AuthorityOptions::at(START_S)).unwrap();
        let caller = scene.proxies.judge(&scene.svid(3_600).chain_der).unwrap();
        scene.publish(&[&scene.authority, &other]);
        let caller = scene.again(&caller).unwrap();
        scene.publish(&[&other]);
        let error = scene.again(&caller).err().unwrap();
        assert!(matches!(error, UntrustedCaller::Svid(_)), "{error}");
    }

    /// Judged from data: nobody has stepped the machine since the refusal.
    #[test]
    fn nobody_is_trusted_once_spire_has_withdrawn() {
        let scene = Scene::new();
        let caller = scene.proxies.judge(&scene.svid(3_600).chain_der).unwrap();
        scene.proxies.trust.lost(Loss::Refused);
        assert!(scene.again(&caller).is_ok(), "the grace");
        scene.clock.tell(at(2_000), 0);
        let error = scene.again(&caller).err().unwrap();
        assert!(matches!(error, UntrustedCaller::NoBundle(_)), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn doubt_comes_with_the_change_and_with_time() {
        let scene = Scene::new();
        let caller = || scene.proxies.judge(&scene.svid(60).chain_der).unwrap();
        let waiting = scene.proxies.doubted(caller());
        let within = Duration::from_secs(30);
        assert!(
            timeout(within, waiting).await.is_err(),
            "nothing has changed"
        );
        let other = Authority::new("example.org", AuthorityOptions::at(START_S)).unwrap();
        let (error, ()) = tokio::join!(scene.proxies.doubted(caller()), async {
            tokio::task::yield_now().await;
            scene.publish(&[&other]);
        });
        assert!(matches!(error, UntrustedCaller::Svid(_)), "{error}");
        scene.publish(&[&scene.authority]);
        let (error, ()) = tokio::join!(scene.proxies.doubted(caller()), async {
            tokio::task::yield_now().await;
            scene.clock.tell(at(62_000), 0);
        });
        assert!(
            matches!(error, UntrustedCaller::Svid(Refusal::Expired { .. })),
            "{error}"
        );
    }
}
