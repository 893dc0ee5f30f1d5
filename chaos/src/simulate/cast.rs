//! Who plays: authorities, callers and policies, made once and used in every seed.
//!
//! The certificates are real and their signatures are checked; only the play's clock is not ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::actors::policies::{InForce, Policies};
use proto::cert_header::Bounds;
use verdict::headers::{HeaderName, IdentityHeaders};
use verdict::lists::{EntryError, List, ListSpec};
use verdict::policy::{Audit, CertFormat, Failure, Mode, PolicySpec, Tls, XfccElement};
use verdict::reason::Reason;

use super::SimulateError;
use super::source::Said;
use crate::ca::{Authority, AuthorityOptions, Defect, IssuedSvid, SvidOptions, Window};

/// When every play begins, Unix seconds: 2030-01-01.
pub const BEGIN_S: u64 = 1_893_456_000;

/// Validity before and after the begin, seconds: longer than any clock of a play jumps.
const LONG_S: u64 = 30 * 24 * 3_600;

/// `cache-ttl` of the policies, seconds: shorter and longer than the outages of a schedule.
pub const TTLS_S: [u64; 4] = [20, 120, 600, 3_600];

/// The credential header.
const HEADER: &str = "x-forwarded-client-cert";

/// A trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// `example.org`.
    Home,
    /// `partner.test`, federated.
    Partner,
    /// `stranger.test`, which no SPIRE here knows.
    Stranger,
}

impl Domain {
    /// The key of its bundle in an update.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Home => "spiffe://example.org",
            Self::Partner => "spiffe://partner.test",
            Self::Stranger => "spiffe://stranger.test",
        }
    }
}

/// An authority that may stand in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// The first of `example.org`.
    A,
    /// The second, after a rotation.
    B,
    /// The third; it signs through an intermediate.
    C,
    /// The first of `partner.test`.
    P,
    /// The second.
    Q,
}

/// What the lists say of an ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// On the allowlist alone.
    Allowed,
    /// On no list.
    Unlisted,
    /// On both: the denylist wins.
    Denied,
}

/// What a caller's credential really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// There is none.
    Absent,
    /// Wrong in itself, with the reason it must be refused for.
    Wrong(Reason),
    /// An SVID in good order by itself.
    Svid {
        /// The trust domain of its ID.
        domain: Domain,
        /// Who signed it; nobody whom a bundle could hold, if none.
        signer: Option<Root>,
        /// First and last second of validity, from the begin.
        valid_s: (i64, i64),
        /// What the lists say.
        listing: Listing,
    },
}

/// Somebody who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its name in the log.
    pub name: &'static str,
    /// The value of its header.
    pub header: Option<String>,
    /// What it is.
    pub nature: Nature,
}

impl Caller {
    /// Its header lines.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str)> {
        self.header
            .as_deref()
            .map(|value| (HEADER, value))
            .into_iter()
    }
}

/// A policy under its terms.
#[derive(Clone)]
pub struct Terms {
    /// What an outage means.
    pub mode: Mode,
    /// How long material counts, seconds.
    pub ttl_s: u64,
    /// The policy.
    pub policy: Arc<InForce>,
}

/// Everybody and everything that does not change.
#[derive(Clone)]
pub struct Cast {
    /// Who asks.
    pub callers: Vec<Caller>,
    /// Each mode with each TTL.
    pub terms: Vec<Terms>,
    roots: BTreeMap<Root, Vec<u8>>,
}

const ALWAYS: (i64, i64) = (-(LONG_S as i64), LONG_S as i64);
/// Ends in the middle of a play.
const ENDS: (i64, i64) = (-600, 1_800);
/// Begins in the middle of a play.
const BEGINS: (i64, i64) = (1_200, LONG_S as i64);

const FRONTEND: &str = "spiffe://example.org/frontend";
const PARTNER_API: &str = "spiffe://partner.test/api";
const BANNED: &str = "spiffe://example.org/services/banned";
const ENDING: &str = "spiffe://example.org/services/ends";
const BEGINNING: &str = "spiffe://example.org/services/begins";
const UNLISTED: &str = "spiffe://example.org/other";
const STRANGER: &str = "spiffe://stranger.test/frontend";

