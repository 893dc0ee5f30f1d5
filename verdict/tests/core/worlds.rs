//! Certificates made once, and worlds, policies and decisions written short.

use std::sync::{Arc, LazyLock};

use verdict::availability::{Event, Found, Loss, State, Timing};
use verdict::decide::{Decision, Outcome, Passage, Verdict};
use verdict::headers::{HeaderName, IdentityHeaders};
use verdict::lists::{List, ListSpec};
use verdict::policy::{
    Audit, CertFormat, Failure, Mode, Policy, PolicySpec, Tls, ValidationFailure, XfccElement,
};
use verdict::time::Now;
use verdict::trust::{Snapshot, World};

use crate::common::{Certificate, Issuer, Key, NOW, authority, uri};

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;

/// Boot time at [`NOW`]: the machine has been up for some days.
const UP_MS: i64 = 500_000_000;

/// Some milliseconds from [`NOW`], both clocks in step.
pub const fn at(ms: i64) -> Now {
    Now {
        wall_ms: NOW.0 * 1000 + ms,
        boot_ms: UP_MS + ms,
    }
}

pub const HOME: &str = "spiffe://example.org";
pub const PARTNER: &str = "spiffe://partner.test";
pub const EMPTY: &str = "spiffe://empty.test";
pub const KEPT: &str = "spiffe://kept.test";
pub const STALE: &str = "spiffe://stale.test";
pub const NOBODY: &str = "spiffe://nobody.test";

pub const GARBAGE: &[u8] = &[0x30, 0x03, 1, 2, 3];

pub type Chain = Vec<Vec<u8>>;

/// All certificates there are.
pub struct Pki {
    pub home: Issuer,
    pub partner: Issuer,
    /// Has the home root's name and another key.
    pub forger: Issuer,
    pub good: Chain,
    pub good_partner: Chain,
    pub good_kept: Chain,
    pub good_stale: Chain,
    pub unknown_domain: Chain,
    pub empty_domain: Chain,
    pub forged: Chain,
    pub of_the_partners_root: Chain,
    pub path_expired: Chain,
    pub path_not_yet: Chain,
    pub expired: Chain,
    pub not_yet: Chain,
    pub no_uri: Chain,
    pub two_uris: Chain,
    pub not_spiffe: Chain,
    pub no_path: Chain,
    pub is_authority: Chain,
    pub short_lived: Short,
}

/// A leaf that outlives parts of its paths: the path of one anchor ends first, then the other's.
pub struct Short {
    /// Valid from -50 s to +10 s.
    pub early: Vec<u8>,
    /// Same name and key; valid from -20 s to +40 s.
    pub late: Vec<u8>,
    /// Valid from -100 s to +100 s.
    pub leaf: Chain,
    /// Valid from -10 s to +10 s, below an anchor that holds for a day.
    pub brief_leaf: Chain,
    /// As brief, and forged.
    pub brief_forged: Chain,
    /// Holds for an hour, below an intermediate valid from -15 s to +15 s.
    pub brief_path: Chain,
}

pub static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let home = Issuer::root("home");
    let partner = Issuer::root("partner");
    let forger = Issuer::root("home");
    let key = Key::p256();
    let leaf = |id: &str| Certificate::leaf(id, &key);
    let web = format!("{HOME}/web");
    let below = |from, to| {
        let issuer = home.below_with("below", |c| c.valid(from, to));
        vec![issuer.sign(&leaf(&web)), issuer.der]
    };
    let by_home = |certificate: Certificate| vec![home.sign(&certificate)];
    let uris = |texts: &[&str]| texts.iter().map(|text| uri(text)).collect::<Vec<_>>();
    let no_path = leaf(&web).san(&uris(&[HOME]));
    let is_authority = leaf(&web).with(crate::common::BASIC_CONSTRAINTS, true, authority(None));
    let short_lived = short(&home, &forger, below(-15, 15));
    Pki {
        good: by_home(leaf(&web)),
        good_partner: vec![partner.sign(&leaf(&format!("{PARTNER}/web")))],
        good_kept: by_home(leaf(&format!("{KEPT}/web"))),
        good_stale: by_home(leaf(&format!("{STALE}/web"))),
        unknown_domain: by_home(leaf(&format!("{NOBODY}/web"))),
        empty_domain: by_home(leaf(&format!("{EMPTY}/web"))),
        forged: vec![forger.sign(&leaf(&web))],
        of_the_partners_root: vec![partner.sign(&leaf(&web))],
        path_expired: below(-7200, -60),
        path_not_yet: below(60, 7200),
        expired: by_home(leaf(&web).valid(-3600, -1)),
        not_yet: by_home(leaf(&web).valid(1, 3600)),
        no_uri: by_home(leaf(&web).san(&[])),
        two_uris: by_home(leaf(&web).san(&uris(&[&web, &format!("{HOME}/db")]))),
        not_spiffe: by_home(leaf(&web).san(&uris(&["https://example.org/web"]))),
        no_path: by_home(no_path),
        is_authority: by_home(is_authority),
        short_lived,
        home,
        partner,
        forger,
    }
});

