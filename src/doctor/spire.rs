//! SPIRE itself: whether it answers, knows us, and gives what the policy needs, in time.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use actors::bundles::loss::End;
use actors::bundles::obstacle::Obstacle;
use actors::cache;
use actors::clock::{Clock, ToldClock};
use config::{NamedTimings, Settings};
use verdict::anchors::Barren;
use verdict::availability::Loss;
use verdict::id::SpiffeId;
use verdict::policy::PolicySpec;
use verdict::time::Age;

use super::finding::Examination;
use crate::inspect::{self, Authority, BundleShown, Inspected, SvidShown};
use crate::output::counted;
use crate::when::{relative, span};

/// SPIRE dates what it issues a little back; a clock further off is wrong.
const CLOCK_TOLERANCE_S: i64 = 5;

/// An authority that ends sooner should have a successor by now.
const ENDS_SOON_S: i64 = 2 * 3_600;

/// Authorities of one bundle, told of in one finding.
const LISTED_MAX: usize = 4;

/// Trust domains named in one finding.
const DOMAINS_SEEN: usize = 4;

/// SPIRE's default is an hour; a stolen key is good for as long as its SVID.
pub(super) const LONG_LIFETIME_S: i64 = 24 * 3_600;

pub(super) async fn look(settings: &Settings, examination: &mut Examination) {
    let socket = settings.spire_socket().value.as_path();
    let timings = settings.timings(&NamedTimings::default());
    let received = inspect::once(socket, Duration::from_millis(timings.api_timeout_ms)).await;
    if let Err(end) = &received.bundles {
        unanswered(end, socket, examination);
    }
    let inspected = Inspected::of(socket, &received, examination.now);
    match received.discarded(examination.now) {
        Some(end) => discarded(&end, &inspected, examination),
        None if received.bundles.is_ok() => answered(&inspected, settings, examination),
        None => {}
    }
    for svid in &inspected.svids {
        own(svid, inspected.at, examination);
    }
    on_disk(settings, socket, examination);
}

fn unanswered(end: &End, socket: &Path, examination: &mut Examination) {
    // What is wrong with the socket is said where sockets are looked at.
    if end.loss == Loss::Transport && std::os::unix::net::UnixStream::connect(socket).is_err() {
        return;
    }
    let code = match end.obstacle {
        Obstacle::NotRegistered => "not-registered",
        Obstacle::Silent => "spire-silent",
        Obstacle::NoWorkloadApi | Obstacle::NotUnderstood => "spire-not-understood",
        _ => "spire-broken",
    };
    let said = inspect::why(end);
    examination.problem(code, end.obstacle.what(), &said, &end.obstacle.remedy());
}

/// SPIRE answers, and an agent takes none of it. What one that runs still holds is not for this answer to
/// say, and so not whom it lacks.
fn discarded(end: &End, inspected: &Inspected, examination: &mut Examination) {
    let code = match end.obstacle {
        Obstacle::Empty => "no-bundles",
        _ => "update-discarded",
    };
    let evidence = format!(
        "{}: a running agent discards it: it is an outage, in which spire-unavailable decides, by the bundles that it has, if any",
        end.detail
    );
    examination.problem(code, end.obstacle.what(), &evidence, &end.obstacle.remedy());
    if end.obstacle == Obstacle::NoneReadable {
        for bundle in &inspected.bundles {
            authorities(bundle, inspected.at, examination);
        }
    }
}

fn answered(inspected: &Inspected, settings: &Settings, examination: &mut Examination) {
    let count = inspected.bundles.len();
    let domains = counted(count, "trust domain", "trust domains");
    examination.well(format!("SPIRE answers, with {domains}"));
    for bundle in &inspected.bundles {
        authorities(bundle, inspected.at, examination);
    }
    if let Some(policy) = settings.policy() {
        let delivered = inspected
            .bundles
            .iter()
            .map(|bundle| bundle.trust_domain.as_str());
        unfederated(policy, &delivered.collect(), examination);
    }
}

