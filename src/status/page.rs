//! A status on one screen.

use std::collections::BTreeMap;

use actors::admin::status::{
    Decisions, Denial, DescriptorsView, Domain, Place, Policies, Process, Status, TrustView,
};
use serde::Serialize;

use crate::output::{BAD, DOUBTFUL, FAINT, GOOD, Page, Report, STRONG, clean, counted};
use crate::when::{relative, span};

/// Denials on the screen.
const DENIALS: usize = 5;
/// Trust domains on the screen.
const DOMAINS: usize = 12;
/// Seconds that the rate is taken over.
const RATE_SECONDS: usize = 10;

/// What is shown.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Shown<'a> {
    pub(super) status: &'a Status,
    /// What its file says otherwise.
    #[serde(skip)]
    pub(super) edited: Option<String>,
}

impl Report for Shown<'_> {
    fn write(&self, page: &mut Page) {
        let status = self.status;
        let process = &status.process;
        let up = span(process.uptime_ms);
        let (version, pid, which) = (clean(&process.version), process.pid, which(process));
        page.line(format_args!(
            "{STRONG}sentinel-spiffe-agent{STRONG:#} {version} pid {pid} up {up}{which}"
        ));
        health(status, page);
        complaint("config", self.edited.as_deref(), true, page);
        trust(status, page);
        at_the_door(status, page);
        barren(&status.trust, page);
        foreign(&status.trust, page);
        unusable(&status.trust, page);
        audit(status, page);
        state_dir(status, page);
        for said in status.telemetry.iter().chain(&status.undelivered) {
            complaint("exports", Some(said), false, page);
        }
        proxies(status, page);
        refused_push(&status.policies, page);
        decisions(&status.decisions, page);
        for domain in status.trust.domains.iter().take(DOMAINS) {
            write_domain(domain, &status.time, page);
        }
        for place in status
            .tree
            .iter()
            .filter(|place| place.restarts > 0 || place.state != "running")
        {
            write_place(place, page);
        }
        if !status.denials.is_empty() {
            page.line(format_args!("{STRONG}last denials{STRONG:#}"));
        }
        for denial in status.denials.iter().take(DENIALS) {
            write_denial(denial, page);
        }
    }
}

/// What the log says once, for whoever looks later: why who connects now is not heard, or will not be.
fn at_the_door(status: &Status, page: &mut Page) {
    if let Some(lost) = &status.process.socket_lost {
        let said = format!("{}; {}", lost.error, lost.remedy);
        complaint("socket", Some(&said), true, page);
    }
    for full in &status.full_doors {
        let said = format!("{}; {}", full.error, full.remedy);
        complaint("door", Some(&said), true, page);
    }
    if let Some(few) = &status.process.descriptors {
        let DescriptorsView {
            limit,
            needed,
            remedy,
        } = few;
        let said = format!(
            "{limit} descriptors at most, and {needed} may be needed: once they are gone nobody new is heard \
             and SPIRE cannot be asked; {remedy}"
        );
        complaint("files", Some(&said), false, page);
    }
}

/// Which agent this is: another may have the admin address.
fn which(process: &Process) -> String {
    let mut which = String::new();
    for (name, told) in [
        ("socket", &process.socket),
        ("config", &process.config),
        ("SPIRE", &process.spire_socket),
    ] {
        if let Some(told) = told {
            which.push_str(&format!(", {name} {}", clean(told)));
        }
    }
    which
}

fn health(status: &Status, page: &mut Page) {
    let health = &status.health;
    let style = match health.state.as_str() {
        "healthy" => GOOD,
        "degraded" => DOUBTFUL,
        _ => BAD,
    };
    let ready = if health.ready { "ready" } else { "not ready" };
    let (state, why) = (clean(&health.state), clean(&health.readiness));
    page.line(format_args!(
        "health   {style}{state}{style:#}, {ready}: {why}"
    ));
    if let Some(requests) = &status.requests {
        page.line(format_args!("requests {}", clean(requests)));
    }
}