fn short(home: &Issuer, forger: &Issuer, brief_path: Chain) -> Short {
    let web = format!("{HOME}/web");
    let key = Key::p256();
    let early = Issuer::root_with(Key::p256(), "short", |c| c.valid(-50, 10));
    let again = Certificate::authority("short", &early.key).valid(-20, 40);
    let leaf = early.sign(&Certificate::leaf(&web, &key).valid(-100, 100));
    let brief = Certificate::leaf(&web, &key).valid(-10, 10);
    Short {
        late: early.sign(&again),
        early: early.der,
        leaf: vec![leaf],
        brief_leaf: vec![home.sign(&brief)],
        brief_forged: vec![forger.sign(&brief)],
        brief_path,
    }
}

/// `updated` of pairs.
pub fn updated(snapshot: &Snapshot, bundles: &[(&str, &[u8])], now: Now) -> Snapshot {
    snapshot.updated(bundles.iter().copied(), now).unwrap().0
}

pub const TIMING: Timing = Timing {
    unavailable_after_ms: 60_000,
    withdrawal_grace_ms: 30_000,
};

/// Plays events at their times on a fresh start without material.
pub fn played(started: Now, events: &[(Now, Event)]) -> State {
    let start = State::start(Found::Nothing, TIMING, started);
    events.iter().fold(start, |state, (now, event)| {
        state.step(*event, TIMING, *now).0
    })
}

/// A live world since this moment.
pub fn live(snapshot: Snapshot, since: Now) -> World {
    let state = played(since, &[(since, Event::FullUpdate)]);
    World::new(state, TIMING, snapshot)
}

pub const GONE: Event = Event::Lost(Loss::Transport);

/// What a policy can say that a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    pub mode: Mode,
    pub tolerant: bool,
    pub enforce: bool,
    pub require_mtls: bool,
    pub allowed: bool,
    pub denied: bool,
    pub unavailable_status: u16,
    pub cache_ttl_s: u64,
}

impl Settings {
    pub const STRICT: Self = Self {
        mode: Mode::FailClosed,
        tolerant: false,
        enforce: true,
        require_mtls: true,
        allowed: true,
        denied: false,
        unavailable_status: 503,
        cache_ttl_s: 3600,
    };

    pub fn failure(self) -> Failure {
        Failure {
            spire_unavailable: self.mode,
            validation_failure: if self.tolerant {
                ValidationFailure::LogAndAllow
            } else {
                ValidationFailure::Reject
            },
            cache_ttl_s: self.cache_ttl_s,
            unavailable_status: verdict::policy::DenyStatus::new(self.unavailable_status).unwrap(),
            reveal_reason: false,
            enforce: self.enforce,
        }
    }

    pub fn policy(self) -> Policy {
        let credential = HeaderName::parse("X-Forwarded-Client-Cert").unwrap();
        let everybody = |listed: bool| {
            let list = ListSpec {
                exact: [HOME, PARTNER, EMPTY, KEPT, STALE, NOBODY]
                    .iter()
                    .filter(|_| listed)
                    .map(|domain| format!("{domain}/web"))
                    .collect(),
                ..ListSpec::default()
            };
            Arc::new(List::compile(&list).unwrap())
        };
        Policy::new(PolicySpec {
            headers: IdentityHeaders::new(|_| None, &credential).unwrap(),
            tls: Tls {
                require_mtls: self.require_mtls,
                client_cert_header: credential,
                client_cert_format: CertFormat::Auto,
                xfcc_element: XfccElement::Last,
            },
            allowlist: everybody(self.allowed),
            denylist: everybody(self.denied),
            failure: self.failure(),
            audit: Audit::default(),
        })
    }
}

/// Everything a decision says, as plain text, so that decisions can be compared whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub verdict: String,
    pub fault: Option<(String, String)>,
    pub rule: Option<String>,
    pub trail: String,
}

pub fn told(decision: &Decision<'_>) -> Told {
    let verdict = match decision.verdict() {
        Verdict::Deny(denial) => format!("deny {} {}", denial.status(), denial.reason()),
        Verdict::Allow(permit) => match permit.passage() {
            Passage::Verified(identity) => format!("verified {}", identity.id()),
            Passage::Unverified(why) => why.auth_method().to_owned(),
            Passage::Anonymous => "anonymous".to_owned(),
        },
    };
    let fault = decision
        .fault()
        .map(|fault| (fault.reason().to_string(), fault.rule().to_owned()));
    let rule = decision
        .rule()
        .map(|(list, rule)| format!("{}: {rule}", list.as_str()));
    let letter = |outcome: &Outcome| match outcome {
        Outcome::Passed => 'P',
        Outcome::Failed => 'F',
        Outcome::Skipped => 'S',
        Outcome::NotReached => '.',
    };
    Told {
        verdict,
        fault,
        rule,
        trail: decision.trail().iter().map(letter).collect(),
    }
}