/// A caller with an SVID in good order: name, signer, ID, validity, what the lists say.
type Part = (
    &'static str,
    Option<Root>,
    &'static str,
    (i64, i64),
    Listing,
);

/// Everybody whose certificate is an SVID, whoever signed it.
const GOOD: [Part; 11] = [
    (
        "frontend-a",
        Some(Root::A),
        FRONTEND,
        ALWAYS,
        Listing::Allowed,
    ),
    (
        "frontend-b",
        Some(Root::B),
        FRONTEND,
        ALWAYS,
        Listing::Allowed,
    ),
    (
        "frontend-c",
        Some(Root::C),
        FRONTEND,
        ALWAYS,
        Listing::Allowed,
    ),
    ("ends", Some(Root::A), ENDING, ENDS, Listing::Allowed),
    ("begins", Some(Root::A), BEGINNING, BEGINS, Listing::Allowed),
    (
        "unlisted",
        Some(Root::A),
        UNLISTED,
        ALWAYS,
        Listing::Unlisted,
    ),
    ("banned", Some(Root::A), BANNED, ALWAYS, Listing::Denied),
    (
        "partner-p",
        Some(Root::P),
        PARTNER_API,
        ALWAYS,
        Listing::Allowed,
    ),
    (
        "partner-q",
        Some(Root::Q),
        PARTNER_API,
        ALWAYS,
        Listing::Allowed,
    ),
    ("forged", None, FRONTEND, ALWAYS, Listing::Allowed),
    ("stranger", None, STRANGER, ALWAYS, Listing::Unlisted),
];

impl Cast {
    /// Makes all certificates.
    ///
    /// # Errors
    /// A certificate or a policy cannot be made.
    pub fn new() -> Result<Self, SimulateError> {
        let authorities = Authorities::new()?;
        let mut callers = vec![Caller {
            name: "nobody",
            header: None,
            nature: Nature::Absent,
        }];
        callers.push(Caller {
            name: "garbage",
            header: Some("By=spiffe://example.org/proxy;Cert=\"%GG\"".to_owned()),
            nature: Nature::Wrong(Reason::Malformed),
        });
        callers.extend(authorities.good()?);
        callers.extend(authorities.wrong()?);
        Ok(Self {
            callers,
            terms: terms()?,
            roots: authorities.roots(),
        })
    }

    /// What an update says of a domain, on the wire.
    #[must_use]
    pub fn bytes(&self, said: &Said) -> Vec<u8> {
        match said {
            Said::Roots(roots) => {
                let known = roots.iter().filter_map(|root| self.roots.get(root));
                known.flatten().copied().collect()
            }
            Said::Unreadable => b"no certificate".to_vec(),
        }
    }
}

struct Authorities {
    of: BTreeMap<Root, Authority>,
    stranger: Authority,
    thief: Authority,
}

impl Authorities {
    fn new() -> Result<Self, SimulateError> {
        let options =
            AuthorityOptions::at(BEGIN_S).with_window(window((-2 * ALWAYS.1, 2 * ALWAYS.1)));
        let new = |domain| Authority::new(domain, options.clone());
        let nested = Authority::new("example.org", options.clone().with_intermediates(1))?;
        let a = new("example.org")?;
        Ok(Self {
            thief: a.forge()?,
            of: BTreeMap::from([
                (Root::A, a),
                (Root::B, new("example.org")?),
                (Root::C, nested),
                (Root::P, new("partner.test")?),
                (Root::Q, new("partner.test")?),
            ]),
            stranger: new("stranger.test")?,
        })
    }

    fn roots(&self) -> BTreeMap<Root, Vec<u8>> {
        self.of
            .iter()
            .map(|(root, authority)| (*root, authority.anchors_der()))
            .collect()
    }

    fn good(&self) -> Result<Vec<Caller>, SimulateError> {
        GOOD.iter().map(|part| self.caller(part)).collect()
    }

