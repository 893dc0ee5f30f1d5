//! The status, read from what is owned above the actors: it asks none of them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use verdict::reason::Reason;
use verdict::time::Now;

use super::{
    AuditView, Decisions, Denial, DescriptorsView, FailingSink, Failure, FullDoor, HealthView,
    LostView, Place, Policies, Process, ProxyView, SCHEMA, StateDirView, Status, TrustView,
    configuration,
};
use crate::admin::denials::Denied;
use crate::admin::rates::{answers, totals};
use crate::admin::{Subject, rates};
use crate::audit::{Recording, hex, rfc3339};
use crate::cache::{Missing, Unkept};
use crate::descriptors::{self, Shortage};
use crate::doors::{Doors, Full, Lost, Proxies, Seen};
use crate::remedy::OUT_OF_DESCRIPTORS;
use crate::supervision::{ChildState, ChildStatus, Role};
use crate::trust::Why;

impl Status {
    /// What is so now.
    pub(in crate::admin) fn of(subject: &Subject) -> Self {
        let doors = &subject.doors;
        let now = doors.clock.now();
        let denials = doors.denials.newest_first();
        let exports = subject.exports.get();
        let tree = subject
            .tree
            .get()
            .map(|tree| tree.snapshot())
            .unwrap_or_default();
        Self {
            schema: SCHEMA,
            time: rfc3339(now.wall_ms),
            process: process(subject, now),
            health: health(subject),
            requests: Some(doors.requests_meet()),
            trust: TrustView::of(&doors.judge.trust, now),
            audit: Some(audit(&doors.health.recording())),
            state_dir: state_dir(doors),
            telemetry: exports.map_or_else(Vec::new, |exports| exports.misread.clone()),
            undelivered: exports.map_or_else(Vec::new, |exports| (exports.undelivered)()),
            decisions: decisions(subject),
            proxies: proxies(&doors.proxies, now),
            full_doors: doors.places.full().iter().map(FullDoor::from).collect(),
            denials: shown(denials, doors.judge.trust.why()),
            policies: Policies::of(&doors.configured, &doors.metrics),
            configuration: configuration::in_force(&doors.configured),
            tree: tree.into_iter().map(Place::from).collect(),
        }
    }
}

fn process(subject: &Subject, now: Now) -> Process {
    let started = subject.started;
    let settings = subject.doors.configured.settings();
    let lost = subject.doors.health.socket_lost();
    Process {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        }
        .to_owned(),
        target: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
        pid: std::process::id(),
        started: rfc3339(started.wall_ms),
        uptime_ms: since(started.boot_ms, now),
        socket: Some(settings.agent().socket.value.to_string()),
        config: settings.file_name().map(absolute),
        spire_socket: Some(settings.spire_socket().value.to_string()),
        socket_gone: lost.is_some(),
        socket_lost: lost.as_ref().map(LostView::from),
        descriptors: descriptors::shortage(settings).map(DescriptorsView::from),
    }
}

impl From<&Lost> for LostView {
    fn from(lost: &Lost) -> Self {
        Self {
            taken: matches!(lost, Lost::Taken(_)),
            error: lost.to_string(),
            remedy: lost.remedy().to_owned(),
        }
    }
}

impl From<Shortage> for DescriptorsView {
    fn from(Shortage { limit, needed }: Shortage) -> Self {
        let remedy = OUT_OF_DESCRIPTORS.to_owned();
        Self {
            limit,
            needed,
            remedy,
        }
    }
}

impl From<&Full> for FullDoor {
    fn from(full: &Full) -> Self {
        Self {
            door: full.door.to_owned(),
            places: full.places,
            error: full.to_string(),
            remedy: Full::REMEDY.to_owned(),
        }
    }
}

/// Told to somebody who stands in another directory.
fn absolute(path: &str) -> String {
    let whole = std::path::absolute(path);
    whole.map_or_else(|_| path.to_owned(), |whole| whole.display().to_string())
}

/// Milliseconds since this boot-time moment.
pub(super) fn since(boot_ms: i64, now: Now) -> u64 {
    u64::try_from(now.boot_ms.saturating_sub(boot_ms)).unwrap_or_default()
}

fn health(subject: &Subject) -> HealthView {
    let board = subject.doors.health.process();
    let readiness = board.readiness();
    HealthView {
        state: board.health().as_str().to_owned(),
        live: board.heartbeat().is_alive(),
        ready: readiness.is_ready(),
        readiness: readiness.as_str().to_owned(),
    }
}

