//! The demo's world: two trust domains, one SPIRE that publishes both.

use std::path::{Path, PathBuf};

use crate::ca::{
    Authority, AuthorityOptions, CaError, Defect, IssuedSvid, Rotation, SvidOptions, Window,
};
use crate::spire::{BundleMap, SimulatedSpire, SpireError, SpireHandle};

/// The trust domain of the workloads at home.
pub const HOME: &str = "example.org";
/// The trust domain it is federated with.
pub const PARTNER: &str = "partner.test";
/// How long the roots last: longer than anyone leaves the demo running.
const ROOT_LIFETIME_S: u64 = 30 * 24 * 3_600;

/// Why the world could not be made, or changed.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// A certificate.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The simulated SPIRE.
    #[error(transparent)]
    Spire(#[from] SpireError),
    /// An ID whose trust domain is neither [`HOME`] nor [`PARTNER`].
    #[error("no authority in this world signs for {id}")]
    NoSuchTrustDomain {
        /// The ID asked for.
        id: String,
    },
}

/// Two authorities and the SPIRE that publishes them. Dropping it ends the SPIRE.
#[derive(Debug)]
pub struct World {
    now: u64,
    home: Authority,
    partner: Authority,
    socket: PathBuf,
    spire: SimulatedSpire,
}

impl World {
    /// Makes both authorities at `now` (Unix seconds) and serves their bundles on `socket`.
    ///
    /// # Errors
    /// When the socket cannot be bound or `now` is past the year 9999.
    pub fn start(socket: impl AsRef<Path>, now: u64) -> Result<Self, WorldError> {
        let options = AuthorityOptions::at(now).with_window(Window::from(now, ROOT_LIFETIME_S));
        let home = Authority::new(HOME, options.clone())?;
        let partner = Authority::new(PARTNER, options)?;
        let socket = socket.as_ref().to_owned();
        let spire = SimulatedSpire::start(&socket, bundles_of([&home, &partner]))?;
        Ok(Self {
            now,
            home,
            partner,
            socket,
            spire,
        })
    }

    /// Control over its SPIRE.
    #[must_use]
    pub fn spire(&self) -> SpireHandle {
        self.spire.handle()
    }

    /// The Workload API's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The authority of [`HOME`].
    #[must_use]
    pub fn home(&self) -> &Authority {
        &self.home
    }

    /// The authority of [`PARTNER`].
    #[must_use]
    pub fn partner(&self) -> &Authority {
        &self.partner
    }

    /// Moves the moment that new SVIDs are issued at (Unix seconds).
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// A good SVID from the authority of the ID's trust domain.
    ///
    /// # Errors
    /// An ID of neither trust domain, or one that no certificate can carry.
    pub fn svid(&self, id: &str) -> Result<IssuedSvid, WorldError> {
        self.svid_with(id, &SvidOptions::at(self.now))
    }

    /// An SVID with one defect.
    ///
    /// # Errors
    /// As [`World::svid`].
    pub fn defective(&self, id: &str, defect: Defect) -> Result<IssuedSvid, WorldError> {
        self.svid_with(id, &SvidOptions::at(self.now).with_defect(defect))
    }

    /// The names and key identifiers of the real authority, signed by an attacker's keys.
    ///
    /// # Errors
    /// As [`World::svid`].
    pub fn forged(&self, id: &str) -> Result<IssuedSvid, WorldError> {
        self.defective(id, Defect::Forged)
    }

    /// Signed by the real authority, and over.
    ///
    /// # Errors
    /// As [`World::svid`].
    pub fn expired(&self, id: &str) -> Result<IssuedSvid, WorldError> {
        self.defective(id, Defect::Expired)
    }

    /// An SVID as asked.
    ///
    /// # Errors
    /// As [`World::svid`].
    pub fn svid_with(&self, id: &str, options: &SvidOptions) -> Result<IssuedSvid, WorldError> {
        let authority = self
            .authority_of(id)
            .ok_or_else(|| WorldError::NoSuchTrustDomain { id: id.to_owned() })?;
        Ok(authority.issue(id, options)?)
    }

    /// [`HOME`] signs with a new root from now on, and SPIRE says so at once.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn rotate(&mut self, rotation: Rotation) -> Result<(), WorldError> {
        self.home
            .rotate(rotation, Window::from(self.now, ROOT_LIFETIME_S))?;
        self.publish();
        Ok(())
    }

    /// Only the root of [`HOME`] that signs now stays, and SPIRE says so at once.
    pub fn retire_old_roots(&mut self) {
        self.home.retire_old_roots();
        self.publish();
    }

    /// Tells SPIRE the bundles of both authorities.
    pub fn publish(&self) {
        self.spire()
            .set_bundles(bundles_of([&self.home, &self.partner]));
    }

    /// SPIRE no longer knows the partner; [`World::publish`] brings it back.
    pub fn unfederate(&self) {
        self.spire().set_bundles(bundles_of([&self.home]));
    }

    fn authority_of(&self, id: &str) -> Option<&Authority> {
        [&self.home, &self.partner].into_iter().find(|authority| {
            id.strip_prefix(&authority.bundle_key())
                .is_some_and(|path| path.is_empty() || path.starts_with('/'))
        })
    }
}

/// The bundles of some authorities as the Workload API keys them.
#[must_use]
pub fn bundles_of<'a>(authorities: impl IntoIterator<Item = &'a Authority>) -> BundleMap {
    authorities
        .into_iter()
        .map(|authority| (authority.bundle_key(), authority.anchors_der()))
        .collect()
}
