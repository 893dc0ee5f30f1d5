//! The state files, damaged at random: a start finds what was written or nothing, a withdrawal in any
//! case, and that SPIRE had said no.
//!
//! What is read is what a start reads, but for the file system itself.

use std::path::Path;

use ::actors::cache::{Image, Mark, load_image};
use ::actors::clock::{Clock, ToldClock};
use verdict::availability::{Earlier, Found, Loss};
use verdict::time::{Contact, Now};

use super::agent::{Agent, SOCKET};
use super::cast::{Cast, begin_s};
use super::rng::{Purpose, Rng};
use super::schedule::Schedule;
use super::source::Source;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Damaged files read.
    pub read: u64,
    /// Damage that changed nothing: a byte replaced by itself.
    pub unharmed: u64,
    /// Starts that found what they must not, by number.
    pub broken: Vec<u64>,
}

/// The kinds of damage.
const KINDS: u64 = 6;

/// Damages the file of a good agent and that of a withdrawn one in turn, `count` times.
#[must_use]
pub fn damage(cast: &Cast, seed: u64, count: u64) -> Told {
    let now = Now {
        wall_ms: begin_s() * 1_000,
        boot_ms: 5_000,
    };
    let clock = Clock::Told(ToldClock::new(now, &format!("{:036}", 1)));
    let (material, refused, tombstone) = disks(cast, now);
    let mut told = Told::default();
    for number in 0..count {
        let mut rng = Rng::new(seed, Purpose::Disk(number));
        let (disk, other) = if number.is_multiple_of(2) {
            (&material, &tombstone)
        } else {
            (&tombstone, &material)
        };
        let bytes = damaged(bytes(disk), bytes(other), &mut rng);
        told.read += 1;
        told.unharmed += u64::from(bytes == self::bytes(disk));
        let image = Image {
            file: Some(bytes),
            ..disk.clone()
        };
        let found = load_image(&image, Path::new(SOCKET), &clock).found;
        let kept = keeps_a_refusal(&refused, other, &mut rng, &clock);
        if found != wanted(&image, disk, other, now) || !kept {
            told.broken.push(number);
        }
    }
    told
}

/// Whatever befalls the note of a refusal: that there was one is not forgotten.
fn keeps_a_refusal(refused: &Image, other: &Image, rng: &mut Rng, clock: &Clock) -> bool {
    let note = refused.refused.as_deref().unwrap_or_default();
    let damaged = Image {
        refused: Some(damaged(note, bytes(other), rng)),
        ..refused.clone()
    };
    let loaded = load_image(&damaged, Path::new(SOCKET), clock);
    loaded.earlier != Earlier::Nothing
}

/// What a start must find.
fn wanted(image: &Image, disk: &Image, other: &Image, now: Now) -> Found {
    // The whole file of the other agent is no damage, but a file that we wrote.
    let withdrawn = image.mark == Mark::Withdrawn || image.file == other.file;
    if withdrawn {
        Found::Tombstone
    } else if image.file == disk.file {
        Found::Material(Contact::at(now))
    } else {
        Found::Nothing
    }
}

fn bytes(disk: &Image) -> &[u8] {
    disk.file.as_deref().unwrap_or_default()
}

/// What an agent writes that is well, then refused, then withdrawn.
fn disks(cast: &Cast, now: Now) -> (Image, Image, Image) {
    let times = Schedule::of(0).times;
    let agent = Agent::start(times, &Image::default(), 1, now);
    let content = Source::new(0).content();
    let bundles: Vec<_> = content
        .iter()
        .map(|(domain, said)| (domain.key(), cast.bytes(said)))
        .collect();
    // Were it refused, every undamaged file would be told as broken.
    let _ = agent
        .trust()
        .update(bundles.iter().map(|(key, der)| (*key, der.as_slice())));
    let before = Image::default();
    let written = || agent.image(&before).unwrap_or_default();
    let material = written();
    agent.push(times.unavailable_after_ms, 1);
    agent.trust().lost(Loss::Refused);
    let refused = written();
    agent.push(times.unavailable_after_ms, 0);
    (material, refused, written())
}

fn damaged(good: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let at = place(rng, &bytes);
    match rng.below(KINDS) {
        0 => bytes.truncate(at),
        1 => change(&mut bytes, at, |byte| byte ^ (1 << rng.below(8))),
        2 => {
            for _ in 0..rng.between(1, 8) {
                let (at, value) = (place(rng, &bytes), byte(rng));
                change(&mut bytes, at, |_| value);
            }
        }
        // The head of one file before the tail of another.
        3 => {
            bytes.truncate(at);
            bytes.extend(other.iter().skip(at));
        }
        4 => _ = bytes.remove(at),
        _ => bytes.insert(at, byte(rng)),
    }
    bytes
}

fn place(rng: &mut Rng, bytes: &[u8]) -> usize {
    usize::try_from(rng.below(bytes.len() as u64)).unwrap_or_default()
}

const fn byte(rng: &mut Rng) -> u8 {
    rng.next().to_le_bytes()[0]
}

fn change(bytes: &mut [u8], at: usize, to: impl FnOnce(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = to(*byte);
    }
}
