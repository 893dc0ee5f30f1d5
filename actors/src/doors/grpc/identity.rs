//! Our own SVID, for the door's TLS: followed on a stream of the Workload API.
//!
//! The latest good one is kept when SPIRE goes away, until it expires; callers judge that.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use config::Timings;
use proto::workload::X509svidResponse;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use verdict::svid::CHAIN_MAX_CERTIFICATES;

use super::tls::provider;
use crate::bundles::ask;
use crate::bundles::loss::End;
use crate::bundles::obstacle::Obstacle;
use crate::observe::{Happened, Happening, Observer};
use crate::supervision::{Ping, Pings, TaskPanicked, attentive, spawn_watched};

/// First wait after a stream ended, milliseconds; doubled up to [`RETRY_MAX_MS`].
const RETRY_MIN_MS: u64 = 100;

/// Longest wait, milliseconds: a door without certificate is useless, and SPIRE can bear it.
const RETRY_MAX_MS: u64 = 5_000;

/// Our certificate and key; owned above the actor, read by every handshake.
#[derive(Default)]
pub struct OwnIdentity {
    key: ArcSwapOption<CertifiedKey>,
}

impl OwnIdentity {
    /// Whether there is a certificate to show.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.key.load().is_some()
    }
}

impl fmt::Debug for OwnIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnIdentity").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for OwnIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.key.load_full();
        if key.is_none() {
            tracing::warn!(
                "a proxy connects, and the gRPC door has no certificate yet: SPIRE has given this agent no X.509-SVID"
            );
        }
        key
    }
}

/// What the actor is started with.
#[derive(Clone)]
pub struct IdentityArgs {
    /// The Workload API's socket.
    pub socket: PathBuf,
    /// Where the SVID goes.
    pub identity: Arc<OwnIdentity>,
    /// The times in force.
    pub timings: watch::Receiver<Timings>,
    /// Who is told of a new SVID.
    pub observer: Arc<dyn Observer>,
}

/// Follows our SVID.
pub struct IdentityActor;

/// What reaches the actor.
pub enum IdentityMsg {
    /// The task ended, which only a panic brings about.
    Ended(Result<(), TaskPanicked>),
    /// The supervisor asks: it is the task that has to answer.
    Ping(Ping),
}

/// The task that follows the SVID, which ends with its actor.
pub struct Following {
    pings: Pings,
    _task: AbortOnDropHandle<()>,
}

impl From<Ping> for IdentityMsg {
    fn from(ping: Ping) -> Self {
        Self::Ping(ping)
    }
}

impl Actor for IdentityActor {
    type Msg = IdentityMsg;
    type State = Following;
    type Arguments = IdentityArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<IdentityMsg>,
        args: IdentityArgs,
    ) -> Result<Self::State, ActorProcessingErr> {
        let (pings, passed) = Pings::new();
        let following = attentive(passed, follow(args));
        Ok(Following {
            pings,
            _task: spawn_watched(&myself, following, IdentityMsg::Ended),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<IdentityMsg>,
        message: IdentityMsg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            IdentityMsg::Ended(end) => end?,
            IdentityMsg::Ping(ping) => state.pings.pass(ping),
        }
        Ok(())
    }
}

/// Why a stream ended, or was given up.
#[derive(Debug, thiserror::Error)]
enum StreamEnd {
    #[error("{}", .0.words())]
    Lost(End),
    #[error("renewed after bundle-refresh-interval")]
    Stale,
    #[error("{0}")]
    Svid(#[from] SvidError),
}

/// Why an SVID cannot be used.
#[derive(Debug, thiserror::Error)]
enum SvidError {
    #[error("the message holds no SVID; a mandatory field is empty (Workload API, 5.2.1)")]
    None,
    #[error(
        "x509_svid is no sequence of at most {CHAIN_MAX_CERTIFICATES} DER certificates (Workload API, 5.2.1)"
    )]
    Chain,
    #[error("the key cannot be used: {0}")]
    Key(#[from] rustls::Error),
}

impl StreamEnd {
    const fn obstacle(&self) -> Obstacle {
        match self {
            Self::Lost(end) => end.obstacle,
            Self::Svid(_) => Obstacle::Unreadable,
            Self::Stale => Obstacle::Silent,
        }
    }
}

async fn follow(args: IdentityArgs) {
    let mut failures = 0_u32;
    loop {
        let mut taken = 0_u64;
        let end = follow_once(&args, &mut taken).await;
        if matches!(end, StreamEnd::Stale) {
            continue;
        }
        failures = if taken > 0 {
            0
        } else {
            failures.saturating_add(1)
        };
        let obstacle = end.obstacle();
        let remedy = obstacle.remedy();
        match failures {
            0 | 1 if obstacle == Obstacle::NotRegistered => tracing::error!(
                %end, remedy,
                "SPIRE gives this agent no X.509-SVID, so no proxy can connect to the gRPC door"
            ),
            0 | 1 => {
                tracing::warn!(%end, remedy, "the gRPC door's own X.509-SVID is not followed, trying again")
            }
            _ => {
                tracing::debug!(%end, failures, "the gRPC door's own X.509-SVID is not followed, trying again")
            }
        }
        sleep(wait(failures, rand::random())).await;
    }
}

