//! A certificate that nobody issued, under a name that nobody else has: to see where it arrives.
//!
//! It is an SVID in form, so that a record names it, and worth nothing: its signature is no signature
//! and its trust domain, which RFC 2606 reserves, has no bundle.

use std::fmt::Write as _;

use actors::audit::Recorded;
use base64::Engine as _;
use verdict::policy::CertFormat;

/// The generator of P-256 (SEC 2, 2.4.2): a public key of which nobody needs the private half.
const POINT: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                     4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const UTF8: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const ECDSA_SHA256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const EC_P256: &[u8] =
    b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const ORGANIZATION: &[u8] = b"\x06\x03\x55\x04\x0a";
const KEY_USAGE: &[u8] = b"\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x07\x80";
const SUBJECT_ALT_NAME: &[u8] = b"\x06\x03\x55\x1d\x11";
const VERSION_3: &[u8] = b"\xa0\x03\x02\x01\x02";

/// How the ID of every marker begins.
pub(super) const MARKERS: &str = "spiffe://doctor.invalid/probe/";

/// A marker.
pub(super) struct Marker {
    /// What a record would name.
    pub(super) id: String,
    /// What the request is called, where hop and proxy pass a name on.
    pub(super) request_id: String,
    der: Vec<u8>,
}

impl Marker {
    /// One that no other run has.
    pub(super) fn new() -> Self {
        let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
        let request_id = uuid.trim().to_owned();
        let id = format!("{MARKERS}{request_id}");
        let der = certificate(&id);
        Self {
            id,
            request_id,
            der,
        }
    }

    /// Of the trace that the request is in: 32 digits, as a version 4 UUID has them.
    pub(super) fn trace_id(&self) -> String {
        self.request_id.replace('-', "")
    }

    /// W3C Trace Context, 3.2.2: not sampled, nobody is to look for it in a trace store.
    pub(super) fn traceparent(&self) -> String {
        let trace_id = self.trace_id();
        let parent_id = trace_id.get(..16).unwrap_or_default();
        format!("00-{trace_id}-{parent_id}-00")
    }

    /// Whether a record is of the request that carried it.
    pub(super) fn is_of(&self, record: &Recorded) -> bool {
        record.trace_id.as_ref() == Some(&self.trace_id())
            || record.request_id.as_ref() == Some(&self.request_id)
            || record.correlation_id == self.request_id
    }

    /// As a proxy would write it in this format; `auto` reads XFCC too.
    pub(super) fn header(&self, format: CertFormat) -> String {
        let base64 = base64::engine::general_purpose::STANDARD.encode(&self.der);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        match format {
            CertFormat::Auto | CertFormat::Xfcc => format!("Cert=\"{}\"", percent(&pem)),
            CertFormat::PemUrlencoded => percent(&pem),
            CertFormat::PemSpaces => pem.trim_end().replace('\n', " "),
            CertFormat::DerBase64
            | CertFormat::DerBase64Concatenated
            | CertFormat::DerBase64List => base64,
            CertFormat::Rfc9440 => format!(":{base64}:"),
        }
    }
}

fn certificate(id: &str) -> Vec<u8> {
    let algorithm = tlv(SEQUENCE, &[ECDSA_SHA256]);
    let organization = tlv(
        SEQUENCE,
        &[ORGANIZATION, &tlv(UTF8, &[b"sentinel-spiffe-agent doctor"])],
    );
    let name = tlv(SEQUENCE, &[&tlv(SET, &[&organization])]);
    let from = tlv(UTC_TIME, &[b"200101000000Z"]);
    let validity = tlv(SEQUENCE, &[&from, &tlv(UTC_TIME, &[b"491231235959Z"])]);
    let point = tlv(BIT_STRING, &[&[0], &point()]);
    let key = tlv(SEQUENCE, &[&tlv(SEQUENCE, &[EC_P256]), &point]);
    let uri = tlv(
        OCTET_STRING,
        &[&tlv(SEQUENCE, &[&tlv(0x86, &[id.as_bytes()])])],
    );
    let names = tlv(SEQUENCE, &[SUBJECT_ALT_NAME, &uri]);
    let extensions = tlv(SEQUENCE, &[&tlv(SEQUENCE, &[KEY_USAGE]), &names]);
    let extensions = tlv(0xa3, &[&extensions]);
    let serial = tlv(INTEGER, &[&[1]]);
    let signed = tlv(
        SEQUENCE,
        &[
            VERSION_3,
            &serial,
            &algorithm,
            &name,
            &validity,
            &name,
            &key,
            &extensions,
        ],
    );
    let signature = tlv(SEQUENCE, &[&serial, &serial]);
    tlv(
        SEQUENCE,
        &[&signed, &algorithm, &tlv(BIT_STRING, &[&[0], &signature])],
    )
}

/// One element (X.690 §8.1); nothing here is longer than 64 KiB.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let [.., high, low] = value.len().to_be_bytes();
    let mut der = match value.len() {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    der.extend(value);
    der
}

fn point() -> Vec<u8> {
    let digits = POINT.as_bytes().chunks(2);
    let octets =
        digits.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    octets.collect()
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use proto::cert_header::{CertHeader, Format, XfccElement};
    use verdict::policy::CertFormat;

    use super::Marker;

    /// Else no record would name it, and a hop that forwards would look as one that overwrites.
    #[test]
    fn it_is_an_svid_in_form_in_every_format() {
        let marker = Marker::new();
        for format in CertFormat::ALL {
            let value = marker.header(format);
            let header = CertHeader::new("x", Format::Auto, XfccElement::Only).unwrap();
            let raw = header.find([("x", value.as_str())]).unwrap().unwrap();
            let chain = header.decode(&raw).unwrap().into_vec();
            let presented = verdict::svid::examine(&chain).unwrap();
            assert_eq!(presented.id().as_str(), marker.id, "{format:?}");
        }
    }
}
