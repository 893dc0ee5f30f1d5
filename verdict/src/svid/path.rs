//! Check 9: from the leaf to an anchor of its own trust domain's bundle (RFC 5280 §6.1).
//!
//! Names and key identifiers lead from certificate to possible issuer; every complete path is
//! judged by our own rules, then by webpki. A path refused is no verdict: another may hold. The
//! work is bounded, whatever is presented.

use super::identity::{PathWindow, VerifiedIdentity};
use super::refusal::{PathRule, Place, Refusal};
use super::{Authority, Certificate, Intermediate, Presented};
use crate::anchors::{Anchor, AnchorSet, Fit};
use crate::svid::signature;
use crate::time::UnixSeconds;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::ops::ControlFlow;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};

/// Intermediates between leaf and anchor: webpki's own limit. SPIRE's nesting is rarely above three.
pub const PATH_MAX_INTERMEDIATES: usize = 6;

/// Signatures checked for one credential. An honest chain with key identifiers needs one for each
/// of its certificates; 64 leaves room for bundles with many same-named roots and none, and costs
/// at most 7 ms with P-256.
pub const SIGNATURES_MAX: usize = 64;

/// Possible issuers looked at for one credential: about a millisecond.
const STEPS_MAX: usize = 2_000;

/// Paths that fail only by their dates, kept to find out whether they would hold otherwise.
const LATE_PATHS_MAX: usize = 4;

/// Check 9: finds a valid path to an anchor of this set, which must be the bundle of the leaf's
/// own trust domain, and nothing else (Workload API §4.6). Judges the leaf's validity too.
///
/// # Errors
/// [`Refusal::Untrusted`], or [`Refusal::Expired`] or [`Refusal::NotYetValid`] where a path would
/// hold at another time; of several, what the most nearly valid path lacks.
pub fn validate(
    presented: &Presented,
    anchors: &AnchorSet,
    now: UnixSeconds,
) -> Result<VerifiedIdentity, Refusal> {
    presented.judge_validity(now)?;
    if anchors.is_empty() {
        return Err(PathRule::EmptyBundle.into());
    }
    Search {
        presented,
        anchors,
        now,
        chosen: Vec::with_capacity(PATH_MAX_INTERMEDIATES),
        steps_left: STEPS_MAX,
        signatures_left: SIGNATURES_MAX,
        late: Vec::new(),
        refusal: PathRule::UnknownIssuer.into(),
    }
    .run()
}

struct Search<'a> {
    presented: &'a Presented,
    anchors: &'a AnchorSet,
    now: UnixSeconds,
    /// The path so far, from the leaf upwards; a certificate's index in the presented chain.
    chosen: Vec<(usize, &'a Intermediate)>,
    steps_left: usize,
    signatures_left: usize,
    late: Vec<LatePath<'a>>,
    refusal: Refusal,
}

/// A path that obeys every rule but its dates; its signatures are not looked at yet.
struct LatePath<'a> {
    chosen: Vec<(usize, &'a Intermediate)>,
    anchor: &'a Anchor,
    refusal: Refusal,
}

/// Why the search ends.
enum End {
    Found(PathWindow),
    Exhausted,
}

/// Why a path does not hold.
enum Flaw {
    Refused(Refusal),
    /// The budget is spent before the path is judged.
    Exhausted,
}

impl<R: Into<Refusal>> From<R> for Flaw {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl<'a> Search<'a> {
    fn run(mut self) -> Result<VerifiedIdentity, Refusal> {
        // Paths whose key identifiers all agree come first, contradicting ones last: some issuers
        // compute identifiers in two ways, and a signature counts for more than a hint.
        for fit in Fit::BEST_FIRST {
            match self.climb(fit, Fit::Exact) {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(End::Found(limits)) => {
                    return Ok(VerifiedIdentity::proven(self.presented.leaf(), limits));
                }
                ControlFlow::Break(End::Exhausted) => {
                    self.remember(PathRule::SearchLimit.into());
                    break;
                }
            }
        }
        self.examine_late();
        Err(self.refusal)
    }

