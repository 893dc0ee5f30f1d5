//! Whether the agent that answers at the admin address is the one that was asked about.

use std::net::SocketAddr;

use actors::admin::status::Status;
use config::Settings;

use super::finding::{Examination, Severity};
use crate::edited::{Edited, READ_ONCE, same};

/// Whether it is another one: then what it says of itself says nothing of ours. One that does not tell is
/// taken at its word.
pub(super) fn is_other(
    status: &Status,
    settings: &Settings,
    address: SocketAddr,
    examination: &mut Examination,
) -> bool {
    let process = &status.process;
    let Some(socket) = &process.socket else {
        return false;
    };
    let ours = settings.agent().socket.value.to_string();
    // A file that names another socket now is its file all the same.
    let edited = Edited::of(status, settings).unwrap_or_default();
    let other = !same(socket, &ours) && !edited.says("agent.socket");
    let spire = settings.spire_socket().value.to_string();
    let told = process.spire_socket.as_deref();
    let mut differs = Vec::new();
    if other {
        differs.push(format!("its socket is {socket}, not {ours}"));
    }
    let elsewhere = |told: &&str| !same(told, &spire) && !edited.says("spire.socket");
    if let Some(told) = told.filter(elsewhere) {
        differs.push(format!("its SPIRE is at {told}, not {spire}"));
    }
    if let Some(file) = settings.file_name() {
        let told = process.config.as_deref();
        if told.is_none_or(|told| !same(told, file)) {
            let told = told.unwrap_or("none");
            differs.push(format!("its configuration file is {told}, not {file}"));
        }
    }
    if differs.is_empty() {
        return false;
    }
    let (severity, what) = match other {
        true => (
            Severity::Problem,
            "another agent has the admin address: nothing that it says is of the one asked about",
        ),
        false => (
            Severity::Warning,
            "the agent that runs has other settings than those asked about",
        ),
    };
    let evidence = format!("pid {} at {address}: {}", process.pid, differs.join("; "));
    let fix = "give doctor the running agent's own flags and file, or name the right --admin-address; an \
               agent that found its address taken says so in its log";
    examination.add(severity, "other-agent", what, &evidence, fix);
    other
}

/// Whether the file says what its agent runs with.
pub(super) fn edited(status: &Status, settings: &Settings, examination: &mut Examination) {
    let Some(edited) = Edited::of(status, settings) else {
        return;
    };
    // Whoever was taken off a list since is let in.
    let severity = match edited.policy {
        true => Severity::Problem,
        false => Severity::Warning,
    };
    let file = settings.file_name().unwrap_or_default();
    let (pid, started) = (status.process.pid, &status.process.started);
    examination.add(
        severity,
        "config-not-in-force",
        "the configuration file is not what the agent runs with: it was edited after the agent's start",
        &format!("{file}; pid {pid}, started {started}: {}", edited.told()),
        &format!("{READ_ONCE}, or put the file back as it was"),
    );
}
