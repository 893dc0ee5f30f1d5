//! The admin listener: whether it answers, and what it says of readiness.

use actors::admin::status::{AuditView, Status};
use actors::audit::MEANWHILE;
use config::{AdminAddress, Settings};

use super::finding::Examination;
use super::proxies;
use crate::status::ask;

pub(super) async fn look(settings: &Settings, examination: &mut Examination) {
    let AdminAddress::At(address) = settings.agent().admin.value else {
        return;
    };
    match ask::get(address, "/readyz").await {
        Ok((200, _)) => examination.well(format!("the agent is ready: {address}")),
        Ok((status, body)) => {
            let said = String::from_utf8_lossy(&body);
            let said: Vec<&str> = said.lines().collect();
            examination.problem(
                "not-ready",
                "the agent says that it is not ready",
                &format!("{status} of http://{address}/readyz: {}", said.join("; ")),
                "it waits for a policy or for SPIRE: `status` says which",
            );
        }
        Err(error) => examination.warn(
            "admin-down",
            "the admin listener does not answer",
            &format!("{error:#}"),
            "is the agent up, and was its address free when it started? its log says where it listens",
        ),
    }
    // Who does not answer was found above, and an agent of another version may say less.
    if let Ok((200, json)) = ask::get(address, "/status").await
        && let Ok(status) = serde_json::from_slice::<Status>(&json)
    {
        running(&status, examination);
    }
}

/// What the running agent says of itself.
fn running(status: &Status, examination: &mut Examination) {
    if let Some(audit) = &status.audit {
        records(audit, examination);
    }
    proxies::look(status, examination);
}

fn records(audit: &AuditView, examination: &mut Examination) {
    let Some(complaint) = &audit.complaint else {
        return examination.well("the agent's records reach every sink");
    };
    let remedies = audit.failing.iter().map(|sink| sink.remedy.as_str());
    let mut remedies: Vec<&str> = remedies.filter(|remedy| !remedy.is_empty()).collect();
    remedies.dedup();
    if audit.refuses {
        remedies.push(MEANWHILE);
        return examination.problem(
            "audit-refuses",
            "every request is refused, for its record cannot be kept",
            complaint,
            &remedies.join("; "),
        );
    }
    remedies.push("look at the sink, and at the agent's log");
    examination.warn(
        "audit-sink-fails",
        "decisions are not recorded everywhere",
        complaint,
        &remedies.join("; "),
    );
}
