//! What a request meets now, whatever is decided about its credential: a running agent that cannot record
//! may refuse everybody, and one whose file was edited since its start decides by what it read.

use std::net::SocketAddr;

use actors::admin::status::Status;
use config::{AdminAddress, Settings};

use crate::edited::{self, READ_ONCE};
use crate::status::ask::{self, Health};

/// `None` where no agent of this SPIRE says that it refuses or has another policy, nor one that it cannot
/// say.
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
    // Another agent's sinks and policy are not ours.
    if !edited::is_spire(&status, settings) {
        return None;
    }
    let policy = other_policy(&status, settings, address);
    let refuses = status.audit.as_ref().is_some_and(|audit| audit.refuses);
    let refuses = refuses.then(|| {
        let requests = status.requests.as_deref().unwrap_or("requests are refused");
        format!("the agent at {address} says: {requests}")
    });
    let said: Vec<String> = policy.into_iter().chain(refuses).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// What is explained by a policy that the agent does not have. One that has none but what is pushed is
/// asked about by whoever pushes.
fn other_policy(status: &Status, settings: &Settings, address: SocketAddr) -> Option<String> {
    let runs = status.process.config.as_deref()?;
    if !edited::has_another_policy(status, settings) {
        return None;
    }
    let agent = format!("the agent at {address} runs with another policy than");
    if edited::has_this_file(status, settings) {
        return Some(format!("{agent} {runs} has now; {READ_ONCE}"));
    }
    let told = status.process.socket.as_deref()?;
    let ours = settings.agent().socket.value.to_string();
    edited::same(told, &ours)
        .then(|| format!("{agent} this, that of its own file: --config {runs} explains by it"))
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
