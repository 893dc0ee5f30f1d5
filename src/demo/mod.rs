//! `demo`: the agent at work on a simulated SPIRE, on a bare machine.
//!
//! A story first: every step asks over the real socket in the proxies' own protocol, and is compared
//! with what the documentation promises; one difference makes the exit code non-zero. Then, without
//! `--once`, everything stays up and answers at a prompt.

mod prompt;
mod stage;
mod story;
mod table;

use anyhow::Context as _;

use self::stage::Stage;
use crate::cli::Demo;
use crate::exit::Exit;
use crate::logging::say;

/// Runs the story.
pub(crate) fn run(args: &Demo) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
        .context("start the runtime")?;
    let exit = runtime.block_on(show(args));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    exit
}

async fn show(args: &Demo) -> anyhow::Result<Exit> {
    let mut stage = Stage::set().await?;
    let differences = story::tell(&mut stage).await?;
    let exit = match differences {
        0 => {
            say("\nEvery answer is as documented.");
            Exit::Success
        }
        n => {
            say(&format!("\n{n} answers differ from the documentation."));
            Exit::Failure
        }
    };
    if !args.once {
        prompt::serve(&mut stage).await?;
    }
    stage.strike().await;
    Ok(exit)
}
