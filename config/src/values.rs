//! Values that only the process itself has: who may connect, modes, sinks, addresses.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use verdict::id::{IdError, SpiffeId, WorkloadId};

/// What the kernel shows for a user or group it cannot map into our namespace: it is nobody in particular.
const OVERFLOW_ID: u32 = 65_534;

/// Longest path: `PATH_MAX` of Linux without its final zero.
const MAX_PATH_BYTES: usize = 4095;

/// Longest group name: what `useradd` and friends permit.
const MAX_GROUP_BYTES: usize = 32;

/// A proxy whose word about the caller counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TrustedProxy {
    /// A process of this user (`uid:1000`), on Unix sockets.
    Uid(u32),
    /// A process of this group (`gid:33`), on Unix sockets.
    Gid(u32),
    /// A workload with this SPIFFE ID, over mutual TLS.
    Spiffe(WorkloadId),
}

/// Why a text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Nothing where a proxy should be named.
    #[error("it is empty: a trusted proxy is `uid:NUMBER`, `gid:NUMBER` or a SPIFFE ID")]
    NoProxy,
    /// None of the three forms.
    #[error("a trusted proxy is `uid:NUMBER`, `gid:NUMBER` or a SPIFFE ID")]
    TrustedProxy,
    /// `uid:65534`.
    #[error(
        "{OVERFLOW_ID} stands for every user or group that the kernel cannot map: it identifies nobody"
    )]
    OverflowId,
    /// An ID that is none.
    #[error("{0}")]
    SpiffeId(IdError),
    /// `spiffe://example.org`.
    #[error("a trusted proxy is a workload, and this ID has no path (X509-SVID 3.1)")]
    NoPath,
    /// `660`, `rw-rw----`.
    #[error("a socket mode is an octal text of three or four digits")]
    Mode,
    /// `0400`, `4660`.
    #[error("a socket mode lets the owner read and write, and sets nothing beyond 0777")]
    UselessMode,
    /// Empty, a number, or not a name.
    #[error("a group is named by letters, digits, `_`, `-` and `.`, at most {MAX_GROUP_BYTES}")]
    Group,
    /// `state`.
    #[error(
        "a path must be absolute, without control characters, and at most {MAX_PATH_BYTES} bytes"
    )]
    Path,
    /// `localhost:1`, `:50051`.
    #[error("a listen address is an IP address and a port")]
    Address,
    /// `0.0.0.0:0`.
    #[error("port 0 is no address a proxy could be told")]
    PortZero,
    /// `localhost`.
    #[error("an admin address is an IP address and a port, or none")]
    AdminAddress,
    /// `maybe`.
    #[error("a switch is one of true, false, 1, 0, yes, no")]
    Switch,
    /// `sink "file"` without `path`.
    #[error("a file sink needs path=\"/…\"")]
    NoSinkPath,
    /// `sink "stdout" path="…"`.
    #[error("only a file sink takes {0}")]
    OnlyFile(&'static str),
    /// `keep=3` alone.
    #[error("{0} needs {1}")]
    Needs(&'static str, &'static str),
    /// `sink "file" path="/a" rotate-bytes=…` beside `sink "file" path="/a.1"`.
    #[error("of two sinks one rotates its files to the name of the other, and would overwrite it")]
    RotatedOver,
    /// More than a few.
    #[error("at most {0} are allowed")]
    TooMany(usize),
}

impl ValueError {
    /// What to write instead.
    #[must_use]
    pub const fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoProxy => "unset or left out altogether, the socket's mode says who may connect",
            Self::TrustedProxy => "for example \"uid:1000\" or \"spiffe://example.org/proxy\"",
            Self::OverflowId => "run the proxy as a user of its own, in a namespace that maps it",
            Self::Mode | Self::UselessMode => "for example \"0660\"",
            Self::Path => "begin it with /",
            Self::Address => "for example \"127.0.0.1:50051\" or \"[::1]:50051\"",
            Self::AdminAddress => "for example \"127.0.0.1:9902\"; \"none\" turns the listener off",
            Self::Switch => "for example true",
            Self::NoSinkPath => "for example: sink \"file\" path=\"/var/log/spiffe-audit.jsonl\"",
            Self::RotatedOver => "choose a path that is not the other's with a dot and a number",
            _ => return None,
        })
    }
}

