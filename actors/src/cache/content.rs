//! What the file says, and how: pure, bytes in and values out.
//!
//! One line `spiffe-bundles VERSION SHA256`, then JSON, whose every byte the digest covers. It tells
//! a torn or damaged file, not a forged one: against that stand the file's owner and mode.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use verdict::time::Contact;
use verdict::trust::{Snapshot, Standing, Stored, Unreadable};

/// First word of the file.
const MAGIC: &str = "spiffe-bundles";

/// The only version there is. Whoever changes the shape of [`Content`] counts it up.
const VERSION: &str = "1";

/// Why bytes are no content of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// Another program's file, or a damaged first line.
    #[error("it does not begin with the line that every file of ours begins with")]
    Foreign,
    /// Written by another version of this program.
    #[error("its format is version {0}, this program writes and reads {VERSION}")]
    Version(String),
    /// Torn or damaged.
    #[error("its SHA-256 is not the one in its first line: it is torn or damaged")]
    Digest,
    /// The digest holds, the shape does not: no program of ours wrote it.
    #[error("its JSON is not of the shape that this program writes: {0}")]
    Shape(String),
}

/// What is stored of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    /// The socket it came from, as [`socket_text`] writes it.
    pub(super) socket: String,
    /// Which boot the boot-time readings count from.
    pub(super) boot_id: Option<String>,
    pub(super) record: Record,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Record {
    /// SPIRE has refused us: nothing may be concluded until it delivers again.
    Tombstone,
    /// The last full update.
    Material { contact: When, bundles: Vec<Entry> },
}

/// A contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    pub(super) wall_ms: i64,
    pub(super) boot_ms: Option<i64>,
}

/// The bundle of one trust domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    id: String,
    wall_ms: i64,
    boot_ms: Option<i64>,
    standing: StandingName,
    #[serde(with = "der")]
    der: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StandingName {
    Confirmed,
    Kept,
}

mod der {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(der: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(der))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}

impl Content {
    /// The mark of a withdrawal.
    pub(super) fn tombstone(socket: &Path, boot_id: Option<&str>) -> Self {
        Self::new(socket, boot_id, Record::Tombstone)
    }

    /// The material of a source; `None` if there is none.
    pub(super) fn material(
        socket: &Path,
        boot_id: Option<&str>,
        snapshot: &Snapshot,
    ) -> Option<Self> {
        let contact = When::of(snapshot.contact()?);
        let bundles = snapshot.iter().map(|(domain, bundle)| {
            let When { wall_ms, boot_ms } = When::of(bundle.contact());
            Entry {
                id: format!("spiffe://{domain}"),
                wall_ms,
                boot_ms,
                standing: match bundle.standing() {
                    Standing::Confirmed => StandingName::Confirmed,
                    Standing::Kept => StandingName::Kept,
                },
                der: bundle.anchors().as_der().to_vec(),
            }
        });
        let mut bundles: Vec<_> = bundles.collect();
        // Equal material is equal content.
        bundles.sort_unstable();
        let record = Record::Material { contact, bundles };
        Some(Self::new(socket, boot_id, record))
    }

    fn new(socket: &Path, boot_id: Option<&str>, record: Record) -> Self {
        Self {
            socket: socket_text(socket),
            boot_id: boot_id.map(str::to_owned),
            record,
        }
    }

    /// Whether it came from this socket.
    pub(super) fn is_of(&self, socket: &Path) -> bool {
        self.socket == socket_text(socket)
    }

    /// Whether it says something to an agent at this socket. A withdrawal does to every one: this
    /// agent is refused, not a path, of which one socket has many.
    pub(super) fn counts_at(&self, socket: &Path) -> bool {
        self.is_of(socket) || self.record == Record::Tombstone
    }

    /// The material again. A boot-time reading counts in its own boot only: without it, age is what
    /// the wall clock says.
    pub(super) fn restore(
        contact: When,
        bundles: &[Entry],
        same_boot: SameBoot,
    ) -> (Snapshot, Contact, Vec<Unreadable>) {
        let stored = bundles.iter().map(|entry| Stored {
            key: &entry.id,
            der: &entry.der,
            contact: same_boot.contact(entry.wall_ms, entry.boot_ms),
            standing: match entry.standing {
                StandingName::Confirmed => Standing::Confirmed,
                StandingName::Kept => Standing::Kept,
            },
        });
        let contact = contact.contact(same_boot);
        let (snapshot, left_out) = Snapshot::restored(stored, contact);
        (snapshot, contact, left_out)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// The serializer's; none is known for this shape.
    pub(super) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        seal(MAGIC, self)
    }

    /// The content of these bytes.
    ///
    /// # Errors
    /// Names what is wrong with the file.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        unseal(MAGIC, bytes)
    }
}

/// The bytes of a file that says this.
pub(super) fn seal(magic: &str, content: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(content)?;
    let mut bytes = format!("{magic} {VERSION} {}\n", hex_digest(&json)).into_bytes();
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// What the bytes of such a file say.
pub(super) fn unseal<T: for<'a> Deserialize<'a>>(
    magic: &str,
    bytes: &[u8],
) -> Result<T, DecodeError> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, json) = end
        .and_then(|end| bytes.split_at_checked(end))
        .ok_or(DecodeError::Foreign)?;
    let json = json.get(1..).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| DecodeError::Foreign)?;
    let mut words = line.split(' ');
    let (first, version, digest) = (words.next(), words.next(), words.next());
    if first != Some(magic) {
        return Err(DecodeError::Foreign);
    }
    match (version, digest, words.next()) {
        (Some(VERSION), Some(digest), None) if digest == hex_digest(json) => {}
        (Some(VERSION), ..) => return Err(DecodeError::Digest),
        (Some(version), ..) => {
            let version = version.escape_debug().take(16).collect();
            return Err(DecodeError::Version(version));
        }
        (None, ..) => return Err(DecodeError::Foreign),
    }
    serde_json::from_slice(json).map_err(|error| DecodeError::Shape(error.to_string()))
}

/// Whether the file was written since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SameBoot {
    Yes,
    No,
}

impl SameBoot {
    /// Two readings of which neither is known are not known to be the same.
    pub(super) fn of(stored: Option<&str>, current: Option<&str>) -> Self {
        match (stored, current) {
            (Some(stored), Some(current)) if stored == current => Self::Yes,
            _ => Self::No,
        }
    }

    pub(super) fn contact(self, wall_ms: i64, boot_ms: Option<i64>) -> Contact {
        Contact {
            wall_ms,
            boot_ms: match self {
                Self::Yes => boot_ms,
                Self::No => None,
            },
        }
    }
}

impl When {
    fn of(contact: Contact) -> Self {
        Self {
            wall_ms: contact.wall_ms,
            boot_ms: contact.boot_ms,
        }
    }

    pub(super) fn contact(self, same_boot: SameBoot) -> Contact {
        same_boot.contact(self.wall_ms, self.boot_ms)
    }

    pub(super) fn same_boot_time(self, other: Self) -> bool {
        self.boot_ms.is_some() && self.boot_ms == other.boot_ms
    }
}

/// A path as text, one to one: bytes that are no printable ASCII are escaped. `/a//b/` and `/a/b`
/// are the same path.
pub(super) fn socket_text(socket: &Path) -> String {
    let tidy: PathBuf = socket.components().collect();
    let bytes = tidy.as_os_str().as_encoded_bytes();
    bytes.escape_ascii().to_string()
}

fn hex_digest(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}
