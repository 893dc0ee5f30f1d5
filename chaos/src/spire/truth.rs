//! What the simulated SPIRE holds true, and how each call says it.

use std::collections::BTreeMap;
use std::fmt;

use proto::workload::{X509BundlesResponse, X509svid, X509svidResponse};

use super::fault::Refusal;
use crate::ca::IssuedSvid;

/// Trust domain ID (`spiffe://example.org`) to concatenated DER certificates, as on the wire.
///
/// The bytes are the caller's: empty, damaged or oversized values are sent as they are.
pub type BundleMap = BTreeMap<String, Vec<u8>>;

/// An SVID that the caller of `FetchX509SVID` is entitled to. `Debug` does not show the key.
#[derive(Clone)]
pub struct WorkloadSvid {
    /// The SVID with its key.
    pub svid: IssuedSvid,
    /// The operator's label, empty for none.
    pub hint: String,
}

impl fmt::Debug for WorkloadSvid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("WorkloadSvid")
            .field("svid", &self.svid)
            .field("hint", &self.hint)
            .finish()
    }
}

/// Everything a message says; each message is made from one.
#[derive(Debug, Clone, Default)]
pub(super) struct Truth {
    pub(super) bundles: BundleMap,
    pub(super) svids: Vec<WorkloadSvid>,
}

/// A message of one of the two calls.
pub(super) trait Message: Sized {
    fn from_truth(truth: &Truth) -> Result<Self, Refusal>;
}

impl Message for X509BundlesResponse {
    fn from_truth(truth: &Truth) -> Result<Self, Refusal> {
        let bundles = truth
            .bundles
            .iter()
            .map(|(key, der)| (key.clone(), der.clone()))
            .collect();
        Ok(Self {
            crl: Vec::new(),
            bundles,
        })
    }
}

impl Message for X509svidResponse {
    /// Without an SVID there is no message: the caller has no identity.
    fn from_truth(truth: &Truth) -> Result<Self, Refusal> {
        if truth.svids.is_empty() {
            return Err(Refusal::no_identity());
        }
        let own: Vec<String> = truth
            .svids
            .iter()
            .map(|entry| domain_key(&entry.svid.spiffe_id))
            .collect();
        let svids = truth
            .svids
            .iter()
            .zip(&own)
            .map(|(entry, key)| svid_message(truth, entry, key))
            .collect();
        let federated_bundles = truth
            .bundles
            .iter()
            .filter(|(key, _)| !own.contains(key))
            .map(|(key, der)| (key.clone(), der.clone()))
            .collect();
        Ok(Self {
            svids,
            crl: Vec::new(),
            federated_bundles,
        })
    }
}

fn svid_message(truth: &Truth, entry: &WorkloadSvid, domain_key: &str) -> X509svid {
    X509svid {
        spiffe_id: entry.svid.spiffe_id.clone(),
        x509_svid: entry.svid.chain_der.concat(),
        x509_svid_key: entry.svid.key_pkcs8_der().to_vec(),
        bundle: truth.bundles.get(domain_key).cloned().unwrap_or_default(),
        hint: entry.hint.clone(),
    }
}

/// `spiffe://example.org/x` to `spiffe://example.org`.
fn domain_key(id: &str) -> String {
    let name = id.strip_prefix("spiffe://").unwrap_or(id);
    let name = name.split_once('/').map_or(name, |(name, _path)| name);
    format!("spiffe://{name}")
}
