//! Messages of the Workload API, as protobuf, one after the other on one stream.
//!
//! The input is a sequence of messages, each behind its length in two bytes. For each:
//!
//! - a full update is the whole truth: afterwards there is a bundle for just the readable domains,
//!   and kept ones for domains it names but cannot read;
//! - only a full update renews contact; one that is discarded says why;
//! - an identical update changes no generation and reports no change; generations never go back.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use proto::workload::X509BundlesResponse;
use verdict::limits::TRUST_DOMAINS_MAX;
use verdict::time::{Contact, Now};
use verdict::trust::{Generation, Snapshot, Standing};

use super::known::CLOCKS;

pub fn check(mut data: &[u8]) {
    let mut snapshot = Snapshot::default();
    let mut now = CLOCKS;
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        data = rest;
        now.wall_ms += 1_000;
        now.boot_ms += 1_000;
        if let Ok(message) = X509BundlesResponse::decode(message) {
            snapshot = step(&snapshot, &message, now);
        }
    }
}

fn step(before: &Snapshot, message: &X509BundlesResponse, now: Now) -> Snapshot {
    let bundles = message
        .bundles
        .iter()
        .map(|(key, der)| (key.as_str(), der.as_ref()));
    let (after, report) = match before.updated(bundles.clone(), now) {
        Ok(updated) => updated,
        Err(error) => {
            super::check_error(&error);
            return before.clone();
        }
    };
    for unreadable in &report.unreadable {
        super::check_error(unreadable);
    }
    assert_eq!(
        after.contact(),
        Some(Contact::at(now)),
        "a full update renews contact"
    );
    assert!(after.len() <= TRUST_DOMAINS_MAX);
    check_bundles(before, message, &after, now);
    let (was, is) = (generations(before), generations(&after));
    for (domain, generation) in &is {
        match was.get(domain) {
            Some(old) => assert!(old <= generation, "{domain} went back"),
            None => assert!(
                was.values().all(|old| old < generation),
                "{domain} is not new"
            ),
        }
    }
    let gone: BTreeSet<_> = was
        .keys()
        .filter(|domain| !is.contains_key(*domain))
        .cloned()
        .collect();
    assert_eq!(
        report
            .removed
            .iter()
            .map(ToString::to_string)
            .collect::<BTreeSet<_>>(),
        gone
    );
    let (again, same) = after.updated(bundles, now).expect("it was a full update");
    assert!(same.added.is_empty() && same.changed.is_empty() && same.removed.is_empty());
    assert_eq!(
        generations(&again),
        is,
        "an identical update changes nothing"
    );
    after
}

fn check_bundles(before: &Snapshot, message: &X509BundlesResponse, after: &Snapshot, now: Now) {
    for (domain, bundle) in after.iter() {
        let sent = message.bundles.get(&domain.id());
        let sent = sent.unwrap_or_else(|| panic!("{domain} was not in the update"));
        match bundle.standing() {
            Standing::Confirmed => {
                assert_eq!(bundle.anchors().as_der(), AsRef::<[u8]>::as_ref(sent));
                assert_eq!(bundle.contact(), Contact::at(now));
            }
            Standing::Kept => {
                let last = before
                    .bundle(domain, u64::MAX, now)
                    .expect("kept, so there was one");
                assert_eq!(bundle.anchors(), last.anchors());
                assert_eq!(
                    bundle.contact(),
                    last.contact(),
                    "a kept bundle is not renewed"
                );
            }
        }
    }
}

fn generations(snapshot: &Snapshot) -> BTreeMap<String, Generation> {
    snapshot
        .iter()
        .map(|(domain, bundle)| (domain.to_string(), bundle.generation()))
        .collect()
}
