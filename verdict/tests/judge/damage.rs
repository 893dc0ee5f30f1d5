//! Damage: to bytes, and to the elements of DER, whose lengths then fit again.

use super::chance::Chance;
use super::common::tlv;

/// Changes, adds or removes a few bytes.
pub fn bytes(mut bytes: Vec<u8>, chance: &mut Chance) -> Vec<u8> {
    for _ in 0..=chance.below(2) {
        let at = chance.below(bytes.len().max(1));
        match chance.below(8) {
            _ if bytes.is_empty() => bytes.push(chance.byte()),
            0..=2 => bytes[at] ^= 1 << chance.below(8),
            3 => bytes[at] = chance.byte(),
            4 => bytes.insert(at, chance.byte()),
            5 => {
                bytes.remove(at);
            }
            6 => bytes.truncate(at),
            _ => bytes.push(chance.byte()),
        }
    }
    bytes
}

/// An element, taken apart as far as it goes.
enum Element {
    Whole(u8, Vec<u8>),
    Parts(u8, Vec<Element>),
}

/// Tags that make a difference where another was.
const TAGS: [u8; 28] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1c, 0x1e, 0x30,
    0x31, 0x80, 0x81, 0x82, 0x86, 0x87, 0x88, 0x89, 0xa0, 0xa1, 0xa3, 0xa4,
];

/// Changes a few elements somewhere inside.
pub fn elements(der: &[u8], chance: &mut Chance) -> Vec<u8> {
    let Some(mut tree) = read(der) else {
        return der.to_vec();
    };
    for _ in 0..=chance.below(2) {
        let count = tree.iter().map(Element::count).sum();
        if count == 0 {
            break;
        }
        let mut countdown = 1 + chance.below(count);
        change(&mut tree, &mut countdown, chance);
    }
    write(&tree)
}

/// All of these bytes as elements, or none.
fn read(mut bytes: &[u8]) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    while let [tag, length, rest @ ..] = bytes {
        let (length, rest) = match (*length, rest) {
            (short @ 0..=0x7f, rest) => (usize::from(short), rest),
            (0x81, [a, rest @ ..]) => (usize::from(*a), rest),
            (0x82, [a, b, rest @ ..]) => (usize::from(*a) << 8 | usize::from(*b), rest),
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        // Extensions are elements within octets.
        let inner = match tag {
            0x30 | 0x31 | 0x04 | 0xa0..=0xbf => read(value),
            _ => None,
        };
        elements.push(match inner {
            Some(parts) => Element::Parts(*tag, parts),
            None => Element::Whole(*tag, value.to_vec()),
        });
        bytes = rest;
    }
    bytes.is_empty().then_some(elements)
}

fn write(elements: &[Element]) -> Vec<u8> {
    let element = |e: &Element| match e {
        Element::Whole(tag, value) => tlv(*tag, value),
        Element::Parts(tag, parts) => tlv(*tag, &write(parts)),
    };
    elements.iter().flat_map(element).collect()
}

impl Element {
    fn count(&self) -> usize {
        match self {
            Self::Whole(..) => 1,
            Self::Parts(_, parts) => 1 + parts.iter().map(Self::count).sum::<usize>(),
        }
    }

    fn tag(&mut self) -> &mut u8 {
        match self {
            Self::Whole(tag, _) | Self::Parts(tag, _) => tag,
        }
    }
}

/// Changes the element at which the countdown ends, counted from the outside.
fn change(siblings: &mut Vec<Element>, countdown: &mut usize, chance: &mut Chance) {
    for index in 0..siblings.len() {
        *countdown -= 1;
        if *countdown == 0 {
            return change_one(siblings, index, chance);
        }
        if let Element::Parts(_, parts) = &mut siblings[index] {
            change(parts, countdown, chance);
        }
        if *countdown == 0 {
            return;
        }
    }
}

fn change_one(siblings: &mut Vec<Element>, index: usize, chance: &mut Chance) {
    match chance.below(9) {
        0 => {
            siblings.remove(index);
        }
        1 => {
            let again = write(&siblings[index..=index]);
            siblings.extend(read(&again).unwrap_or_default());
        }
        2 => {
            let other = chance.below(siblings.len());
            siblings.swap(index, other);
        }
        3 => *siblings[index].tag() = *chance.of(&TAGS),
        4 => {
            let tag = *siblings[index].tag();
            siblings[index] = Element::Whole(tag, chance.bytes(12));
        }
        5 => {
            let tag = *siblings[index].tag();
            siblings[index] = Element::Whole(tag, Vec::new());
        }
        6 => siblings.insert(index, Element::Whole(*chance.of(&TAGS), chance.bytes(3))),
        _ => {
            if let Element::Whole(_, value) = &mut siblings[index] {
                *value = bytes(std::mem::take(value), chance);
            } else {
                *siblings[index].tag() ^= 1 << chance.below(8);
            }
        }
    }
}