    /// Dates are only blamed for a path whose signatures hold: what a stranger forged is untrusted,
    /// not expired. Looked at last, so that expired anchors cost a valid path nothing.
    fn examine_late(&mut self) {
        for late in std::mem::take(&mut self.late) {
            self.chosen = late.chosen;
            self.signatures_left = PATH_MAX_INTERMEDIATES.saturating_add(1);
            match self.check_signatures(late.anchor) {
                Ok(()) => self.remember(late.refusal),
                Err(Flaw::Refused(refusal)) => self.remember(refusal),
                Err(Flaw::Exhausted) => {}
            }
        }
    }

    /// Tries every path that goes on from the last certificate chosen and whose worst link fits
    /// as `wanted`. Recursion is bounded by [`PATH_MAX_INTERMEDIATES`].
    fn climb(&mut self, wanted: Fit, so_far: Fit) -> ControlFlow<End> {
        let (issuer, issuer_key_id) = self.head();
        for fit in Fit::BEST_FIRST
            .into_iter()
            .filter(|fit| (*fit).max(so_far) == wanted)
        {
            for anchor in self.anchors.issuers(issuer, issuer_key_id, fit) {
                self.step()?;
                self.try_path(anchor)?;
            }
        }
        if self.chosen.len() == PATH_MAX_INTERMEDIATES {
            self.note_depth(issuer);
            return ControlFlow::Continue(());
        }
        for (index, candidate) in self.presented.intermediates.iter().enumerate() {
            let authority = &candidate.authority;
            let fit = Fit::of(issuer_key_id, authority.key_id.as_deref()).max(so_far);
            if fit > wanted || *authority.subject != *issuer || self.is_on_path(authority) {
                continue;
            }
            self.step()?;
            self.chosen.push((index.saturating_add(1), candidate));
            self.climb(wanted, fit)?;
            self.chosen.pop();
        }
        ControlFlow::Continue(())
    }

    /// Says so if only the bound on depth ends the path here.
    fn note_depth(&mut self, issuer: &[u8]) {
        let mut rest = self.presented.intermediates.iter().map(|c| &c.authority);
        if rest.any(|next| *next.subject == *issuer && !self.is_on_path(next)) {
            self.remember(PathRule::TooDeep.into());
        }
    }

    /// Name and key identifier of the issuer looked for.
    fn head(&self) -> (&'a [u8], Option<&'a [u8]>) {
        match self.chosen.last() {
            Some((_, last)) => (
                &last.authority.issuer,
                last.authority.issuer_key_id.as_deref(),
            ),
            None => (
                &self.presented.leaf.issuer,
                self.presented.leaf.issuer_key_id.as_deref(),
            ),
        }
    }

    /// Whether the path already has an authority of this name and key (RFC 4158 §5.2).
    fn is_on_path(&self, authority: &Authority) -> bool {
        let mut path = self.chosen.iter().map(|(_, chosen)| &chosen.authority);
        path.any(|other| other.subject == authority.subject && other.spki == authority.spki)
    }