impl TrustedProxy {
    /// Reads `uid:N`, `gid:N` or a workload's SPIFFE ID.
    ///
    /// # Errors
    /// When it is none of them, or names nobody in particular.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text.is_empty() {
            return Err(ValueError::NoProxy);
        }
        if let Some(number) = text.strip_prefix("uid:") {
            return account(number).map(Self::Uid);
        }
        if let Some(number) = text.strip_prefix("gid:") {
            return account(number).map(Self::Gid);
        }
        if !text.starts_with("spiffe:") {
            return Err(ValueError::TrustedProxy);
        }
        let id = SpiffeId::parse(text.as_bytes()).map_err(ValueError::SpiffeId)?;
        WorkloadId::try_from(id)
            .map(Self::Spiffe)
            .map_err(|_| ValueError::NoPath)
    }
}

fn account(number: &str) -> Result<u32, ValueError> {
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = number.parse::<u32>().ok().filter(|_| plain);
    match parsed {
        // The highest number means "no change" to the kernel, and is nobody's.
        None | Some(u32::MAX) => Err(ValueError::TrustedProxy),
        Some(OVERFLOW_ID) => Err(ValueError::OverflowId),
        Some(account) => Ok(account),
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(number) => write!(f, "uid:{number}"),
            Self::Gid(number) => write!(f, "gid:{number}"),
            Self::Spiffe(id) => f.write_str(id.as_str()),
        }
    }
}

/// Permission bits of the agent's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(u32);

impl Default for SocketMode {
    fn default() -> Self {
        Self(0o660)
    }
}

impl SocketMode {
    /// Reads `0660`.
    ///
    /// # Errors
    /// When it is not octal, or would lock the owner out.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        if !octal || !(3..=4).contains(&text.len()) {
            return Err(ValueError::Mode);
        }
        let bits = u32::from_str_radix(text, 8).map_err(|_| ValueError::Mode)?;
        if bits > 0o777 || bits & 0o600 != 0o600 {
            return Err(ValueError::UselessMode);
        }
        Ok(Self(bits))
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether any user of the machine may connect.
    #[must_use]
    pub const fn admits_everybody(self) -> bool {
        self.0 & 0o002 != 0
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// Where decision records go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The collector that the `OTEL_*` variables name for logs.
    Otlp,
    /// A file, appended to.
    File(FileSink),
}

impl Sink {
    /// Whether both write to the same place.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => one.path == other.path,
            (one, other) => one == other,
        }
    }

    /// Whether one of them rotates its files to the other's name.
    pub(crate) fn rotates_over(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(other)) => {
                one.rotates_to(&other.path) || other.rotates_to(&one.path)
            }
            _ => false,
        }
    }
}

/// A file of decision records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileSink {
    /// Where.
    pub path: PathBuf,
    /// When it is moved away for a new one, if we do that.
    pub rotation: Option<Rotation>,
    /// When records are brought to the disk.
    pub fsync: Fsync,
}

impl FileSink {
    /// A file that is neither rotated nor brought to the disk by us.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self {
            path,
            rotation: None,
            fsync: Fsync::Never,
        }
    }

    /// Whether a file that was rotated away may come to have this name.
    fn rotates_to(&self, path: &Path) -> bool {
        let Some(Rotation { keep, .. }) = self.rotation else {
            return false;
        };
        let (ours, other) = (self.path.as_os_str(), path.as_os_str());
        let suffix = other
            .as_encoded_bytes()
            .strip_prefix(ours.as_encoded_bytes());
        let number = suffix.and_then(|suffix| suffix.strip_prefix(b"."));
        let number = number.and_then(|number| std::str::from_utf8(number).ok());
        // As it is written: without zeros before it.
        number.is_some_and(|text| {
            let number = text.parse::<u32>().ok();
            number.is_some_and(|n| (1..=keep).contains(&n) && n.to_string() == text)
        })
    }
}

/// When a file is moved away, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rotation {
    /// Its size, bytes.
    pub at_bytes: u64,
    /// Files kept beside it, at least one.
    pub keep: u32,
}

/// When records are brought to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fsync {
    /// When the kernel likes: a record survives the death of the process, not that of the machine.
    Never,
    /// So often.
    Interval {
        /// Milliseconds of records that a loss of power may take.
        ms: u64,
    },
    /// Before a record is acknowledged.
    Always,
}

/// What a full queue of records, or a sink that fails, means for requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnFull {
    /// Records are lost and counted.
    #[default]
    Drop,
    /// What cannot be recorded is denied.
    Deny,
    /// An answer waits for its record, at most until the decision deadline.
    Block,
}

impl OnFull {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Drop, Self::Deny, Self::Block];

    /// The configuration value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Deny => "deny",
            Self::Block => "block",
        }
    }
}

