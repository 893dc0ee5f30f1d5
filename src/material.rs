//! Bundles to judge by: from files, from a state directory, or from the Workload API.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::bundles::loss::End;
use actors::bundles::{MESSAGE_MAX_BYTES, ask};
use actors::cache;
use actors::clock::{Clock, ToldClock};
use anyhow::{Context as _, bail};
use base64::Engine as _;
use config::Settings;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use verdict::availability::{Event, Found, Loss, State, Timing, Trouble};
use verdict::time::Now;
use verdict::trust::{Snapshot, UpdateError, World};

use crate::cli::Bundles;
use crate::exit::Usage;
use crate::read::bounded;

/// The world that something is judged in, and where it comes from.
pub(crate) struct Material {
    pub(crate) world: World,
    /// In words.
    pub(crate) origin: String,
    /// Why SPIRE could not be asked, where it was to be.
    pub(crate) unasked: Option<Unasked>,
}

/// SPIRE could not be asked.
pub(crate) struct Unasked {
    /// In words: the socket, and what is in the way.
    pub(crate) why: String,
    pub(crate) remedy: String,
}

impl Material {
    /// Nothing.
    pub(crate) fn none(now: Now) -> Self {
        let timing = Timing::default();
        let state = State::start(Found::Nothing, timing, now);
        Self {
            world: World::new(state, timing, Snapshot::default()),
            origin: "none".to_owned(),
            unasked: None,
        }
    }
}

impl Material {
    /// The bundles that an agent keeps here, in the same state.
    pub(crate) fn with_stored(self, dir: &Path, socket: &Path, now: Now) -> Self {
        let state = self.world.state();
        let stored = stored(dir, socket, self.world.timing(), now).in_state(state);
        Self {
            unasked: self.unasked,
            ..stored
        }
    }

    /// The same bundles in this state.
    pub(crate) fn in_state(self, state: State) -> Self {
        let world = self.world;
        Self {
            world: world.next(state, world.timing(), world.snapshot().clone()),
            origin: self.origin,
            unasked: self.unasked,
        }
    }
}

/// A bundle by the ID of its trust domain, as the Workload API delivers it.
pub(crate) type Ders = BTreeMap<String, Vec<u8>>;

/// Gathers it: what is named, else what the Workload API gives us.
pub(crate) async fn gather(
    args: &Bundles,
    settings: &Settings,
    now: Now,
) -> anyhow::Result<Material> {
    let timings = settings.timings(&config::NamedTimings::default());
    let timing = Timing {
        unavailable_after_ms: timings.unavailable_after_ms,
        withdrawal_grace_ms: timings.withdrawal_grace_ms,
    };
    if !args.bundle.is_empty() {
        let ders = named(&args.bundle)?;
        return Ok(live(&ders, timing, now, "the files named by --bundle")?);
    }
    let socket = settings.spire_socket().value.as_path();
    if let Some(dir) = &args.state_dir {
        let stored = stored(Path::new(dir), socket, timing, now);
        return Ok(lost(stored, Loss::Transport, now));
    }
    let limit = Duration::from_millis(timings.api_timeout_ms);
    match ask::within(limit, once(socket)).await {
        Ok(ders) => {
            let origin = format!("SPIRE at {}", socket.display());
            let live = live(&ders, timing, now, &origin);
            // An agent takes none of it, and goes on with what it has.
            Ok(live.unwrap_or_else(|error| away(settings, &End::discarded(&error), timing, now)))
        }
        Err(end) => Ok(away(settings, &end, timing, now)),
    }
}

/// What an agent has that starts now, and is told this by SPIRE: the bundles on disk, if any.
fn away(settings: &Settings, end: &End, timing: Timing, now: Now) -> Material {
    let socket = settings.spire_socket().value.as_path();
    let found = match &settings.agent().state_dir {
        Some(dir) => stored(&dir.value, socket, timing, now),
        None => Material {
            origin: "none: SPIRE gives none, and no --state-dir names where an agent keeps them"
                .to_owned(),
            ..Material::none(now)
        },
    };
    let is_asked = end.loss == Loss::Unreadable;
    let what = if is_asked {
        "is asked in vain"
    } else {
        "cannot be asked"
    };
    let why = format!("{} {what}: {}", socket.display(), end.words());
    let remedy = end.obstacle.remedy();
    Material {
        unasked: Some(Unasked { why, remedy }),
        ..lost(found, end.loss, now)
    }
}

/// After a first attempt that failed like this.
fn lost(material: Material, loss: Loss, now: Now) -> Material {
    let timing = material.world.timing();
    let (state, _) = material.world.state().step(Event::Lost(loss), timing, now);
    material.in_state(state)
}

/// The first message of a subscription.
pub(crate) async fn once(socket: &Path) -> Result<Ders, End> {
    let mut subscription = ask::bundles(socket).await?;
    Ok(subscription.next().await?.bundles.into_iter().collect())
}

