//! An issued SVID: the chain, and the key that stays with it.

use std::fmt;

/// An SVID with its private key. `Debug` shows neither the key nor the certificates.
#[derive(Clone)]
pub struct IssuedSvid {
    /// The ID asked for (with a defect, not always the one in the certificate).
    pub spiffe_id: String,
    /// Leaf first, then the intermediates nearest to it; each in DER. The root is not in it.
    pub chain_der: Vec<Vec<u8>>,
    key_pkcs8_der: Vec<u8>,
}

impl IssuedSvid {
    pub(crate) fn new(spiffe_id: String, chain_der: Vec<Vec<u8>>, key_pkcs8_der: Vec<u8>) -> Self {
        Self {
            spiffe_id,
            chain_der,
            key_pkcs8_der,
        }
    }

    /// The leaf in DER.
    #[must_use]
    pub fn leaf_der(&self) -> &[u8] {
        self.chain_der.first().map_or(&[], Vec::as_slice)
    }

    /// The intermediates in DER, nearest to the leaf first.
    #[must_use]
    pub fn intermediates_der(&self) -> &[Vec<u8>] {
        self.chain_der.get(1..).unwrap_or(&[])
    }

    /// The private key, PKCS#8 DER: for TLS in tests and for the Workload API's answer, never for a log.
    #[must_use]
    pub fn key_pkcs8_der(&self) -> &[u8] {
        &self.key_pkcs8_der
    }
}

impl fmt::Debug for IssuedSvid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("IssuedSvid")
            .field("spiffe_id", &self.spiffe_id)
            .field("certificates", &self.chain_der.len())
            .finish_non_exhaustive()
    }
}
