//! The blocks, as a file or a push names them: `None` is a block that is not named.

mod list;
mod schema;

use std::sync::Arc;

use verdict::headers::{HeaderName, IdentityHeaders, IdentityHeadersError, Slot};
use verdict::lists::List;
use verdict::policy::{
    Audit, CertFormat, DenyStatus, Failure, Mode, PolicySpec, Tls, ValidationFailure, XfccElement,
};

use crate::agent::AgentBlock;
use crate::decode::{Block, Complaint, Decoder, Places, Range};
use crate::endpoint::SocketPath;
use crate::problem::{Problem, Rule, Shown};
use crate::spire::{SpireBlock, Timing};
use crate::suggest::nearest;
use crate::tree::{Node, Place};

pub(crate) use schema::SCHEMAS;

/// The header that is read unless another is named.
const DEFAULT_CREDENTIAL_HEADER: &str = "X-Forwarded-Client-Cert";

/// The longest time that can be said, in seconds: a year. More is a slip of the keyboard.
pub(crate) const YEAR_S: u64 = 365 * 24 * 60 * 60;

/// What decides about requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PolicyBlocks {
    pub(crate) tls: Option<Tls>,
    pub(crate) allowlist: Option<Arc<List>>,
    pub(crate) denylist: Option<Arc<List>>,
    pub(crate) failure: Option<Failure>,
    pub(crate) headers: Option<HeaderNames>,
    pub(crate) audit: Option<Audit>,
}

/// Everything that one input names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blocks {
    pub(crate) policy: PolicyBlocks,
    pub(crate) spire: SpireBlock,
    pub(crate) agent: AgentBlock,
    pub(crate) places: Places,
}

/// Names of identity headers, each valid by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderNames([Option<String>; 6]);

impl HeaderNames {
    fn name_of(&self, wanted: Slot) -> Option<&str> {
        let mut slots = Slot::ALL.into_iter().zip(&self.0);
        let (_, name) = slots.find(|(slot, _)| *slot == wanted)?;
        name.as_deref()
    }
}

/// Reads the blocks of a file or a push.
pub(crate) fn read(nodes: &[Node], decoder: &mut Decoder) -> Blocks {
    let mut blocks = Blocks::default();
    let mut seen: Vec<&str> = Vec::new();
    for node in nodes {
        let Some(schema) = SCHEMAS.iter().find(|schema| schema.name == node.name) else {
            misnamed_block(node, decoder);
            continue;
        };
        if seen.contains(&schema.name) {
            let rule = Rule::Duplicate(Shown::new(schema.name));
            let problem = Problem::new(node.at.clone(), rule);
            let advice = "the first stands above; put everything into one";
            decoder.problems.push(problem.advise(advice));
            continue;
        }
        seen.push(schema.name);
        read_block(decoder.open(node, schema), schema.name, &mut blocks);
    }
    blocks.places = std::mem::take(&mut decoder.places);
    blocks
}

fn read_block(mut block: Block<'_, '_>, name: &str, blocks: &mut Blocks) {
    let policy = &mut blocks.policy;
    match name {
        "tls" => policy.tls = Some(tls(&mut block)),
        "allowlist" => policy.allowlist = Some(list::read(&mut block)),
        "denylist" => policy.denylist = Some(list::read(&mut block)),
        "failure" => policy.failure = Some(failure(&mut block)),
        "headers" => policy.headers = Some(headers(&mut block)),
        "audit" => {
            policy.audit = Some(audit(&mut block));
            blocks.agent.audit = crate::sinks::read(&mut block);
        }
        "spire" => blocks.spire = spire(&mut block),
        _ => {
            let audit = std::mem::take(&mut blocks.agent.audit);
            blocks.agent = crate::agent::read(&mut block);
            blocks.agent.audit = audit;
        }
    }
}

/// One whose name is nearly that of a block is read as that one, for what is wrong in it: nothing of it
/// is used, for there is no configuration.
fn misnamed_block(node: &Node, decoder: &mut Decoder) {
    let names = SCHEMAS.iter().map(|schema| schema.name);
    // Costly to find, and for nobody once it is only counted.
    let near = decoder
        .problems
        .has_room()
        .then(|| nearest(&node.name, names));
    let near = near.flatten();
    decoder.problems.push_with(|| unknown_block(node, near));
    let schema = SCHEMAS.iter().find(|schema| Some(schema.name) == near);
    if let Some(schema) = schema.filter(|_| node.children.is_some()) {
        read_block(
            decoder.open(node, schema),
            schema.name,
            &mut Blocks::default(),
        );
    }
}