fn authorities(bundle: &BundleShown, at: i64, examination: &mut Examination) {
    let domain = bundle.trust_domain.as_str();
    if let Some(error) = &bundle.error {
        let fix = "the domain's SPIRE publishes something that is no bundle: tell its operator";
        examination.problem(
            "bundle-unreadable",
            &format!("the bundle of {domain} cannot be read"),
            error,
            fix,
        );
        return;
    }
    let usable: Vec<&Authority> = bundle
        .authorities
        .iter()
        .filter(|one| one.error.is_none())
        .collect();
    if usable.is_empty() {
        let errors = bundle
            .authorities
            .iter()
            .filter_map(|one| one.error.as_deref());
        let evidence = listed(&errors.collect::<Vec<_>>());
        // Of one that begins later the clock is doubted: a new one would begin later still.
        let fix = match bundle.authorities.iter().any(|one| one.not_before > at) {
            true => Barren::NotYetValid { seconds_ahead: 0 }.remedy(),
            false => {
                "rotate that domain's authority (spire-server localauthority x509), or mend the federation"
            }
        };
        let what =
            format!("no SVID of {domain} can be verified: no authority of its bundle is usable");
        examination.problem("bundle-unusable", &what, &evidence, fix);
    } else if usable.iter().all(|one| one.not_after - at < ENDS_SOON_S) {
        let last = usable.iter().map(|one| one.not_after).max().unwrap_or(at);
        let what =
            format!("the last authority of {domain} ends within two hours, and no other follows");
        let fix = "prepare and activate a new authority (spire-server localauthority x509)";
        let evidence = format!("ends {}", relative(last, at.saturating_mul(1_000)));
        examination.warn("authority-ending", &what, &evidence, fix);
    }
    let ahead = bundle
        .authorities
        .iter()
        .map(|one| one.not_before - at)
        .max();
    behind(
        ahead.unwrap_or_default(),
        &format!("an authority of {domain}"),
        examination,
    );
}

