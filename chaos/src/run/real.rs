//! A real SPIRE as the stage of a run: two servers that federate, an agent, and a stock of SVIDs.
//!
//! What a real SPIRE never does to its clients (a garbage update, a status of one's choice) is not
//! played on it, nor what it takes its own time to tell its clients (a deleted entry, a revoked
//! authority): [`Real::lacks`] names it, and the scenario is skipped. `chaos real` waits for those.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::ca::IssuedSvid;
use crate::real::{Binaries, End, RealSpire, SpireServer};
use crate::scenario::Timeline;
use crate::scenario::action::{Action, Spire as Act};
use crate::scenario::caller::{FRONTEND, PARTNER, STRANGER};
use crate::world::World;

use super::RunError;
use super::callers::{Callers, Signer, services, unix_now};

/// Certificates in stock for the callers that no one has seen before: a server mints too slowly for a
/// load, so the stock goes round.
const FRESH: usize = 32;

/// A real SPIRE, its partner, and somebody who forges.
pub(super) struct Real {
    spire: RealSpire,
    partner: SpireServer,
    /// Its authorities are the forger's, its sockets are nobody's.
    forger: World,
}

impl Real {
    /// Starts all of it below `home` for this agent.
    pub(super) async fn start(home: &Path, agent: &Path) -> Result<Self, RunError> {
        let binaries = Binaries::installed()?;
        let partner = SpireServer::start(&binaries, &home.join("partner"), "partner.test").await?;
        let mut spire = RealSpire::start(&binaries, home, "example.org", agent).await?;
        spire.federate(&partner).await?;
        let forger = World::start(home.join("forger.sock"), unix_now())?;
        Ok(Self {
            spire,
            partner,
            forger,
        })
    }

    pub(super) fn socket(&self) -> &Path {
        self.spire.socket()
    }

    /// The first fault of a timeline that a real SPIRE does not have, or not at the time it is told to.
    pub(super) fn lacks(timeline: &Timeline) -> Option<Act> {
        let acts = timeline.steps.iter().filter_map(|step| match step.action {
            Action::Spire(act) => Some(act),
            _ => None,
        });
        acts.into_iter().find(|act| !has(*act))
    }

    pub(super) async fn callers(&mut self) -> Result<Callers, RunError> {
        let mut minted = BTreeMap::new();
        for id in [FRONTEND.to_owned()].into_iter().chain(services()) {
            let svid = self.spire.server().mint(&id).await?;
            minted.insert(id, svid);
        }
        for id in [PARTNER, STRANGER] {
            minted.insert(id.to_owned(), self.partner.mint(id).await?);
        }
        let stock = self.stock().await?;
        let issue = |id: &str| -> Result<IssuedSvid, RunError> {
            let svid = minted.get(id).cloned();
            svid.ok_or_else(|| RunError::Skipped(format!("nobody minted {id}")))
        };
        Callers::issued_by(&issue, &self.forger, Signer::Real(stock))
    }

    async fn stock(&mut self) -> Result<Vec<IssuedSvid>, RunError> {
        let mut stock = Vec::new();
        for _ in 0..FRESH {
            stock.push(self.spire.server().mint(FRONTEND).await?);
        }
        Ok(stock)
    }

    pub(super) async fn act(&mut self, act: Act, callers: &Callers) -> Result<(), RunError> {
        let socket = self.spire.socket().to_owned();
        match act {
            Act::Stop => self.spire.agent().end(End::Stop).await?,
            Act::Kill => self.spire.agent().end(End::Kill).await?,
            Act::Start => {
                // An agent does not come up without its server.
                self.spire.server().start_again().await?;
                self.spire.agent().start_again().await?;
            }
            Act::ServersStop => {
                self.spire.server().end(End::Stop).await?;
                self.partner.end(End::Stop).await?;
            }
            Act::ServersStart => {
                self.spire.server().start_again().await?;
                self.partner.start_again().await?;
            }
            Act::Freeze => self.spire.agent().freeze()?,
            Act::Thaw => self.spire.agent().thaw()?,
            Act::RotateOverlapping => {
                self.spire.rotate().await?;
                let renewed = self.spire.server().mint(FRONTEND).await?;
                callers.renew_with(&renewed, Signer::Real(self.stock().await?));
            }
            Act::SocketDeleted => {
                let removed = std::fs::remove_file(&socket);
                removed.map_err(RunError::file("remove SPIRE's socket", &socket))?;
            }
            Act::SocketReplaced => {
                // An agent that stopped in order has taken it along.
                let _ = std::fs::remove_file(&socket);
                let written = std::fs::write(&socket, "no socket");
                written.map_err(RunError::file("put a file in SPIRE's place", &socket))?;
            }
            Act::SocketForbidden => set_mode(&socket, 0o000)?,
            Act::SocketAllowed => set_mode(&socket, 0o777)?,
            // Not reached: the scenario was skipped.
            _ => {}
        }
        Ok(())
    }
}

/// Whether a real SPIRE can be brought to do this.
const fn has(act: Act) -> bool {
    matches!(
        act,
        Act::Stop
            | Act::Kill
            | Act::Start
            | Act::ServersStop
            | Act::ServersStart
            | Act::Freeze
            | Act::Thaw
            | Act::RotateOverlapping
            | Act::SocketDeleted
            | Act::SocketReplaced
            | Act::SocketForbidden
            | Act::SocketAllowed
    )
}

fn set_mode(path: &Path, mode: u32) -> Result<(), RunError> {
    let set = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    set.map_err(RunError::file("set the mode of SPIRE's socket", path))
}
