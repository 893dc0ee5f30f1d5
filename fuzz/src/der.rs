//! DER as a tree, so that a mutation inside a certificate leaves the lengths around it right:
//! without this nearly every mutated certificate fails at its first length.

/// Depth and number of elements looked at: more is noise, and the tree must not be a bomb.
const MAX_DEPTH: usize = 12;
const MAX_ELEMENTS: usize = 2_000;

/// The length of the first element of `data`, header included, if its header can be read and the
/// bytes are there.
pub fn whole_length(data: &[u8]) -> Option<usize> {
    let (header, content) = header(data)?;
    let whole = header.checked_add(content)?;
    (whole <= data.len()).then_some(whole)
}

/// Octets of the header and of the content of the first element.
fn header(data: &[u8]) -> Option<(usize, usize)> {
    let (tag, rest) = data.split_first()?;
    let (length, rest) = rest.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    if *length < 0x80 {
        return Some((2, usize::from(*length)));
    }
    let count = usize::from(length & 0x7f);
    let octets = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
    let content = octets
        .iter()
        .fold(0, |length, octet| length << 8 | usize::from(*octet));
    Some((2 + count, content))
}

#[derive(Clone)]
enum Element {
    Primitive(u8, Vec<u8>),
    Constructed(u8, Vec<Element>),
    /// Bytes that are no element.
    Raw(Vec<u8>),
}

impl Element {
    fn parse_all(mut data: &[u8], depth: usize, left: &mut usize) -> Option<Vec<Self>> {
        let mut elements = Vec::new();
        while !data.is_empty() {
            *left = left.checked_sub(1)?;
            let (header, content) = header(data)?;
            let inner = data.get(header..header.checked_add(content)?)?;
            elements.push(Self::parse(data[0], inner, depth, left));
            data = &data[header + content..];
        }
        Some(elements)
    }

    /// Constructed elements have children, and OCTET STRINGs of extensions wrap DER.
    fn parse(tag: u8, inner: &[u8], depth: usize, left: &mut usize) -> Self {
        let wraps = tag & 0x20 != 0 || (tag == 0x04 && inner.len() > 2);
        let children =
            (wraps && depth < MAX_DEPTH).then(|| Self::parse_all(inner, depth + 1, left));
        match children.flatten() {
            Some(children) => Self::Constructed(tag, children),
            None => Self::Primitive(tag, inner.to_vec()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (tag, content) = match self {
            Self::Raw(bytes) => return out.extend_from_slice(bytes),
            Self::Primitive(tag, content) => (*tag, content.clone()),
            Self::Constructed(tag, children) => (*tag, write_all(children)),
        };
        out.push(tag);
        match content.len() {
            length @ 0..=0x7f => out.push(length as u8),
            length @ 0x80..=0xff => out.extend([0x81, length as u8]),
            length => out.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        out.extend(content);
    }

    fn children(&mut self) -> Option<&mut Vec<Self>> {
        match self {
            Self::Constructed(_, children) => Some(children),
            Self::Primitive(..) | Self::Raw(_) => None,
        }
    }
}

fn write_all(elements: &[Element]) -> Vec<u8> {
    let mut out = Vec::new();
    elements.iter().for_each(|element| element.write(&mut out));
    out
}

/// A mutator for concatenated DER: mostly one change to the tree, sometimes libFuzzer's own.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) | 1 << 40);
    let tree = Element::parse_all(&data[..size], 0, &mut MAX_ELEMENTS.clone());
    if let Some(mut tree) = tree.filter(|tree| !tree.is_empty())
        && !dice.one_in(4)
    {
        for _ in 0..=dice.below(2) {
            mutate_tree(&mut tree, &mut dice);
        }
        let out = write_all(&tree);
        if let Some(place) = data.get_mut(..out.len()).filter(|_| out.len() <= max_size) {
            place.copy_from_slice(&out);
            return out.len();
        }
    }
    libfuzzer_sys::fuzzer_mutate(data, size, max_size)
}

/// Walks down to a random place and changes it there.
fn mutate_tree(tree: &mut Vec<Element>, dice: &mut Dice) {
    if tree.is_empty() {
        return tree.push(Element::Primitive(0x05, Vec::new()));
    }
    let at = dice.below(tree.len());
    if !dice.one_in(4)
        && let Some(children) = tree[at].children()
    {
        return mutate_tree(children, dice);
    }
    let other = dice.below(tree.len());
    match dice.below(8) {
        0 => _ = tree.remove(at),
        1 => tree.insert(other, tree[at].clone()),
        2 => tree.swap(at, other),
        3 => change_tag(&mut tree[at], dice),
        4 => tree.insert(
            at,
            Element::Raw(vec![dice.byte(), dice.byte() & 3, dice.byte(), dice.byte()]),
        ),
        _ => change_content(&mut tree[at], dice),
    }
}

fn change_tag(element: &mut Element, dice: &mut Dice) {
    const TAGS: [u8; 14] = [
        1, 2, 3, 4, 5, 6, 0x0c, 0x13, 0x17, 0x18, 0x30, 0x31, 0x82, 0x86,
    ];
    if let Element::Primitive(tag, _) | Element::Constructed(tag, _) = element {
        *tag = if dice.one_in(3) {
            dice.byte() & !0x1f | *tag & 0x1f
        } else {
            TAGS[dice.below(TAGS.len())]
        };
    }
}

fn change_content(element: &mut Element, dice: &mut Dice) {
    let (Element::Primitive(_, bytes) | Element::Raw(bytes)) = element else {
        return;
    };
    let at = dice.below(bytes.len().max(1));
    match dice.below(5) {
        0 => bytes.insert(at.min(bytes.len()), dice.byte()),
        1 if !bytes.is_empty() => _ = bytes.remove(at),
        2 => bytes.truncate(at),
        3 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
        _ => {
            // As libFuzzer would, with what it has learned from comparisons.
            let size = bytes.len();
            bytes.resize(size + 16, 0);
            let size = libfuzzer_sys::fuzzer_mutate(bytes, size, size + 16);
            bytes.truncate(size);
        }
    }
}

/// Xorshift: the run must repeat from libFuzzer's seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[4]
    }
}
