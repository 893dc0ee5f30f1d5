//! The SPIRE of a run, and what is done to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::ca::Rotation;
use crate::scenario::action::Spire as Act;
use crate::spire::{CallFault, EndOfStreams, SocketFile, SpireHandle};
use crate::world::World;

use super::RunError;
use super::callers::{Callers, unix_now};
use super::real::Real;
use super::{Backend, Options};
use crate::scenario::Scenario;

/// What the agent under test gets its bundles from.
pub(super) enum Spire {
    /// In this process, with every fault a client can see.
    Simulated(Box<World>),
    /// Real servers and a real agent, with what can happen to them.
    Real(Box<Real>),
}

impl Spire {
    /// The one that is asked for, below `home`.
    pub(super) async fn start(
        home: &Path,
        scenario: &Scenario,
        options: &Options,
    ) -> Result<Self, RunError> {
        match options.spire {
            Backend::Simulated => {
                let world = World::start(home.join("spire.sock"), unix_now())?;
                Ok(Self::Simulated(Box::new(world)))
            }
            Backend::Real => match Real::lacks(&scenario.timeline) {
                None => Ok(Self::Real(Box::new(
                    Real::start(home, &options.agent).await?,
                ))),
                Some(act) => Err(RunError::Skipped(format!("not on a real SPIRE: {act}"))),
            },
        }
    }

    /// The Workload API's socket.
    pub(super) fn socket(&self) -> PathBuf {
        match self {
            Self::Simulated(world) => world.socket().to_owned(),
            Self::Real(real) => real.socket().to_owned(),
        }
    }

    pub(super) async fn callers(&mut self) -> Result<Arc<Callers>, RunError> {
        match self {
            Self::Simulated(world) => Ok(Arc::new(Callers::of(world)?)),
            Self::Real(real) => Ok(Arc::new(real.callers().await?)),
        }
    }

    /// Does this to it; who signs may be another afterwards.
    pub(super) async fn act(&mut self, act: Act, callers: &Callers) -> Result<(), RunError> {
        match self {
            Self::Simulated(world) => match act {
                Act::RotateOverlapping => rotate(world, Rotation::Overlapping, callers),
                Act::RotateAbruptly => rotate(world, Rotation::Abrupt, callers),
                Act::RemoveOldAuthority => {
                    world.retire_old_roots();
                    Ok(())
                }
                act if says(world, act) => Ok(()),
                act => lives(&world.spire(), act).await,
            },
            Self::Real(real) => real.act(act, callers).await,
        }
    }
}

fn rotate(world: &mut World, rotation: Rotation, callers: &Callers) -> Result<(), RunError> {
    world.set_now(unix_now());
    world.rotate(rotation)?;
    callers.renew(world)
}

/// What it says from now on; false if this is about something else.
fn says(world: &World, act: Act) -> bool {
    let spire = world.spire();
    let mut bundles = spire.bundles();
    match act {
        Act::Garbage => {
            bundles
                .values_mut()
                .for_each(|bundle| *bundle = b"garbage".to_vec());
            spire.send_raw(bundles);
        }
        Act::NoBundles => spire.send_raw(Default::default()),
        Act::BadBundle => {
            bundles.insert(world.partner().bundle_key(), b"garbage".to_vec());
            spire.set_bundles(bundles);
        }
        Act::EmptyBundle => {
            bundles.insert(world.home().bundle_key(), Vec::new());
            spire.set_bundles(bundles);
        }
        Act::PartnerGone => world.unfederate(),
        Act::SayWell => world.publish(),
        _ => return false,
    }
    true
}

/// Its process, its socket, its way of answering.
async fn lives(spire: &SpireHandle, act: Act) -> Result<(), RunError> {
    match act {
        Act::Stop => spire.stop(SocketFile::Removed).await?,
        Act::Kill => spire.stop(SocketFile::Left).await?,
        Act::Start => spire.start()?,
        Act::Freeze => spire.freeze()?,
        Act::Thaw => spire.thaw()?,
        Act::Hang => spire.hang(),
        Act::Slow(ms) => spire.delay(Duration::from_millis(ms)),
        Act::Answer(code) => spire.answer_with(code, "by the scenario"),
        Act::AnswerHttp(status) => spire.set_fault(CallFault::Http(status)),
        Act::AnswerWell | Act::EntryCreated => spire.answer_normally(),
        Act::EndStreams => spire.end_streams(EndOfStreams::Cleanly),
        Act::EntryDeleted => spire.withdraw(),
        Act::SocketDeleted => spire.delete_socket()?,
        Act::SocketReplaced => spire.replace_socket_with_file()?,
        Act::SocketRecreated => recreate(spire).await?,
        Act::SocketForbidden => spire.set_socket_mode(0o000)?,
        Act::SocketAllowed => spire.set_socket_mode(0o777)?,
        // A simulated agent has what it publishes from nobody. The rest is done by the callers of this.
        Act::ServersStop
        | Act::ServersStart
        | Act::RotateOverlapping
        | Act::RotateAbruptly
        | Act::RemoveOldAuthority
        | Act::Garbage
        | Act::NoBundles
        | Act::BadBundle
        | Act::EmptyBundle
        | Act::PartnerGone
        | Act::SayWell => {}
    }
    Ok(())
}

/// Whatever stands at the path goes: a SPIRE agent removes what it finds there.
async fn recreate(spire: &SpireHandle) -> Result<(), RunError> {
    spire.delete_socket()?;
    Ok(spire.recreate_socket().await?)
}
