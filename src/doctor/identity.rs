//! Whether the agent that answers at the admin address is the one that was asked about.

use std::net::SocketAddr;

use actors::admin::status::Status;
use config::Settings;

use super::finding::{Examination, Severity};

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
    let other = !same(socket, &ours);
    let spire = settings.spire_socket().value.to_string();
    let told = process.spire_socket.as_deref();
    let mut differs = Vec::new();
    if other {
        differs.push(format!("its socket is {socket}, not {ours}"));
    }
    if let Some(told) = told.filter(|told| !same(told, &spire)) {
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

/// Whether two paths lead to one file.
fn same(one: &str, other: &str) -> bool {
    let real = |path: &str| std::fs::canonicalize(path).ok();
    one == other || real(one).is_some_and(|path| real(other) == Some(path))
}
