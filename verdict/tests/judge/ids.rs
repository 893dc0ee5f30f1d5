//! SPIFFE IDs as text: from the grammar, at its limits, and a few bytes beside it.

use super::chance::Chance;
use super::{Case, Question};

const DOMAIN: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789.-_";
const SEGMENT: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
/// Bytes that mean something to some reader of URIs, paths or lines.
const SPECIAL: &[u8] = b"/:@?#%[]\\ .,;=&+~!*'()|\"<>^`{}$\0\t\r\n\x7f\x80\xc3\xa9\xff";
const PIECES: [&str; 24] = [
    "spiffe://",
    "SPIFFE://",
    "spiffe:/",
    "spiffe:",
    "//",
    "/",
    "/.",
    "/..",
    "/./",
    "/../",
    "//",
    "%2e",
    "%2F",
    "%61",
    ":443",
    "user@",
    "?q",
    "#f",
    "\u{430}",
    "\u{200b}",
    "example.org",
    "xn--e1afmkfd",
    "...",
    "-",
];
/// SPIFFE-ID §2.3.
const ID_MAX_BYTES: usize = 2048;
const DOMAIN_MAX_BYTES: usize = 255;

/// Case `number` on IDs: the first few at the limits, then any.
pub fn case(number: u64, turn: usize, chance: &mut Chance) -> Case {
    let (tag, id) = match turn {
        0 => ("id-over-2048-bytes", filled(ID_MAX_BYTES + 1)),
        1 => (
            "trust-domain-over-255-bytes",
            of_domain(&"a".repeat(DOMAIN_MAX_BYTES + 1)),
        ),
        2 => ("id-of-2048-bytes", filled(ID_MAX_BYTES)),
        3 => (
            "trust-domain-of-255-bytes",
            of_domain(&"a".repeat(DOMAIN_MAX_BYTES)),
        ),
        _ if chance.one_in(4) => ("id-from-the-grammar", grammatical(chance)),
        _ => ("id-mutated", mutated(chance)),
    };
    Case {
        number,
        tags: vec![tag.to_owned()],
        question: Question::Id(id),
    }
}

fn filled(bytes: usize) -> Vec<u8> {
    let mut id = b"spiffe://example.org/".to_vec();
    id.resize(bytes, b'p');
    id
}

fn of_domain(domain: &str) -> Vec<u8> {
    format!("spiffe://{domain}/web").into_bytes()
}

fn word(chance: &mut Chance, alphabet: &[u8], at_most: usize) -> Vec<u8> {
    (0..=chance.below(at_most))
        .map(|_| *chance.of(alphabet))
        .collect()
}

fn grammatical(chance: &mut Chance) -> Vec<u8> {
    let mut id = b"spiffe://".to_vec();
    id.extend(word(chance, DOMAIN, 30));
    for _ in 0..chance.below(6) {
        id.push(b'/');
        let segment = word(chance, SEGMENT, 12);
        let is_dots = segment == b"." || segment == b"..";
        id.extend(if is_dots { b"...".to_vec() } else { segment });
    }
    id
}

fn mutated(chance: &mut Chance) -> Vec<u8> {
    let mut id = match chance.below(12) {
        0 => Vec::new(),
        1 => chance.bytes(40),
        _ => grammatical(chance),
    };
    for _ in 0..=chance.below(3) {
        let at = chance.below(id.len() + 1);
        match chance.below(7) {
            0 => id.insert(at, *chance.of(SPECIAL)),
            1 => id.insert(at, chance.byte()),
            2 => drop(id.splice(at..at, chance.of(&PIECES).bytes())),
            3 => id.truncate(at),
            4 if at < id.len() => id[at] = *chance.of(SPECIAL),
            5 if at < id.len() => id[at] = id[at].to_ascii_uppercase(),
            _ if at < id.len() => drop(id.remove(at)),
            _ => id.push(*chance.of(SPECIAL)),
        }
    }
    id
}
