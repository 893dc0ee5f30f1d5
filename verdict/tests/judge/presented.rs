//! What can be wrong, or only unusual, about what is presented and about the bundles.

use super::common::*;
use super::scene::{Act, LONG_DOMAIN, Scene, Step, without_key_ids};

type Row = (&'static str, fn(&mut Scene<'_>));

pub fn steps() -> Vec<Step> {
    let before = BEFORE
        .iter()
        .map(|(tag, edit)| Step::new(tag, Act::Scene(*edit)));
    let after = AFTER
        .iter()
        .map(|(tag, edit)| Step::new(tag, Act::Presented(*edit)));
    let alone = ALONE
        .iter()
        .map(|(tag, edit)| Step::new(tag, Act::Alone(*edit)));
    before.chain(after).chain(alone).collect()
}

fn length(scene: &mut Scene<'_>, intermediates: usize) {
    scene.signers.truncate(1 + intermediates);
    scene.deepen(intermediates);
}

const BEFORE: &[Row] = &[
    ("path-of-5-intermediates", |s| length(s, 5)),
    ("path-of-6-intermediates", |s| length(s, 6)),
    ("path-of-7-intermediates", |s| length(s, 7)),
    ("path-of-15-intermediates", |s| length(s, 15)),
    ("chain-of-17", |s| length(s, 16)),
    ("path-length-exceeded", |s| {
        s.deepen(2);
        limit(s, 1, 0);
    }),
    ("path-length-of-anchor-exceeded", |s| {
        s.deepen(1);
        limit(s, 0, 0);
    }),
    ("path-length-just-enough", |s| {
        let below = s.signers.len() - 1;
        limit(s, 0, below as u8);
    }),
    ("leaf-signed-by-another-key", |s| {
        s.forger = Some(s.fresh_key());
    }),
    ("intermediate-of-the-same-name-as-its-issuer", |s| {
        s.deepen(2);
        s.signers[2].certificate.subject = s.signers[1].certificate.subject.clone();
    }),
    ("no-key-ids-at-all", |s| {
        for signer in &mut s.signers {
            signer.certificate = without_key_ids(signer.certificate.clone());
        }
        s.leaf = without_key_ids(s.leaf.clone());
    }),
    ("leaf-signed-by-a-leaf", |s| {
        let key = s.fresh_key();
        let id = format!("spiffe://{}/issuing", s.domain);
        let mut signer = s.authority("issuing", key);
        signer.certificate = Certificate::leaf(&id, key).edit(|c| c.subject = name("issuing"));
        s.signers.push(signer);
    }),
    ("domain-like-an-address", |s| move_to(s, "10.0.0.1")),
    ("domain-of-254-bytes", |s| move_to(s, LONG_DOMAIN)),
    ("domain-that-is-no-host", |s| move_to(s, "a..b")),
    ("domain-that-ends-with-a-dot", |s| {
        move_to(s, "example.org.")
    }),
    ("now-before-everything", |s| s.now = later(-1_000_000_000)),
    ("now-after-everything", |s| s.now = later(1_000_000_000)),
    ("now-at-the-leafs-end", |s| s.now = later(3600)),
    ("now-just-after-the-leafs-end", |s| s.now = later(3601)),
    ("now-at-the-leafs-begin", |s| s.now = later(-3600)),
    ("now-just-before-the-leafs-begin", |s| s.now = later(-3601)),
];

fn move_to(scene: &mut Scene<'_>, domain: &str) {
    domain.clone_into(&mut scene.domain);
    // Go reads no certificate, and so no anchor, with the URI of some of them.
    for signer in &mut scene.signers {
        signer.certificate = signer.certificate.clone().without(SAN);
    }
    scene.leaf = scene
        .leaf
        .clone()
        .san(&[uri(&format!("spiffe://{domain}/web"))]);
}

fn limit(scene: &mut Scene<'_>, at: usize, below: u8) {
    let certificate = scene.signers[at].certificate.clone();
    scene.signers[at].certificate =
        certificate.with(BASIC_CONSTRAINTS, true, authority(Some(below)));
}