fn unknown_block(node: &Node, near: Option<&str>) -> Problem {
    let problem = Problem::new(node.at.clone(), Rule::UnknownBlock(Shown::new(&node.name)));
    if let Some(near) = near {
        return problem.advise(format!("did you mean `{near}`?"));
    }
    let names = SCHEMAS.iter().map(|schema| schema.name);
    let home = SCHEMAS
        .iter()
        .find(|schema| schema.keys.contains(&node.name.as_str()));
    if let Some(home) = home {
        return problem.advise(format!("`{}` belongs in `{}`", node.name, home.name));
    }
    let known: Vec<&str> = names.collect();
    problem.advise(format!("the blocks are {}", known.join(", ")))
}

fn spire(block: &mut Block<'_, '_>) -> SpireBlock {
    let mut spire = SpireBlock {
        socket: block.parsed("socket", |text| socket("spire.socket", text)),
        ..SpireBlock::default()
    };
    for timing in Timing::ALL {
        let value = block.number(timing.key(), timing.range());
        spire.timings.set(timing, value);
    }
    spire
}

/// A socket's path, the complaint naming the key with its block.
pub(crate) fn socket(key: &'static str, text: &str) -> Result<SocketPath, Complaint> {
    let example = match key {
        "spire.socket" => "for example \"/run/spire/sockets/agent.sock\"",
        _ => "for example \"/run/sentinel-spiffe/agent.sock\"",
    };
    SocketPath::parse(text).map_err(|error| {
        let advice = error.advice().unwrap_or(example);
        Complaint::new(Rule::Socket { key, error }, Some(advice))
    })
}

/// The block without any key.
pub(crate) fn default_tls() -> Tls {
    #[expect(
        clippy::expect_used,
        reason = "a constant; a test reads it, and nothing from outside reaches it"
    )]
    let header = HeaderName::parse(DEFAULT_CREDENTIAL_HEADER).expect("a valid field name");
    Tls {
        require_mtls: true,
        client_cert_header: header,
        client_cert_format: CertFormat::default(),
        xfcc_element: XfccElement::default(),
    }
}

/// The format that each proxy writes, as the README lists them.
const FORMATS: [(&str, &str); 7] = [
    ("Envoy", "xfcc"),
    ("nginx", "pem-urlencoded"),
    ("AWS", "pem-urlencoded"),
    ("Apache", "pem-spaces"),
    ("HAProxy", "der-base64"),
    ("Caddy", "der-base64"),
    ("Traefik", "der-base64-list"),
];

fn tls(block: &mut Block<'_, '_>) -> Tls {
    let default = default_tls();
    let formats = CertFormat::ALL.map(|format| (format.as_str(), format));
    let elements = [XfccElement::Last, XfccElement::Only].map(|e| (e.as_str(), e));
    Tls {
        require_mtls: block.switch("require-mtls").unwrap_or(default.require_mtls),
        client_cert_header: block
            .parsed("client-cert-header", credential_header)
            .unwrap_or(default.client_cert_header),
        client_cert_format: block
            .choice_of("client-cert-format", &formats, &FORMATS)
            .unwrap_or_default(),
        xfcc_element: block.choice("xfcc-element", &elements).unwrap_or_default(),
    }
}

fn credential_header(text: &str) -> Result<HeaderName, Complaint> {
    let key = "client-cert-header";
    let complain = |error| Complaint::new(Rule::HeaderName { key, error }, None);
    let name = HeaderName::parse(text).map_err(complain)?;
    if is_reserved(text) {
        return Err(Complaint::new(Rule::ReservedCredentialHeader, None));
    }
    Ok(name)
}

/// Asks the rules of identity headers, which own the list of reserved names.
fn is_reserved(name: &str) -> bool {
    let as_identity = |slot| (slot == Slot::SpiffeId).then_some(name);
    let outcome = IdentityHeaders::new(as_identity, &default_tls().client_cert_header);
    matches!(outcome, Err(IdentityHeadersError::Reserved { .. }))
}

