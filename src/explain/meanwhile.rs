//! What a request meets now, whatever is decided about its credential: a running agent that cannot record
//! may refuse everybody.

use std::net::SocketAddr;
use std::path::Path;

use actors::admin::status::Status;
use config::{AdminAddress, Settings};

use crate::status::ask::{self, Health};

/// `None` where no agent of this SPIRE says that it refuses, nor one that it cannot say.
pub(super) async fn of(settings: &Settings) -> Option<String> {
    let AdminAddress::At(address) = settings.agent().admin.value else {
        return None;
    };
    let json = match ask::get(address, "/status").await.ok()? {
        (200, json) => json,
        (503, body) => return unasked(address, &body).await,
        (_, _) => return None,
    };
    let status: Status = serde_json::from_slice(&json).ok()?;
    let spire = settings.spire_socket().value.as_path();
    let told = status.process.spire_socket.as_deref()?;
    // Another agent's sinks are not ours.
    let is_ours = Path::new(told) == spire;
    if !is_ours || !status.audit.is_some_and(|audit| audit.refuses) {
        return None;
    }
    let requests = status.requests.as_deref().unwrap_or("requests are refused");
    Some(format!("the agent at {address} says: {requests}"))
}

/// Its status is asked for by others all the time: nobody may take that for no objection. What does not
/// answer probes as an agent does is none.
async fn unasked(address: SocketAddr, body: &[u8]) -> Option<String> {
    let said = ask::one_line(body);
    let probes = match ask::health(address).await? {
        Health::Well => "its /healthz names no trouble".to_owned(),
        Health::Failing(failing) => format!("its /healthz says: {failing}"),
    };
    Some(format!(
        "it is not known what requests meet: the agent at {address} answers 503 to /status ({said}); {probes}"
    ))
}
