//! `status` and `top`: what a running agent says of itself, on one screen, once or again and again.

pub(crate) mod ask;
mod keys;
mod page;
mod screen;

use std::time::Duration;

use actors::admin::status::Status;
use anyhow::{Context as _, bail};
use config::{AdminAddress, Override, Overrides, Settings};
use tokio::signal::unix::{SignalKind, signal};

use self::keys::Keys;
use self::page::Shown;
use self::screen::Screen;
use crate::cli::{AdminAsked, StatusArgs, Top};
use crate::edited::{Edited, READ_ONCE};
use crate::exit::Exit;
use crate::output::{Output, Page, Report as _, say_json, show, try_say_json};
use crate::serve;

/// `status`: 0 if the agent is ready, 1 if it is not or does not answer.
pub(crate) fn status(args: &StatusArgs) -> anyhow::Result<Exit> {
    let settings = settings(&args.admin)?;
    let address = address(&settings)?;
    let json = runtime()?.block_on(ask::status(address))?;
    let status: Status =
        serde_json::from_slice(&json).context("this agent's status is another's")?;
    match args.output {
        Output::Json => say_json(&String::from_utf8(json)?),
        Output::Text => show(&shown(&status, &settings), args.output)?,
    }
    Ok(match status.health.ready {
        true => Exit::Success,
        false => Exit::Failure,
    })
}

/// `top`: the same until `q`, an interrupt, or nobody reads; the terminal is put back however it ends.
pub(crate) fn top(args: &Top) -> anyhow::Result<Exit> {
    let settings = settings(&args.admin)?;
    let address = address(&settings)?;
    let every = Duration::from_millis(args.interval_ms);
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let is_watched = !args.once && args.output == Output::Text;
        let mut screen = Screen::enter(!is_watched);
        let keys = match is_watched {
            true => Keys::listen(),
            false => Keys::Nobody,
        };
        loop {
            let asked = match args.once {
                true => ask::status(address).await,
                false => ask::status_now(address).await,
            };
            let line = (args.output == Output::Json).then(|| line(&asked));
            let told = told(asked);
            let is_read = match line {
                Some(line) => try_say_json(&line?).is_ok(),
                None => screen.draw(&drawn(&told, &settings)).is_ok(),
            };
            match (args.once, told) {
                // As `status` does.
                (true, Ok(status)) if status.health.ready => return Ok(Exit::Success),
                (true, _) => return Ok(Exit::Failure),
                (false, _) if !is_read => return Ok(Exit::Success),
                (false, _) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = keys.quit() => return Ok(Exit::Success),
                _ = terminate.recv() => return Ok(Exit::Success),
                _ = interrupt.recv() => return Ok(Exit::Success),
            }
        }
    })
}

fn told(asked: anyhow::Result<Vec<u8>>) -> anyhow::Result<Status> {
    serde_json::from_slice(&asked?).context("this agent's status is another's")
}

/// What it says on one line, or why it says nothing, as `error`.
fn line(asked: &anyhow::Result<Vec<u8>>) -> anyhow::Result<String> {
    let away = |error: &anyhow::Error| serde_json::json!({ "error": format!("{error:#}") });
    match asked {
        // Line ends stand between tokens alone.
        Ok(json) => Ok(std::str::from_utf8(json)?.replace(['\n', '\r'], " ")),
        Err(error) => Ok(away(error).to_string()),
    }
}

/// An agent that is away is shown as away: it may come back.
fn drawn(told: &anyhow::Result<Status>, settings: &Settings) -> String {
    let mut page = Page::default();
    match told {
        Ok(status) => shown(status, settings).write(&mut page),
        Err(error) => page.line(format_args!(
            "no answer: {}",
            crate::output::clean(&format!("{error:#}"))
        )),
    }
    page.text().to_owned()
}

/// With what the file that was named says otherwise, if it is this agent's.
fn shown<'a>(status: &'a Status, settings: &Settings) -> Shown<'a> {
    let edited = Edited::of(status, settings);
    Shown {
        status,
        edited: edited.map(|edited| format!("{}; {READ_ONCE}", edited.told())),
    }
}

/// What the agent would be started with under the same flag, variables and file.
fn settings(args: &AdminAsked) -> anyhow::Result<Settings> {
    let file = args.config.as_deref().map(serve::read).transpose()?;
    let mut overrides = Overrides::from_variables(|name| std::env::var_os(name));
    if let Some(address) = &args.admin_address {
        overrides = overrides.with_flag(Override::AdminAddress, address.clone());
    }
    serve::resolve(file, &overrides)
}

fn address(settings: &Settings) -> anyhow::Result<std::net::SocketAddr> {
    match settings.agent().admin.value {
        AdminAddress::At(address) => Ok(address),
        AdminAddress::Off => bail!("admin-address is none: there is nobody to ask"),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.context("start the runtime")
}