fn trust(status: &Status, page: &mut Page) {
    let trust = &status.trust;
    let style = match trust.state.as_str() {
        "Live" => GOOD,
        "Interrupted" | "Starting" => DOUBTFUL,
        _ => BAD,
    };
    let (state, since) = (clean(&trust.state), span(trust.for_ms));
    let at_hand = at_hand(trust);
    page.line(format_args!(
        "SPIRE    {style}{state}{style:#} for {since}, {at_hand}"
    ));
    for (label, words) in [("because", &trust.error), ("to do", &trust.remedy)] {
        if let Some(words) = words {
            page.line(format_args!("{label:<8} {}", clean(words)));
        }
    }
    if let Some(refused) = &trust.refused {
        let (error, remedy) = (clean(&refused.error), clean(&refused.remedy));
        page.line(format_args!("refused  {BAD}{error}{BAD:#}"));
        page.line(format_args!("to do    {remedy}"));
    }
    if let Some(missing) = &trust.missing {
        let (error, remedy) = (clean(&missing.error), clean(&missing.remedy));
        page.line(format_args!("missing  {DOUBTFUL}{error}{DOUBTFUL:#}"));
        page.line(format_args!("to do    {remedy}"));
    }
}

/// The bundles there are, from SPIRE or from the disk, and how old.
fn at_hand(trust: &TrustView) -> String {
    if trust.domains_total == 0 {
        return "no bundles".to_owned();
    }
    let domains = counted(trust.domains_total, "trust domain", "trust domains");
    match (trust.age_ms, trust.state.as_str()) {
        (None, _) => format!("{domains}, confirmed in the future: was the clock set back?"),
        (Some(ms), "Starting") => {
            format!("{domains} from the disk, confirmed {} ago", span(ms))
        }
        (Some(ms), _) => format!("{domains}, confirmed {} ago", span(ms)),
    }
}

/// Of whom nobody can be verified, though SPIRE may be there.
fn barren(trust: &TrustView, page: &mut Page) {
    for one in &trust.barren {
        let (name, error) = (clean(&one.trust_domain), clean(&one.error));
        page.line(format_args!(
            "nobody   {BAD}of {name} is verified{BAD:#}: {error}"
        ));
        page.line(format_args!("to do    {}", clean(&one.remedy)));
    }
    let more = trust.barren_total.saturating_sub(trust.barren.len());
    if more > 0 {
        page.line(format_args!("nobody   {BAD}of {more} more{BAD:#}"));
    }
}

/// Bundles of other trust domains than the policy names: SPIRE may be the wrong one.
fn foreign(trust: &TrustView, page: &mut Page) {
    if let Some(why) = &trust.foreign {
        let (error, remedy) = (clean(&why.error), clean(&why.remedy));
        page.line(format_args!(
            "nobody   {BAD}whom the policy allows can be verified{BAD:#}: {error}"
        ));
        page.line(format_args!("to do    {remedy}"));
    }
}

/// What of SPIRE's updates cannot be used.
fn unusable(trust: &TrustView, page: &mut Page) {
    if let Some(fault) = &trust.discarded {
        let (since, error) = (span(fault.for_ms), clean(&fault.error));
        page.line(format_args!(
            "updates  {DOUBTFUL}discarded for {since}{DOUBTFUL:#}: {error}"
        ));
    }
    for one in &trust.unreadable {
        let (key, error, since) = (
            clean(&one.key),
            clean(&one.fault.error),
            span(one.fault.for_ms),
        );
        let meanwhile = match one.kept {
            true => "the one before counts until cache-ttl",
            false => "there is none before, so its callers are refused",
        };
        page.line(format_args!(
            "bundle   {DOUBTFUL}of {key} cannot be read{DOUBTFUL:#}, for {since}; {meanwhile}: {error}"
        ));
    }
    let more = trust
        .unreadable_total
        .saturating_sub(trust.unreadable.len());
    if more > 0 {
        page.line(format_args!(
            "bundle   {DOUBTFUL}nor {more} more{DOUBTFUL:#}"
        ));
    }
}

fn audit(status: &Status, page: &mut Page) {
    if let Some(audit) = &status.audit {
        complaint("records", audit.complaint.as_deref(), audit.refuses, page);
    }
}

fn state_dir(status: &Status, page: &mut Page) {
    if let Some(dir) = &status.state_dir {
        complaint("disk", dir.complaint.as_deref(), dir.refusal_missing, page);
    }
}

fn complaint(of: &str, said: Option<&str>, is_bad: bool, page: &mut Page) {
    if let Some(said) = said {
        let style = if is_bad { BAD } else { DOUBTFUL };
        page.line(format_args!("{of:<8} {style}{}{style:#}", clean(said)));
    }
}