const AFTER: &[Row] = &[
    ("chain-empty", |s| s.chain.clear()),
    ("chain-cut", |s| {
        let keep = s.chance.below(s.chain.len().max(1));
        s.chain.truncate(keep.max(1));
        // A chain of one has nothing to lose but its anchor.
        s.anchors = vec![s.other_root("stranger")];
    }),
    ("chain-in-any-order", |s| {
        for at in 2..s.chain.len() {
            let other = 1 + s.chance.below(at);
            s.chain.swap(at, other);
        }
    }),
    ("certificate-twice", |s| {
        if let Some(at) = last(&s.chain) {
            let again = s.chain[s.chance.below(at + 1)].clone();
            s.chain.push(again);
        }
    }),
    ("leaf-twice", |s| {
        if let Some(leaf) = s.chain.first().cloned() {
            s.chain.insert(1, leaf);
        }
    }),
    ("garbage-presented", |s| s.chain.push(b"hello".to_vec())),
    ("pem-presented", |s| {
        s.chain.push(b"-----BEGIN CERTIFICATE-----".to_vec())
    }),
    ("bytes-after-the-leaf", |s| extend_first(s, &[0])),
    ("leaf-cut", |s| {
        if let Some(leaf) = s.chain.first_mut() {
            leaf.truncate(leaf.len().saturating_sub(1));
        }
    }),
    ("leaf-with-another-signature", |s| {
        if let Some(octet) = s.chain.first_mut().and_then(|leaf| leaf.last_mut()) {
            *octet ^= 1;
        }
    }),
    ("two-certificates-in-one", |s| {
        let another = s.other_root("another");
        extend_first(s, &another);
    }),
    ("bundle-empty", |s| s.anchors.clear()),
    ("bundle-of-another-root", |s| {
        s.anchors = vec![s.other_root("stranger")]
    }),
    ("bundle-of-a-namesake", |s| {
        s.anchors = vec![s.other_root("authority 0")]
    }),
    ("bundle-absent", |s| {
        s.bundles.remove(&s.domain);
    }),
    ("bundle-of-the-wrong-domain", |s| {
        let other = if s.domain == "partner.test" {
            "example.org"
        } else {
            "partner.test"
        };
        let theirs = s.other_root("theirs");
        let ours = std::mem::replace(&mut s.anchors, vec![theirs]);
        s.bundles.insert(other.to_owned(), ours);
    }),
    ("bundle-with-strangers", |s| {
        let strangers = [s.other_root("stranger"), s.other_root("another")];
        s.anchors.splice(0..0, strangers);
    }),
    ("bundle-with-a-namesake", |s| {
        let namesake = s.other_root("authority 0");
        s.anchors.insert(0, namesake);
    }),
    ("bundle-with-an-expired-twin", |s| {
        twin(s, |c| c.valid(-100, -1))
    }),
    ("bundle-with-an-early-twin", |s| {
        twin(s, |c| c.valid(1, 100))
    }),
    ("bundle-with-an-unfit-twin", |s| {
        twin(s, |c| c.with(BASIC_CONSTRAINTS, true, sequence(&[])))
    }),
    ("bundle-of-the-same-twice", |s| {
        s.anchors.extend(s.anchors.clone())
    }),
];

const ALONE: &[Row] = &[
    ("root-presented", |s| s.chain.extend(s.anchors.clone())),
    ("root-signed-by-a-stranger-presented", |s| {
        let key = s.fresh_key();
        let stranger = s.authority("stranger", key);
        let crossed = stranger.sign(&s.signers[0].certificate);
        s.chain.push(crossed);
    }),
    ("bundle-of-an-intermediate", |s| {
        if let Some(at) = last(&s.chain).filter(|at| *at > 0) {
            s.anchors = vec![s.chain[at].clone()];
        }
    }),
    ("leaf-in-bundle", |s| {
        s.anchors = s.chain.first().cloned().into_iter().collect()
    }),
    ("leaf-beside-its-root-in-bundle", |s| {
        s.anchors.extend(s.chain.first().cloned())
    }),
];

fn last(chain: &[Vec<u8>]) -> Option<usize> {
    chain.len().checked_sub(1)
}

fn extend_first(scene: &mut Scene<'_>, bytes: &[u8]) {
    if let Some(leaf) = scene.chain.first_mut() {
        leaf.extend_from_slice(bytes);
    }
}

/// The anchor's certificate, issued once more and put before it.
fn twin(scene: &mut Scene<'_>, edit: impl Fn(Certificate) -> Certificate) {
    let root = &scene.signers[0];
    let twin = root.sign(&edit(root.certificate.clone()));
    scene.anchors.insert(0, twin);
}
