//! The cases.

use std::path::Path;
use std::time::{Duration, Instant};

use chaos::client::Client;
use chaos::real::{Binaries, End, RealSpire, SpireServer};
use tokio::net::UnixStream;
use tokio::time::sleep;

use super::Failed;
use super::under_test::{Caller, FRONTEND, Said, UnderTest};

const DOMAIN: &str = "example.org";
const PARTNER_DOMAIN: &str = "partner.test";
const PARTNER: &str = "spiffe://partner.test/billing";
/// From the moment at which the Workload API takes connections again to the first verified answer.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// How long SPIRE is left away once it is missed. With the time that its agent takes to start, it is
/// away for longer than the longest wait between two tries, 1 s.
const AWAY: Duration = Duration::from_millis(600);

/// A case.
#[derive(Clone, Copy, Debug)]
pub(super) enum Case {
    /// So many outages.
    Outages(usize),
    /// Server, then agent, then our own process.
    EverythingAway,
    EntryDeleted,
    Rotation,
    Federation,
}

pub(super) fn all(outages: usize) -> [(String, Case); 5] {
    [
        (
            format!("{outages} outages: back within 2 s"),
            Case::Outages(outages),
        ),
        (
            "server, agent and our process gone: cache answers".to_owned(),
            Case::EverythingAway,
        ),
        (
            "our entry deleted: refused in every mode, and back".to_owned(),
            Case::EntryDeleted,
        ),
        (
            "authority rotated, the old one revoked".to_owned(),
            Case::Rotation,
        ),
        (
            "partner federated; servers gone, agent frozen".to_owned(),
            Case::Federation,
        ),
    ]
}

/// What a case plays on.
struct Stage<'a> {
    spire: RealSpire,
    agent_binary: &'a Path,
    directory: &'a Path,
    frontend: Caller,
    impostor: Caller,
}

/// Plays a case on a SPIRE of its own; a note says what was seen.
pub(super) async fn on_a_stage(
    binaries: &Binaries,
    agent_binary: &Path,
    case: Case,
) -> Result<String, Failed> {
    let home = tempfile::Builder::new().prefix("real").tempdir();
    let home = home.map_err(Failed::system("make a directory"))?;
    let impostor = impostor(binaries, home.path()).await?;
    let spire = RealSpire::start(binaries, home.path(), DOMAIN, agent_binary).await?;
    let frontend = Caller::honest(&spire.workload(FRONTEND).await?);
    let mut stage = Stage {
        spire,
        agent_binary,
        directory: home.path(),
        frontend,
        impostor,
    };
    let note = match case {
        Case::Outages(count) => stage.outages(count).await,
        Case::EverythingAway => stage.everything_away().await,
        Case::EntryDeleted => stage.entry_deleted().await,
        Case::Rotation => stage.rotation().await,
        Case::Federation => stage.federation(binaries).await,
    };
    // In order: a server that is killed with its agent leaves nothing behind either, but says so loudly.
    stage.spire.agent().end(End::Stop).await?;
    stage.spire.server().end(End::Stop).await?;
    note
}

/// Another SPIRE that calls itself by our trust domain.
async fn impostor(binaries: &Binaries, directory: &Path) -> Result<Caller, Failed> {
    let mut server = SpireServer::start(binaries, &directory.join("impostor"), DOMAIN).await?;
    let svid = server.mint(FRONTEND).await?;
    server.end(End::Stop).await?;
    Ok(Caller::impostor(&svid))
}

fn away() -> Said {
    Said::Denied("TRUST_UNAVAILABLE".to_owned())
}

fn untrusted() -> Said {
    Said::Denied("UNTRUSTED".to_owned())
}

