//! Vectors for the credential header: what is accepted, and which rule refuses the rest.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use base64::engine::{Engine as _, general_purpose::STANDARD};
use proto::cert_header::{
    Base64Error, CertHeader, CertHeaderError, Collector, DerError, Format, Grammar,
    MAX_CERTIFICATES, MAX_HEADER_BYTES, MAX_NAME_BYTES, NameError, PemError, SfError, XfccElement,
    XfccError, XfccKey,
};

use CertHeaderError as E;

// ---- Certificates, and how each proxy writes them ----

/// The smallest texts that are one DER SEQUENCE: 30 03 02 01 05, and 06, 07 in place of 05.
const A: &str = "MAMCAQU=";
const B: &str = "MAMCAQY=";
const C: &str = "MAMCAQc=";
/// 30 03 02 01 05 30 03 02 01 06.
const AB_CONCATENATED: &str = "MAMCAQUwAwIBBg==";
/// 30 07 00 fb ef be ff ff ff: a SEQUENCE whose base64 has `+` and `/`.
const PLUS_SLASH: &str = "MAcA++++////";
const HASH_A: &str = "HASH_A";

fn small(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

/// One DER SEQUENCE of the size of a real certificate, different for each `seed`.
fn big(content: usize, seed: u8) -> Vec<u8> {
    let [high, low] = u16::try_from(content).unwrap().to_be_bytes();
    let bytes = (0..content).map(|at| (at as u64).wrapping_mul(31).to_le_bytes()[0] ^ seed);
    [0x30, 0x82, high, low].into_iter().chain(bytes).collect()
}

fn sha256_hex(der: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// PEM with lines of 64 letters, each ended by `line_end`.
fn pem(chain: &[Vec<u8>], line_end: &str) -> String {
    let mut text = String::new();
    for der in chain {
        text += &format!("-----BEGIN CERTIFICATE-----{line_end}");
        for line in STANDARD.encode(der).as_bytes().chunks(64) {
            text += &format!("{}{line_end}", std::str::from_utf8(line).unwrap());
        }
        text += &format!("-----END CERTIFICATE-----{line_end}");
    }
    text
}

/// Percent-encodes all but unreserved characters and those in `safe`.
fn escape(text: &str, safe: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-._~".contains(c) || safe.contains(c) {
                c.to_string()
            } else {
                format!("%{:02X}", u32::from(c))
            }
        })
        .collect()
}

fn nginx_escaped(chain: &[Vec<u8>]) -> String {
    escape(&pem(chain, "\n"), "")
}

fn base64_list(chain: &[Vec<u8>], comma: &str) -> String {
    chain
        .iter()
        .map(|der| STANDARD.encode(der))
        .collect::<Vec<_>>()
        .join(comma)
}

fn envoy(chain: &[Vec<u8>]) -> String {
    format!(
        "By=spiffe://example.org/edge;Hash={};Cert=\"{}\";Chain=\"{}\";\
         Subject=\"O=Acme\\, Inc.,CN=\\\"web\\\"\";URI=spiffe://example.org/web;DNS=web.example.org",
        sha256_hex(&chain[0]),
        nginx_escaped(&chain[..1]),
        nginx_escaped(chain)
    )
}

fn rfc9440(chain: &[Vec<u8>]) -> (String, Option<String>) {
    let item = |der: &Vec<u8>| format!(":{}:", STANDARD.encode(der));
    let rest = chain[1..].iter().map(item).collect::<Vec<_>>();
    (item(&chain[0]), (!rest.is_empty()).then(|| rest.join(", ")))
}

// ---- Asking ----

/// Header lines in the order of the request.
type Lines<'a> = &'a [(&'a str, &'a str)];

/// How a proxy writes a chain.
type Writer = fn(&[Vec<u8>]) -> String;

fn header(format: &str) -> CertHeader {
    CertHeader::new("X-Client-Cert", format.parse().unwrap(), XfccElement::Last).unwrap()
}

fn read_by(header: &CertHeader, lines: Lines<'_>) -> Result<Option<Vec<Vec<u8>>>, E> {
    match header.find(lines.iter().copied())? {
        Some(raw) => header.decode(&raw).map(|chain| Some(chain.into_vec())),
        None => Ok(None),
    }
}

fn read(format: &str, value: &str) -> Result<Option<Vec<Vec<u8>>>, E> {
    read_by(&header(format), &[("x-client-cert", value)])
}

/// Each vector: the rule it stands for, the format, the value. Every one is tried.
fn accepts(vectors: &[(&str, &str, String)], expected: &[Vec<u8>]) {
    let wrong = vectors.iter().filter_map(|(rule, format, value)| {
        let found = read(format, value);
        (found != Ok(Some(expected.to_vec()))).then(|| format!("{rule} ({format}): {found:?}"))
    });
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
}

/// See [`fill`] for what stands in the values.
fn refuses(vectors: &[(&str, &str, &str, E)]) {
    let wrong = vectors
        .iter()
        .filter_map(|(rule, format, value, expected)| {
            let found = read(format, &fill(value));
            (found != Err(*expected))
                .then(|| format!("{rule} ({format}): {found:?}, not {expected:?}"))
        });
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<String>::new());
}

/// `{A}` becomes A's percent-encoded PEM, `HASH_A` its hash.
fn fill(value: &str) -> String {
    value
        .replace(HASH_A, &sha256_hex(&small(A)))
        .replace("{A}", &nginx_escaped(&[small(A)]))
        .replace("{B}", &nginx_escaped(&[small(B)]))
        .replace("{AB}", &nginx_escaped(&[small(A), small(B)]))
        .replace("{a}", &pem(&[small(A)], " "))
        .replace("{b}", &pem(&[small(B)], " "))
}

fn base64(rule: Base64Error) -> E {
    E::Base64 {
        certificate: 1,
        rule,
    }
}

fn der(rule: DerError) -> E {
    E::Der {
        certificate: 1,
        rule,
    }
}

// ---- Every proxy's own way ----

#[test]
#[rustfmt::skip] // A vector a line.
fn the_leaf_of_every_proxy_is_read() {
    let chain = [big(900, 1)];
    let bare = STANDARD.encode(&chain[0]);
    let escaped = nginx_escaped(&chain);
    let subject = "Subject=\"\";URI=";
    let (hash, cert) = (sha256_hex(&chain[0]), format!("Cert=\"{escaped}\""));
    let vectors = [
        ("Envoy with everything", "auto", envoy(&chain)),
        ("Envoy with everything", "xfcc", envoy(&chain)),
        ("Envoy, Cert only", "auto", cert.clone()),
        ("Envoy, Chain only", "auto", format!("Chain=\"{escaped}\"")),
        ("Envoy, empty Subject and URI", "auto", format!("Hash={hash};{cert};{subject}")),
        ("Istio gateway: Hash, Cert, Subject, URI", "auto",
            format!("Hash={hash};{cert};Subject=\"CN=a,O=b\";URI=spiffe://example.org/ns/a")),
        ("Envoy, Issuer of recent versions", "auto", format!("{cert};Issuer=\"CN=ca,O=b\"")),
        ("nginx $ssl_client_escaped_cert", "auto", escaped.clone()),
        ("nginx $ssl_client_escaped_cert", "pem-urlencoded", escaped.clone()),
        ("nginx $ssl_client_cert: tabs", "auto", pem(&chain, "\n\t")),
        ("nginx $ssl_client_cert: tabs", "pem-spaces", pem(&chain, "\n\t")),
        ("nginx $ssl_client_cert through a parser that drops LF", "auto", pem(&chain, "\t")),
        ("nginx $ssl_client_raw_cert: real line ends", "auto", pem(&chain, "\n")),
        ("Apache: a space for each line end", "auto", pem(&chain, " ")),
        ("Apache: a space for each line end", "pem-spaces", pem(&chain, " ")),
        ("Apache: CR and LF each a space", "auto", pem(&chain, "  ")),
        ("HAProxy ssl_c_der,base64", "auto", bare.clone()),
        ("HAProxy ssl_c_der,base64", "der-base64", bare.clone()),
        ("Caddy certificate_der_base64", "auto", bare.clone()),
        ("Traefik, one certificate", "auto", bare.clone()),
        ("Traefik, one certificate", "der-base64-list", bare.clone()),
        ("Traefik 2.2: percent-encoded", "auto", escape(&bare, "")),
        ("Traefik 2.2: percent-encoded", "der-base64-list", escape(&bare, "")),
        ("AWS ALB: + / = raw", "auto", escape(&pem(&chain, "\n"), "+/=")),
        ("AWS ALB: + / = raw", "pem-urlencoded", escape(&pem(&chain, "\n"), "+/=")),
        ("AWS ALB's example: = escaped, + / raw", "auto", escape(&pem(&chain, "\n"), "+/")),
        ("GCP client_cert_leaf", "auto", format!(":{bare}:")),
        ("Cloudflare cert_rfc9440", "rfc9440", format!(":{bare}:")),
        ("concatenated DER, just one", "der-base64-concatenated", bare.clone()),
    ];
    accepts(&vectors, &chain);
}

