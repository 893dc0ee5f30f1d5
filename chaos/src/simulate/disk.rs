//! The disk: a file, its mark and the note of a refusal, written whole or not at all, and whatever else
//! befalls the file.

use ::actors::cache::{Image, Mark};

use super::fault::Fault;
use super::rng::{Purpose, Rng};

/// Wait after a write before the next; the product's own, ms.
const PAUSE_MS: u64 = 100;
/// Longest wait after a failed write; the product's own, ms.
const RETRY_MAX_MS: u64 = 30_000;

/// The disk of the play.
#[derive(Clone, Debug)]
pub struct Disk {
    seed: u64,
    image: Image,
    space: Space,
    planned: Planned,
    failures: u32,
    writes: u64,
    /// No write begins before, ms.
    rest_until_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Enough,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planned {
    No,
    Yes,
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            image: Image {
                file: None,
                mark: Mark::None,
                refused: None,
            },
            space: Space::Enough,
            planned: Planned::No,
            failures: 0,
            writes: 0,
            rest_until_ms: 0,
        }
    }

    /// What lies on it.
    #[must_use]
    pub const fn image(&self) -> &Image {
        &self.image
    }

    /// A write is wanted: how long until it is done, ms; none if one is planned already.
    pub fn plan(&mut self, at_ms: u64) -> Option<u64> {
        if self.planned == Planned::Yes {
            return None;
        }
        self.planned = Planned::Yes;
        let takes_ms = self.rng().stretch_ms(1, 64);
        let rest_ms = self.rest_until_ms.saturating_sub(at_ms);
        let doubled = PAUSE_MS.saturating_mul(
            1_u64
                .checked_shl(self.failures.saturating_sub(1))
                .unwrap_or(u64::MAX),
        );
        let backoff_ms = if self.failures == 0 {
            0
        } else {
            doubled.min(RETRY_MAX_MS)
        };
        self.rest_until_ms = at_ms + rest_ms + takes_ms + PAUSE_MS;
        Some(rest_ms.max(backoff_ms) + takes_ms)
    }

    /// The planned write; whether the disk took it. Nothing to say is taken.
    pub fn write(&mut self, image: Option<Image>) -> bool {
        self.planned = Planned::No;
        self.writes += 1;
        if image.is_some() && self.space == Space::None {
            self.failures = self.failures.saturating_add(1);
            return false;
        }
        self.failures = 0;
        if let Some(image) = image {
            self.image = image;
        }
        true
    }

    /// Who planned a write is gone.
    pub const fn forget_plans(&mut self) {
        self.planned = Planned::No;
        self.failures = 0;
    }

    /// Whether anything more fits.
    pub const fn set_full(&mut self, full: bool) {
        self.space = if full { Space::None } else { Space::Enough };
    }

    /// Something befalls the file.
    pub fn damage(&mut self, fault: Fault) {
        let mut rng = self.rng();
        self.writes += 1;
        let Some(file) = &mut self.image.file else {
            return;
        };
        let at = usize::try_from(rng.below(file.len() as u64)).unwrap_or(0);
        match fault {
            Fault::FileTorn => file.truncate(at),
            Fault::FileDamaged => {
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << rng.below(8);
                }
            }
            Fault::FileForeign => *file = b"{\"somebody\":\"else\"}\n".to_vec(),
            _ => self.image.file = None,
        }
    }

    const fn rng(&self) -> Rng {
        Rng::new(self.seed, Purpose::Disk(self.writes))
    }
}
