//! A file that cannot be read: who runs with it does not notice, until somebody restarts him.

use config::{AdminAddress, Settings};

use super::unread;
use crate::cli::Serve;
use crate::edited::same;
use crate::exit::Misconfigured;
use crate::status::ask;

/// The error, and what an agent that was started with that file makes of it. Nothing else is looked at:
/// where, the file would say, and at the defaults somebody else may be.
pub(super) async fn told(error: anyhow::Error, args: &Serve) -> anyhow::Error {
    let meanwhile = meanwhile(args).await;
    match error.downcast::<Misconfigured>() {
        Ok(Misconfigured { wrong, .. }) => Misconfigured { wrong, meanwhile }.into(),
        Err(error) => error,
    }
}

/// The address is that of flag, variable or default: the file's own is not known.
async fn meanwhile(args: &Serve) -> Option<String> {
    let file = args.config.as_deref()?.to_str()?;
    let settings = Settings::resolve(None, &args.given.overrides()).ok()?;
    let AdminAddress::At(address) = settings.agent().admin.value else {
        return None;
    };
    let status = unread::read(ask::get(address, "/status").await).ok()?;
    let told = status.process.config.as_deref()?;
    let pid = status.process.pid;
    same(told, file).then(|| {
        format!(
            "the agent at {address} (pid {pid}) was started with this file and goes on with what it read then; \
             a restart would end it: mend the file first. `status --admin-address {address}` says how it is"
        )
    })
}