#[test]
#[rustfmt::skip] // A vector a line.
fn the_chain_of_every_proxy_that_sends_one_is_read() {
    let chain = [big(900, 1), big(1100, 2), big(400, 3)];
    let everything = chain.concat();
    let vectors = [
        ("Envoy SANITIZE_SET with Cert and Chain", "auto", envoy(&chain)),
        ("Envoy SANITIZE_SET with Cert and Chain", "xfcc", envoy(&chain)),
        ("Envoy, Chain only", "xfcc", format!("Chain=\"{}\"", nginx_escaped(&chain))),
        ("AWS ALB passthrough", "auto", escape(&pem(&chain, "\n"), "+/=")),
        ("AWS ALB passthrough", "pem-urlencoded", escape(&pem(&chain, "\n"), "+/=")),
        ("PEM blocks with spaces", "pem-spaces", pem(&chain, " ")),
        ("PEM blocks end to end", "pem-spaces", pem(&chain, "")),
        ("Traefik", "auto", base64_list(&chain, ",")),
        ("Traefik", "der-base64-list", base64_list(&chain, ",")),
        ("Traefik through a hop that writes lists with spaces", "auto",
            base64_list(&chain, " ,\t")),
        ("Traefik 2.2: percent-encoded, commas too", "auto", escape(&base64_list(&chain, ","), "")),
        ("HAProxy's concatenated chain, insisted on", "der-base64-concatenated",
            STANDARD.encode(&everything)),
    ];
    accepts(&vectors, &chain);
}

#[test]
fn rfc_9440_takes_its_chain_from_the_second_header() {
    let chain = [big(900, 1), big(1100, 2), big(400, 3)];
    let (cert, rest) = rfc9440(&chain);
    let rest = rest.unwrap();
    let (first, second) = rest.split_once(", ").unwrap();
    let whole = format!("{cert}, {rest}");
    for format in ["auto", "rfc9440"] {
        let header = CertHeader::new("Client-Cert", format.parse().unwrap(), XfccElement::Last);
        let header = header.unwrap();
        for lines in [
            vec![("client-cert", &*cert), ("client-cert-chain", &*rest)],
            vec![("client-cert-chain", &*rest), ("client-cert", &*cert)],
            // RFC 9440 §2.3: the list may span header lines.
            vec![
                ("client-cert", &*cert),
                ("client-cert-chain", first),
                ("client-cert-chain", second),
            ],
            // The leaf first in the chain is forgiven when byte-equal.
            vec![("client-cert", &*cert), ("client-cert-chain", &*whole)],
        ] {
            assert_eq!(
                read_by(&header, &lines),
                Ok(Some(chain.to_vec())),
                "{lines:?}"
            );
        }
    }
}

#[test]
#[rustfmt::skip] // A vector a line.
fn rfc_9440_chains_are_refused_by_their_rule() {
    use SfError as S;
    let cert = format!(":{A}:");
    let cut = format!(":{B}:, :{C}");
    let second = |rule| E::Base64 {
        certificate: 2,
        rule,
    };
    let vectors: [(&str, &str, &str, E); 16] = [
        ("a chain without its certificate", "", ":MAMCAQY=:", E::ChainWithoutCert),
        ("a chain without its certificate (-)", "-", ":MAMCAQY=:", E::ChainWithoutCert),
        ("an empty chain header beside nothing but text", &cert,
            ", ", S::ColonExpected { at: 0 }.into()),
        ("a member without colons", &cert, "MAMCAQY=", S::ColonExpected { at: 0 }.into()),
        ("a member that is not closed", &cert, &cut, S::Unterminated { at: 12 }.into()),
        ("a trailing comma", &cert, ":MAMCAQY=:,", S::ColonExpected { at: 11 }.into()),
        ("two commas", &cert, ":MAMCAQY=:,,:MAMCAQc=:", S::ColonExpected { at: 11 }.into()),
        ("members without a comma", &cert,
            ":MAMCAQY=: :MAMCAQc=:", S::CommaExpected { at: 11 }.into()),
        ("parameters", &cert, ":MAMCAQY=:;a=1", S::CommaExpected { at: 10 }.into()),
        ("an inner list", &cert, "(:MAMCAQY=:)", S::ColonExpected { at: 0 }.into()),
        ("url-safe letters", &cert, ":MAMC_QY=:", second(Base64Error::Alphabet { at: 4 })),
        ("an empty member", &cert, "::", E::Der { certificate: 2, rule: DerError::Empty }),
        ("the leaf behind the first place", &cert, ":MAMCAQY=:, :MAMCAQU=:", S::LeafInChain.into()),
        ("the leaf twice", &cert, ":MAMCAQU=:, :MAMCAQU=:", S::LeafInChain.into()),
        ("two DER in a member", &cert,
            ":MAMCAQUwAwIBBg==:", E::Der { certificate: 2, rule: DerError::Trailing { at: 5 } }),
        ("a line end between members", &cert,
            ":MAMCAQY=:,\n:MAMCAQc=:", S::ColonExpected { at: 11 }.into()),
    ];
    for (rule, cert, chain, expected) in vectors {
        for format in ["auto", "rfc9440"] {
            let lines = [("x-client-cert", cert), ("x-client-cert-chain", chain)];
            assert_eq!(
                read_by(&header(format), &lines),
                Err(expected),
                "{rule} ({format})"
            );
        }
    }
}

#[test]
fn a_chain_header_belongs_to_rfc_9440_alone() {
    let lines = [("x-client-cert", A), ("x-client-cert-chain", B)];
    assert_eq!(
        read_by(&header("auto"), &lines),
        Err(E::ChainOfAnotherFormat)
    );
    assert_eq!(
        read_by(&header("der-base64"), &lines),
        Ok(Some(vec![small(A)])),
        "not ours to read"
    );
    let silent = [("x-client-cert", A), ("x-client-cert-chain", "")];
    assert_eq!(
        read_by(&header("auto"), &silent),
        Ok(Some(vec![small(A)])),
        "empty is absent"
    );
}

// ---- XFCC ----

