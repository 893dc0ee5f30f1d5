//! `explain`: what the agent says about a credential, check by check, and what to do about it.
//!
//! The checks are the product's own: the header is read by `proto`, judged by the code of the
//! validation workers, and decided by `verdict`. Nothing here knows a rule.

mod away;
mod case;
mod input;
mod meanwhile;
mod page;
mod record;

use actors::audit::{Content, Recorded};
use actors::policies::InForce;
use anyhow::Context as _;
use config::{Override, Overrides, Settings};
use verdict::time::Now;

use self::case::Case;
use self::input::{Input, Lines};
use self::record::Unexplained;
use crate::cli::Explain;
use crate::exit::{Exit, Usage};
use crate::material::{self, Material};
use crate::output::show;
use crate::{edited, serve, when};

/// Explains.
pub(crate) fn run(args: &Explain) -> anyhow::Result<Exit> {
    let input = input::read(args)?;
    let settings = settings(args)?;
    let policy = edited::in_force(&settings)?;
    let now = moment(args)?;
    // A record holds its own evidence: nobody is asked unless its credential is judged again.
    let material = match (&input, &args.credentials) {
        (Input::Records(_), None) => Material::none(now),
        _ => gather(args, &settings, now)?,
    };
    let case = Case {
        policy: policy.as_deref(),
        file: settings.file_name(),
        material: &material,
        now,
    };
    let mut explanation = match input {
        Input::Header { value, chain } => {
            refuse_a_line(&value, policy.as_deref())?;
            case.header(&value, chain.as_deref())
        }
        Input::Chain(chain) => case.chain(&chain),
        Input::Records(lines) => return records(args, lines, &case),
    };
    // Bundles from files say nothing of SPIRE.
    if args.bundles.bundle.is_empty() {
        explanation.doubt_spire(&case);
    }
    explanation.away = away::of(&material, policy.as_deref(), now);
    explanation.meanwhile = meanwhile(args, &settings)?;
    show(&explanation, args.output)?;
    Ok(Exit::Success)
}

/// A line as a log or `curl -v` has it: with its name in front it would be judged as no proxy reads it.
fn refuse_a_line(value: &str, policy: Option<&InForce>) -> anyhow::Result<()> {
    let Some((name, rest)) = value.split_once(':') else {
        return Ok(());
    };
    let known = policy.map(|policy| policy.header.name());
    let mut known = known.into_iter().chain(["X-Forwarded-Client-Cert"]);
    let is_known = known.any(|known| name.trim().eq_ignore_ascii_case(known));
    // In no format is there a name with a colon and a blank behind it.
    let is_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if is_known || (!name.is_empty() && is_name(name) && rest.starts_with(' ')) {
        return Err(Usage(format!(
            "this is a whole header line: give its value, what follows \"{name}:\""
        ))
        .into());
    }
    Ok(())
}

/// Explains one record after the other; each must be what its own evidence leads to. What a crash left
/// of one is said, and hides nothing behind it.
fn records(args: &Explain, mut lines: Lines, case: &Case<'_>) -> anyhow::Result<Exit> {
    let credentials = match &args.credentials {
        Some(dir) => record::credentials(dir)?,
        None => record::Credentials::new(),
    };
    let (mut is_any, mut exit) = (false, Exit::Success);
    while let Some(line) = lines.next()? {
        let recorded = match Recorded::parse(line) {
            Ok(recorded) => recorded,
            Err(error) => {
                let content = Content::of(line);
                let unexplained = Unexplained::new(lines.number(), content, &error);
                if unexplained.error.is_some() {
                    exit = Exit::Failure;
                }
                show(&unexplained, args.output)?;
                continue;
            }
        };
        is_any = true;
        let explained = record::explain(&recorded, Some(case), &credentials);
        let differs = explained.again.as_ref().is_some_and(|again| !again.agrees);
        if explained.contradiction.is_some() || differs {
            exit = Exit::Failure;
        }
        show(&explained, args.output)?;
    }
    Ok(if is_any { exit } else { Exit::Failure })
}

/// The settings that bear on a decision.
fn settings(args: &Explain) -> anyhow::Result<Settings> {
    let file = args.config.as_deref().map(serve::read).transpose()?;
    let mut overrides = Overrides::from_variables(|name| std::env::var_os(name));
    if let Some(socket) = &args.bundles.spire_socket {
        overrides = overrides.with_flag(Override::SpireSocket, socket.clone());
    }
    serve::resolve(file, &overrides)
}

/// Now, or the moment that is asked about.
fn moment(args: &Explain) -> anyhow::Result<Now> {
    let now = when::now();
    let Some(at) = &args.at else { return Ok(now) };
    let wall_ms = when::parse(at).map_err(|error| Usage(format!("--at {error:#}")))?;
    // Both clocks move alike: the age of what is on disk is told by either.
    let boot_ms = now
        .boot_ms
        .saturating_add(wall_ms.saturating_sub(now.wall_ms));
    Ok(Now { wall_ms, boot_ms })
}

/// What an agent that runs makes of requests now, where it is now and SPIRE that are asked about.
fn meanwhile(args: &Explain, settings: &Settings) -> anyhow::Result<Option<String>> {
    let bundles = &args.bundles;
    let is_supposed = args.at.is_some() || args.outage;
    if is_supposed || !bundles.bundle.is_empty() || bundles.state_dir.is_some() {
        return Ok(None);
    }
    Ok(runtime()?.block_on(meanwhile::of(settings)))
}

fn gather(args: &Explain, settings: &Settings, now: Now) -> anyhow::Result<Material> {
    let runtime = runtime()?;
    let material = runtime.block_on(material::gather(&args.bundles, settings, now))?;
    Ok(match (args.outage, &material.unasked, &args.at) {
        (true, _, _) => material::in_outage(material, now),
        // It knows of now alone.
        (false, Some(_), None) => runtime.block_on(away::as_the_agent(settings, material, now))?,
        (false, _, _) => material,
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.context("start the runtime")
}