impl Stage<'_> {
    /// An agent in this mode that has verified somebody.
    async fn agent(&self, mode: &str) -> Result<(UnderTest, Client), Failed> {
        let directory = self.directory.join(mode);
        let socket = self.spire.socket();
        let agent = UnderTest::start(self.agent_binary, &directory, socket, mode).await?;
        let client = agent.connect().await?;
        // Before the first bundles come; and with `fail_open` even an outage may be seen first.
        let before = [away(), Said::Unverified];
        let frontend = &self.frontend;
        frontend.until(&client, &Said::Verified, &before).await?;
        Ok((agent, client))
    }

    async fn outages(&mut self, count: usize) -> Result<String, Failed> {
        let (_agent, client) = self.agent("fail_closed").await?;
        let mut took = Vec::new();
        for n in 0..count {
            let end = match n % 2 {
                0 => End::Stop,
                _ => End::Kill,
            };
            self.spire.agent().end(end).await?;
            let verified = [Said::Verified];
            self.frontend.until(&client, &away(), &verified).await?;
            sleep(AWAY).await;
            self.impostor.until(&client, &away(), &[]).await?;
            took.push(self.back(&client).await?);
            self.impostor.until(&client, &untrusted(), &[]).await?;
        }
        took.sort_unstable();
        let at = |percent: usize| took.get((took.len() * percent).div_ceil(100).saturating_sub(1));
        let (p50, p99) = (at(50).copied(), at(99).copied());
        let (p50, p99) = p50.zip(p99).unwrap_or_default();
        match p99 <= BACK_WITHIN {
            true => Ok(format!(
                "p50 {} ms, p99 {} ms",
                p50.as_millis(),
                p99.as_millis()
            )),
            false => Err(Failed::Broken(format!("p99 {p99:?}: {took:?}"))),
        }
    }

    /// Starts SPIRE's agent; how long it took from the first connection that it takes to the first
    /// verified answer of ours.
    async fn back(&mut self, client: &Client) -> Result<Duration, Failed> {
        let socket = self.spire.socket().to_owned();
        let returned = async {
            while UnixStream::connect(&socket).await.is_err() {
                sleep(Duration::from_millis(1)).await;
            }
            Instant::now()
        };
        let meanwhile = [away()];
        let verified = self.frontend.until(client, &Said::Verified, &meanwhile);
        let (started, returned, verified) =
            tokio::join!(self.spire.agent().start_again(), returned, verified);
        started?;
        Ok(verified?.saturating_duration_since(returned))
    }

    /// SPIRE's own federation outage test is both servers, then both agents; traffic flows throughout.
    /// Ours is killed meanwhile as well.
    async fn everything_away(&mut self) -> Result<String, Failed> {
        let (mut agent, client) = self.agent("cache").await?;
        let mut answers = self.verifies_for(&client, AWAY).await?;
        self.spire.server().end(End::Stop).await?;
        answers += self.verifies_for(&client, AWAY).await?;
        self.spire.agent().end(End::Stop).await?;
        answers += self.verifies_for(&client, AWAY).await?;
        let mut slowest = Duration::ZERO;
        for _ in 0..5 {
            agent.kill().await?;
            let began = Instant::now();
            agent.start_again()?;
            let client = agent.connect().await?;
            // Until it is known that SPIRE is away, nothing is concluded from old bundles.
            let meanwhile = [away()];
            let frontend = &self.frontend;
            let verified = frontend.until(&client, &Said::Verified, &meanwhile).await?;
            slowest = slowest.max(verified.saturating_duration_since(began));
            answers += self
                .verifies_for(&client, Duration::from_millis(300))
                .await?;
        }
        let client = agent.connect().await?;
        self.spire.server().start_again().await?;
        answers += self.verifies_for(&client, AWAY).await?;
        self.spire.agent().start_again().await?;
        answers += self.verifies_for(&client, AWAY).await?;
        let slowest = slowest.as_millis();
        Ok(format!(
            "{answers} answers; from disk within {slowest} ms of a start"
        ))
    }

    /// For so long nobody hears anything of an outage.
    async fn verifies_for(&self, client: &Client, time: Duration) -> Result<u64, Failed> {
        let (began, mut answers) = (Instant::now(), 0);
        while began.elapsed() < time {
            self.frontend.until(client, &Said::Verified, &[]).await?;
            self.impostor.until(client, &untrusted(), &[]).await?;
            answers += 2;
        }
        Ok(answers)
    }

    async fn entry_deleted(&mut self) -> Result<String, Failed> {
        let mut agents = Vec::new();
        for mode in ["fail_closed", "cache", "fail_open"] {
            agents.push(self.agent(mode).await?);
        }
        let deleted = Instant::now();
        self.spire.delete_own_entry().await?;
        let mut refused_after = Duration::ZERO;
        for (_, client) in &agents {
            let meanwhile = [Said::Verified];
            let refused = self.frontend.until(client, &away(), &meanwhile).await?;
            refused_after = refused_after.max(refused.saturating_duration_since(deleted));
        }
        // It is no outage, whatever becomes of SPIRE then.
        self.spire.agent().end(End::Kill).await?;
        sleep(AWAY).await;
        for (_, client) in &agents {
            self.frontend.until(client, &away(), &[]).await?;
            self.impostor.until(client, &away(), &[]).await?;
        }
        self.spire.create_own_entry().await?;
        self.spire.agent().start_again().await?;
        for (_, client) in &agents {
            let meanwhile = [away()];
            let frontend = &self.frontend;
            frontend.until(client, &Said::Verified, &meanwhile).await?;
            self.impostor.until(client, &untrusted(), &[]).await?;
        }
        Ok(format!("refused {} ms after", refused_after.as_millis()))
    }

    /// A partner is somebody while his bundle is delivered, and his server need not be there.
    async fn federation(&mut self, binaries: &Binaries) -> Result<String, Failed> {
        let directory = self.directory.join("partner");
        let mut partner = SpireServer::start(binaries, &directory, PARTNER_DOMAIN).await?;
        let svid = partner.mint(PARTNER).await?;
        let partners = Caller::honest(&svid);
        let (_agent, client) = self.agent("cache").await?;
        let unknown = Said::Denied("UNKNOWN_TRUST_DOMAIN".to_owned());
        partners.until(&client, &unknown, &[]).await?;
        self.spire.federate(&partner).await?;
        // The entry is another one: for a moment there may be none.
        let meanwhile = [unknown, away()];
        let listed_nowhere = Said::Denied("NOT_ALLOWED".to_owned());
        partners.until(&client, &listed_nowhere, &meanwhile).await?;
        partner.end(End::Stop).await?;
        self.spire.server().end(End::Stop).await?;
        self.spire.agent().freeze()?;
        sleep(2 * AWAY).await;
        partners.until(&client, &listed_nowhere, &[]).await?;
        let answers = self.verifies_for(&client, AWAY).await?;
        self.spire.agent().thaw()?;
        self.spire.server().start_again().await?;
        Ok(format!("{answers} answers with SPIRE's agent frozen"))
    }

    async fn rotation(&mut self) -> Result<String, Failed> {
        let (_agent, client) = self.agent("fail_closed").await?;
        self.spire.rotate().await?;
        let renewed = Caller::honest(&self.spire.server().mint(FRONTEND).await?);
        let before = [untrusted()];
        renewed.until(&client, &Said::Verified, &before).await?;
        self.frontend.until(&client, &Said::Verified, &[]).await?;
        self.spire.remove_old_authority().await?;
        let meanwhile = [Said::Verified];
        self.frontend
            .until(&client, &untrusted(), &meanwhile)
            .await?;
        renewed.until(&client, &Said::Verified, &[]).await?;
        Ok(String::new())
    }
}
