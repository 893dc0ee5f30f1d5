//! A bundle, DER certificates one after the other.
//!
//! - kept byte for byte; two bundles end to end are a bundle of all their authorities;
//! - half an authority is no bundle: cut anywhere inside the last one, it is refused;
//! - any authority can be shown and judged at any time.

use verdict::anchors::{ANCHORS_MAX, AnchorSet};
use verdict::time::UnixSeconds;

pub fn check(data: &[u8]) {
    let anchors = match AnchorSet::from_der(data) {
        Ok(anchors) => anchors,
        Err(error) => return super::check_error(&error),
    };
    assert_eq!(anchors.as_der(), data, "kept as it came");
    assert!(anchors.len() <= ANCHORS_MAX);
    assert_eq!(
        anchors.is_empty(),
        data.is_empty(),
        "no bytes, no authorities"
    );
    for anchor in &anchors {
        let subject = anchor.subject();
        assert!(
            subject.len() <= super::MAX_ERROR_BYTES,
            "a subject of {} bytes",
            subject.len()
        );
        assert!(
            !subject.chars().any(char::is_control),
            "subject {subject:?}"
        );
        for now in [i64::MIN, -1, 0, super::known::NOW.0, i64::MAX] {
            if let Err(refusal) = anchor.usable_at(UnixSeconds(now)) {
                super::check_error(&refusal);
            }
        }
    }
    check_neighbours(&anchors, data);
}

fn check_neighbours(anchors: &AnchorSet, data: &[u8]) {
    let twice = AnchorSet::from_der(&[data, data].concat()).expect("twice a bundle is a bundle");
    assert_eq!(twice.len(), anchors.len() * 2);
    let with_ours = AnchorSet::from_der(&[super::known::BUNDLE, data].concat());
    assert_eq!(
        with_ours.expect("and ours").len(),
        anchors.len() + super::known::ANCHORS.len()
    );
    let Some(shorter) = data.len().checked_sub(1) else {
        return;
    };
    assert!(
        AnchorSet::from_der(&data[..shorter]).is_err(),
        "a byte is missing"
    );
}
