//! Where records go, on this machine: whether there is room for more.

use std::path::Path;

use config::{OnFull, Settings, Sink};

use super::finding::{Examination, Severity};

/// A minute of records of an agent at a thousand requests a second; less is gone before anybody looks.
const ROOM_MIN_BYTES: u64 = 64 * 1024 * 1024;

/// File systems give room by the block, and this is the usual one: with less free there is none to give.
const FULL_BELOW_BYTES: u64 = 4 * 1024;

pub(super) fn look(settings: &Settings, examination: &mut Examination) {
    let on_full = settings.agent().on_full;
    for sink in &settings.agent().sinks {
        if let Sink::File(file) = sink {
            room(&file.path, on_full, examination);
        }
    }
}

fn room(path: &Path, on_full: OnFull, examination: &mut Examination) {
    let Some(free_bytes) = free_beside(path) else {
        return;
    };
    let directory = path.parent().unwrap_or(path).display();
    let evidence = format!("{}: {} KiB are free", path.display(), free_bytes / 1024);
    let fix = format!(
        "free space on the file system of {directory} (df {directory}), or give the sink rotate-bytes and keep"
    );
    // What the running agent does is its own to say; here it is what its on-full makes of it.
    let (severity, then) = match on_full {
        OnFull::Drop => (Severity::Warning, "records that do not fit are lost"),
        OnFull::Deny | OnFull::Block => (
            Severity::Problem,
            "requests whose record does not fit are refused (audit.on-full)",
        ),
    };
    if free_bytes < FULL_BELOW_BYTES {
        let what = format!("the disk of the records is full: {then}");
        examination.add(severity, "audit-disk-full", &what, &evidence, &fix);
    } else if free_bytes < ROOM_MIN_BYTES {
        let what = format!("the disk of the records is nearly full; once it is, {then}");
        examination.warn("audit-disk-low", &what, &evidence, &fix);
    }
}

/// What this user may still write there; `None` where it is no file, or nobody knows.
fn free_beside(path: &Path) -> Option<u64> {
    let is_file = path.metadata().map_or(true, |about| about.is_file());
    let at = path.parent().filter(|_| is_file)?;
    let found = rustix::fs::statvfs(at).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}