/// Doubles with each failure; the upper half at random, so that agents do not come in step.
fn wait(failures: u32, random: u64) -> Duration {
    let longest = RETRY_MIN_MS
        .saturating_mul(1_u64.checked_shl(failures.min(16)).unwrap_or(u64::MAX))
        .min(RETRY_MAX_MS);
    let half = longest / 2;
    Duration::from_millis(half + random % (half + 1))
}

async fn follow_once(args: &IdentityArgs, taken: &mut u64) -> StreamEnd {
    let timings = *args.timings.borrow();
    let mut first = Duration::from_millis(timings.api_timeout_ms);
    let mut stream = match ask::within(first, ask::svids(&args.socket)).await {
        Ok(stream) => stream,
        Err(end) => return StreamEnd::Lost(end),
    };
    loop {
        match timeout(first, stream.next()).await {
            Ok(Ok(message)) => match take(&message) {
                Ok(key) => {
                    let since = Instant::now();
                    let id = message.svids.first().map(|svid| svid.spiffe_id.as_str());
                    args.identity.key.store(Some(Arc::new(key)));
                    let what = Happening::Rotated { id };
                    args.observer.happened(&Happened { what, since }, &mut || {
                        tracing::info!(id, "the gRPC door's own X.509-SVID is in force");
                    });
                    *taken = taken.saturating_add(1);
                }
                Err(error) => return error.into(),
            },
            Ok(Err(end)) => return StreamEnd::Lost(end),
            Err(_) if *taken == 0 => {
                return StreamEnd::Lost(End::silent("no answer within api-timeout-ms"));
            }
            // A frozen SPIRE says nothing for ever: a new stream shows whether it is there.
            Err(_) => return StreamEnd::Stale,
        }
        first = Duration::from_secs(timings.bundle_refresh_interval_s);
    }
}

/// The first SVID is the default one (Workload API, 5.3).
fn take(message: &X509svidResponse) -> Result<CertifiedKey, SvidError> {
    let svid = message.svids.first().ok_or(SvidError::None)?;
    let chain = certificates(&svid.x509_svid).ok_or(SvidError::Chain)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(svid.x509_svid_key.clone()));
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

/// Takes concatenated DER certificates apart.
fn certificates(mut der: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let mut chain = Vec::new();
    while !der.is_empty() && chain.len() < CHAIN_MAX_CERTIFICATES {
        let (certificate, rest) = der.split_at_checked(certificate_len(der)?)?;
        chain.push(CertificateDer::from(certificate.to_vec()));
        der = rest;
    }
    (der.is_empty() && !chain.is_empty()).then_some(chain)
}

/// Bytes of the SEQUENCE that `der` begins with, its header included (X.690, 8.1.3).
fn certificate_len(der: &[u8]) -> Option<usize> {
    match *der {
        [0x30, short @ 0..=0x7f, ..] => Some(2 + usize::from(short)),
        [0x30, 0x81, a, ..] => Some(3 + usize::from(a)),
        [0x30, 0x82, a, b, ..] => Some(4 + usize::from(u16::from_be_bytes([a, b]))),
        // Longer than 64 KiB is no certificate.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn sequence(length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        let mut der = match (high, low) {
            (0, short @ 0..=0x7f) => vec![0x30, short],
            (0, _) => vec![0x30, 0x81, low],
            _ => vec![0x30, 0x82, high, low],
        };
        der.resize(der.len() + usize::from(length), 0);
        der
    }

    /// Workload API, 5.2.1: `x509_svid` is certificates one after the other.
    #[test]
    fn concatenated_certificates_are_taken_apart() {
        let parts = [0, 0x7f, 0x80, 0xff, 0x100, 3_000].map(sequence);
        let chain = certificates(&parts.concat()).unwrap();
        assert!(chain.iter().map(|each| each.as_ref()).eq(&parts));
    }

    #[test]
    fn what_is_no_sequence_of_certificates_is_refused() {
        let torn = sequence(300);
        let torn = torn.split_last().unwrap().1;
        let trailing = [sequence(300), vec![0]].concat();
        let many = sequence(1).repeat(CHAIN_MAX_CERTIFICATES + 1);
        for wrong in [
            &[][..],
            &[0x30],
            &[0x31, 0],
            &[0x30, 0x80],
            &[0x30, 0x83, 1, 0, 0],
            torn,
            &trailing,
            &many,
        ] {
            assert!(certificates(wrong).is_none(), "{wrong:?}");
        }
        assert!(certificates(&sequence(1).repeat(CHAIN_MAX_CERTIFICATES)).is_some());
    }

    #[test]
    fn waits_grow_and_stay_bounded() {
        assert!(wait(1, u64::MAX) <= Duration::from_millis(2 * RETRY_MIN_MS));
        for failures in [0, 1, 5, 16, 100, u32::MAX] {
            let wait = wait(failures, u64::MAX);
            assert!(
                wait >= Duration::from_millis(RETRY_MIN_MS / 2),
                "{failures}"
            );
            assert!(wait <= Duration::from_millis(RETRY_MAX_MS), "{failures}");
        }
    }
}
