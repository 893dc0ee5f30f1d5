//! The credential header, in every format.
//!
//! The first byte chooses format and XFCC element; the rest is header lines, one a line, as
//! `name: value`; a line without a colon and blank is a value of the configured header.
//!
//! - what is found is trimmed, present and within 64 KiB; what is decoded is 1 to 16 whole DER
//!   SEQUENCEs, no larger together than the header;
//! - "auto" reads exactly as the grammar it told does; `only` accepts nothing that `last` does not,
//!   and then reads the same;
//! - rendered again in two other formats, a chain reads as itself;
//! - JSON is never a credential.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::cert_header::{
    CertChain, CertHeader, CertHeaderError, Format, Grammar, MAX_CERTIFICATES, MAX_HEADER_BYTES,
    Raw, XfccElement,
};

const NAME: &str = "Client-Cert";

pub fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let format = Format::ALL[usize::from(*choice) % Format::ALL.len()];
    let element = if choice & 0x80 == 0 {
        XfccElement::Last
    } else {
        XfccElement::Only
    };
    let header = header(format, element);
    let lines = text
        .split('\n')
        .map(|line| line.split_once(": ").unwrap_or((NAME, line)));
    match header.find(lines) {
        Ok(Some(raw)) => check_found(&header, &raw),
        Ok(None) => {}
        Err(error) => super::check_error(&error),
    }
}

fn header(format: Format, element: XfccElement) -> CertHeader {
    CertHeader::new(NAME, format, element).expect("a good name")
}

fn check_found(header: &CertHeader, raw: &Raw<'_>) {
    let value = raw.value();
    assert!(value.len() + raw.chain().map_or(0, str::len) <= MAX_HEADER_BYTES);
    assert!(!matches!(value, "" | "-" | "(null)"), "absent, but found");
    assert_eq!(value, value.trim_matches([' ', '\t']), "trimmed");
    let decoded = header.decode(raw);
    assert_eq!(
        decoded,
        header.decode(&raw.clone().into_owned()),
        "the same on another thread"
    );
    check_auto(header, raw, &decoded);
    check_only(header, raw, &decoded);
    match decoded {
        Ok(chain) => check_chain(&chain, raw),
        Err(error) => super::check_error(&error),
    }
}

fn check_auto(header: &CertHeader, raw: &Raw<'_>, decoded: &Result<CertChain, CertHeaderError>) {
    let named = self::header(Format::Named(header.grammar(raw)), header.element());
    assert_eq!(
        decoded,
        &named.decode(raw),
        "told apart, or named: the same"
    );
}

fn check_only(header: &CertHeader, raw: &Raw<'_>, decoded: &Result<CertChain, CertHeaderError>) {
    let only = self::header(header.format(), XfccElement::Only).decode(raw);
    let last = self::header(header.format(), XfccElement::Last).decode(raw);
    if only.is_ok() {
        assert_eq!(only, last, "`only` says what `last` says");
    }
    if header.grammar(raw) != Grammar::Xfcc {
        assert_eq!(&only, decoded, "elements are XFCC's alone");
    }
}

fn check_chain(chain: &CertChain, raw: &Raw<'_>) {
    assert!(
        !raw.value().starts_with(['{', '[']),
        "JSON is no credential"
    );
    let count = chain.iter().count();
    assert!(
        (1..=MAX_CERTIFICATES).contains(&count),
        "{count} certificates"
    );
    let bytes: usize = chain.iter().map(<[u8]>::len).sum();
    assert!(
        bytes <= raw.value().len() + raw.chain().map_or(0, str::len),
        "more than was sent"
    );
    for der in chain.iter() {
        assert_eq!(der.first(), Some(&0x30), "a SEQUENCE");
        assert_eq!(
            super::der::whole_length(der),
            Some(der.len()),
            "exactly one"
        );
    }
    let items: Vec<_> = chain.iter().map(|der| STANDARD.encode(der)).collect();
    read_back(
        chain,
        Format::Named(Grammar::DerBase64List),
        &[(NAME, &items.join(","))],
    );
    // RFC 9440 §2.3: its chain is without the leaf, so a chain that repeats it has no such form.
    if chain.intermediates.contains(&chain.leaf) {
        return;
    }
    let leaf = format!(":{}:", items[0]);
    let rest: Vec<_> = items[1..].iter().map(|item| format!(":{item}:")).collect();
    read_back(
        chain,
        Format::Auto,
        &[(NAME, &leaf), ("Client-Cert-Chain", &rest.join(", "))],
    );
}

fn read_back(chain: &CertChain, format: Format, lines: &[(&str, &str)]) {
    let header = header(format, XfccElement::Last);
    let raw = match header.find(lines.iter().copied()) {
        // Another format may need more bytes than the limit has.
        Err(CertHeaderError::TooLarge { .. }) => return,
        found => found.expect("well formed").expect("present"),
    };
    assert_eq!(
        header.decode(&raw).as_ref(),
        Ok(chain),
        "read back as {format}"
    );
}