/// An absolute path that is not a socket.
pub(crate) fn absolute_path(text: &str) -> Result<PathBuf, ValueError> {
    let fits = text.len() <= MAX_PATH_BYTES && !text.chars().any(char::is_control);
    if fits && Path::new(text).is_absolute() {
        Ok(PathBuf::from(text))
    } else {
        Err(ValueError::Path)
    }
}

/// A group's name, or its number as a text.
pub(crate) fn group(text: &str) -> Result<String, ValueError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let fits = (1..=MAX_GROUP_BYTES).contains(&text.len());
    if fits && !text.starts_with('-') && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(ValueError::Group)
    }
}

/// An address to listen on.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, ValueError> {
    let address: SocketAddr = text.parse().map_err(|_| ValueError::Address)?;
    if address.port() == 0 {
        return Err(ValueError::PortZero);
    }
    Ok(address)
}

/// Where the admin listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// Nowhere.
    Off,
    /// At this address; port 0 is one that the kernel chooses.
    At(SocketAddr),
}

impl AdminAddress {
    /// Reads `none`, or an IP address and a port.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        match text {
            "none" => Ok(Self::Off),
            text => text
                .parse()
                .map(Self::At)
                .map_err(|_| ValueError::AdminAddress),
        }
    }
}

impl Default for AdminAddress {
    /// This machine alone, beside Envoy's usual 9901.
    fn default() -> Self {
        Self::At(SocketAddr::from(([127, 0, 0, 1], 9902)))
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("none"),
            Self::At(address) => address.fmt(f),
        }
    }
}

/// A boolean of the environment.
pub(crate) fn switch(text: &str) -> Result<bool, ValueError> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(ValueError::Switch),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn trusted_proxies_are_somebody() {
        assert_eq!(TrustedProxy::parse("uid:0"), Ok(TrustedProxy::Uid(0)));
        assert_eq!(TrustedProxy::parse("gid:33"), Ok(TrustedProxy::Gid(33)));
        let id = TrustedProxy::parse("spiffe://example.org/proxy").unwrap();
        assert_eq!(id.to_string(), "spiffe://example.org/proxy");
        for (text, error) in [
            ("uid:65534", ValueError::OverflowId),
            ("gid:65534", ValueError::OverflowId),
            ("uid:4294967295", ValueError::TrustedProxy),
            ("uid:-1", ValueError::TrustedProxy),
            ("uid:+1", ValueError::TrustedProxy),
            ("uid:", ValueError::TrustedProxy),
            ("root", ValueError::TrustedProxy),
            ("", ValueError::NoProxy),
            ("spiffe://example.org", ValueError::NoPath),
        ] {
            assert_eq!(TrustedProxy::parse(text), Err(error), "{text}");
        }
        let bad = TrustedProxy::parse("spiffe://Example.org/x");
        assert!(matches!(bad, Err(ValueError::SpiffeId(_))));
    }

    #[test]
    fn modes_are_octal_and_usable() {
        assert_eq!(SocketMode::parse("0660").unwrap().bits(), 0o660);
        assert_eq!(SocketMode::parse("600").unwrap().to_string(), "0600");
        assert!(SocketMode::parse("0666").unwrap().admits_everybody());
        for text in ["", "66", "0o660", "00660", "0888", "rw-rw----"] {
            assert_eq!(SocketMode::parse(text), Err(ValueError::Mode), "{text}");
        }
        for text in ["0060", "0400", "4660", "1777"] {
            let error = Err(ValueError::UselessMode);
            assert_eq!(SocketMode::parse(text), error, "{text}");
        }
    }

    #[test]
    fn an_admin_address_is_one_or_none() {
        assert_eq!(AdminAddress::default().to_string(), "127.0.0.1:9902");
        for text in ["none", "127.0.0.1:0", "[::1]:9902", "0.0.0.0:9902"] {
            assert_eq!(AdminAddress::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "None", "off", "localhost:9902", "9902", "127.0.0.1"] {
            let error = Err(ValueError::AdminAddress);
            assert_eq!(AdminAddress::parse(text), error, "{text}");
        }
    }

    #[test]
    fn switches_are_what_people_write() {
        for text in ["true", "1", "yes", "TRUE", "Yes"] {
            assert_eq!(switch(text), Ok(true), "{text}");
        }
        for text in ["false", "0", "no", "No"] {
            assert_eq!(switch(text), Ok(false), "{text}");
        }
        for text in ["", "on", "off", "2", "t", " true"] {
            assert_eq!(switch(text), Err(ValueError::Switch), "{text}");
        }
    }
}
