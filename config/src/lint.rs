//! What is right by the rules and still hardly meant: for `check-config`, never a reason to refuse.

use std::fmt;

use miette::{Diagnostic, LabeledSpan, SourceCode};
use verdict::lists::{EntryKind, Lint, LintCode};
use verdict::policy::{CertFormat, Mode, PolicySpec, ValidationFailure, XfccElement};

use crate::bounds::Bound;
use crate::excerpt::Excerpt;
use crate::overrides::Source;
use crate::settings::{DoorSecurity, Settings};
use crate::spire::NamedTimings;
use crate::tree::Place;
use crate::values::TrustedProxy;

/// Material older than a day is a day in which a compromised authority cannot be withdrawn.
const LONG_CACHE_TTL_S: u64 = 24 * 60 * 60;

/// The documented `timeout-ms` of the proxy's agent: a later answer is not waited for.
const DOCUMENTED_TIMEOUT_MS: u64 = 100;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// There is a better way.
    Advice,
    /// Somebody is let in or kept out who hardly should be.
    Warning,
}

/// Something to look at twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The stable name of this lint.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Where.
    pub at: Place,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub advice: String,
    source: Option<Excerpt>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Place::Flag(name) | Place::Variable(name) => write!(f, "{name}: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Finding {}

impl Diagnostic for Finding {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Advice => miette::Severity::Advice,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.advice))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (Place::Span { start, len }, Some(source)) = (&self.at, &self.source) else {
            return None;
        };
        Some(Box::new(std::iter::once(source.label(*start, *len))))
    }
}

/// Everything to look at twice, what matters most first, else in the order of the file.
#[must_use]
pub fn lint(settings: &Settings) -> Vec<Finding> {
    let mut lints = Lints {
        settings,
        findings: Vec::new(),
    };
    match settings.policy() {
        Some(policy) => lints.policy(policy),
        None => lints.no_policy(),
    }
    lints.process();
    let mut findings = lints.findings;
    findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.at.start()));
    findings
}

impl Settings {
    /// A finding about a key and where its value comes from; for what is found elsewhere than here.
    ///
    /// It points at the key, the block if the key is not given, or names the flag or variable.
    #[must_use]
    pub fn finding(
        &self,
        severity: Severity,
        code: &'static str,
        (key, source): (&str, Source),
        message: &str,
        advice: &str,
    ) -> Finding {
        let file = match source {
            Source::Flag(_) | Source::Variable(_) => None,
            Source::File | Source::Push | Source::Default => self.file.as_ref(),
        };
        Finding {
            code,
            severity,
            at: file.map_or(source.place(), |_| self.nearest(key)),
            message: message.to_owned(),
            advice: advice.to_owned(),
            source: file.map(|file| file.excerpt.clone()),
        }
    }

    /// Where the key stands, else its list, else its block.
    fn nearest(&self, key: &str) -> Place {
        let block = key.split('.').next().unwrap_or(key);
        let entry = key.split('[').next().unwrap_or(key);
        let mut places = [key, entry, block].into_iter().map(|key| self.place(key));
        let found = places.find(|place| *place != Place::Whole);
        found.unwrap_or(Place::Whole)
    }
}

struct Lints<'a> {
    settings: &'a Settings,
    findings: Vec<Finding>,
}

