//! What each caller sends, and who it is.

use std::sync::{PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ca::{Authority, Defect, IssuedSvid, SvidOptions};
use crate::client::Request;
use crate::scenario::caller::{Caller, FRONTEND, PARTNER, STRANGER};
use crate::world::{World, WorldError};

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
    renewed: RwLock<(Authority, Question)>,
}

/// Seconds since 1970.
pub(super) fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

impl Callers {
    pub(super) fn of(world: &World) -> Result<Self, WorldError> {
        let frontend = carrying(&world.svid(FRONTEND)?);
        let spoofing = frontend
            .clone()
            .header("x-spiffe-id", "spiffe://example.org/admin")
            .header("X_Spiffe_Id", "spiffe://example.org/admin")
            .header("x-auth-method", "spiffe");
        let garbage = Request::get("/").header("x-forwarded-client-cert", "garbage");
        let kept = [
            (Caller::Frontend, frontend.clone()),
            (Caller::Spoofing, spoofing),
            (Caller::Partner, carrying(&world.svid(PARTNER)?)),
            (Caller::Stranger, carrying(&world.svid(STRANGER)?)),
            (Caller::Forged, carrying(&world.forged(FRONTEND)?)),
            (Caller::Expired, carrying(&world.expired(FRONTEND)?)),
            (
                Caller::NoSvid,
                carrying(&world.defective(FRONTEND, Defect::CaTrue)?),
            ),
            (Caller::Garbage, garbage),
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
        for n in 0..SERVICES {
            let id = format!("spiffe://example.org/services/{n}");
            services.push(question(Caller::Services, carrying(&world.svid(&id)?), &id));
        }
        let renewed = question(Caller::Renewed, frontend, FRONTEND);
        Ok(Self {
            kept: kept.into(),
            services,
            renewed: RwLock::new((world.home().clone(), renewed)),
        })
    }

    /// Another authority signs.
    pub(super) fn renew(&self, world: &World) -> Result<(), WorldError> {
        let renewed = question(Caller::Renewed, carrying(&world.svid(FRONTEND)?), FRONTEND);
        let mut current = self.renewed.write().unwrap_or_else(PoisonError::into_inner);
        *current = (world.home().clone(), renewed);
        Ok(())
    }

    /// The `n`th request of this caller.
    pub(super) fn ask(&self, caller: Caller, n: usize) -> Option<Question> {
        match caller {
            Caller::Services => self.services.get(n % SERVICES).cloned(),
            Caller::Renewed => {
                let current = self.renewed.read().unwrap_or_else(PoisonError::into_inner);
                Some(current.1.clone())
            }
            Caller::Fresh => self.fresh(),
            kept => self.kept.iter().find(|one| one.caller == kept).cloned(),
        }
    }

    fn fresh(&self) -> Option<Question> {
        let authority = {
            let current = self.renewed.read().unwrap_or_else(PoisonError::into_inner);
            current.0.clone()
        };
        let svid = authority.issue(FRONTEND, &SvidOptions::at(unix_now()));
        Some(question(Caller::Fresh, carrying(&svid.ok()?), FRONTEND))
    }
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
