//! From a credential to evidence: the memory if it knows, else a validation.

use std::sync::Arc;

use proto::cert_header::{CertHeaderError, Raw};
use verdict::evidence::{Check, Evidence, Fault};
use verdict::reason::Reason;
use verdict::time::Now;
use verdict::trust::{Basis, World};

use crate::memory::{KeyRef, Memory};
use crate::metrics::{Metrics, count};
use crate::observe::Origin;
use crate::policies::InForce;
use crate::trust::TrustStore;
use crate::validation::{Asked, NoEvidence, Ticket, Validation};

/// Everything evidence is made from.
pub struct Judge {
    /// The world.
    pub trust: Arc<TrustStore>,
    /// What is remembered.
    pub memory: Arc<Memory>,
    /// Where new certificates go.
    pub validation: Arc<Validation>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// One request's circumstances: read once, used for everything about it.
#[derive(Clone)]
pub struct Scene {
    /// The policy of its connection.
    pub policy: Arc<InForce>,
    /// The world as it was loaded.
    pub world: Arc<World>,
    /// What may be concluded in it.
    pub basis: Basis,
    /// The clock as it was read.
    pub now: Now,
}

/// Evidence, or a wait for it.
pub enum Prompt {
    /// It is there, from the memory or from nowhere.
    Ready(Evidence, Origin),
    /// The credential is new, and is being judged.
    Later(Ticket),
    /// The credential is new, and there is no capacity to judge it.
    Overloaded(NoEvidence),
}

impl Judge {
    /// Sets the scene for a request.
    #[must_use]
    pub fn scene(&self, policy: Arc<InForce>, now: Now) -> Scene {
        let world = Arc::clone(&self.trust.load());
        let basis = world.basis(policy.policy.failure(), now);
        Scene {
            policy,
            world,
            basis,
            now,
        }
    }

    /// Evidence without waiting, where there is nothing to wait for.
    #[must_use]
    pub fn prompt(
        &self,
        credential: Result<Option<Raw<'_>>, CertHeaderError>,
        scene: &Scene,
    ) -> Prompt {
        let raw = match credential {
            Err(error) => {
                let fault = Fault::new(Check::Parse, Reason::Malformed, &error);
                let evidence = Evidence::faulty(fault, &scene.world);
                return Prompt::Ready(evidence, Origin::NothingToJudge);
            }
            Ok(None) => {
                let evidence = Evidence::absent(&scene.world);
                return Prompt::Ready(evidence, Origin::NothingToJudge);
            }
            Ok(Some(raw)) => raw,
        };
        let failure = scene.policy.policy.failure();
        let key = KeyRef::new(scene.policy.reading, &raw);
        if let Some(evidence) =
            self.memory
                .recall(key, &scene.world, &scene.basis, failure, scene.now)
        {
            count(&self.metrics.memory_hits);
            return Prompt::Ready(evidence, Origin::Remembered);
        }
        count(&self.metrics.memory_misses);
        let asked = Asked {
            raw: &raw,
            header: &scene.policy.header,
            reading: scene.policy.reading,
            world: &scene.world,
            basis: scene.basis,
            failure: *failure,
            now: scene.now,
        };
        match self.validation.ask(&asked) {
            Ok(ticket) => Prompt::Later(ticket),
            Err(error) => Prompt::Overloaded(error),
        }
    }
}
