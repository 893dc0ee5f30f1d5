//! What each caller sends, and who it is.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use verdict::time::UnixSeconds;

use crate::ca::{Authority, AuthorityOptions, Defect, IssuedSvid, SvidOptions};
use crate::client::Request;
use crate::scenario::caller::{Caller, FRONTEND, PARTNER, STRANGER};
use crate::world::World;

use super::RunError;

/// Different listed services: not all of them fit a small memory.
const SERVICES: usize = 8;

/// A request, and whom its caller is entitled to be.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) caller: Caller,
    pub(super) request: Request,
    /// The only ID it may be allowed as.
    pub(super) id: Option<String>,
}

/// Every caller of a run.
pub(super) struct Callers {
    /// Made once.
    kept: Vec<Question>,
    services: Vec<Question>,
    /// Who signs now, and the frontend's certificate from him.
    renewed: RwLock<(Signer, Question)>,
}

/// Whoever signs certificates that no one has seen before.
#[derive(Clone)]
pub(super) enum Signer {
    /// An authority of ours, as many as there are requests.
    Simulated(Box<Authority>),
    /// A real server, some in advance.
    Real(Vec<IssuedSvid>),
}

/// The IDs of the listed services.
pub(super) fn services() -> impl Iterator<Item = String> {
    (0..SERVICES).map(|n| format!("spiffe://example.org/services/{n}"))
}

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

impl Callers {
    pub(super) fn of(world: &World) -> Result<Self, RunError> {
        let signer = Signer::Simulated(Box::new(world.home().clone()));
        Self::issued_by(&|id| Ok(world.svid(id)?), world, signer)
    }

    /// Callers whose good certificates somebody else issues; those that are refused for what they are
    /// alone, or for who signed them, are the forger's.
    pub(super) fn issued_by(
        issue: &dyn Fn(&str) -> Result<IssuedSvid, RunError>,
        forger: &World,
        signer: Signer,
    ) -> Result<Self, RunError> {
        let frontend = carrying(&issue(FRONTEND)?);
        let kept = [
            (Caller::Frontend, frontend.clone()),
            (Caller::Spoofing, spoofing(&frontend)),
            (Caller::Partner, carrying(&issue(PARTNER)?)),
            (Caller::Stranger, carrying(&issue(STRANGER)?)),
            (Caller::Forged, carrying(&forger.forged(FRONTEND)?)),
            (Caller::Expired, carrying(&forger.expired(FRONTEND)?)),
            (
                Caller::NoSvid,
                carrying(&forger.defective(FRONTEND, Defect::CaTrue)?),
            ),
            (Caller::Garbage, garbage()),
            (Caller::Nobody, Request::get("/")),
        ];
        let kept = kept.map(|(caller, request)| {
            let id = match caller {
                Caller::Partner => PARTNER,
                _ => FRONTEND,
            };
            question(caller, request, id)
        });
        let mut services = Vec::new();
        for id in self::services() {
            services.push(question(Caller::Services, carrying(&issue(&id)?), &id));
        }
        let renewed = question(Caller::Renewed, frontend, FRONTEND);
        Ok(Self {
            kept: kept.into(),
            services,
            renewed: RwLock::new((signer, renewed)),
        })
    }

    /// Of a deployment: one certificate that is real for so long, and what anybody can make.
    pub(super) fn of_one(id: &str, pem: &str, lasts: Duration) -> Result<Self, RunError> {
        let fail = |why: &str| RunError::Caller {
            id: id.to_owned(),
            why: why.to_owned(),
        };
        let domain = id
            .strip_prefix("spiffe://")
            .and_then(|rest| rest.split('/').next());
        let domain = domain.ok_or_else(|| fail("is no SPIFFE ID"))?;
        let chain = certificates(pem).ok_or_else(|| fail("its file holds no PEM certificates"))?;
        is_of(id, &chain, lasts).map_err(|why| fail(&why))?;
        // The key stays where it is: the proxy has seen it used, the agent never sees it.
        let real = carrying(&IssuedSvid::new(id.to_owned(), chain, Vec::new()));
        let now = unix_now();
        let stranger = Authority::new(domain, AuthorityOptions::at(now))?;
        let issue = |options: SvidOptions| stranger.issue(id, &options);
        let forged = issue(SvidOptions::at(now))?;
        let expired = issue(SvidOptions::at(now).with_defect(Defect::Expired))?;
        let kept = [
            (Caller::Frontend, real.clone()),
            (Caller::Spoofing, spoofing(&real)),
            (Caller::Forged, carrying(&forged)),
            (Caller::Expired, carrying(&expired)),
            (Caller::Garbage, garbage()),
            (Caller::Nobody, Request::get("/")),
        ];
        let kept = kept.map(|(caller, request)| question(caller, request, id));
        let renewed = question(Caller::Renewed, real, id);
        Ok(Self {
            kept: kept.into(),
            services: Vec::new(),
            renewed: RwLock::new((Signer::Simulated(Box::new(stranger)), renewed)),
        })
    }