fn audit(recording: &Recording) -> AuditView {
    let failing = recording.troubles.iter().map(|trouble| FailingSink {
        sink: trouble.sink.clone(),
        error: trouble.error.clone(),
        remedy: trouble.remedy.clone(),
        for_ms: millis(trouble.since.elapsed()),
    });
    let stuck = recording.stuck.as_ref();
    AuditView {
        on_full: recording.on_full.as_str().to_owned(),
        refuses: recording.refuses,
        stuck_ms: stuck.map(|stuck| millis(stuck.lasts)),
        stuck_sink: stuck.map(|stuck| stuck.sink.to_string()),
        stuck_remedy: stuck.map(|stuck| stuck.remedy.to_owned()),
        shared: recording.shared.iter().map(ToString::to_string).collect(),
        failing: failing.collect(),
        complaint: recording.complaint(),
    }
}

fn state_dir(doors: &Doors) -> Option<StateDirView> {
    let dir = doors.configured.settings().agent().state_dir.as_ref()?;
    let trouble = doors.health.keeping().trouble();
    let trouble = trouble.as_ref();
    Some(StateDirView {
        path: dir.value.display().to_string(),
        failures: trouble.map_or(0, |one| one.failures),
        for_ms: trouble.map(|one| millis(one.lasts())),
        complaint: trouble.map(Unkept::complaint),
        error: trouble.map(Unkept::what),
        remedy: trouble.map(Unkept::to_do),
        refusal_missing: trouble.is_some_and(|one| one.missing == Missing::Refusal),
    })
}

fn proxies(proxies: &Proxies, now: Now) -> Vec<ProxyView> {
    let rows = proxies.snapshot().into_iter();
    let view = |seen: Seen| ProxyView {
        name: seen.name,
        version: seen.version,
        open: seen.open,
        connections: seen.connections,
        last_ms: since(seen.last.boot_ms, now),
    };
    rows.map(view).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn decisions(subject: &Subject) -> Decisions {
    let metrics = &subject.doors.metrics;
    let mut allowed = BTreeMap::new();
    let mut denied = BTreeMap::new();
    let labels = Reason::ALL.map(Reason::as_str);
    for (name, count) in answers().into_iter().zip(totals(metrics)) {
        let by = if labels.contains(&name) {
            &mut denied
        } else {
            &mut allowed
        };
        by.insert(name.to_owned(), count);
    }
    let series = subject.rates.series().into_iter();
    let per_second =
        series.map(|rates::Series { answer, per_second }| (answer.to_owned(), per_second));
    Decisions {
        allowed,
        denied,
        seconds: subject.rates.seconds(),
        per_second: per_second.collect(),
        memory_hits: metrics.memory_hits.load(Ordering::Relaxed),
        memory_misses: metrics.memory_misses.load(Ordering::Relaxed),
        audit_dropped: metrics.audit_dropped.load(Ordering::Relaxed),
        untrusted_proxy: metrics.untrusted_proxy.load(Ordering::Relaxed),
    }
}

/// Denials, each with what to do about it: while SPIRE is away, about why it is.
fn shown(denials: Vec<Denied>, why: Option<Why>) -> Vec<Denial> {
    let remedy = why
        .map(|why| why.remedy)
        .filter(|remedy| !remedy.is_empty());
    let mut shown: Vec<Denial> = denials.into_iter().map(Denial::from).collect();
    let unavailable = Reason::TrustUnavailable.as_str();
    if let Some(remedy) = remedy {
        for denial in shown.iter_mut().filter(|one| one.reason == unavailable) {
            denial.advice.clone_from(&remedy);
        }
    }
    shown
}

impl From<Denied> for Denial {
    fn from(denied: Denied) -> Self {
        Self {
            time: rfc3339(denied.at.wall_ms),
            verdict: if denied.status.is_some() {
                "deny"
            } else {
                "allow"
            }
            .to_owned(),
            status: denied.status,
            reason: denied.reason.as_str().to_owned(),
            advice: denied.reason.advice_on(&denied.rule).to_owned(),
            rule: denied.rule,
            spiffe_id: denied.spiffe_id,
            matched_rule: denied.matched,
            leaf_sha256: denied.leaf_sha256.map(|hash| hex(&hash)),
            request_id: denied.request_id,
            correlation_id: denied.correlation_id,
            client_ip: denied.client_ip,
            proxy: denied.proxy,
            door: denied.door.to_owned(),
        }
    }
}

impl From<ChildStatus> for Place {
    fn from(child: ChildStatus) -> Self {
        let role = match child.role {
            Role::Supervisor => "supervisor",
            Role::Permanent => "permanent",
            Role::Temporary => "temporary",
        };
        let state = match child.state {
            ChildState::Starting => "starting",
            ChildState::Running => "running",
            ChildState::Restarting => "restarting",
            ChildState::GivenUp => "given_up",
            ChildState::Stopped => "stopped",
        };
        Self {
            path: child.path.to_string(),
            role: role.to_owned(),
            state: state.to_owned(),
            alive: child.alive,
            restarts: child.restarts,
            failures: child.failures,
            last_failure: child.last_failure.map(|failure| Failure {
                at_ms: failure.at_ms,
                cause: failure.cause.to_string(),
            }),
        }
    }
}