    fn step(&mut self) -> ControlFlow<End> {
        match self.steps_left.checked_sub(1) {
            Some(left) => {
                self.steps_left = left;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(End::Exhausted),
        }
    }

    fn try_path(&mut self, anchor: &'a Anchor) -> ControlFlow<End> {
        match self.judge(anchor) {
            Ok(limits) => ControlFlow::Break(End::Found(limits)),
            Err(Flaw::Exhausted) => ControlFlow::Break(End::Exhausted),
            Err(Flaw::Refused(refusal)) => {
                self.remember(refusal);
                ControlFlow::Continue(())
            }
        }
    }

    fn remember(&mut self, refusal: Refusal) {
        if refusal.rank() > self.refusal.rank() {
            self.refusal = refusal;
        }
    }

    /// Judges a complete path: what costs nothing first, signatures last.
    fn judge(&mut self, anchor: &'a Anchor) -> Result<PathWindow, Flaw> {
        for (below, (index, chosen)) in self.chosen.iter().enumerate() {
            judge_authority(&chosen.authority, below, Place::at_index(*index))?;
        }
        judge_authority(anchor.authority(), self.chosen.len(), Place::Anchor)?;
        let trust = anchor.trust()?;
        let limits = self.limits(anchor);
        if let Err(refusal) = limits.judge(self.now) {
            return Err(self.set_aside(anchor, refusal));
        }
        if self.names_are_ambiguous(anchor) {
            self.check_signatures(anchor)?;
        }
        self.spend_signatures(self.chosen.len().saturating_add(1))?;
        self.confirm(trust)?;
        Ok(limits)
    }

    fn set_aside(&mut self, anchor: &'a Anchor, refusal: Refusal) -> Flaw {
        if self.late.len() < LATE_PATHS_MAX {
            let chosen = self.chosen.clone();
            self.late.push(LatePath {
                chosen,
                anchor,
                refusal,
            });
        }
        // Whether the dates are to blame is found out at the end.
        PathRule::UnknownIssuer.into()
    }

    fn limits(&self, anchor: &Anchor) -> PathWindow {
        let leaf = PathWindow::of_leaf(self.presented.leaf.window);
        let path = self.chosen.iter().fold(leaf, |limits, (index, chosen)| {
            limits.and(chosen.authority.window, Place::at_index(*index))
        });
        path.and(anchor.authority().window, Place::Anchor)
    }

    /// Whether webpki could find other paths among these certificates; it would try signatures on
    /// each, beyond our budget.
    fn names_are_ambiguous(&self, anchor: &Anchor) -> bool {
        let path = self.chosen.iter().map(|(_, chosen)| &chosen.authority);
        let mut names: Vec<_> = path
            .chain([anchor.authority()])
            .map(|a| &a.subject)
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        names.len() != all
    }

    /// Our own look at the signatures, from the anchor down, so that a forged path costs one.
    fn check_signatures(&mut self, anchor: &Anchor) -> Result<(), Flaw> {
        let mut issuer_key: &[u8] = &anchor.authority().spki;
        let chosen = self.chosen.clone();
        for (_, intermediate) in chosen.iter().rev() {
            self.check_signature(&intermediate.der, issuer_key)?;
            issuer_key = &intermediate.authority.spki;
        }
        let presented = self.presented;
        self.check_signature(presented.leaf.der(), issuer_key)
    }

    fn check_signature(&mut self, der: &[u8], issuer_key: &[u8]) -> Result<(), Flaw> {
        self.spend_signatures(1)?;
        let certificate = Certificate::parse(der).map_err(|_| PathRule::Path)?;
        Ok(signature::check(&certificate, issuer_key)?)
    }

    fn spend_signatures(&mut self, count: usize) -> Result<(), Flaw> {
        self.signatures_left = self
            .signatures_left
            .checked_sub(count)
            .ok_or(Flaw::Exhausted)?;
        Ok(())
    }

    /// The second judge: webpki, given this path and nothing else.
    fn confirm(&self, trust: &rustls_pki_types::TrustAnchor<'_>) -> Result<(), PathRule> {
        let leaf = CertificateDer::from(self.presented.leaf.der());
        let leaf = EndEntityCert::try_from(&leaf).map_err(|e| path_rule(&e))?;
        let path: Vec<_> = self
            .chosen
            .iter()
            .map(|(_, c)| CertificateDer::from(&*c.der))
            .collect();
        // Dates before 1970 are beyond webpki, so a negative now fails there as it must.
        let now = Duration::from_secs(u64::try_from(self.now.0).unwrap_or(0));
        let verified = leaf
            .verify_for_usage(
                signature::ALGORITHMS,
                std::slice::from_ref(trust),
                &path,
                UnixTime::since_unix_epoch(now),
                KeyUsage::client_auth(),
                None,
                None,
            )
            .map_err(|e| path_rule(&e))?;
        // The path judged and the path confirmed are one.
        let confirmed = verified.intermediate_certificates().map(webpki::Cert::der);
        if confirmed.eq(path.iter().cloned()) {
            Ok(())
        } else {
            Err(PathRule::Path)
        }
    }
}

fn judge_authority(authority: &Authority, below: usize, place: Place) -> Result<(), PathRule> {
    match authority.fitness {
        Err(rule) => Err(PathRule::Authority { place, rule }),
        Ok(length) if !length.permits(below) => Err(PathRule::PathLength { place }),
        Ok(_) => Ok(()),
    }
}

fn path_rule(error: &webpki::Error) -> PathRule {
    use webpki::Error as E;
    match error {
        E::InvalidSignatureForPublicKey => PathRule::Signature,
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => PathRule::SignatureAlgorithm,
        E::NameConstraintViolation => PathRule::NameConstraints,
        _ => PathRule::Path,
    }
}
