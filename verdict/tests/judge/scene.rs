//! A chain, its bundles and its moment: good until a mutation makes it otherwise.

use super::chance::Chance;
use super::common::{
    AKI, Algorithm, CERTIFICATE_POLICIES, Certificate, KEY_USAGE, Key, NOW, SAN, SKI, UNKNOWN, dns,
    key_usage, name, oid, sequence, tlv, uri,
};
use super::{Case, Question, authorities, damage, leaves, presented};
use std::collections::BTreeMap;
use verdict::svid::CHAIN_MAX_CERTIFICATES;
use verdict::time::UnixSeconds;

/// Intermediates of a chain without mutations of its length.
const DEPTH_MAX: usize = 4;

/// Trust domains of good chains; each has a bundle of its own in every case.
pub const DOMAINS: [&str; 4] = ["example.org", "partner.test", "a-b_c.d0", "one"];

/// The longest but one (SPIFFE-ID §2.3), for the mutation `domain-of-254-bytes`.
pub const LONG_DOMAIN: &str = match std::str::from_utf8(&[b'a'; 254]) {
    Ok(domain) => domain,
    Err(_) => "",
};

/// One in so many cases has no mutation, several, or damage.
const ONE_GOOD_IN: usize = 20;
const ONE_DOUBLE_IN: usize = 4;
const ONE_DAMAGED_IN: usize = 4;

/// Keys are expensive, and which one signs does not matter.
pub struct Keys {
    p256: Vec<Key>,
    others: Vec<Key>,
    /// Certify nothing: an authority with its leaf's key and no name looks like a loop to webpki.
    leaves: Vec<Key>,
}

impl Keys {
    pub fn new() -> Self {
        let others = [
            Algorithm::P384,
            Algorithm::P521,
            Algorithm::Ed25519,
            Algorithm::Rsa2048,
        ];
        Self {
            p256: (1..=40)
                .map(|seed| Key::seeded(Algorithm::P256, seed))
                .collect(),
            others: (50..=57)
                .map(|seed| Key::seeded(others[seed as usize % 4], seed))
                .collect(),
            leaves: [Algorithm::P256, others[0], others[1], others[2], others[3]]
                .map(|algorithm| Key::seeded(algorithm, 60))
                .into(),
        }
    }

    fn any(&self, chance: &mut Chance) -> &Key {
        let keys = if chance.one_in(6) {
            &self.others
        } else {
            &self.p256
        };
        chance.of(keys)
    }
}

/// A certificate before it is signed, and its key.
pub struct Signer<'a> {
    pub certificate: Certificate,
    pub key: &'a Key,
}

impl<'a> Signer<'a> {
    /// Signs with its own name and key.
    pub fn sign(&self, certificate: &Certificate) -> Vec<u8> {
        certificate.sign(&self.certificate.subject, self.key)
    }
}

pub struct Scene<'a> {
    pub keys: &'a Keys,
    pub chance: &'a mut Chance,
    pub domain: String,
    pub now: UnixSeconds,
    /// The anchor first; each signs the next, the last signs the leaf.
    pub signers: Vec<Signer<'a>>,
    pub leaf: Certificate,
    /// Signs the leaf in place of the last signer, in its name.
    pub forger: Option<&'a Key>,
    /// The rest is there once everything is signed. The leaf first.
    pub chain: Vec<Vec<u8>>,
    pub anchors: Vec<Vec<u8>>,
    pub bundles: BTreeMap<String, Vec<Vec<u8>>>,
}

/// A mutation of a certificate.
pub type Edit = fn(Certificate) -> Certificate;

