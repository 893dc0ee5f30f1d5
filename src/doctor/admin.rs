//! The admin listener: whether it answers, and what it says of readiness.

use std::net::SocketAddr;

use actors::admin::status::{AuditView, Status};
use actors::audit::MEANWHILE;
use config::{AdminAddress, Settings};
use verdict::reason::Reason;

use super::alike::{Alike, Example};
use super::finding::Examination;
use super::sockets::AGENT_SILENT;
use super::unread::{self, Unread};
use super::{identity, meets, proxies};
use crate::status::ask;

/// What the admin listener answered to the first question, if there is one.
pub(super) struct Asked(Option<(SocketAddr, Result<Status, Unread>)>);

impl Asked {
    pub(super) fn status(&self) -> Option<&Status> {
        let (_, read) = self.0.as_ref()?;
        read.as_ref().ok()
    }
}

pub(super) async fn ask(settings: &Settings) -> Asked {
    let AdminAddress::At(address) = settings.agent().admin.value else {
        return Asked(None);
    };
    let answer = ask::get(address, "/status").await;
    Asked(Some((address, unread::read(answer))))
}

pub(super) async fn look(settings: &Settings, asked: &Asked, examination: &mut Examination) {
    let Some((address, read)) = &asked.0 else {
        return;
    };
    let (address, status) = (*address, read.as_ref().ok());
    if status.is_some_and(|status| identity::is_other(status, settings, address, examination)) {
        return;
    }
    let readiness = ask::get(address, "/readyz").await;
    let is_agent = matches!(&readiness, Ok((status, body)) if *status == 200 || is_probe(body));
    match readiness {
        Ok((200, _)) => ready(address, status, examination),
        Ok((_, body)) if !is_probe(&body) => examination.warn(
            "admin-foreign",
            "what answers at the admin address is no agent",
            &format!("http://{address}/readyz is answered by something else"),
            "the agent's log says `no admin listener` and why; `ss -ltnp` says who has the address; name \
             another --admin-address",
        ),
        Ok((code, body)) => {
            let seen = format!("{code} of http://{address}/readyz: {}", ask::one_line(&body));
            meets::not_ready(seen, status, settings, examination);
        }
        // Of an agent that answers nobody that is no news.
        Err(_) if is_silent(examination) => {}
        Err(error) => examination.warn(
            "admin-down",
            "the admin listener does not answer",
            &format!("{error:#}"),
            "is the agent up, and was its address free when it started? its log says where it listens",
        ),
    }
    match read {
        Ok(status) => running(status, settings, examination),
        Err(why) if is_agent => unread::tell(why, address, examination).await,
        Err(_) => {}
    }
}

fn is_silent(examination: &Examination) -> bool {
    let mut findings = examination.findings.iter();
    findings.any(|finding| finding.code == AGENT_SILENT)
}

/// Whether it is an agent's word on its readiness: each ends so.
fn is_probe(body: &[u8]) -> bool {
    body.trim_ascii_end().ends_with(b"readyz check failed")
}

/// Readiness is no promise: a ready agent may refuse everybody, which is told with its remedy.
fn ready(address: SocketAddr, status: Option<&Status>, examination: &mut Examination) {
    let Some(status) = status else {
        return examination.well(format!("the agent is ready: {address}"));
    };
    if status.health.state == "healthy" {
        let requests = status.requests.as_deref().unwrap_or("not told");
        examination.well(format!(
            "the agent is ready: {address}; requests: {requests}"
        ));
    }
}

/// What the running agent says of itself.
fn running(status: &Status, settings: &Settings, examination: &mut Examination) {
    identity::edited(status, settings, examination);
    if status.policies.total > 0 {
        // One is in force, whatever is known of it here: a push's, or that of a file that was not named.
        examination.withdraw("no-policy");
    }
    if status
        .audit
        .as_ref()
        .is_some_and(|audit| audit.complaint.is_none())
    {
        // It has a collector: by variables that are set where it was started.
        examination.withdraw("sink-without-collector");
    }
    meets::look(status, examination);
    at_the_door(status, examination);
    untrusted(status, examination);
    if let Some(audit) = &status.audit {
        records(audit, examination);
    }
    denied(status, settings, examination);
    telemetry(status, examination);
    proxies::look(status, examination);
}