/// The first few, and how many more there are.
fn listed(all: &[&str]) -> String {
    let shown = all.get(..LISTED_MAX).unwrap_or(all).join("; ");
    match all.len().saturating_sub(LISTED_MAX) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// What was just issued and begins later shows a clock that is slow.
fn behind(ahead_s: i64, what: &str, examination: &mut Examination) {
    if ahead_s > CLOCK_TOLERANCE_S
        && !examination
            .findings
            .iter()
            .any(|one| one.code == "clock-behind")
    {
        examination.problem(
            "clock-behind",
            "this machine's clock is behind SPIRE's",
            &format!("{what} begins {ahead_s} s from now"),
            "synchronize the clocks (timedatectl, chronyc tracking)",
        );
    }
}

/// Trust domains that the allowlist names and SPIRE does not deliver.
fn unfederated(policy: &PolicySpec, delivered: &BTreeSet<&str>, examination: &mut Examination) {
    let list = policy.allowlist.spec();
    let entries = list
        .exact
        .iter()
        .chain(&list.prefix)
        .chain(&list.trust_domains);
    let mut missing = BTreeSet::new();
    let mut is_any_there = false;
    for entry in entries {
        let rest = entry.strip_prefix("spiffe://").unwrap_or(entry);
        let domain = rest.split('/').next().unwrap_or_default();
        match delivered.contains(format!("spiffe://{domain}").as_str()) {
            true => is_any_there = true,
            false => _ = missing.insert(domain),
        }
    }
    // Whoever asks another SPIRE than he means finds none of his own.
    let doubt = match is_any_there {
        true => "",
        false => "is this the right SPIRE? --spire-socket says which; if it is: ",
    };
    let seen: Vec<&str> = delivered.iter().take(DOMAINS_SEEN).copied().collect();
    let seen = seen.join(", ");
    for domain in missing {
        examination.problem(
            "domain-not-delivered",
            &format!("the allowlist names {domain}, and SPIRE delivers no bundle of it"),
            &format!("its callers meet UNKNOWN_TRUST_DOMAIN; delivered: {seen}"),
            &format!(
                "{doubt}federate with it, and add -federatesWith {domain} to this agent's own entry"
            ),
        );
    }
}

fn own(svid: &SvidShown, at: i64, examination: &mut Examination) {
    let id = match SpiffeId::parse(svid.spiffe_id.as_bytes()) {
        Ok(id) => id.to_string(),
        Err(_) => "our own SVID".to_owned(),
    };
    if let Some(error) = &svid.error {
        let fix = "fix the issuer: its own SVID would be refused as NOT_AN_SVID";
        examination.warn(
            "svid-unreadable",
            &format!("{id} is no X.509-SVID"),
            error,
            fix,
        );
    }
    let (Some(from), Some(to)) = (svid.not_before, svid.not_after) else {
        return;
    };
    behind(from - at, &id, examination);
    if to < at {
        let evidence = format!("{id} ended {}", relative(to, at.saturating_mul(1_000)));
        let fix = "is the clock right? else the SPIRE agent has lost its server: look at its log";
        examination.problem(
            "svid-expired",
            "SPIRE hands out an expired SVID",
            &evidence,
            fix,
        );
    }
    long_lived(&id, to - from, examination);
}

pub(super) fn long_lived(id: &str, lifetime_s: i64, examination: &mut Examination) {
    if lifetime_s > LONG_LIFETIME_S {
        let lifetime = span(lifetime_s.unsigned_abs().saturating_mul(1_000));
        examination.warn(
            "svid-long-lived",
            "an SVID lives longer than a day: nothing revokes it before its end",
            &format!("{id} lives {lifetime}"),
            "shorten it: -x509SVIDTTL on its entry, or default_x509_svid_ttl of the server",
        );
    }
}

/// What may be wrong with the directory itself: what lies in it is then no news.
const OF_THE_DIRECTORY: [&str; 4] = [
    "state-dir",
    "state-dir-open",
    "state-dir-foreign",
    "state-unwritable",
];

/// What a restart would find.
fn on_disk(settings: &Settings, socket: &Path, examination: &mut Examination) {
    let Some(dir) = &settings.agent().state_dir else {
        return;
    };
    let boot_id = Clock::system().boot_id().unwrap_or_default().to_owned();
    let clock = Clock::Told(ToldClock::new(examination.now, &boot_id));
    let (loaded, why) = cache::look(&dir.value, socket, &clock);
    let shown = dir.value.display();
    writable(&dir.value, examination);
    let failure = settings.policy().map(|policy| policy.failure);
    let ttl_ms = failure.unwrap_or_default().cache_ttl_ms();
    match (why, loaded.snapshot.contact()) {
        // It is the directory itself, which was told with its remedy.
        (Some(_), _) if examination.has_any(&OF_THE_DIRECTORY) => {}
        (Some((why, fix)), _) => examination.warn(
            "state-unusable",
            "a restart during an outage would find no bundles",
            &format!("{shown}: {why}"),
            fix,
        ),
        (None, Some(contact)) => match contact.age(examination.now) {
            Age::Ms(age_ms) if age_ms > ttl_ms => examination.warn(
                "state-too-old",
                "the bundles on disk are past cache-ttl: a restart during an outage would verify nobody",
                &format!(
                    "{shown}: confirmed {} ago, cache-ttl is {}",
                    span(age_ms),
                    span(ttl_ms)
                ),
                "bring SPIRE back, or the agent: what it confirms it writes there; a longer cache-ttl outlasts longer outages",
            ),
            Age::Ms(age_ms) => {
                examination.well(format!(
                    "bundles in {shown} were confirmed {} ago",
                    span(age_ms)
                ));
            }
            Age::InTheFuture => examination.problem(
                "clock-set-back",
                "bundles on disk are from the future: the clock was set back",
                &shown.to_string(),
                "synchronize the clock; the next answer of SPIRE replaces them",
            ),
        },
        (None, None) => {}
    }
}

/// Whether a file can be made where bundles are kept: modes and mounts both have a say, so one is made.
fn writable(dir: &Path, examination: &mut Examination) {
    // What is no directory is told of by the look at what lies in it.
    if !dir.is_dir() {
        return;
    }
    let probe = dir.join(format!(".doctor.{}", std::process::id()));
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)
        .and_then(|mut file| file.write_all(b"probe"));
    // Not there if it could not be made.
    let _ = std::fs::remove_file(&probe);
    if let Err(error) = made {
        let uid = rustix::process::geteuid().as_raw();
        // What was seen of its mode says less than what was tried.
        examination.withdraw("state-dir");
        examination.warn(
            "state-unwritable",
            "bundles cannot be kept on disk: a restart during an outage would find none, or old ones",
            &format!("{}, as uid {uid}: {error}", dir.display()),
            &format!("{}; run this as the agent's user", cache::of_directory(&error)),
        );
    }
}