    fn caller(
        &self,
        &(name, signer, id, valid_s, listing): &Part,
    ) -> Result<Caller, SimulateError> {
        let (domain, authority) = match signer.and_then(|root| self.of.get_key_value(&root)) {
            Some((Root::P | Root::Q, authority)) => (Domain::Partner, authority),
            Some((Root::A | Root::B | Root::C, authority)) => (Domain::Home, authority),
            None if name == "stranger" => (Domain::Stranger, &self.stranger),
            None => (Domain::Home, &self.thief),
        };
        let svid = authority.issue(id, &SvidOptions::at(BEGIN_S).with_window(window(valid_s)))?;
        let nature = Nature::Svid {
            domain,
            signer,
            valid_s,
            listing,
        };
        Ok(presenting(name, &svid, nature))
    }

    fn wrong(&self) -> Result<Vec<Caller>, SimulateError> {
        let parts = [
            ("no-uri", Defect::NoUriSan, Reason::NoSpiffeId),
            ("two-uris", Defect::TwoUriSans, Reason::InvalidSpiffeId),
            ("ca", Defect::CaTrue, Reason::NotAnSvid),
            ("server", Defect::WrongExtendedKeyUsage, Reason::NotAnSvid),
        ];
        let Some(authority) = self.of.get(&Root::A) else {
            return Ok(Vec::new());
        };
        let mut callers = Vec::new();
        for (name, defect, reason) in parts {
            let options = SvidOptions::at(BEGIN_S)
                .with_window(window(ALWAYS))
                .with_defect(defect);
            let svid = authority.issue(FRONTEND, &options)?;
            callers.push(presenting(name, &svid, Nature::Wrong(reason)));
        }
        Ok(callers)
    }
}

fn presenting(name: &'static str, svid: &IssuedSvid, nature: Nature) -> Caller {
    Caller {
        name,
        header: Some(svid.xfcc()),
        nature,
    }
}

fn window((from_s, to_s): (i64, i64)) -> Window {
    Window {
        not_before: BEGIN_S.saturating_add_signed(from_s),
        not_after: BEGIN_S.saturating_add_signed(to_s),
    }
}

fn terms() -> Result<Vec<Terms>, SimulateError> {
    let policies = Policies::new(TTLS_S.len() * Mode::ALL.len(), Bounds::default());
    let mut all = Vec::new();
    for ttl_s in TTLS_S {
        for mode in Mode::ALL {
            let policy = policies.own(spec(mode, ttl_s)?)?;
            all.push(Terms {
                mode,
                ttl_s,
                policy,
            });
        }
    }
    Ok(all)
}

fn spec(mode: Mode, ttl_s: u64) -> Result<PolicySpec, SimulateError> {
    let header =
        HeaderName::parse(HEADER).map_err(|error| SimulateError::Terms(error.to_string()))?;
    let headers = IdentityHeaders::new(|_| None, &header)
        .map_err(|error| SimulateError::Terms(error.to_string()))?;
    Ok(PolicySpec {
        tls: Tls {
            require_mtls: true,
            client_cert_header: header,
            client_cert_format: CertFormat::Auto,
            xfcc_element: XfccElement::Last,
        },
        allowlist: compiled(&ListSpec {
            exact: vec![FRONTEND.to_owned(), PARTNER_API.to_owned()],
            prefix: vec!["spiffe://example.org/services/".to_owned()],
            ..ListSpec::default()
        })?,
        denylist: compiled(&ListSpec {
            exact: vec![BANNED.to_owned()],
            ..ListSpec::default()
        })?,
        failure: Failure {
            spire_unavailable: mode,
            cache_ttl_s: ttl_s,
            ..Failure::default()
        },
        headers,
        audit: Audit::default(),
    })
}

fn compiled(list: &ListSpec) -> Result<Arc<List>, SimulateError> {
    let terms = |errors: Vec<EntryError>| {
        let texts = errors.iter().map(EntryError::to_string);
        SimulateError::Terms(texts.collect::<Vec<_>>().join("; "))
    };
    List::compile(list).map(Arc::new).map_err(terms)
}

/// When every play begins, Unix seconds.
#[must_use]
pub const fn begin_s() -> i64 {
    BEGIN_S.cast_signed()
}
