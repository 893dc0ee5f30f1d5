//! The demo's world, through its Workload API.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod common;

use chaos::ca::{Defect, Rotation};
use chaos::world::{World, WorldError, bundles_of};
use common::{next, subscribe};
use tempfile::TempDir;

const NOW: u64 = 1_767_323_045;

fn world(directory: &TempDir) -> World {
    World::start(directory.path().join("agent.sock"), NOW).unwrap()
}

#[tokio::test]
async fn both_domains_are_published_and_followed() {
    let directory = TempDir::new().unwrap();
    let mut world = world(&directory);
    let (_api, mut stream, first) = subscribe(world.socket()).await;
    assert_eq!(first, bundles_of([world.home(), world.partner()]));
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        ["spiffe://example.org", "spiffe://partner.test"]
    );

    world.rotate(Rotation::Overlapping).unwrap();
    assert_eq!(world.home().anchors().len(), 2);
    assert_eq!(
        next(&mut stream).await["spiffe://example.org"],
        world.home().anchors_der()
    );
    world.retire_old_roots();
    assert_eq!(
        next(&mut stream).await["spiffe://example.org"],
        world.home().anchors()[0]
    );

    world.unfederate();
    assert!(
        !next(&mut stream)
            .await
            .contains_key("spiffe://partner.test")
    );
    world.publish();
    assert!(
        next(&mut stream)
            .await
            .contains_key("spiffe://partner.test")
    );
}

#[tokio::test]
async fn each_domain_signs_its_own() {
    let directory = TempDir::new().unwrap();
    let world = world(&directory);
    for id in [
        "spiffe://example.org/frontend",
        "spiffe://partner.test/billing",
    ] {
        for svid in [
            world.svid(id),
            world.forged(id),
            world.expired(id),
            world.defective(id, Defect::CaTrue),
        ] {
            assert_eq!(svid.unwrap().spiffe_id, id);
        }
    }
    let error = world
        .svid("spiffe://example.org.evil/frontend")
        .unwrap_err();
    assert!(
        matches!(error, WorldError::NoSuchTrustDomain { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn dropping_the_world_ends_its_spire() {
    let directory = TempDir::new().unwrap();
    let world = world(&directory);
    let handle = world.spire();
    drop(world);
    assert!(handle.start().is_err());
    assert!(!handle.path().exists());
}