/// A mutation, and what it changes.
#[derive(Clone, Copy)]
pub enum Act {
    Leaf(Edit),
    /// The URI of the leaf's only name.
    LeafUri(&'static [u8]),
    Anchor(Edit),
    Intermediate(Edit),
    /// An authority that nobody needs, among the intermediates.
    Stray(Edit),
    /// Before anything is signed.
    Scene(fn(&mut Scene<'_>)),
    /// What is presented, and the bundles.
    Presented(fn(&mut Scene<'_>)),
    /// A certificate takes a second place: an anchor is presented, or the reverse. Only alone: what
    /// else is changed of it would mean another thing there, and Go must be able to read anchors.
    Alone(fn(&mut Scene<'_>)),
}

/// A mutation with its tag.
pub struct Step {
    pub tag: String,
    pub act: Act,
}

impl Step {
    pub fn new(tag: &str, act: Act) -> Self {
        let tag = tag.to_owned();
        Self { tag, act }
    }
}

/// Every mutation there is.
pub fn steps() -> Vec<Step> {
    let steps: Vec<_> = [leaves::steps(), authorities::steps(), presented::steps()]
        .into_iter()
        .flatten()
        .collect();
    let mut tags: Vec<_> = steps.iter().map(|step| &step.tag).collect();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), steps.len(), "a tag means one mutation");
    steps
}

/// Case `number`, chain `turn`: every mutation alone, in four settings, then any.
pub fn case(number: u64, turn: usize, keys: &Keys, steps: &[Step], chance: &mut Chance) -> Case {
    let mut chosen: Vec<&Step> = if turn < 4 * steps.len() {
        vec![&steps[turn % steps.len()]]
    } else if chance.one_in(ONE_DAMAGED_IN) {
        return damaged(number, keys, chance);
    } else if chance.one_in(ONE_GOOD_IN) {
        vec![]
    } else {
        let count = if chance.one_in(ONE_DOUBLE_IN) {
            2 + chance.below(2)
        } else {
            1
        };
        (0..count).map(|_| chance.of(steps)).collect()
    };
    if let Some(alone) = chosen
        .iter()
        .position(|step| matches!(step.act, Act::Alone(_)))
    {
        chosen = vec![chosen[alone]];
    }
    let mut scene = Scene::new(keys, chance);
    for step in &chosen {
        scene.edit(step.act);
    }
    scene.sign();
    for step in &chosen {
        scene.present(step.act);
    }
    let mut tags: Vec<_> = chosen.iter().map(|step| step.tag.clone()).collect();
    tags.sort();
    tags.dedup();
    scene.case(number, tags)
}

/// A good chain with one certificate damaged, and perhaps signed after that.
fn damaged(number: u64, keys: &Keys, chance: &mut Chance) -> Case {
    let mut scene = Scene::new(keys, chance);
    scene.enrich();
    scene.sign();
    let at = scene.chance.below(scene.chain.len());
    let signed = !scene.chance.one_in(4);
    let tag = if signed { "damage-signed" } else { "damage" };
    scene.chain[at] = match signed {
        true => scene.signed_again(at),
        false => damage::bytes(scene.chain[at].clone(), scene.chance),
    };
    scene.case(number, vec![tag.to_owned()])
}

impl<'a> Scene<'a> {
    fn new(keys: &'a Keys, chance: &'a mut Chance) -> Self {
        let domain = (*chance.of(&DOMAINS)).to_owned();
        let depth = chance.below(DEPTH_MAX + 1);
        let mut scene = Self {
            keys,
            chance,
            domain,
            now: NOW,
            signers: Vec::new(),
            leaf: Certificate::leaf("", &keys.p256[0]),
            forger: None,
            chain: Vec::new(),
            anchors: Vec::new(),
            bundles: BTreeMap::new(),
        };
        let key = scene.chance.of(&keys.leaves);
        let id = format!("spiffe://{}/web", scene.domain);
        scene.leaf = Certificate::leaf(&id, key).edit(|c| c.serial = scene.serial());
        scene.deepen(depth);
        scene
    }

    fn serial(&mut self) -> Vec<u8> {
        [vec![0x40], self.chance.bytes(15)].concat()
    }

    /// A key that no other P-256 signer of this scene has.
    pub fn fresh_key(&mut self) -> &'a Key {
        &self.keys.p256[self.signers.len()]
    }

    /// An authority of this name, before it is signed.
    pub fn authority(&mut self, common_name: &str, key: &'a Key) -> Signer<'a> {
        let serial = self.serial();
        let certificate = Certificate::authority(common_name, key).edit(|c| c.serial = serial);
        let certificate = match DOMAINS.contains(&self.domain.as_str()) {
            true => certificate.san(&[uri(&format!("spiffe://{}", self.domain))]),
            false => certificate.without(SAN),
        };
        Signer { certificate, key }
    }

    /// Makes the chain as long as that, an anchor included.
    pub fn deepen(&mut self, intermediates: usize) {
        while self.signers.len() <= intermediates {
            let key = match self.chance.one_in(6) {
                true => self.keys.any(self.chance),
                false => self.fresh_key(),
            };
            let common_name = format!("authority {}", self.signers.len());
            let signer = self.authority(&common_name, key);
            self.signers.push(signer);
        }
    }

    /// What a mutation changes before the signatures.
    fn edit(&mut self, act: Act) {
        match act {
            Act::Leaf(edit) => self.leaf = edit(self.leaf.clone()),
            Act::LeafUri(text) => {
                // Most of them are, or were, IDs of this domain.
                DOMAINS[0].clone_into(&mut self.domain);
                self.leaf = self.leaf.clone().san(&[tlv(0x86, text)]);
            }
            Act::Anchor(edit) => {
                self.signers[0].certificate = edit(self.signers[0].certificate.clone())
            }
            Act::Intermediate(edit) => {
                self.deepen(1);
                let index = 1 + self.chance.below(self.signers.len() - 1);
                self.signers[index].certificate = edit(self.signers[index].certificate.clone());
            }
            Act::Scene(edit) => edit(self),
            Act::Stray(_) | Act::Presented(_) | Act::Alone(_) => {}
        }
    }

    /// What a mutation changes after them.
    fn present(&mut self, act: Act) {
        match act {
            Act::Stray(edit) => {
                let key = self.fresh_key();
                let mut stray = self.authority("stray", key);
                stray.certificate = edit(stray.certificate);
                let der = stray.sign(&stray.certificate);
                let at = self.chance.below(self.chain.len()) + 1;
                self.chain.insert(at.min(self.chain.len()), der);
            }
            Act::Presented(edit) | Act::Alone(edit) => edit(self),
            _ => {}
        }
    }

    fn sign(&mut self) {
        let root = &self.signers[0];
        self.anchors = vec![root.sign(&root.certificate)];
        let last = &self.signers[self.signers.len() - 1];
        let key = self.forger.unwrap_or(last.key);
        self.chain = vec![self.leaf.sign(&last.certificate.subject, key)];
        let links = self.signers.windows(2).rev();
        self.chain
            .extend(links.map(|link| link[0].sign(&link[1].certificate)));
        for domain in DOMAINS {
            let other = self.other_root(domain);
            self.bundles.insert(domain.to_owned(), vec![other]);
        }
        self.bundles.insert(self.domain.clone(), Vec::new());
    }

    /// The root of another domain, or a stranger's.
    pub fn other_root(&mut self, common_name: &str) -> Vec<u8> {
        let key = self.fresh_key();
        let other = self.authority(common_name, key);
        other.sign(&other.certificate)
    }

    /// More for damage to hit: what corporate authorities write.
    fn enrich(&mut self) {
        let leaf_names = [
            uri(&format!("spiffe://{}/web", self.domain)),
            dns("web.example.org"),
            tlv(0x87, &[127, 0, 0, 1]),
            tlv(0x81, b"web@example.org"),
            tlv(0xa4, &name("web")),
        ];
        let rich = |c: Certificate| {
            c.with(
                CERTIFICATE_POLICIES,
                false,
                sequence(&[&sequence(&[&oid(&[0x2a, 3, 4])])]),
            )
            .with(leaves::CRL_POINTS, false, leaves::crl_points())
            .with(leaves::AUTHORITY_INFO, false, leaves::authority_info())
            .with(UNKNOWN, false, vec![5, 0])
        };
        if self.chance.one_in(3) {
            self.leaf = rich(self.leaf.clone()).edit(|c| c.subject = name("web"));
        }
        if self.chance.one_in(3) {
            self.leaf = self.leaf.clone().san(&leaf_names);
        }
        for signer in &mut self.signers[1..] {
            if self.chance.one_in(3) {
                signer.certificate = rich(signer.certificate.clone());
            }
        }
    }

    /// A certificate of the chain with damaged contents, under its issuer's signature.
    fn signed_again(&mut self, at: usize) -> Vec<u8> {
        let issuer = &self.signers[self.signers.len() - 1 - at];
        let certificate = match at {
            0 => &self.leaf,
            _ => &self.signers[self.signers.len() - at].certificate,
        };
        let tbs = certificate.tbs(&issuer.certificate.subject, issuer.key);
        let tbs = match self.chance.one_in(4) {
            true => damage::bytes(tbs, self.chance),
            false => damage::elements(&tbs, self.chance),
        };
        issuer.key.certify(&tbs)
    }

    fn case(self, number: u64, mut tags: Vec<String>) -> Case {
        // However it came to that.
        if self.chain.len() > CHAIN_MAX_CERTIFICATES && !tags.iter().any(|tag| tag == "chain-of-17")
        {
            tags.push("chain-of-17".to_owned());
        }
        let mut bundles = self.bundles;
        // A mutation may have put other bundles there, or none, by taking the domain's anchors.
        if let Some(bundle) = bundles.get_mut(&self.domain) {
            *bundle = self.anchors;
        }
        let question = Question::Chain {
            chain: self.chain,
            bundles,
            now: self.now,
        };
        Case {
            number,
            tags,
            question,
        }
    }
}

/// The extensions that every authority of a scene has.
pub fn without_key_ids(certificate: Certificate) -> Certificate {
    certificate
        .without(SKI)
        .without(AKI)
        .edit(|c| c.issuer_key_id = Some(None))
}

/// The key usage of a good authority, again.
pub fn with_usage(certificate: Certificate, bits: u8) -> Certificate {
    certificate.with(KEY_USAGE, true, key_usage(bits))
}
