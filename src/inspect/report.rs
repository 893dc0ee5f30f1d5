//! What was received, in words and numbers. Never a key.

use std::path::Path;

use actors::bundles::loss::End;
use proto::workload::{X509BundlesResponse, X509svid, X509svidResponse};
use serde::Serialize;
use verdict::anchors::{Anchor, AnchorSet};
use verdict::svid;
use verdict::time::{Now, UnixSeconds};

use super::Received;
use crate::material::split_der;
use crate::output::{BAD, DOUBTFUL, FAINT, GOOD, Page, Report, STRONG, clean, hex};
use crate::when::{relative, shown};

/// SVIDs, and bundles that an agent takes none of, that are listed; each more is counted. SPIRE gives a
/// workload a few of either.
const LISTED_MAX: usize = 100;

/// Of the bundles, and of one bundle's authorities, so many stand on a page; a program gets them all.
const SHOWN_MAX: usize = 100;

/// Of what others named, characters: as long as a SPIFFE ID may be (SPIFFE ID, 2.3).
const NAME_MAX_CHARS: usize = 2_048;

/// Everything the Workload API gave.
#[derive(Debug, Serialize)]
pub(crate) struct Inspected {
    pub(crate) socket: String,
    /// Unix seconds.
    pub(crate) at: i64,
    pub(crate) svids: Vec<SvidShown>,
    /// How many came, listed or not.
    pub(crate) svids_total: usize,
    /// Why there are no SVIDs.
    pub(crate) svids_error: Option<String>,
    pub(crate) bundles: Vec<BundleShown>,
    /// How many came, listed or not.
    pub(crate) bundles_total: usize,
    /// Why there are no bundles, or an agent takes none of them.
    pub(crate) bundles_error: Option<String>,
    /// The first moment at which something of all this expires, Unix seconds.
    pub(crate) next_expiry: Option<i64>,
}

/// One SVID of ours.
#[derive(Debug, Serialize)]
pub(crate) struct SvidShown {
    pub(crate) spiffe_id: String,
    pub(crate) hint: Option<String>,
    pub(crate) certificates: usize,
    pub(crate) sha256: Option<String>,
    pub(crate) serial: Option<String>,
    pub(crate) not_before: Option<i64>,
    pub(crate) not_after: Option<i64>,
    /// Why it is no X.509-SVID.
    pub(crate) error: Option<String>,
}

/// One trust domain's bundle.
#[derive(Debug, Serialize)]
pub(crate) struct BundleShown {
    pub(crate) trust_domain: String,
    pub(crate) authorities: Vec<Authority>,
    pub(crate) error: Option<String>,
}

/// One authority.
#[derive(Debug, Serialize)]
pub(crate) struct Authority {
    pub(crate) subject: String,
    pub(crate) subject_key_id: Option<String>,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    /// Why no SVID can be verified by it now.
    pub(crate) error: Option<String>,
}

impl Inspected {
    pub(crate) fn of(socket: &Path, received: &Received, now: Now) -> Self {
        let at = now.unix_seconds();
        let discarded = received.discarded(now);
        // Of what an agent takes, the number is bounded.
        let listed = discarded.as_ref().map_or(usize::MAX, |_| LISTED_MAX);
        let (bundles, bundles_error) =
            told(&received.bundles, |response| bundles(response, listed, at));
        let (svids, svids_error) = told(&received.svids, svids);
        let count = |of: &X509BundlesResponse| of.bundles.len();
        let authorities = bundles.iter().flat_map(|bundle| &bundle.authorities);
        let ends = authorities.map(|authority| authority.not_after);
        let ends = ends.chain(svids.iter().filter_map(|svid| svid.not_after));
        Self {
            socket: socket.display().to_string(),
            at: at.0,
            next_expiry: ends.filter(|end| *end >= at.0).min(),
            svids,
            svids_total: received.svids.as_ref().map_or(0, |all| all.svids.len()),
            svids_error,
            bundles,
            bundles_total: received.bundles.as_ref().map_or(0, count),
            bundles_error: bundles_error.or_else(|| discarded.as_ref().map(why)),
        }
    }

    /// Whether there is anything to judge by.
    pub(crate) fn is_served(&self) -> bool {
        let is_taken = self.bundles_error.is_none();
        is_taken && self.bundles.iter().any(|bundle| bundle.error.is_none())
    }
}

fn told<T, S>(
    received: &Result<T, End>,
    show: impl FnOnce(&T) -> Vec<S>,
) -> (Vec<S>, Option<String>) {
    match received {
        Ok(response) => (show(response), None),
        Err(end) => (Vec::new(), Some(why(end))),
    }
}

/// In words, with the label that the log has.
pub(crate) fn why(end: &End) -> String {
    format!("{}: {}", end.loss.as_str(), end.words())
}

fn bundles(response: &X509BundlesResponse, listed: usize, at: UnixSeconds) -> Vec<BundleShown> {
    let mut pairs: Vec<_> = response.bundles.iter().collect();
    pairs.sort();
    let bundle = |(domain, der): (&String, &Vec<u8>)| match AnchorSet::from_der(der) {
        Ok(anchors) => BundleShown {
            trust_domain: short(domain),
            authorities: anchors.iter().map(|one| Authority::of(one, at)).collect(),
            error: None,
        },
        Err(error) => BundleShown {
            trust_domain: short(domain),
            authorities: Vec::new(),
            error: Some(error.to_string()),
        },
    };
    pairs.into_iter().take(listed).map(bundle).collect()
}

/// What others named, no longer than a name is.
fn short(name: &str) -> String {
    name.chars().take(NAME_MAX_CHARS).collect()
}