fn failure(block: &mut Block<'_, '_>) -> Failure {
    let default = Failure::default();
    let modes = Mode::ALL.map(|mode| (mode.as_str(), mode));
    let failures = [ValidationFailure::Reject, ValidationFailure::LogAndAllow];
    let failures = failures.map(|failure| (failure.as_str(), failure));
    let seconds = Range {
        min: 0,
        max: YEAR_S,
        unit: "seconds",
    };
    Failure {
        spire_unavailable: block
            .choice("spire-unavailable", &modes)
            .unwrap_or_default(),
        validation_failure: block
            .choice("validation-failure", &failures)
            .unwrap_or_default(),
        cache_ttl_s: block
            .number("cache-ttl", seconds)
            .unwrap_or(default.cache_ttl_s),
        unavailable_status: status(block).unwrap_or_default(),
        reveal_reason: block.switch("reveal-reason").unwrap_or(false),
        enforce: block.switch("enforce").unwrap_or(true),
    }
}

fn status(block: &mut Block<'_, '_>) -> Option<DenyStatus> {
    let range = Range {
        min: 400,
        max: 599,
        unit: "(an HTTP status that denies)",
    };
    let number = block.number("unavailable-status", range)?;
    DenyStatus::new(u16::try_from(number).ok()?)
}

fn headers(block: &mut Block<'_, '_>) -> HeaderNames {
    HeaderNames(Slot::ALL.map(|slot| {
        block.parsed(slot.as_str(), |text| {
            let key = slot.as_str();
            let complain = |error| Complaint::new(Rule::HeaderName { key, error }, None);
            HeaderName::parse(text).map_err(complain)?;
            Ok(text.to_owned())
        })
    }))
}

fn audit(block: &mut Block<'_, '_>) -> Audit {
    let default = Audit::default();
    Audit {
        log_success: block.switch("log-success").unwrap_or(default.log_success),
        log_failure: block.switch("log-failure").unwrap_or(default.log_failure),
        include_cert_info: block
            .switch("include-cert-info")
            .unwrap_or(default.include_cert_info),
    }
}

impl PolicyBlocks {
    /// Whether there is a policy at all. `audit` says how to tell of decisions, not what to decide.
    pub(crate) const fn decide_something(&self) -> bool {
        self.tls.is_some()
            || self.allowlist.is_some()
            || self.denylist.is_some()
            || self.failure.is_some()
            || self.headers.is_some()
    }

    /// Each block named here replaces the other's whole.
    pub(crate) fn over(&self, below: &Self) -> Self {
        fn pick<T: Clone>(above: &Option<T>, below: &Option<T>) -> Option<T> {
            above.as_ref().or(below.as_ref()).cloned()
        }
        Self {
            tls: pick(&self.tls, &below.tls),
            allowlist: pick(&self.allowlist, &below.allowlist),
            denylist: pick(&self.denylist, &below.denylist),
            failure: pick(&self.failure, &below.failure),
            headers: pick(&self.headers, &below.headers),
            audit: pick(&self.audit, &below.audit),
        }
    }

    /// The policy, blocks that are not named taking their defaults.
    ///
    /// # Errors
    /// When header names collide, which only blocks together can do.
    pub(crate) fn spec(&self, places: &Places) -> Result<PolicySpec, Problem> {
        let tls = self.tls.clone().unwrap_or_else(default_tls);
        let names = self.headers.clone().unwrap_or_default();
        let headers = IdentityHeaders::new(|slot| names.name_of(slot), &tls.client_cert_header)
            .map_err(|error| {
                let other = match &error {
                    IdentityHeadersError::Collision { first, .. } => *first,
                    _ => error.slot(),
                };
                let key = |slot: Slot| format!("headers.{}", slot.as_str());
                let at = [
                    key(error.slot()).as_str(),
                    key(other).as_str(),
                    "tls.client-cert-header",
                    "headers",
                    "tls",
                ]
                .into_iter()
                .find_map(|key| places.get(key));
                Problem::new(at.cloned().unwrap_or(Place::Whole), Rule::Headers(error))
            })?;
        Ok(PolicySpec {
            tls,
            allowlist: self.allowlist.clone().unwrap_or_default(),
            denylist: self.denylist.clone().unwrap_or_default(),
            failure: self.failure.unwrap_or_default(),
            headers,
            audit: self.audit.unwrap_or_default(),
        })
    }
}