/// Why who connects now is not heard, or will not be.
fn at_the_door(status: &Status, examination: &mut Examination) {
    for full in &status.full_doors {
        examination.problem(
            "door-full",
            "a door has no place left: proxies that connect now wait, and their requests with them",
            &full.error,
            &full.remedy,
        );
    }
    if let Some(few) = &status.process.descriptors {
        let (limit, needed) = (few.limit, few.needed);
        examination.warn(
            "descriptors-few",
            "the agent may run out of file descriptors: then nobody new is heard and SPIRE cannot be asked",
            &format!("{limit} at most, and {needed} may be needed"),
            &few.remedy,
        );
    }
}

/// What the agent cannot follow of the variables that it was started with (ours may be others), and what
/// does not arrive.
fn telemetry(status: &Status, examination: &mut Examination) {
    if !status.telemetry.is_empty() {
        examination.warn(
            "telemetry-settings",
            "what the agent's OTEL_* variables ask for is not done, or not as they say",
            &status.telemetry.join("; "),
            "correct them where the agent is started (Environment= of the unit, env of the pod), and restart it; \
             the README's section on telemetry has what each may be",
        );
    }
    if !status.undelivered.is_empty() {
        examination.warn(
            "telemetry-undelivered",
            "telemetry does not reach its collector, and is lost; requests do not wait for it",
            &status.undelivered.join("; "),
            "start the collector, or name it by OTEL_EXPORTER_OTLP_ENDPOINT where the agent is started",
        );
    }
}

/// Whether somebody was closed unheard: if that is the proxy, nobody is served. Our own knock at the
/// socket may be among them.
fn untrusted(status: &Status, examination: &mut Examination) {
    let closed = status.decisions.untrusted_proxy;
    if closed == 0 {
        return;
    }
    let asked = status
        .decisions
        .allowed
        .values()
        .chain(status.decisions.denied.values());
    let asked: u64 = asked.sum();
    examination.warn(
        "untrusted-proxy",
        "connections were closed unheard: who connects is not in trusted-proxies",
        &format!("{closed} closed since the start, {asked} requests of others answered; a doctor whose user is not listed is counted too"),
        "the log names each: UNTRUSTED_PROXY, with uid and process; if it is your proxy: --trusted-proxy uid:UID, or trusted-proxies in the file",
    );
}

/// Whether most of the last minutes' requests are denied for one reason.
fn denied(status: &Status, settings: &Settings, examination: &mut Examination) {
    let decisions = &status.decisions;
    let sum = |name: &String| -> u64 {
        let seconds = decisions.per_second.get(name);
        seconds.map_or(0, |seconds| seconds.iter().sum())
    };
    let all = decisions.allowed.keys().chain(decisions.denied.keys());
    let of = all.map(sum).sum();
    for (name, reason) in Reason::ALL.map(|reason| (reason.as_str().to_owned(), reason)) {
        // The newest comes first.
        let example = status.denials.iter().find(|denial| denial.reason == name);
        let alike = Alike {
            reason,
            example: example.map(Example::from).unwrap_or_default(),
            denied: sum(&name),
            of,
            seen: "decisions",
        };
        alike.tell(settings, examination);
    }
}

fn records(audit: &AuditView, examination: &mut Examination) {
    let Some(complaint) = &audit.complaint else {
        return examination.well("the agent's records reach every sink");
    };
    let remedies = audit.failing.iter().map(|sink| sink.remedy.as_str());
    let remedies = remedies.chain(audit.stuck_remedy.as_deref());
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
    if audit.failing.is_empty() && audit.stuck_ms.is_none() {
        return examination.warn(
            "audit-file-shared",
            "another agent writes to a file of records, too",
            &audit.shared.join(", "),
            "give each agent a file of its own (audit.sink): audit verify takes two chains in one file for tampering; \
             an agent that is just stopping is none to worry about",
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