/// A world in which SPIRE has just delivered these.
fn live(ders: &Ders, timing: Timing, now: Now, origin: &str) -> Result<Material, UpdateError> {
    let update = ders.iter().map(|(key, der)| (key.as_str(), der.as_slice()));
    let (snapshot, report) = Snapshot::default().updated(update, now)?;
    let mut origin = origin.to_owned();
    for unreadable in report.unreadable {
        origin.push_str(&format!("; left out, {unreadable}"));
    }
    let state = State::Live {
        since_ms: now.boot_ms,
    };
    Ok(Material {
        world: World::new(state, timing, snapshot),
        origin,
        unasked: None,
    })
}

/// A world as an agent finds it that starts with SPIRE away.
fn stored(dir: &Path, socket: &Path, timing: Timing, now: Now) -> Material {
    // The file tells this boot's clock from another's by the boot's id.
    let boot_id = Clock::system().boot_id().unwrap_or_default().to_owned();
    let clock = Clock::Told(ToldClock::new(now, &boot_id));
    let (loaded, why) = cache::look(dir, socket, &clock);
    let origin = match why {
        None => format!("the state directory {}", dir.display()),
        Some((why, remedy)) => format!("none in {}: {why}; {remedy}", dir.display()),
    };
    Material {
        world: loaded.world(timing, now),
        origin,
        unasked: None,
    }
}

/// The same bundles in the state that somebody asks about.
pub(crate) fn in_outage(material: Material, now: Now) -> Material {
    material.in_state(State::Outage {
        since_ms: now.boot_ms,
        trouble: Trouble::NONE,
    })
}

/// `DOMAIN=FILE`, each.
pub(crate) fn named(pairs: &[String]) -> anyhow::Result<Ders> {
    let mut ders = Ders::new();
    for pair in pairs {
        let usage = || Usage(format!("--bundle {pair:?}: write DOMAIN=FILE"));
        let (domain, file) = pair.split_once('=').ok_or_else(usage)?;
        let key = match domain.starts_with("spiffe://") {
            true => domain.to_owned(),
            false => format!("spiffe://{domain}"),
        };
        let file = PathBuf::from(file);
        let bytes = bounded(&file, MESSAGE_MAX_BYTES)?;
        let der = bundle_der(&bytes).with_context(|| format!("read {}", file.display()))?;
        if ders.insert(key, der).is_some() {
            bail!(Usage(format!("--bundle names {domain} twice")));
        }
    }
    Ok(ders)
}

/// The certificates of a bundle, end to end: PEM, DER or a SPIFFE bundle (SPIFFE Trust Domain and
/// Bundle, 4).
fn bundle_der(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let certificates = match bytes.trim_ascii_start().first() {
        Some(b'{') => of_jwks(bytes)?,
        Some(0x30) => return Ok(bytes.to_vec()),
        _ => of_pem(bytes)?,
    };
    Ok(certificates.concat())
}

/// The certificates of a PEM file, in its order; anything else in it is not looked at.
pub(crate) fn of_pem(bytes: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut certificates = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        let certificate = certificate.map_err(|error| anyhow::anyhow!("PEM: {error}"))?;
        certificates.push(certificate.to_vec());
    }
    if certificates.is_empty() {
        bail!("it holds no certificate");
    }
    Ok(certificates)
}

fn of_jwks(bytes: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let document: Value = serde_json::from_slice(bytes)?;
    let keys = document.get("keys").and_then(Value::as_array);
    let keys = keys.context("it is JSON and no SPIFFE bundle: there are no keys")?;
    let mut certificates = Vec::new();
    for key in keys
        .iter()
        .filter(|key| key.get("use").and_then(Value::as_str) == Some("x509-svid"))
    {
        let x5c = key.get("x5c").and_then(|x5c| x5c.get(0)?.as_str());
        let x5c = x5c.context("an x509-svid key has no x5c (SPIFFE Bundle, 4.2.3)")?;
        certificates.push(base64::engine::general_purpose::STANDARD.decode(x5c)?);
    }
    Ok(certificates)
}

/// DER certificates, end to end.
pub(crate) fn split_der(mut der: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut certificates = Vec::new();
    while !der.is_empty() {
        let (one, rest) = sequence(der).context("it is no sequence of DER certificates")?;
        certificates.push(one.to_vec());
        der = rest;
    }
    Ok(certificates)
}

/// The first SEQUENCE by its outermost length (X.690 §8.1.3); whether it is a certificate is judged
/// elsewhere.
fn sequence(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x30, first, rest @ ..] = der else {
        return None;
    };
    let (head, length) = match first {
        0..=0x7f => (2, usize::from(*first)),
        0x81..=0x83 => {
            let count = usize::from(first & 0x7f);
            let octets = rest.get(..count)?;
            let length = octets
                .iter()
                .fold(0, |sum, octet| sum << 8 | usize::from(*octet));
            (2 + count, length)
        }
        _ => return None,
    };
    der.split_at_checked(head + length)
}