#[test]
#[rustfmt::skip] // A vector a line.
fn xfcc_grammar_is_read_as_envoy_writes_it() {
    let a = small(A);
    let fill = |value: &str| fill(value);
    let vectors = [
        ("keys in any case", "auto", fill("hASH=HASH_A;cERT=\"{A}\"")),
        ("Hash in capitals", "auto",
            format!("Hash={};{}", sha256_hex(&a).to_uppercase(), fill("Cert=\"{A}\""))),
        ("Hash in quotes", "xfcc", fill("Hash=\"HASH_A\";Cert=\"{A}\"")),
        ("a value without quotes that needs none", "auto", fill("Cert={A}")),
        ("white space around ; and ,", "auto",
            fill("By=x , Hash=HASH_A ; Cert=\"{A}\" ;\tSubject=\"\" ")),
        ("several By", "auto", fill("By=spiffe://a/1;By=spiffe://a/2;Cert=\"{A}\"")),
        ("several URI and DNS in the last element", "auto",
            fill("Cert=\"{A}\";URI=a;URI=b;DNS=c;DNS=d")),
        ("an unknown key, well-formed", "xfcc", fill("Foo=bar;Cert=\"{A}\"")),
        ("an unknown key, quoted", "auto", fill("Cert=\"{A}\";Foo=\"a;b,c=d\"")),
        ("escaped quotes in Subject", "auto", fill(r#"Cert="{A}";Subject="CN=\"a\",O=\\""#)),
        ("separators in Subject are text", "auto",
            fill(r#"Subject="CN=x,By=y;Hash=z";Cert="{A}""#)),
        ("a forged element in Subject is text", "auto",
            fill(r#"Cert="{A}";Subject="a\",Cert=\"{B}""#)),
        ("Cert is Chain's first", "auto", fill("Cert=\"{A}\";Chain=\"{A}\"")),
        ("the last element counts", "auto", fill("Cert=\"{B}\",Cert=\"{A}\"")),
        ("the last of three", "auto",
            fill("Cert=\"{B}\",By=x;Cert=\"{B}\",Hash=HASH_A;Cert=\"{A}\"")),
        ("duplicates in an element that does not count", "auto",
            fill("Cert=\"{B}\";Cert=\"{B}\",Cert=\"{A}\"")),
        ("raw SANs in the last of two", "auto",
            fill("By=x;Hash=00,Cert=\"{A}\";URI=spiffe://a/b;DNS=c")),
        ("+ and / raw inside quotes", "auto",
            fill("Cert=\"-----BEGIN CERTIFICATE-----MAMCAQU=-----END CERTIFICATE-----\"")),
    ];
    accepts(&vectors, &[a]);
}

#[test]
#[rustfmt::skip] // A vector a line.
fn xfcc_is_refused_by_its_rule() {
    use XfccError as X;
    refuses(&[
        ("nothing but a comma", "xfcc", ",", X::KeyExpected { at: 0 }.into()),
        ("an empty first element", "xfcc", ",Cert=\"{A}\"", X::KeyExpected { at: 0 }.into()),
        ("an empty last element", "auto", "By=x,", X::KeyExpected { at: 5 }.into()),
        ("an empty middle element", "auto", "By=x,,By=y", X::KeyExpected { at: 5 }.into()),
        ("an empty pair", "auto", "By=x;;By=y", X::KeyExpected { at: 5 }.into()),
        ("a trailing semicolon", "auto", "By=x;", X::KeyExpected { at: 5 }.into()),
        ("an empty key", "xfcc", "=x", X::KeyExpected { at: 0 }.into()),
        ("bare text", "auto", "By=x;spiffe", X::EqualsExpected { at: 11 }.into()),
        ("a space in a key", "auto", "By=x;C ert=y", X::EqualsExpected { at: 6 }.into()),
        ("a space before =", "auto", "By=x;Cert =y", X::EqualsExpected { at: 9 }.into()),
        ("a key that is no token", "auto", "By=x;(a)=y", X::KeyExpected { at: 5 }.into()),
        ("= in a raw value", "auto", "By=a=b", X::QuotesNeeded { at: 4 }.into()),
        ("a quote inside a raw value", "auto", "By=a\"b\"", X::QuotesNeeded { at: 4 }.into()),
        ("white space before a quote", "auto", "By= \"b\"", X::QuotesNeeded { at: 4 }.into()),
        ("a quote not closed", "auto", "Cert=\"abc", X::Unterminated { at: 5 }.into()),
        ("a quote not closed, nothing in it", "auto", "Cert=\"", X::Unterminated { at: 5 }.into()),
        ("a closing quote that is escaped", "auto",
            r#"Cert="abc\""#, X::Unterminated { at: 5 }.into()),
        ("a backslash at the end", "auto", "Cert=\"abc\\", X::Unterminated { at: 5 }.into()),
        ("a quote cut inside the Subject", "auto",
            "Cert=\"{A}\";Subject=\"CN=", X::Unterminated { at: 91 }.into()),
        ("text after a closing quote", "auto", "By=\"a\"b", X::TextAfterQuote { at: 6 }.into()),
        ("a second quote after a closing one", "auto",
            "By=\"a\"\"b\"", X::TextAfterQuote { at: 6 }.into()),
        ("text after a closing quote and a space", "auto",
            "By=\"a\" b", X::TextAfterQuote { at: 7 }.into()),
        ("a line end after a closing quote", "auto",
            "By=\"a\"\n", X::TextAfterQuote { at: 6 }.into()),
        ("an earlier element must parse", "auto",
            "By=a=b,Cert=\"{A}\"", X::QuotesNeeded { at: 4 }.into()),
        ("neither Cert nor Chain (Istio sidecar)", "auto",
            "By=spiffe://a/b;Hash=HASH_A;Subject=\"\";URI=spiffe://a/c", X::NoCertificate.into()),
        ("Cert in an element that does not count", "auto",
            "Cert=\"{A}\",By=x", X::NoCertificate.into()),
        ("Hash twice", "auto",
            "Hash=HASH_A;Hash=HASH_A;Cert=\"{A}\"", X::Twice { key: XfccKey::Hash }.into()),
        ("Cert twice", "auto", "Cert=\"{A}\";Cert=\"{A}\"", X::Twice { key: XfccKey::Cert }.into()),
        ("Cert twice, in other case", "auto",
            "Cert=\"{A}\";CERT=\"{B}\"", X::Twice { key: XfccKey::Cert }.into()),
        ("Chain twice", "auto",
            "Chain=\"{A}\";Chain=\"{A}\"", X::Twice { key: XfccKey::Chain }.into()),
        ("Subject twice", "auto",
            "Cert=\"{A}\";Subject=\"\";Subject=x", X::Twice { key: XfccKey::Subject }.into()),
        ("Hash of another certificate", "auto", "Hash=HASH_A;Cert=\"{B}\"", X::HashDiffers.into()),
        ("Hash of another certificate than Chain's first", "auto",
            "Hash=HASH_A;Chain=\"{B}\"", X::HashDiffers.into()),
        ("Hash empty", "auto", "Hash=;Cert=\"{A}\"", X::HashNotSha256.into()),
        ("Hash too short", "auto", "Hash=3f0c;Cert=\"{A}\"", X::HashNotSha256.into()),
        ("Hash too long", "auto", "Hash=HASH_A00;Cert=\"{A}\"", X::HashNotSha256.into()),
        ("Hash one digit too long", "auto", "Hash=HASH_A0;Cert=\"{A}\"", X::HashNotSha256.into()),
        (
            "Hash not hexadecimal",
            "auto",
            "Hash=zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz;Cert=\"{A}\"",
            X::HashNotSha256.into(),
        ),
        ("Cert differs from Chain's first", "auto",
            "Cert=\"{A}\";Chain=\"{B}\"", X::CertIsNotChainsFirst.into()),
        ("Cert is Chain's second", "auto",
            "Cert=\"{B}\";Chain=\"{AB}\"", X::CertIsNotChainsFirst.into()),
        ("Cert holds a chain", "auto", "Cert=\"{AB}\"", X::CertHoldsSeveral.into()),
        ("Cert empty", "auto", "Cert=\"\"", E::NoCertificate),
        ("Cert empty beside a good Chain", "auto", "Cert=;Chain=\"{A}\"", E::NoCertificate),
        ("Chain empty beside a good Cert", "auto", "Cert=\"{A}\";Chain=\"\"", E::NoCertificate),
        ("a bad escape in Cert", "auto", "Cert=\"%4\"", E::Percent { at: 0 }),
        ("Cert escaped twice", "auto",
            "Cert=\"-----BEGIN%2520CERTIFICATE-----\"", PemError::BeginExpected { at: 0 }.into()),
        ("Cert as bare base64", "auto",
            "Cert=\"MAMCAQU=\"", PemError::BeginExpected { at: 0 }.into()),
        ("a backslash inside Cert", "auto",
            r#"Cert="\-----BEGIN CERTIFICATE-----""#, PemError::BeginExpected { at: 0 }.into()),
    ]);
}

#[test]
#[rustfmt::skip] // A vector a line.
fn a_san_cannot_forge_an_element_or_a_key() {
    use XfccError as X;
    // Each SAN is what Envoy writes raw, after the true keys of a client that holds `B`.
    let hash_b = sha256_hex(&small(B));
    let real = format!("By=spiffe://e/p;Hash={hash_b};Cert=\"{{B}}\";Subject=\"CN=b\"");
    let vectors: [(&str, &str, E); 12] = [
        ("URI forges an element", ";URI=x,Hash=HASH_A;Cert=\"{A}\"",
            X::RawSanBeforeLast { at: 0 }.into()),
        ("DNS forges an element", ";DNS=x,Cert=\"{A}\"", X::RawSanBeforeLast { at: 0 }.into()),
        ("an empty URI forges an element", ";URI=,Cert=\"{A}\"",
            X::RawSanBeforeLast { at: 0 }.into()),
        ("URI in another case forges an element", ";uri=x,Cert=\"{A}\"",
            X::RawSanBeforeLast { at: 0 }.into()),
        ("URI forges two elements", ";URI=x,By=y,Cert=\"{A}\"",
            X::RawSanBeforeLast { at: 0 }.into()),
        ("URI forges Cert", ";URI=x;Cert=\"{A}\"", X::Twice { key: XfccKey::Cert }.into()),
        ("URI forges Hash", ";URI=x;Hash=HASH_A", X::Twice { key: XfccKey::Hash }.into()),
        ("DNS forges Subject", ";DNS=x;Subject=\"CN=victim\"",
            X::Twice { key: XfccKey::Subject }.into()),
        ("URI forges Chain", ";URI=x;Chain=\"{A}\"", X::CertIsNotChainsFirst.into()),
        ("URI opens a quote", ";URI=\"x", X::Unterminated { at: 0 }.into()),
        ("URI ends in text with =", ";URI=x?By=y", X::QuotesNeeded { at: 0 }.into()),
        ("DNS closes a quote that is not open", ";DNS=x\";By=y", X::QuotesNeeded { at: 0 }.into()),
    ];
    for (rule, san, expected) in vectors {
        let value = fill(&format!("{real}{san}"));
        for format in ["auto", "xfcc"] {
            let refused = read(format, &value).expect_err(rule);
            assert_eq!(
                without_place(refused),
                expected,
                "{rule} ({format}): {value}"
            );
        }
    }
    // Without Cert in Envoy's details a SAN can bring one; the Hash that Envoy always writes tells.
    let forged = fill(&format!("Hash={hash_b};URI=x;Cert=\"{{A}}\""));
    assert_eq!(read("auto", &forged), Err(X::HashDiffers.into()));
}

/// The same error at byte 0, where the place is not the point.
fn without_place(error: E) -> E {
    use XfccError as X;
    match error {
        E::Xfcc(X::RawSanBeforeLast { .. }) => X::RawSanBeforeLast { at: 0 }.into(),
        E::Xfcc(X::Unterminated { .. }) => X::Unterminated { at: 0 }.into(),
        E::Xfcc(X::QuotesNeeded { .. }) => X::QuotesNeeded { at: 0 }.into(),
        other => other,
    }
}

#[test]
fn only_means_a_single_element() {
    let header = CertHeader::new("xfcc", Format::Auto, XfccElement::Only).unwrap();
    let one = fill("Cert=\"{A}\";URI=spiffe://a/b");
    assert_eq!(
        read_by(&header, &[("xfcc", &one)]),
        Ok(Some(vec![small(A)]))
    );
    let two = fill("By=x,Cert=\"{A}\"");
    let refused = Err(XfccError::NotTheOnly { at: 4 }.into());
    assert_eq!(read_by(&header, &[("xfcc", &two)]), refused);
    let lines = [("xfcc", "By=x"), ("xfcc", &one)];
    assert_eq!(read_by(&header, &lines), refused, "lines are elements");
}

// ---- PEM, base64, DER, percent ----

#[test]
#[rustfmt::skip] // A vector a line.
fn pem_is_refused_by_its_rule() {
    use PemError as P;
    let begin = |at| E::Pem(P::BeginExpected { at });
    let end = |at| E::Pem(P::EndExpected { at });
    refuses(&[
        ("text before", "pem-spaces", "x{a}", begin(0)),
        ("text after", "auto", "{a}x", begin(63)),
        ("text between", "auto", "{a}x{b}", begin(63)),
        ("a comma between", "auto", "{a},{b}", begin(63)),
        ("NUL after", "auto", "{a}\0", begin(63)),
        ("escaped NUL after", "auto", "{A}%00", begin(63)),
        ("another label", "auto",
            "-----BEGIN PUBLIC KEY-----MAMCAQU=-----END PUBLIC KEY-----", begin(0)),
        (
            "a trusted certificate",
            "auto",
            "-----BEGIN TRUSTED CERTIFICATE-----MAMCAQU=-----END TRUSTED CERTIFICATE-----",
            begin(0),
        ),
        ("an X509 label", "auto",
            "-----BEGIN X509 CERTIFICATE-----MAMCAQU=-----END X509 CERTIFICATE-----", begin(0)),
        ("a label in another case", "auto",
            "-----BEGIN certificate-----MAMCAQU=-----END certificate-----", begin(0)),
        ("two spaces in the label", "auto",
            "-----BEGIN  CERTIFICATE-----MAMCAQU=-----END CERTIFICATE-----", begin(0)),
        ("four dashes", "pem-spaces",
            "----BEGIN CERTIFICATE-----MAMCAQU=-----END CERTIFICATE-----", begin(0)),
        ("another label in END", "auto",
            "-----BEGIN CERTIFICATE-----MAMCAQU=-----END PUBLIC KEY-----", end(35)),
        ("a block in a block", "auto", "-----BEGIN CERTIFICATE-----MAMC{a}", end(31)),
        ("a stray dash (url-safe base64)", "auto",
            "-----BEGIN CERTIFICATE-----MA-CAQU=-----END CERTIFICATE-----", end(29)),
        ("END cut", "auto", "-----BEGIN CERTIFICATE-----MAMCAQU=-----END CERTIFIC", end(35)),
        ("body cut", "auto", "-----BEGIN CERTIFICATE-----MAMC", P::EndMissing.into()),
        ("second block cut", "auto", "{a}-----BEGIN CERTIFICATE-----MAMC", P::EndMissing.into()),
        ("BEGIN cut", "auto", "-----BEGIN CERTIF", begin(0)),
        (
            "RFC 1421 headers",
            "auto",
            "-----BEGIN CERTIFICATE-----\nA: b\n\nMAMCAQU=\n-----END CERTIFICATE-----",
            base64(Base64Error::Alphabet { at: 1 }),
        ),
        ("empty body", "auto",
            "-----BEGIN CERTIFICATE----------END CERTIFICATE-----", der(DerError::Empty)),
        (
            "two DER in a block",
            "auto",
            "-----BEGIN CERTIFICATE-----MAMCAQUwAwIBBg==-----END CERTIFICATE-----",
            der(DerError::Trailing { at: 5 }),
        ),
        ("percent-encoding under a name that has none", "pem-spaces", "{A}", begin(0)),
        ("escaped twice", "pem-urlencoded",
            "-----BEGIN%2520CERTIFICATE-----MAMCAQU%253D-----END%2520CERTIFICATE-----", begin(0)),
        (
            "escaped twice, body only",
            "auto",
            "-----BEGIN%20CERTIFICATE-----MAMCAQU%253D-----END%20CERTIFICATE-----",
            base64(Base64Error::Alphabet { at: 7 }),
        ),
        ("+ for a space, as a form has it", "auto",
            "-----BEGIN+CERTIFICATE-----%0AMAMCAQU=%0A-----END+CERTIFICATE-----", begin(0)),
        ("form feed is no white space", "auto", "{a}\x0c", begin(63)),
        (
            "a bad second block",
            "auto",
            "{a}-----BEGIN CERTIFICATE-----!-----END CERTIFICATE-----",
            E::Base64 {
                certificate: 2,
                rule: Base64Error::Alphabet { at: 0 },
            },
        ),
        ("white space, escaped, is no certificate", "pem-urlencoded", "%20", E::NoCertificate),
    ]);
}

#[test]
#[rustfmt::skip] // A vector a line.
fn percent_encoding_is_refused_by_its_rule() {
    refuses(&[
        ("% at the end", "auto", "MAMCAQU%", E::Percent { at: 7 }),
        ("one digit", "auto", "MAMCAQU%3", E::Percent { at: 7 }),
        ("no digits", "auto", "MAMCAQU%zz", E::Percent { at: 7 }),
        ("a second digit that is none", "auto", "MAMCAQU%3z", E::Percent { at: 7 }),
        ("a sign for a digit", "auto", "MAMCAQU%+3", E::Percent { at: 7 }),
        ("the second escape", "auto", "MAMCAQU%3D%", E::Percent { at: 10 }),
        ("a bad escape inside PEM", "auto",
            "-----BEGIN%20CERTIFICATE-----%G0", E::Percent { at: 29 }),
        ("a bad escape in BEGIN", "auto", "-----BEGI%", E::Percent { at: 9 }),
        ("%u escapes", "auto", "MAMCAQU%u003D", E::Percent { at: 7 }),
        ("escaped twice", "auto", "MAMCAQU%253D", base64(Base64Error::Alphabet { at: 7 })),
        ("escaped UTF-8", "auto", "%C3%A9", base64(Base64Error::Alphabet { at: 0 })),
        ("no escapes in RFC 9440", "auto", ":MAMCAQU%3D:", base64(Base64Error::Alphabet { at: 7 })),
    ]);
}

#[test]
#[rustfmt::skip] // A vector a line.
fn a_plus_stays_a_plus() {
    let block =
        |body: &str| format!("-----BEGIN%20CERTIFICATE-----{body}-----END%20CERTIFICATE-----");
    let vectors = [
        ("+ and / raw beside escapes", "auto", block(PLUS_SLASH)),
        ("+ and / escaped", "auto", block(&escape(PLUS_SLASH, ""))),
        ("+ raw, / escaped", "pem-urlencoded", block(&escape(PLUS_SLASH, "+"))),
        ("+ and / raw, bare", "auto", PLUS_SLASH.to_owned()),
        ("+ raw, bare, beside an escape", "der-base64", escape(PLUS_SLASH, "+")),
    ];
    accepts(&vectors, &[small(PLUS_SLASH)]);
}

#[test]
#[rustfmt::skip] // A vector a line.
fn base64_is_refused_by_its_rule() {
    use Base64Error as B;
    let alphabet = |at| base64(B::Alphabet { at });
    refuses(&[
        ("padding missing", "auto", "MAMCAQU", base64(B::Padding)),
        ("padding missing", "der-base64", "MAMCAQU", base64(B::Padding)),
        ("padding missing", "rfc9440", ":MAMCAQU:", base64(B::Padding)),
        ("too much padding", "auto", "MAMCAQU==", alphabet(7)),
        ("padding inside", "auto", "MAMC=AQU", alphabet(4)),
        ("padding only", "auto", "====", alphabet(0)),
        ("url-safe _", "auto", "MAcA++++///_", alphabet(11)),
        ("url-safe -", "auto", "MAcA+++-////", alphabet(7)),
        ("spare bits set", "auto", "MAMCAQV=", base64(B::SpareBits { at: 6 })),
        ("a letter too many", "auto", "MAMCA", base64(B::Length { bytes: 5 })),
        ("a space inside", "auto", "MAMC AQU=", alphabet(4)),
        ("a tab inside", "auto", "MAMC\tAQU=", alphabet(4)),
        ("a line end inside", "auto", "MAMC\nAQU=", alphabet(4)),
        ("a line end behind", "auto", "MAMCAQU=\n", alphabet(8)),
        ("a semicolon", "auto", "MAMCAQU=;", alphabet(8)),
        ("letters beyond ASCII", "auto", "MAMCÄQU=", alphabet(4)),
        ("a word", "auto", "none", der(DerError::NotASequence)),
        ("an identity as text", "auto", "spiffe://example.org/web", alphabet(6)),
    ]);
}

#[test]
#[rustfmt::skip] // A vector a line.
fn lists_are_refused_by_their_rule() {
    let alphabet = |certificate, at| E::Base64 {
        certificate,
        rule: Base64Error::Alphabet { at },
    };
    let empty = |certificate| E::Der {
        certificate,
        rule: DerError::Empty,
    };
    refuses(&[
        ("a trailing comma", "auto", "MAMCAQU=,", empty(2)),
        ("a leading comma", "auto", ",MAMCAQU=", empty(1)),
        ("two commas", "auto", "MAMCAQU=,,MAMCAQY=", empty(2)),
        ("an escaped trailing comma", "auto", "MAMCAQU%3D%2C", empty(2)),
        ("a bad second item", "auto", "MAMCAQU=,!", alphabet(2, 0)),
        (
            "two DER in an item",
            "auto",
            "MAMCAQY=,MAMCAQUwAwIBBg==",
            E::Der {
                certificate: 2,
                rule: DerError::Trailing { at: 5 },
            },
        ),
        ("a list where one is asked for", "der-base64", "MAMCAQU=,MAMCAQY=", alphabet(1, 7)),
        ("a list where DER is concatenated", "der-base64-concatenated",
            "MAMCAQU=,MAMCAQY=", alphabet(1, 7)),
        ("semicolons", "auto", "MAMCAQU=;MAMCAQY=", alphabet(1, 7)),
        ("PEM in a list", "der-base64-list", "{a}", alphabet(1, 0)),
    ]);
}

#[test]
fn concatenated_der_must_be_insisted_on() {
    let value = AB_CONCATENATED;
    let both = vec![small(A), small(B)];
    assert_eq!(read("der-base64-concatenated", value), Ok(Some(both)));
    for format in ["auto", "der-base64", "der-base64-list"] {
        assert_eq!(
            read(format, value),
            Err(der(DerError::Trailing { at: 5 })),
            "{format}"
        );
    }
    let cut = STANDARD.encode([0x30, 3, 2, 1, 5, 0x30, 3, 2]);
    let truncated = E::Der {
        certificate: 2,
        rule: DerError::Truncated,
    };
    assert_eq!(read("der-base64-concatenated", &cut), Err(truncated));
    let zero = STANDARD.encode([0x30, 3, 2, 1, 5, 0]);
    let padded = E::Der {
        certificate: 2,
        rule: DerError::NotASequence,
    };
    assert_eq!(
        read("der-base64-concatenated", &zero),
        Err(padded),
        "no padding behind"
    );
}

#[test]
#[rustfmt::skip] // A vector a line.
fn der_is_refused_by_its_rule() {
    use DerError as D;
    let of = |content: usize, header: &[u8]| [header, &vec![0; content]].concat();
    let vectors: [(&str, Vec<u8>, D); 15] = [
        ("a SET", vec![0x31, 0], D::NotASequence),
        ("an INTEGER", vec![2, 1, 5], D::NotASequence),
        ("a primitive SEQUENCE", vec![0x10, 0], D::NotASequence),
        ("a tag alone", vec![0x30], D::Truncated),
        ("indefinite length", vec![0x30, 0x80, 0, 0], D::IndefiniteLength),
        ("one octet where none is needed", of(5, &[0x30, 0x81, 5]), D::LengthNotMinimal),
        ("127 in long form", of(127, &[0x30, 0x81, 127]), D::LengthNotMinimal),
        ("a leading zero octet", of(200, &[0x30, 0x82, 0, 200]), D::LengthNotMinimal),
        ("length octets cut", vec![0x30, 0x82, 1], D::Truncated),
        ("content cut", of(4, &[0x30, 5]), D::Truncated),
        ("long content cut", of(299, &[0x30, 0x82, 1, 44]), D::Truncated),
        ("4 GiB", vec![0x30, 0x84, 255, 255, 255, 255], D::Truncated),
        ("five length octets", vec![0x30, 0x85, 1, 0, 0, 0, 0], D::LengthTooLong),
        ("the reserved length", vec![0x30, 0xff, 0], D::LengthTooLong),
        ("a byte behind", of(6, &[0x30, 5]), D::Trailing { at: 7 }),
    ];
    for (rule, bytes, expected) in vectors {
        for format in ["auto", "der-base64", "der-base64-list"] {
            assert_eq!(
                read(format, &STANDARD.encode(&bytes)),
                Err(der(expected)),
                "{rule}"
            );
        }
    }
    for (content, head) in [
        (0, vec![0x30, 0]),
        (127, vec![0x30, 127]),
        (128, vec![0x30, 0x81, 128]),
        (256, vec![0x30, 0x82, 1, 0]),
    ] {
        let whole = of(content, &head);
        assert_eq!(
            read("auto", &STANDARD.encode(&whole)),
            Ok(Some(vec![whole])),
            "{content} bytes"
        );
    }
}

#[test]
#[rustfmt::skip] // A vector a line.
fn rfc_9440_items_are_refused_by_their_rule() {
    use SfError as S;
    refuses(&[
        ("no colons", "rfc9440", "MAMCAQU=", S::ColonExpected { at: 0 }.into()),
        ("no first colon", "rfc9440", "MAMCAQU=:", S::ColonExpected { at: 0 }.into()),
        ("not closed", "auto", ":MAMCAQU=", S::Unterminated { at: 0 }.into()),
        ("a colon alone", "auto", ":", S::Unterminated { at: 0 }.into()),
        ("nothing inside", "auto", "::", der(DerError::Empty)),
        ("two items", "auto", ":MAMCAQU=:, :MAMCAQY=:", S::NotOneItem { at: 10 }.into()),
        ("parameters", "auto", ":MAMCAQU=:;a", S::NotOneItem { at: 10 }.into()),
        ("text behind", "auto", ":MAMCAQU=:x", S::NotOneItem { at: 10 }.into()),
        ("a third colon", "auto", ":MAMCAQU=::", S::NotOneItem { at: 10 }.into()),
        ("white space inside", "auto", ": MAMCAQU=:", base64(Base64Error::Alphabet { at: 0 })),
        ("a string", "rfc9440", "\"MAMCAQU=\"", S::ColonExpected { at: 0 }.into()),
        ("PEM inside", "auto", ":{a}:", base64(Base64Error::Alphabet { at: 0 })),
    ]);
}

#[test]
#[rustfmt::skip] // A vector a line.
fn auto_never_guesses_past_its_order() {
    refuses(&[
        ("JSON object", "auto", "{\"Cert\":\"x\"}", E::Json),
        ("JSON array", "auto", "[{\"Cert\":\"x\"}]", E::Json),
        ("JSON behind white space", "auto", " \t[", E::Json),
        ("JSON, whatever the name", "xfcc", "{}", E::Json),
        ("a key that Envoy does not write is no XFCC", "auto",
            "Foo=bar;Cert=\"{A}\"", base64(Base64Error::Alphabet { at: 3 })),
        ("Traefik's Info is no XFCC and no certificate", "auto",
            "Subject%3D%22CN%3Da%22", base64(Base64Error::Alphabet { at: 7 })),
        ("XFCC wins over what follows", "auto",
            "By=-----BEGIN CERTIFICATE-----", XfccError::NoCertificate.into()),
        ("escaped XFCC is not decoded", "auto",
            "Cert%3D{A}", base64(Base64Error::Alphabet { at: 4 })),
    ]);
}

#[test]
fn what_auto_told_is_told() {
    let vectors = [
        ("By=x", Grammar::Xfcc),
        ("issuer=x", Grammar::Xfcc),
        (":x", Grammar::Rfc9440),
        ("-----BEGIN x", Grammar::PemSpaces),
        ("-----BEGIN%20x", Grammar::PemUrlencoded),
        ("%2D----BEGIN x", Grammar::PemUrlencoded),
        ("%0A-----BEGIN x", Grammar::PemUrlencoded),
        ("%252D----BEGIN x", Grammar::DerBase64),
        ("-----BEGI", Grammar::DerBase64),
        ("-- ---BEGIN x", Grammar::DerBase64),
        ("MAMC", Grammar::DerBase64),
        ("MAMC,MAMC", Grammar::DerBase64List),
        ("MAMC%2cMAMC", Grammar::DerBase64List),
    ];
    let header = header("auto");
    for (value, expected) in vectors {
        let raw = header.find([("x-client-cert", value)]).unwrap().unwrap();
        assert_eq!(header.grammar(&raw), expected, "{value}");
    }
}

// ---- Which header, and how often ----

#[test]
fn nothing_is_no_credential() {
    let header = header("auto");
    let vectors: [&[(&str, &str)]; 9] = [
        &[],
        &[
            ("host", "a"),
            ("x-client-certs", "b"),
            ("x-client-cer", "c"),
            ("x-client/cert", "d"),
        ],
        &[("x-client-cert", "")],
        &[("x-client-cert", " \t")],
        &[("x-client-cert", "-")],
        &[("x-client-cert", " (null) ")],
        &[("x-client-cert", ""), ("x-client-cert", "")],
        &[("x-client-cert", "-"), ("x-client-cert-chain", "")],
        &[("x-client-cert-chain", "(null)")],
    ];
    for lines in vectors {
        assert_eq!(header.find(lines.iter().copied()), Ok(None), "{lines:?}");
    }
    for almost in ["--", "null", "(NULL)", "none", "\n"] {
        let read = read("auto", almost);
        assert!(read.is_err(), "{almost:?} is something: {read:?}");
    }
}

#[test]
#[rustfmt::skip] // A vector a line.
fn a_name_has_one_spelling() {
    let header = header("auto");
    let find = |lines: &[(&'static str, &'static str)]| header.find(lines.iter().copied());
    let vectors: [(&str, Lines<'_>, E); 9] = [
        ("two cases", &[("X-Client-Cert", A), ("x-client-cert", A)], E::TwoSpellings),
        ("two cases, one silent", &[("X-Client-Cert", ""), ("x-client-cert", A)], E::TwoSpellings),
        ("an underscore", &[("x_client_cert", A)], E::Underscore),
        ("one underscore of two", &[("X-Client_Cert", A)], E::Underscore),
        ("an underscore beside the true one", &[("x-client-cert", A), ("x_client_cert", B)],
            E::Underscore),
        ("an underscore before the true one", &[("X_CLIENT_CERT", ""), ("x-client-cert", A)],
            E::Underscore),
        ("an underscore, silent", &[("x_client_cert", "")], E::Underscore),
        (
            "an underscore in the chain's name",
            &[("x-client-cert", ":MAMCAQU=:"), ("x-client-cert_chain", "")],
            E::Underscore,
        ),
        (
            "two cases of the chain's name",
            &[("x-client-cert-chain", ""), ("X-Client-Cert-Chain", "")],
            E::TwoSpellings,
        ),
    ];
    for (rule, lines, expected) in vectors {
        assert_eq!(find(lines), Err(expected), "{rule}");
    }
    assert!(
        find(&[("X-CLIENT-CERT", A)]).unwrap().is_some(),
        "any one case is the name"
    );

    let under = CertHeader::new("X_Client_Cert", Format::Auto, XfccElement::Last).unwrap();
    assert_eq!(
        read_by(&under, &[("x_client_cert", A)]),
        Ok(Some(vec![small(A)]))
    );
    assert_eq!(
        read_by(&under, &[("x-client-cert", A)]),
        Err(E::Underscore),
        "both ways"
    );
}

#[test]
fn a_key_of_a_map_stands_once() {
    let header = header("auto");
    let mut once = Collector::new(&header);
    assert!(!once.begin("host"));
    once.value("ignored");
    assert!(once.begin("x-client-cert"));
    once.value(A.to_owned());
    assert!(!once.begin("accept"));
    let raw = once.finish().unwrap().unwrap();
    assert_eq!(raw.value(), A);

    for (first, second) in [
        (Some(A), Some(A)),
        (None, Some(A)),
        (Some(A), None),
        (None, None),
    ] {
        let mut twice = Collector::new(&header);
        for value in [first, second] {
            if twice.begin("x-client-cert") {
                value.into_iter().for_each(|value| twice.value(value));
            }
        }
        assert_eq!(twice.finish(), Err(E::DuplicateKey), "{first:?} {second:?}");
    }

    let mut cased = Collector::new(&header);
    cased.begin("x-client-cert");
    cased.begin("X-Client-Cert");
    assert_eq!(cased.finish(), Err(E::TwoSpellings));

    let mut empty = Collector::new(&header);
    empty.begin("x-client-cert");
    assert_eq!(empty.finish(), Ok(None), "a key without values");

    let mut chain = Collector::new(&header);
    chain.begin("x-client-cert-chain");
    chain.begin("x-client-cert-chain");
    assert_eq!(chain.finish(), Err(E::DuplicateKey));
}

#[test]
fn only_xfcc_spreads_over_lines() {
    let header = header("auto");
    let cert = fill("Hash=HASH_A;Cert=\"{A}\";URI=spiffe://a/b");
    let lines = [("x-client-cert", "By=x;Hash=00"), ("x-client-cert", &*cert)];
    assert_eq!(
        read_by(&header, &lines),
        Ok(Some(vec![small(A)])),
        "the last line is the last element"
    );
    let raw = header.find(lines).unwrap().unwrap();
    assert_eq!(raw.value(), format!("By=x;Hash=00,{cert}"));

    // A quote must not be closed by the next line, nor a silent line pass unseen.
    let split = [("x-client-cert", "By=\"x"), ("x-client-cert", &*cert)];
    assert!(read_by(&header, &split).is_err());
    let gap = [("x-client-cert", &*cert), ("x-client-cert", "")];
    assert!(matches!(read_by(&header, &gap), Err(E::Xfcc(_))));
    let marker = [("x-client-cert", "-"), ("x-client-cert", &*cert)];
    assert_eq!(read_by(&header, &marker), Err(E::SeveralLines));

    let pem = pem(&[small(A)], " ");
    for (format, first) in [
        ("auto", A),
        ("auto", ":MAMCAQU=:"),
        ("auto", &*pem),
        ("der-base64", A),
        ("der-base64-list", A),
        ("der-base64-concatenated", A),
        ("pem-spaces", &*pem),
        ("pem-urlencoded", &*pem),
        ("rfc9440", ":MAMCAQU=:"),
    ] {
        for second in [first, "", "-"] {
            let lines = [("x-client-cert", first), ("x-client-cert", second)];
            let found = read_by(&self::header(format), &lines);
            assert_eq!(found, Err(E::SeveralLines), "{format} {second:?}");
        }
    }
}

// ---- Bounds ----

#[test]
fn a_header_of_64_kib_is_read_and_one_byte_more_is_not() {
    let header = header("xfcc");
    let cert = fill("Cert=\"{A}\";Subject=");
    let value = format!("{cert}{}", "x".repeat(MAX_HEADER_BYTES - cert.len()));
    assert_eq!(
        read_by(&header, &[("x-client-cert", &value)]),
        Ok(Some(vec![small(A)]))
    );
    let more = format!("{value}x");
    assert_eq!(
        read_by(&header, &[("x-client-cert", &more)]),
        Err(E::TooLarge {
            max: MAX_HEADER_BYTES
        })
    );
    let padded = format!("{value} ");
    assert_eq!(
        read_by(&header, &[("x-client-cert", &padded)]),
        Err(E::TooLarge {
            max: MAX_HEADER_BYTES
        }),
        "as it came"
    );
    let foreign = "x".repeat(MAX_HEADER_BYTES + 1);
    assert_eq!(
        read_by(&header, &[("cookie", &foreign)]),
        Ok(None),
        "not ours to bound"
    );
}

#[test]
fn lines_and_the_chain_share_the_64_kib() {
    let header = header("xfcc");
    let half = format!("By={}", "x".repeat(MAX_HEADER_BYTES / 2 - 3));
    let lines = [("x-client-cert", &*half), ("x-client-cert", &*half)];
    assert_eq!(
        read_by(&header, &lines),
        Err(E::TooLarge {
            max: MAX_HEADER_BYTES
        }),
        "the comma is the byte too many"
    );
    let lines = [("x-client-cert", &*half), ("x-client-cert", &half[1..])];
    assert_eq!(
        read_by(&header, &lines).map_err(without_place),
        Err(XfccError::NoCertificate.into())
    );

    let header = self::header("rfc9440");
    let chain = "x".repeat(MAX_HEADER_BYTES - 10);
    let at_limit = [
        ("x-client-cert", ":MAMCAQU=:"),
        ("x-client-cert-chain", &*chain),
    ];
    assert_eq!(
        read_by(&header, &at_limit),
        Err(SfError::ColonExpected { at: 0 }.into())
    );
    let over = [
        ("x-client-cert", ":MAMCAQU=: "),
        ("x-client-cert-chain", &*chain),
    ];
    assert_eq!(
        read_by(&header, &over),
        Err(E::TooLarge {
            max: MAX_HEADER_BYTES
        })
    );
    let silent = vec![("x-client-cert", ""); MAX_HEADER_BYTES + 2];
    assert_eq!(
        read_by(&header, &silent),
        Err(E::TooLarge {
            max: MAX_HEADER_BYTES
        }),
        "empty lines cost too"
    );
}

#[test]
fn sixteen_certificates_are_read_and_seventeen_are_not() {
    let chain = |count: usize| {
        (0..count)
            .map(|n| big(300, u8::try_from(n).unwrap()))
            .collect::<Vec<_>>()
    };
    let (at, over) = (chain(MAX_CERTIFICATES), chain(MAX_CERTIFICATES + 1));
    let writers: [(&str, Writer); 6] = [
        ("xfcc", |chain| {
            format!("Chain=\"{}\"", nginx_escaped(chain))
        }),
        ("pem-urlencoded", nginx_escaped),
        ("pem-spaces", |chain| pem(chain, " ")),
        ("der-base64-list", |chain| base64_list(chain, ",")),
        ("der-base64-concatenated", |chain| {
            STANDARD.encode(chain.concat())
        }),
        ("auto", envoy),
    ];
    for (format, write) in writers {
        assert_eq!(read(format, &write(&at)), Ok(Some(at.clone())), "{format}");
        assert_eq!(
            read(format, &write(&over)),
            Err(E::TooManyCertificates {
                max: MAX_CERTIFICATES
            }),
            "{format}"
        );
    }
    for (chain, expected) in [
        (&at, Ok(Some(at.clone()))),
        (
            &over,
            Err(E::TooManyCertificates {
                max: MAX_CERTIFICATES,
            }),
        ),
    ] {
        let (cert, rest) = rfc9440(chain);
        let lines = [
            ("x-client-cert", &*cert),
            ("x-client-cert-chain", rest.as_deref().unwrap()),
        ];
        assert_eq!(read_by(&header("rfc9440"), &lines), expected);
    }
}

#[test]
fn names_are_tokens_of_bounded_length() {
    let new = |name: &str| CertHeader::new(name, Format::Auto, XfccElement::Last);
    assert_eq!(new("X-Client-Cert").unwrap().name(), "x-client-cert");
    assert_eq!(
        new("Client-Cert").unwrap().chain_name(),
        "client-cert-chain"
    );
    assert_eq!(new(""), Err(NameError::Empty));
    assert_eq!(new("x client"), Err(NameError::NotAToken { at: 1 }));
    assert_eq!(new("x-client-cert:"), Err(NameError::NotAToken { at: 13 }));
    assert_eq!(new("x-clïent"), Err(NameError::NotAToken { at: 4 }));
    assert_eq!(new("x\r\n"), Err(NameError::NotAToken { at: 1 }));
    assert!(new(&"x".repeat(MAX_NAME_BYTES)).is_ok());
    assert_eq!(
        new(&"x".repeat(MAX_NAME_BYTES + 1)),
        Err(NameError::TooLong)
    );
}

#[test]
fn formats_and_elements_keep_their_names() {
    let names = Format::ALL.map(Format::as_str);
    assert_eq!(
        names,
        [
            "auto",
            "xfcc",
            "pem-urlencoded",
            "pem-spaces",
            "der-base64",
            "der-base64-concatenated",
            "der-base64-list",
            "rfc9440"
        ]
    );
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert_eq!("last".parse(), Ok(XfccElement::Last));
    assert_eq!("only".parse(), Ok(XfccElement::Only));
    for wrong in ["", "XFCC", "pem", "json", "auto "] {
        assert!(wrong.parse::<Format>().is_err() && wrong.parse::<XfccElement>().is_err());
    }
}

#[test]
fn no_text_and_no_debug_form_shows_the_header() {
    let secret = fill("Cert=\"{A}\";SECRET=x;SECRET");
    let header = header("auto");
    let raw = header.find([("x-client-cert", &*secret)]).unwrap().unwrap();
    let refused = header.decode(&raw).unwrap_err();
    let shown = format!("{refused} {refused:?} {raw:?}");
    assert!(
        !shown.contains("SECRET") && !shown.contains("MAMC"),
        "{shown}"
    );
    let good = header.find([("x-client-cert", A)]).unwrap().unwrap();
    assert_eq!(
        format!("{:?}", header.decode(&good).unwrap()),
        "CertChain { leaf_bytes: 5, intermediates: 0 }"
    );
}

#[test]
fn every_refusal_is_a_sentence_of_the_house() {
    let all = [
        E::DuplicateKey,
        E::TwoSpellings,
        E::Underscore,
        E::TooLarge {
            max: MAX_HEADER_BYTES,
        },
        E::SeveralLines,
        E::ChainWithoutCert,
        E::ChainOfAnotherFormat,
        E::Json,
        E::TooManyCertificates {
            max: MAX_CERTIFICATES,
        },
        E::NoCertificate,
        E::Percent { at: 7 },
        base64(Base64Error::Padding),
        der(DerError::Empty),
        PemError::EndMissing.into(),
        XfccError::Twice { key: XfccKey::Hash }.into(),
        SfError::LeafInChain.into(),
    ];
    for error in all {
        let text = error.to_string();
        assert!(
            !text.ends_with('.') && !text.contains('\n') && text.len() < 200,
            "{text}"
        );
    }
    assert_eq!(
        XfccError::TextAfterQuote { at: 6 }.to_string(),
        "byte 6: only \";\", \",\" or white space may follow a closing quote (Envoy XFCC grammar)"
    );
    assert_eq!(
        der(DerError::Trailing { at: 5 }).to_string(),
        "certificate 1: bytes follow the DER certificate at byte 5 (X.690 §8.1.3)"
    );
    assert_eq!(
        E::from(XfccError::Twice { key: XfccKey::Uri }).to_string(),
        "URI stands twice in the XFCC element that counts"
    );
}

// ---- Properties ----

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn chains() -> impl Strategy<Value = Vec<Vec<u8>>> {
        // A seed each, all different: a repeated leaf is a rule of its own.
        let sizes = prop::collection::vec(256_usize..1500, 1..=8);
        sizes.prop_map(|sizes| {
            sizes
                .iter()
                .zip(1..)
                .map(|(size, seed)| big(*size, seed))
                .collect()
        })
    }

    /// Text out of the pieces that the grammars are made of, so that it gets past the first byte.
    fn header_like() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "Cert=",
            "Chain=",
            "Hash=",
            "By=",
            "URI=",
            "DNS=",
            "Subject=",
            "\"",
            "\\",
            ",",
            ";",
            "=",
            " ",
            ":",
            "-----BEGIN CERTIFICATE-----",
            "-----END CERTIFICATE-----",
            "%20",
            "%2C",
            "%",
            "%3D",
            "-----BEGIN%20CERTIFICATE-----",
            "-----END%20CERTIFICATE-----",
            A,
            B,
            C,
            "MAMCAQU%3D",
            "\t",
            AB_CONCATENATED,
            "+",
            "/",
            "{",
            "[",
            "é",
            "\0",
            "\n",
        ]);
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn every_header() -> impl Iterator<Item = CertHeader> {
        Format::ALL.into_iter().flat_map(|format| {
            [XfccElement::Last, XfccElement::Only]
                .map(|element| CertHeader::new("x-client-cert", format, element).unwrap())
        })
    }

    fn whatever_it_is_it_is_answered(value: &str, chain: &str) {
        for header in every_header() {
            let lines = [("x-client-cert", value), ("x-client-cert-chain", chain)];
            if let Ok(Some(found)) = read_by(&header, &lines) {
                assert!((1..=MAX_CERTIFICATES).contains(&found.len()));
                assert!(found.iter().all(|der| der.first() == Some(&0x30)));
            }
        }
    }

    fn auto_is_no_laxer(value: &str) {
        let auto = header("auto");
        let Ok(Some(raw)) = auto.find([("x-client-cert", value)]) else {
            return;
        };
        let Ok(found) = auto.decode(&raw) else { return };
        let named = header(auto.grammar(&raw).as_str());
        assert_eq!(named.decode(&raw), Ok(found), "{value}");
    }

    proptest! {
        // A case writes and reads a dozen headers of many KiB: these many take about a second.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_written_is_read(chain in chains()) {
            let one = &chain[..1];
            for (format, value, expected) in [
                ("xfcc", envoy(&chain), &*chain),
                ("auto", envoy(&chain), &*chain),
                ("pem-urlencoded", nginx_escaped(&chain), &*chain),
                ("auto", nginx_escaped(&chain), &*chain),
                ("pem-urlencoded", escape(&pem(&chain, "\n"), "+/="), &*chain),
                ("pem-spaces", pem(&chain, " "), &*chain),
                ("auto", pem(&chain, "\n\t"), &*chain),
                ("der-base64", STANDARD.encode(&chain[0]), one),
                ("auto", STANDARD.encode(&chain[0]), one),
                ("der-base64-concatenated", STANDARD.encode(chain.concat()), &*chain),
                ("der-base64-list", base64_list(&chain, ","), &*chain),
                ("auto", escape(&base64_list(&chain, ", "), ""), &*chain),
            ] {
                // A proxy's `, ` inside one percent-encoding is part of the list as well.
                prop_assert_eq!(read(format, &value), Ok(Some(expected.to_vec())), "{}", format);
            }
            let (cert, rest) = rfc9440(&chain);
            let mut lines = vec![("x-client-cert", &*cert)];
            lines.extend(rest.as_deref().map(|rest| ("x-client-cert-chain", rest)));
            prop_assert_eq!(read_by(&header("rfc9440"), &lines), Ok(Some(chain.clone())));
            prop_assert_eq!(read_by(&header("auto"), &lines), Ok(Some(chain.clone())));
        }

        #[test]
        fn auto_accepts_nothing_that_the_name_it_tells_refuses(
            chain in chains(), at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f,
        ) {
            for value in [
                envoy(&chain), nginx_escaped(&chain), pem(&chain, " "), base64_list(&chain, ","),
                rfc9440(&chain).0,
            ] {
                auto_is_no_laxer(&value);
                let mut bytes = value.into_bytes();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                auto_is_no_laxer(&String::from_utf8(bytes).unwrap());
            }
        }

        #[test]
        fn a_cut_header_is_refused(chain in chains(), cut in any::<prop::sample::Index>()) {
            for (format, value) in [
                ("xfcc", format!("Chain=\"{}\"", nginx_escaped(&chain))),
                ("auto", STANDARD.encode(&chain[0])),
                ("auto", rfc9440(&chain).0),
            ] {
                let cut = cut.index(value.len());
                let found = read(format, &value[..cut]);
                prop_assert!(!matches!(found, Ok(Some(_))), "{} cut at {}", format, cut);
            }
        }

        #[test]
        fn one_changed_byte_of_an_xfcc_leaf_never_passes_its_hash(
            chain in chains(), at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f,
        ) {
            let cert = format!("Cert=\"{}\"", nginx_escaped(&chain[..1]));
            let hash = sha256_hex(&chain[0]);
            let mut bytes = cert.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let value = format!("Hash={hash};{}", String::from_utf8(bytes).unwrap());
            if let Ok(Some(found)) = read("xfcc", &value) {
                prop_assert_eq!(&found[0], &chain[0]);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(value in any::<String>(), chain in any::<String>()) {
            whatever_it_is_it_is_answered(&value, &chain);
        }

        #[test]
        fn any_text_of_the_right_pieces_is_answered(value in header_like(), chain in header_like()) {
            whatever_it_is_it_is_answered(&value, &chain);
            auto_is_no_laxer(&value);
        }
    }
}

// ---- What a refusal says of a value in another format ----

fn told(format: Grammar, value: &str) -> String {
    let format = Format::Named(format);
    let header = CertHeader::new("x-cert", format, XfccElement::Last).unwrap();
    let raw = header.find([("x-cert", value)]).unwrap().unwrap();
    let error = header.decode(&raw).unwrap_err();
    header.misread(&raw, error).to_string()
}

#[test]
fn a_value_in_another_format_is_told_as_such_and_never_repeated() {
    let encoded = "-----BEGIN%20CERTIFICATE-----%0ASECRET";
    let spaces = "-----BEGIN CERTIFICATE----- SECRET";
    for (format, value, looks_like) in [
        (Grammar::Xfcc, encoded, "pem-urlencoded"),
        (Grammar::Xfcc, spaces, "pem-spaces"),
        (Grammar::PemSpaces, encoded, "pem-urlencoded"),
        (Grammar::PemUrlencoded, "Hash=SECRET;Cert=SECRET", "xfcc"),
        (Grammar::PemSpaces, "By=SECRET", "xfcc"),
        (Grammar::DerBase64, ":SECRET:", "rfc9440"),
        (Grammar::Rfc9440, spaces, "pem-spaces"),
    ] {
        let told = told(format, value);
        let says =
            format!("; the value looks like {looks_like}, and client-cert-format is {format}");
        assert!(told.ends_with(&says), "{told}");
        assert!(!told.contains("SECRET"), "{told}");
    }
    for (format, value) in [
        (Grammar::Xfcc, "Hash=SECRET"),
        (Grammar::PemUrlencoded, spaces),
        (Grammar::PemUrlencoded, encoded),
        (Grammar::PemUrlencoded, "SECRET"),
        (Grammar::Rfc9440, ":SECRET"),
    ] {
        let told = told(format, value);
        assert!(!told.contains("looks like"), "{told}");
    }
}
