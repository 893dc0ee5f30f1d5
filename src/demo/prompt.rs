//! After the story: a prompt at which the reader tries things.

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use verdict::policy::Mode;

use super::stage::Stage;
use super::table::in_words;
use crate::logging::say;

const HELP: &str = "  ask ID             ask as a workload of example.org or partner.test, e.g. ask spiffe://example.org/jobs/nightly
  forged ID          the same, signed by an attacker
  expired ID         the same, expired
  stop, start        SPIRE goes away, comes back
  rotate             the root of example.org is replaced
  quit";

/// Longest line read, bytes.
const LINE_MAX_BYTES: usize = 4_096;

/// Answers at the prompt until the reader has had enough.
pub(super) async fn serve(stage: &mut Stage) -> anyhow::Result<()> {
    say("\nEverything stays up. Try things (each is asked in all three outage modes):\n");
    say(HELP);
    say(&whereabouts(stage));
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut lines = BufReader::with_capacity(LINE_MAX_BYTES, tokio::io::stdin()).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line.context("read standard input")?,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        let Some(line) = line else {
            // No reader: stay up for whoever uses the sockets.
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            return Ok(());
        };
        match answer(stage, line.trim()).await {
            Ok(Wish::Stay) => {}
            Ok(Wish::Leave) => return Ok(()),
            Err(error) => say(&format!("{error:#}")),
        }
    }
}

/// Where everything is, for the other commands and a browser.
fn whereabouts(stage: &Stage) -> String {
    let (audit, socket, spire) = (stage.audit_log(), stage.socket(), stage.spire_socket());
    let page = stage.admin().map_or_else(String::new, |at| {
        format!("  status page        http://{at}/  (top --admin-address {at} shows it here)\n")
    });
    format!(
        "\n{page}  agent's socket     {}\n  SPIRE's socket     {}  (inspect --spire-socket)\n  decisions          {}",
        socket.display(),
        spire.display(),
        audit.display()
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Stay,
    Leave,
}

async fn answer(stage: &mut Stage, line: &str) -> anyhow::Result<Wish> {
    let (verb, id) = line.split_once(' ').unwrap_or((line, ""));
    let id = id.trim();
    if matches!(verb, "ask" | "forged" | "expired") && !id.starts_with("spiffe://") {
        say("  a whole ID, please: ask spiffe://example.org/frontend");
        return Ok(Wish::Stay);
    }
    let svid = match verb {
        "" => return Ok(Wish::Stay),
        "quit" | "exit" => return Ok(Wish::Leave),
        "stop" => {
            stage.lose_spire().await?;
            say("SPIRE is away: interrupted now, an outage in a second");
            return Ok(Wish::Stay);
        }
        "start" => {
            stage.return_spire()?;
            say("SPIRE is back");
            return Ok(Wish::Stay);
        }
        "rotate" => {
            stage.rotate().await?;
            say("the root is replaced; SVIDs asked for from now on are signed by the new one");
            return Ok(Wish::Stay);
        }
        "ask" => stage.world.svid(id)?,
        "forged" => stage.world.forged(id)?,
        "expired" => stage.world.expired(id)?,
        _ => {
            say(HELP);
            return Ok(Wish::Stay);
        }
    };
    for mode in Mode::ALL {
        let answer = stage.ask(mode, &Stage::request(&svid)).await?;
        say(&format!("  {:<12} {}", mode.as_str(), in_words(&answer)));
    }
    Ok(Wish::Stay)
}