fn proxies(status: &Status, page: &mut Page) {
    let told = status.proxies.iter().map(|proxy| {
        let (name, version) = (clean(&proxy.name), clean(&proxy.version));
        let open = usize::try_from(proxy.open).unwrap_or(usize::MAX);
        let open = counted(open, "connection", "connections");
        format!("{name} {version}, {open}")
    });
    let told: Vec<String> = told.collect();
    if !told.is_empty() {
        page.line(format_args!("proxies  {}", told.join("; ")));
    }
}

/// Its proxy was told, and its connections have what they had before: perhaps nothing.
fn refused_push(policies: &Policies, page: &mut Page) {
    let Some(push) = &policies.refused_push else {
        return;
    };
    let (proxy, reason, ago) = (clean(&push.proxy), clean(&push.reason), span(push.ago_ms));
    let total = push.total;
    page.line(format_args!(
        "pushes   {BAD}{total} refused{BAD:#}, the last from {proxy}, {ago} ago: {reason}; correct the proxy's config block"
    ));
}

fn decisions(decisions: &Decisions, page: &mut Page) {
    let allowed: u64 = decisions.allowed.values().sum();
    let denied: u64 = decisions.denied.values().sum();
    let mut recent: u64 = 0;
    for seconds in decisions.per_second.values() {
        recent = recent.saturating_add(seconds.iter().rev().take(RATE_SECONDS).sum());
    }
    let rate = recent / RATE_SECONDS as u64;
    page.line(format_args!(
        "asked    {allowed} allowed, {denied} denied, {rate}/s over the last {RATE_SECONDS} s"
    ));
    if decisions
        .allowed
        .keys()
        .any(|how| is_unverified(decisions, how))
    {
        page.line(format_args!("allowed  {}", most_first(&decisions.allowed)));
    }
    if denied > 0 {
        page.line(format_args!("denied   {}", most_first(&decisions.denied)));
    }
    for (count, what) in [
        (decisions.audit_dropped, "audit records lost"),
        (
            decisions.untrusted_proxy,
            "connections of untrusted proxies closed",
        ),
    ] {
        if count > 0 {
            page.line(format_args!("{BAD}{count} {what}{BAD:#}"));
        }
    }
}

/// Whether anybody passed in this way, and without an identity that is worth something.
fn is_unverified(decisions: &Decisions, how: &str) -> bool {
    let passed = decisions.allowed.get(how).is_some_and(|count| *count > 0);
    passed && how.starts_with("unverified")
}

/// Each count but zero, by its name.
fn most_first(counts: &BTreeMap<String, u64>) -> String {
    let mut told: Vec<_> = counts.iter().filter(|(_, count)| **count > 0).collect();
    told.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let told = told.iter().map(|(name, n)| format!("{} {n}", clean(name)));
    told.collect::<Vec<_>>().join(", ")
}

fn write_domain(domain: &Domain, time: &str, page: &mut Page) {
    let now_ms = crate::when::parse(time).unwrap_or_default();
    let usable = domain
        .authorities
        .iter()
        .filter(|one| one.unusable.is_none());
    let last = usable.map(|one| one.not_after).max();
    let (style, ends) = match last {
        None => (BAD, "no usable authority".to_owned()),
        Some(last) => (
            GOOD,
            format!("its last authority ends {}", relative(last, now_ms)),
        ),
    };
    let name = clean(&domain.trust_domain);
    let count = counted(domain.authorities_total, "authority", "authorities");
    let standing = clean(&domain.standing);
    page.line(format_args!(
        "  {name}  {count}, {standing}, {style}{ends}{style:#}"
    ));
}

fn write_place(place: &Place, page: &mut Page) {
    let style = if place.state == "running" {
        DOUBTFUL
    } else {
        BAD
    };
    let (path, state, restarts) = (clean(&place.path), clean(&place.state), place.restarts);
    let cause = place
        .last_failure
        .as_ref()
        .map(|failure| clean(&failure.cause));
    page.line(format_args!(
        "{style}part{style:#}     {path} {state}, {restarts} restarts {}",
        cause.unwrap_or_default()
    ));
}

fn write_denial(denial: &Denial, page: &mut Page) {
    let who = denial.spiffe_id.as_deref().unwrap_or("-");
    page.line(format_args!(
        "  {} {BAD}{}{BAD:#} {} {FAINT}{}{FAINT:#}",
        clean(&denial.time),
        clean(&denial.reason),
        clean(who),
        clean(&denial.rule)
    ));
    page.line(format_args!("    do {}", clean(&denial.advice)));
}
