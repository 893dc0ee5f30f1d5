//! An SVID as proxies forward it in a header.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::IssuedSvid;

/// Line length of PEM (RFC 7468, section 2).
const PEM_LINE_CHARS: usize = 64;
/// The subject of every issued SVID as RFC 2253 writes it: last part first.
const SUBJECT_RFC2253: &str = "O=SPIRE,C=US";

impl IssuedSvid {
    /// One element of `x-forwarded-client-cert` as Envoy writes it with every detail on.
    #[must_use]
    pub fn xfcc(&self) -> String {
        self.xfcc_as(&self.spiffe_id)
    }

    /// The same with another text under `URI`: what a verifier must never take for the identity.
    #[must_use]
    pub fn xfcc_as(&self, uri: &str) -> String {
        format!(
            "Hash={};Cert=\"{}\";Chain=\"{}\";Subject=\"{SUBJECT_RFC2253}\";URI={uri}",
            self.leaf_sha256_hex(),
            self.pem_urlencoded(),
            percent_encode(&self.chain_pem()),
        )
    }

    /// An element without certificates, as an Istio sidecar writes it: nothing to verify.
    #[must_use]
    pub fn xfcc_without_cert(&self) -> String {
        format!(
            "Hash={};Subject=\"{SUBJECT_RFC2253}\";URI={}",
            self.leaf_sha256_hex(),
            self.spiffe_id
        )
    }

    /// The leaf as nginx writes `$ssl_client_escaped_cert`: percent-encoded PEM.
    #[must_use]
    pub fn pem_urlencoded(&self) -> String {
        percent_encode(&pem(self.leaf_der()))
    }

    /// The leaf as Apache forwards it: PEM whose line ends became spaces.
    #[must_use]
    pub fn pem_spaces(&self) -> String {
        pem(self.leaf_der()).replace('\n', " ")
    }

    /// The whole chain in PEM, leaf first, with real line ends.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain_der.iter().map(|der| pem(der)).collect()
    }

    /// The leaf as HAProxy and Caddy write it: bare base64 of the DER.
    #[must_use]
    pub fn der_base64(&self) -> String {
        STANDARD.encode(self.leaf_der())
    }

    /// The chain as Traefik writes it: bare base64 items with commas between.
    #[must_use]
    pub fn der_base64_list(&self) -> String {
        self.chain_der
            .iter()
            .map(|der| STANDARD.encode(der))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// `Client-Cert` of RFC 9440: the leaf as a byte sequence.
    #[must_use]
    pub fn rfc9440_client_cert(&self) -> String {
        byte_sequence(self.leaf_der())
    }

    /// `Client-Cert-Chain` of RFC 9440: the intermediates; none, no header.
    #[must_use]
    pub fn rfc9440_client_cert_chain(&self) -> Option<String> {
        let items: Vec<_> = self
            .intermediates_der()
            .iter()
            .map(|der| byte_sequence(der))
            .collect();
        (!items.is_empty()).then(|| items.join(", "))
    }

    /// SHA-256 of the leaf's DER, 64 lower-case hex digits.
    #[must_use]
    pub fn leaf_sha256_hex(&self) -> String {
        digest(&SHA256, self.leaf_der()).as_ref().iter().fold(
            String::with_capacity(64),
            |mut hex, byte| {
                let _never_fails = write!(hex, "{byte:02x}");
                hex
            },
        )
    }
}

fn byte_sequence(der: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(der))
}

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (position, character) in body.chars().enumerate() {
        if position > 0 && position % PEM_LINE_CHARS == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}

/// All but unreserved characters (RFC 3986, section 2.3): in PEM that is just what Envoy and nginx encode.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(
        String::with_capacity(text.len() * 2),
        |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                let _never_fails = write!(encoded, "%{byte:02X}");
            }
            encoded
        },
    )
}
