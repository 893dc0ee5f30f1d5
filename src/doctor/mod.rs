//! `doctor`: looks at everything around the agent that can be wrong, and says how to put it right.
//!
//! It asks the same questions as the agent, with the agent's settings, and should run as the agent's
//! user. It works when everything is away or expired: that is when it is needed.

mod admin;
mod alike;
mod audit;
mod broken;
mod finding;
mod hop;
mod identity;
mod knock;
mod marker;
mod meets;
mod proxies;
mod records;
mod settings;
mod shown;
mod sockets;
mod spire;
mod unread;

use std::path::PathBuf;

use anyhow::Context as _;
use config::{Settings, Sink};

use self::finding::Examination;
use crate::cli::Doctor;
use crate::exit::Exit;
use crate::output::show;
use crate::{serve, when};

/// Examines.
pub(crate) fn run(args: &Doctor) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("start the runtime")?;
    let settings = match serve::settings(&args.serve) {
        Ok(settings) => settings,
        Err(error) => return Err(runtime.block_on(broken::told(error, &args.serve))),
    };
    let mut examination = Examination::at(when::now());
    settings::look(&settings, &mut examination);
    let asked = runtime.block_on(admin::ask(&settings));
    let status = asked.status();
    runtime.block_on(sockets::look(&settings, status, &mut examination));
    runtime.block_on(spire::look(&settings, &mut examination));
    runtime.block_on(admin::look(&settings, &asked, &mut examination));
    audit::look(&settings, &mut examination);
    let records = args.records.clone().or_else(|| records_of(&settings));
    if let Some(path) = &records {
        records::look(path, &settings, &mut examination);
    }
    if let Some(url) = &args.through {
        let probe = hop::probe(url, args, &settings, records.as_deref(), &mut examination);
        runtime.block_on(probe);
    }
    show(&examination, args.output)?;
    Ok(match examination.findings.is_empty() {
        true => Exit::Success,
        false => Exit::Failure,
    })
}

/// The first file that records go to.
fn records_of(settings: &Settings) -> Option<PathBuf> {
    settings.agent().sinks.iter().find_map(|sink| match sink {
        Sink::File(file) => Some(file.path.clone()),
        Sink::Stdout | Sink::Stderr | Sink::Otlp => None,
    })
}