impl Authority {
    fn of(anchor: &Anchor, at: UnixSeconds) -> Self {
        Self {
            subject: short(&anchor.subject()),
            subject_key_id: anchor.key_id().map(hex),
            not_before: anchor.not_before().0,
            not_after: anchor.not_after().0,
            error: anchor.usable_at(at).err().map(|error| error.to_string()),
        }
    }
}

fn svids(response: &X509svidResponse) -> Vec<SvidShown> {
    let listed = response.svids.iter().take(LISTED_MAX);
    listed.map(SvidShown::of).collect()
}

impl SvidShown {
    fn of(svid: &X509svid) -> Self {
        let judged = split_der(&svid.x509_svid)
            .map_err(|error| error.to_string())
            .and_then(|chain| match svid::examine(&chain) {
                Ok(presented) => Ok((chain.len(), presented)),
                Err(refusal) => Err(refusal.to_string()),
            });
        let hint = Some(short(&svid.hint)).filter(|hint| !hint.is_empty());
        let (presented, error) = match judged {
            Ok(presented) => (Some(presented), None),
            Err(error) => (None, Some(error)),
        };
        let leaf = presented.as_ref().map(|(_, presented)| presented.leaf());
        Self {
            spiffe_id: short(&svid.spiffe_id),
            hint,
            certificates: presented.as_ref().map_or(0, |(count, _)| *count),
            sha256: leaf.map(|leaf| hex(leaf.sha256())),
            serial: leaf.map(|leaf| leaf.serial()),
            not_before: leaf.map(|leaf| leaf.not_before().0),
            not_after: leaf.map(|leaf| leaf.not_after().0),
            error,
        }
    }
}

impl Report for Inspected {
    fn write(&self, page: &mut Page) {
        page.line(format_args!(
            "{STRONG}{}{STRONG:#}  {}",
            clean(&self.socket),
            shown(self.at)
        ));
        match &self.svids_error {
            Some(error) => page.line(format_args!(
                "SVIDs    {DOUBTFUL}none: {}{DOUBTFUL:#}",
                clean(error)
            )),
            None => page.line(format_args!("SVIDs    {}", self.svids_total)),
        }
        for svid in &self.svids {
            svid.write(self.at, page);
        }
        more(self.svids_total, self.svids.len(), "  ", page);
        match (&self.bundles_error, self.bundles_total) {
            (Some(error), 0) => {
                page.line(format_args!("bundles  {BAD}none: {}{BAD:#}", clean(error)))
            }
            (Some(error), total) => page.line(format_args!(
                "bundles  {BAD}{total}, and an agent takes none of them: {}{BAD:#}",
                clean(error)
            )),
            (None, total) => page.line(format_args!("bundles  {total}")),
        }
        for bundle in self.bundles.iter().take(SHOWN_MAX) {
            bundle.write(self.at, page);
        }
        more(self.bundles_total, SHOWN_MAX, "  ", page);
        if let Some(next) = self.next_expiry {
            page.line(format_args!(
                "next expiry {} ({})",
                shown(next),
                ago(next, self.at)
            ));
        }
    }
}

impl SvidShown {
    fn write(&self, now_s: i64, page: &mut Page) {
        let hint = self
            .hint
            .as_deref()
            .map(|hint| format!(" ({})", clean(hint)));
        let id = clean(&self.spiffe_id);
        page.line(format_args!(
            "  {STRONG}{id}{STRONG:#}{}",
            hint.unwrap_or_default()
        ));
        if let Some(error) = &self.error {
            page.line(format_args!("    {BAD}{}{BAD:#}", clean(error)));
        }
        if let (Some(from), Some(to)) = (self.not_before, self.not_after) {
            page.line(format_args!("    {}", window(from, to, now_s)));
        }
    }
}

impl BundleShown {
    fn write(&self, now_s: i64, page: &mut Page) {
        page.line(format_args!(
            "  {STRONG}{}{STRONG:#}",
            clean(&self.trust_domain)
        ));
        if let Some(error) = &self.error {
            page.line(format_args!("    {BAD}{}{BAD:#}", clean(error)));
        } else if self.authorities.is_empty() {
            page.line(format_args!(
                "    {DOUBTFUL}empty: it trusts nobody{DOUBTFUL:#}"
            ));
        }
        for authority in self.authorities.iter().take(SHOWN_MAX) {
            let key_id = authority.subject_key_id.as_deref().unwrap_or("no key id");
            let subject = clean(&authority.subject);
            page.line(format_args!("    {subject}  {FAINT}{key_id}{FAINT:#}"));
            let (from, to) = (authority.not_before, authority.not_after);
            page.line(format_args!("      {}", window(from, to, now_s)));
            if let Some(error) = &authority.error {
                page.line(format_args!("      {BAD}{}{BAD:#}", clean(error)));
            }
        }
        more(self.authorities.len(), SHOWN_MAX, "    ", page);
    }
}

/// How many of so many do not stand on the page.
fn more(total: usize, shown: usize, indent: &str, page: &mut Page) {
    let more = total.saturating_sub(shown);
    if more > 0 {
        page.line(format_args!("{indent}and {more} more"));
    }
}

fn window(from: i64, to: i64, now_s: i64) -> String {
    let style = if now_s > to || now_s < from {
        BAD
    } else {
        GOOD
    };
    let ends = ago(to, now_s);
    format!(
        "{} to {}, {style}ends {ends}{style:#}",
        shown(from),
        shown(to)
    )
}

fn ago(at_s: i64, now_s: i64) -> String {
    relative(at_s, now_s.saturating_mul(1_000))
}