impl Lints<'_> {
    fn warn(&mut self, code: &'static str, key: &str, message: &str, advice: &str) {
        self.add(Severity::Warning, code, key, message, advice);
    }

    fn advise(&mut self, code: &'static str, key: &str, message: &str, advice: &str) {
        self.add(Severity::Advice, code, key, message, advice);
    }

    /// `key` is where to point: the key, or the block if the key is not given.
    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        key: &str,
        message: &str,
        advice: &str,
    ) {
        let about = (key, self.source(key));
        let finding = self
            .settings
            .finding(severity, code, about, message, advice);
        self.findings.push(finding);
    }

    /// Who said it, where a flag or a variable can say it too.
    fn source(&self, key: &str) -> Source {
        let agent = self.settings.agent();
        let said = match key {
            "agent.socket-group" => agent.socket_group.as_ref().map(|group| group.source),
            "agent.trusted-proxies" => agent.trusted_proxies.as_ref().map(|named| named.source),
            "agent.grpc-address" => agent.grpc.as_ref().map(|door| door.address.source),
            "agent.insecure-plaintext" => Some(agent.insecure_plaintext.source),
            _ => None,
        };
        said.unwrap_or(Source::File)
    }

    fn no_policy(&mut self) {
        let code = "no-policy";
        let message = "no policy is in force: every request is answered 503 NOT_CONFIGURED";
        if self.settings.agent().accept_pushed_config.value {
            let advice = "until a proxy pushes one; proxies that push none need --config";
            self.advise(code, "agent.accept-pushed-config", message, advice);
        } else {
            let advice = "add an allowlist, or set agent.accept-pushed-config";
            self.warn(code, "agent.accept-pushed-config", message, advice);
        }
    }

    fn policy(&mut self, policy: &PolicySpec) {
        self.lists(policy);
        self.tls(policy);
        self.failure(policy);
        self.outage(policy);
        if !policy.audit.log_failure {
            let message = "denials leave no record";
            let advice = "keep log-failure on: it is how an attack and a mistake show";
            self.warn("failures-not-logged", "audit.log-failure", message, advice);
        }
        if self.settings.agent().accept_pushed_config.value {
            let message = "a proxy may replace this file's lists by its own";
            let advice = "leave accept-pushed-config off where the file is meant to decide";
            let key = "agent.accept-pushed-config";
            self.advise("pushes-replace-file", key, message, advice);
        }
    }

    fn lists(&mut self, policy: &PolicySpec) {
        for lint in verdict::lists::lints(&policy.allowlist, &policy.denylist) {
            self.list(&lint);
        }
    }

    fn list(&mut self, lint: &Lint) {
        let severity = match lint.code {
            LintCode::AllowsNobody
            | LintCode::AllowsEverybody
            | LintCode::DeniesEverybody
            | LintCode::NeverAllowed => Severity::Warning,
            LintCode::DuplicateEntry
            | LintCode::RedundantEntry
            | LintCode::PatternSpansTrustDomains
            | LintCode::ProductionAndStaging => Severity::Advice,
        };
        let key = lint.entries.first().map(|entry| match entry.kind {
            EntryKind::Any => format!("{}.any", entry.list.as_str()),
            kind => format!("{}.{}[{}]", entry.list.as_str(), kind, entry.index),
        });
        let key = key.unwrap_or_else(|| "allowlist".to_owned());
        self.add(
            severity,
            lint.code.as_str(),
            &key,
            &lint.message,
            &lint.advice,
        );
    }

    fn tls(&mut self, policy: &PolicySpec) {
        let tls = &policy.tls;
        if !tls.require_mtls {
            let message = "callers without a certificate pass";
            let advice = "the upstream must refuse requests without identity headers itself";
            self.warn("anonymous-allowed", "tls.require-mtls", message, advice);
        }
        if tls.client_cert_format == CertFormat::Auto {
            let message = "the certificate's format is told from each value";
            let advice = "name the one your proxy writes in client-cert-format";
            self.advise("format-guessed", "tls.client-cert-format", message, advice);
        }
        let may_be_xfcc = matches!(tls.client_cert_format, CertFormat::Auto | CertFormat::Xfcc);
        if may_be_xfcc && tls.xfcc_element == XfccElement::Last {
            let message = "of several XFCC elements the last counts";
            let advice = "behind a proxy that overwrites the header (Envoy: SANITIZE_SET), \
                          \"only\" also refuses what a client slipped in";
            self.advise("xfcc-last", "tls.xfcc-element", message, advice);
        }
    }

    fn failure(&mut self, policy: &PolicySpec) {
        let failure = &policy.failure;
        if failure.validation_failure == ValidationFailure::LogAndAllow {
            let message = "invalid credentials pass, without identity";
            let advice = "use \"reject\" once the records show nobody who would be locked out";
            let key = "failure.validation-failure";
            self.warn("invalid-allowed", key, message, advice);
        }
        if !failure.enforce {
            let message = "nothing is enforced: what would be denied passes without identity";
            let advice = "set enforce to #true once the records look right";
            self.warn("not-enforced", "failure.enforce", message, advice);
        }
        if failure.reveal_reason {
            let message = "denials tell strangers which rule they met";
            let advice = "the reason is in the audit record; leave reveal-reason off";
            self.advise("reason-revealed", "failure.reveal-reason", message, advice);
        }
        if failure.unavailable_status.get() < 500 {
            let message = "an outage of SPIRE looks like the caller's own mistake";
            let advice = "a 5xx status is retried and alerted on";
            let key = "failure.unavailable-status";
            self.advise("outage-as-client-error", key, message, advice);
        }
    }

    fn outage(&mut self, policy: &PolicySpec) {
        let failure = &policy.failure;
        let mode_key = "failure.spire-unavailable";
        let ttl_key = "failure.cache-ttl";
        match failure.spire_unavailable {
            Mode::FailClosed => return,
            Mode::FailOpen => {
                let message = "while SPIRE is away everybody passes who claims an allowed ID";
                let advice = "\"cache\" survives most outages and lets nobody in unverified";
                self.warn("fail-open", mode_key, message, advice);
                let any = policy.allowlist.spec().any;
                if any {
                    let message = "fail_open with any: while SPIRE is away, any certificate passes";
                    let advice = "name who may call, or use \"cache\"";
                    self.warn("fail-open-any", mode_key, message, advice);
                }
            }
            Mode::Cache => {
                if self.settings.agent().state_dir.is_none() {
                    let message = "the cache does not survive a restart";
                    let advice = "set state-dir (--state-dir, STATE_DIRECTORY)";
                    self.warn("cache-in-memory", mode_key, message, advice);
                }
            }
        }
        if failure.cache_ttl_s > LONG_CACHE_TTL_S {
            let message = "material may be used for more than a day after SPIRE confirmed it";
            let advice = "an authority revoked meanwhile is still trusted; choose hours";
            self.warn("cache-ttl-long", ttl_key, message, advice);
        }
        let timings = self.settings.timings(&NamedTimings::default());
        if timings.unavailable_after_ms >= failure.cache_ttl_ms() {
            let message = "when an outage is noticed, the material is too old already";
            let advice = "choose a cache-ttl longer than spire.unavailable-after-ms";
            self.warn("cache-ttl-short", ttl_key, message, advice);
        }
    }

    fn process(&mut self) {
        let agent = self.settings.agent();
        if agent.socket_mode.admits_everybody() {
            let message = "every user of this machine may write the credential header";
            let advice = "use \"0660\" and socket-group";
            self.warn("socket-open", "agent.socket-mode", message, advice);
        }
        let deadline = agent.bounds.value(Bound::DecisionDeadlineMs);
        if deadline >= DOCUMENTED_TIMEOUT_MS {
            let message = "the proxies' documented timeout-ms of 100 ends before this deadline";
            let advice = "keep the deadline below the proxy's timeout-ms";
            self.advise(
                "deadline-late",
                "limits.decision-deadline-ms",
                message,
                advice,
            );
        }
        self.plaintext();
        self.without_effect();
    }

    /// What was written, is accepted, and changes nothing.
    fn without_effect(&mut self) {
        let agent = self.settings.agent();
        if agent.socket_group.is_some() && agent.socket_mode.bits() & 0o070 == 0 {
            let message = "socket-group has no effect: the socket's mode gives the group nothing";
            let advice = "use socket-mode \"0660\", or leave the group out";
            self.warn("group-unused", "agent.socket-group", message, advice);
        }
        let named = agent.trusted_proxies.as_ref();
        let names_ids = named.is_some_and(|proxies| {
            let mut each = proxies.value.iter();
            each.any(|proxy| matches!(proxy, TrustedProxy::Spiffe(_)))
        });
        if names_ids && agent.grpc.is_none() {
            let message = "SPIFFE IDs in trusted-proxies have no effect: there is no gRPC door";
            let advice = "add grpc-address, or leave them out";
            self.advise("proxy-ids-unused", "agent.trusted-proxies", message, advice);
        }
        let tls = self.settings.policy().map(|policy| &policy.tls);
        let other_format = tls.is_some_and(|tls| {
            !matches!(tls.client_cert_format, CertFormat::Auto | CertFormat::Xfcc)
        });
        if other_format && self.settings.place("tls.xfcc-element") != Place::Whole {
            let message = "xfcc-element has no effect: the header is not read as XFCC";
            self.advise(
                "xfcc-element-unused",
                "tls.xfcc-element",
                message,
                "leave it out",
            );
        }
    }

    fn plaintext(&mut self) {
        let agent = self.settings.agent();
        let insists = agent.insecure_plaintext.value;
        let security = agent.grpc.as_ref().map(|door| &door.security);
        let insecure_key = "agent.insecure-plaintext";
        match security {
            Some(DoorSecurity::PlaintextInsecure) => {
                let message = "gRPC is served in plaintext: whoever reaches it can be anybody";
                let advice = "name the proxy's SPIFFE ID in trusted-proxies";
                self.warn("plaintext", insecure_key, message, advice);
            }
            Some(DoorSecurity::PlaintextLoopback) => {
                let message = "every process of this machine can be anybody over gRPC";
                let advice = "use the Unix socket, or name the proxy's SPIFFE ID in \
                              trusted-proxies; pushes are not taken here";
                self.warn("plaintext-loopback", "agent.grpc-address", message, advice);
            }
            Some(DoorSecurity::MutualTls(_)) | None if insists => {
                let message = "insecure-plaintext has no effect: no door is in plaintext";
                self.advise("plaintext-unused", insecure_key, message, "leave it out");
            }
            Some(DoorSecurity::MutualTls(_)) | None => {}
        }
    }
}