    /// Another authority signs.
    pub(super) fn renew(&self, world: &World) -> Result<(), RunError> {
        let signer = Signer::Simulated(Box::new(world.home().clone()));
        self.renew_with(&world.svid(FRONTEND)?, signer);
        Ok(())
    }

    /// The same, with what the other authority has signed.
    pub(super) fn renew_with(&self, frontend: &IssuedSvid, signer: Signer) {
        let renewed = question(Caller::Renewed, carrying(frontend), FRONTEND);
        let mut current = self.renewed.write().unwrap_or_else(PoisonError::into_inner);
        *current = (signer, renewed);
    }

    /// The `n`th request of this caller.
    pub(super) fn ask(&self, caller: Caller, n: usize) -> Option<Question> {
        match caller {
            Caller::Services => self.services.get(n % SERVICES).cloned(),
            Caller::Renewed => {
                let current = self.renewed.read().unwrap_or_else(PoisonError::into_inner);
                Some(current.1.clone())
            }
            Caller::Fresh => self.fresh(n),
            kept => self.kept.iter().find(|one| one.caller == kept).cloned(),
        }
    }

    fn fresh(&self, n: usize) -> Option<Question> {
        let signer = {
            let current = self.renewed.read().unwrap_or_else(PoisonError::into_inner);
            current.0.clone()
        };
        let svid = match &signer {
            Signer::Simulated(authority) => {
                let issued = authority.issue(FRONTEND, &SvidOptions::at(unix_now()));
                issued.ok()?
            }
            Signer::Real(stock) => stock.get(n % stock.len().max(1))?.clone(),
        };
        Some(question(Caller::Fresh, carrying(&svid), FRONTEND))
    }
}

/// The same, with identity headers of its own making.
fn spoofing(request: &Request) -> Request {
    let request = request.clone();
    request
        .header("x-spiffe-id", "spiffe://example.org/admin")
        .header("X_Spiffe_Id", "spiffe://example.org/admin")
        .header("x-auth-method", "spiffe")
}

fn garbage() -> Request {
    Request::get("/").header("x-forwarded-client-cert", "garbage")
}

/// The certificates of a PEM file in DER, in its order; `None` if it holds none, or something else.
fn certificates(pem: &str) -> Option<Vec<Vec<u8>>> {
    let mut certificates = Vec::new();
    for part in pem.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let body = part.split("-----END CERTIFICATE-----").next()?;
        let text: String = body.split_whitespace().collect();
        certificates.push(STANDARD.decode(text).ok()?);
    }
    (!certificates.is_empty()).then_some(certificates)
}

/// Whether the certificate is one that says so, and counts now and for so long: what the agent would only
/// say later, and less well.
fn is_of(id: &str, chain: &[Vec<u8>], lasts: Duration) -> Result<(), String> {
    let presented = verdict::svid::examine(chain);
    let presented = presented.map_err(|refusal| {
        format!("its file is no X.509-SVID and its chain, leaf first: {refusal}")
    })?;
    let told = presented.id().to_string();
    if told != id {
        return Err(format!(
            "its file is the certificate of {told}: name that ID"
        ));
    }
    let now = unix_now();
    let counts =
        |at: u64| presented.judge_validity(UnixSeconds(i64::try_from(at).unwrap_or(i64::MAX)));
    counts(now).map_err(|refusal| format!("{refusal}: fetch the certificate again"))?;
    counts(now.saturating_add(lasts.as_secs())).map_err(|_| {
        format!(
            "it ends during the run, which may take {} s with the wait before it: fetch it again",
            lasts.as_secs()
        )
    })
}

fn question(caller: Caller, request: Request, id: &str) -> Question {
    Question {
        caller,
        request,
        id: caller.is_somebody().then(|| id.to_owned()),
    }
}

/// As Envoy forwards it.
fn carrying(svid: &IssuedSvid) -> Request {
    Request::get("/api/orders").header("x-forwarded-client-cert", svid.xfcc())
}
