//! What is wrong with SPIRE's socket or behind it, in words, each with what to do.
//!
//! The log and the commands that look at SPIRE say the same, because they say it from here.

use std::error::Error;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use http::StatusCode;
use tonic::Code;
use verdict::trust::UpdateError;

use crate::mounts::Mount;
use crate::remedy::{OUT_OF_DESCRIPTORS, is_out_of_descriptors, registration};

/// Deepest chain of causes that is followed; a chain is as long as its maker likes.
const SOURCES_MAX: usize = 16;

/// Why SPIRE gives no bundles or no SVID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// There is no file at the socket's path.
    Missing,
    /// The same in a bind mount or volume, which may show a directory that was replaced.
    MissingInMount,
    /// Neither file nor listener, and what is mounted there was deleted.
    Stale,
    /// There is one, and it is no socket.
    NoSocket,
    /// This user may not reach it.
    Forbidden,
    /// A socket whose listener is gone.
    Deserted,
    /// The same in a bind mount or volume.
    DesertedInMount,
    /// The system says something else.
    Unreachable,
    /// This process may open no more files.
    NoDescriptors,
    /// Somebody listened, and broke the connection off.
    Broken,
    /// Somebody answers, but not as the Workload API.
    NoWorkloadApi,
    /// Somebody between SPIRE and us answers that he does not reach it.
    Unreached,
    /// The Workload API does not accept how we call it.
    NotUnderstood,
    /// The Workload API knows no entry that fits this process.
    NotRegistered,
    /// The Workload API answers with another error.
    Failing,
    /// No answer in time.
    Silent,
    /// The stream ended in good order.
    Ended,
    /// An answer that cannot be used.
    Unreadable,
    /// An answer without any bundle.
    Empty,
    /// Bundles of more trust domains than are taken.
    TooMany,
    /// Bundles, and none of them is one.
    NoneReadable,
    /// It is our own doing.
    Ours,
}

impl Obstacle {
    /// Every one.
    pub const ALL: [Self; 22] = [
        Self::Missing,
        Self::MissingInMount,
        Self::Stale,
        Self::NoSocket,
        Self::Forbidden,
        Self::Deserted,
        Self::DesertedInMount,
        Self::Unreachable,
        Self::NoDescriptors,
        Self::Broken,
        Self::NoWorkloadApi,
        Self::Unreached,
        Self::NotUnderstood,
        Self::NotRegistered,
        Self::Failing,
        Self::Silent,
        Self::Ended,
        Self::Unreadable,
        Self::Empty,
        Self::TooMany,
        Self::NoneReadable,
        Self::Ours,
    ];

    /// In words.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Missing => "SPIRE's socket is not there: no such file",
            Self::MissingInMount => {
                "SPIRE's socket is not there: no such file in what is mounted here"
            }
            Self::Stale => "SPIRE's socket is gone with what is mounted here: that was deleted",
            Self::NoSocket => "the file at SPIRE's socket path is no socket",
            Self::Forbidden => "permission denied: this user may not connect to SPIRE's socket",
            Self::Deserted => "connection refused: nobody listens on SPIRE's socket",
            Self::DesertedInMount => {
                "connection refused: nobody listens on SPIRE's socket in what is mounted here"
            }
            Self::Unreachable => "SPIRE's socket cannot be used",
            Self::NoDescriptors => "no file descriptor is left to ask SPIRE with",
            Self::Broken => "the connection to SPIRE's socket broke off",
            Self::NoWorkloadApi => "what answers on SPIRE's socket is no Workload API",
            Self::Unreached => {
                "something in front of SPIRE answers for it, and says that SPIRE cannot be reached"
            }
            Self::NotUnderstood => "the Workload API does not accept this agent's call",
            Self::NotRegistered => {
                "SPIRE refuses this process: there is no registration entry that fits"
            }
            Self::Failing => "the Workload API answers with an error",
            Self::Silent => "SPIRE takes the call and does not answer in time",
            Self::Ended => "SPIRE ended the stream",
            Self::Unreadable => "SPIRE's answer cannot be used",
            Self::Empty => "SPIRE delivers no bundle",
            Self::TooMany => "SPIRE delivers bundles of too many trust domains, and none is taken",
            Self::NoneReadable => "SPIRE delivers bundles, and none of them can be read",
            Self::Ours => "asking SPIRE failed within this agent",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(self) -> String {
        let uid = rustix::process::geteuid().as_raw();
        let fixed = match self {
            Self::Missing => {
                "is the SPIRE agent up, and does it listen there? --spire-socket says where"
            }
            Self::MissingInMount => {
                "is the SPIRE agent up, and does it listen there? --spire-socket says where; it lies in a bind mount or \
                 volume (hostPath), whose directory may have been replaced on the host: then mount anew (restart the \
                 container or pod), and mount the directory above, which stays"
            }
            Self::Stale => {
                "SPIRE may be up, where this mount leads no more: what it shows was deleted: mount anew (restart the \
                 container or pod), and mount the directory above, which stays"
            }
            Self::NoSocket => "name SPIRE's socket with --spire-socket",
            Self::Forbidden => {
                return format!(
                    "let uid {uid} pass the directories, and read and write the socket"
                );
            }
            Self::Deserted => {
                "start the SPIRE agent; in a container, mount the directory of the socket, not the file"
            }
            Self::DesertedInMount => {
                "start the SPIRE agent; if it is up, what is mounted here may have been replaced on the host: mount anew \
                 (restart the container or pod), and mount the directory of the socket or one above, not the file"
            }
            Self::Unreachable => "look at the socket, its directories and their mounts",
            Self::NoDescriptors => OUT_OF_DESCRIPTORS,
            Self::NoWorkloadApi => {
                "did it work before? then look at what has taken the socket's place, or stands in front of it; \
                 if not, name the SPIRE agent's Workload API with --spire-socket, not its admin socket nor another's"
            }
            Self::Unreached => {
                "is the SPIRE agent behind it up, and the proxy in between well? if SPIRE never answered here, \
                 name its Workload API with --spire-socket"
            }
            Self::NotUnderstood => "is a proxy in between that drops headers? otherwise report it",
            Self::NotRegistered => return format!("register it: {}", registration(uid)),
            Self::Silent => "look at the SPIRE agent: its log, its load, its server",
            Self::Broken | Self::Failing | Self::Ended | Self::Unreadable => {
                "look at the SPIRE agent: is it up, and what does its log say?"
            }
            Self::Empty => {
                "look at the SPIRE server (spire-server bundle show) and at the SPIRE agent's log: a process that is \
                 not registered is refused, not answered"
            }
            Self::TooMany => {
                "take off -federatesWith of this agent's own entry the trust domains whose workloads do not call here"
            }
            Self::NoneReadable => {
                "the SPIRE server publishes something that is no bundle (spire-server bundle show, bundle list): tell its operator"
            }
            Self::Ours => "report it, with the log",
        };
        fixed.to_owned()
    }

    /// The same, where the mount that the path lies in has a part in it. Blocks where a mount is dead.
    #[must_use]
    pub fn seen_at(self, path: &Path) -> Self {
        match self {
            Self::Missing | Self::Deserted => self.in_mount(Mount::around(path).as_ref()),
            other => other,
        }
    }

    fn in_mount(self, mount: Option<&Mount>) -> Self {
        match (self, mount) {
            (Self::Missing | Self::Deserted, Some(mount)) if mount.is_deleted => Self::Stale,
            (Self::Missing, Some(_)) => Self::MissingInMount,
            (Self::Deserted, Some(_)) => Self::DesertedInMount,
            (other, _) => other,
        }
    }

    /// What the file at the socket's path shows; `None`: a socket, so nothing.
    #[must_use]
    pub fn of_file(found: &io::Result<Metadata>) -> Option<Self> {
        match found {
            Err(error) => Some(Self::of_io(error)),
            Ok(file) if !file.file_type().is_socket() => Some(Self::NoSocket),
            Ok(_) => None,
        }
    }

    /// What the system's error means, on a path or a connection.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        if is_out_of_descriptors(error) {
            return Self::NoDescriptors;
        }
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Missing,
            ErrorKind::PermissionDenied => Self::Forbidden,
            ErrorKind::ConnectionRefused => Self::Deserted,
            ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::UnexpectedEof => Self::Broken,
            _ => Self::Unreachable,
        }
    }

    /// What an error of the transport means, told by what lies behind it.
    pub(super) fn of_error(error: &(dyn Error + 'static)) -> Option<Self> {
        causes(error).find_map(|cause| {
            if let Some(error) = cause.downcast_ref::<h2::Error>() {
                // What our side calls wrong was no HTTP/2; the rest are ways to close a connection.
                return Some(match (error.get_io(), error.is_library()) {
                    (Some(error), _) => Self::of_io(error),
                    (None, true) => Self::NoWorkloadApi,
                    (None, false) => Self::Broken,
                });
            }
            cause.downcast_ref::<io::Error>().map(Self::of_io)
        })
    }

    /// What an update that was discarded is wrong in.
    #[must_use]
    pub const fn of_update(error: &UpdateError) -> Self {
        match error {
            UpdateError::Empty => Self::Empty,
            UpdateError::TooManyDomains(_) => Self::TooMany,
            UpdateError::NoneReadable(_) => Self::NoneReadable,
        }
    }

    /// What another answer than gRPC's means: gRPC answers 200 whatever happens, so somebody else does.
    pub(super) const fn of_http(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Unreached,
            _ => Self::NoWorkloadApi,
        }
    }

    /// What a code means that came over the wire.
    pub(super) const fn of_code(code: Code) -> Self {
        match code {
            Code::PermissionDenied => Self::NotRegistered,
            Code::Unimplemented => Self::NoWorkloadApi,
            Code::InvalidArgument => Self::NotUnderstood,
            _ => Self::Failing,
        }
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source()).take(SOURCES_MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_says_something_of_its_own_and_what_to_do() {
        let words: HashSet<_> = Obstacle::ALL.iter().map(|one| one.what()).collect();
        assert_eq!(words.len(), Obstacle::ALL.len());
        for obstacle in Obstacle::ALL {
            assert!(!obstacle.remedy().is_empty(), "{obstacle:?}");
        }
        assert!(Obstacle::NotRegistered.remedy().contains("entry create"));
    }

    #[test]
    fn a_mount_may_be_what_is_in_the_way() {
        let mount = |is_deleted| {
            let point = "/run/spire".into();
            Some(Mount { point, is_deleted })
        };
        for (obstacle, mount, found) in [
            (Obstacle::Missing, None, Obstacle::Missing),
            (Obstacle::Missing, mount(false), Obstacle::MissingInMount),
            (Obstacle::Missing, mount(true), Obstacle::Stale),
            (Obstacle::Deserted, mount(false), Obstacle::DesertedInMount),
            (Obstacle::Deserted, mount(true), Obstacle::Stale),
            (Obstacle::Forbidden, mount(true), Obstacle::Forbidden),
        ] {
            assert_eq!(obstacle.in_mount(mount.as_ref()), found, "{obstacle:?}");
        }
        // Whoever greps for the words of old finds the new ones.
        let what = Obstacle::MissingInMount.what();
        assert!(what.starts_with(Obstacle::Missing.what()), "{what}");
    }

    /// Running as root defeats a chmod, so the error that it causes is made by hand.
    #[test]
    fn the_systems_errors_have_their_own_words() {
        for (kind, obstacle) in [
            (ErrorKind::NotFound, Obstacle::Missing),
            (ErrorKind::NotADirectory, Obstacle::Missing),
            (ErrorKind::PermissionDenied, Obstacle::Forbidden),
            (ErrorKind::ConnectionRefused, Obstacle::Deserted),
            (ErrorKind::BrokenPipe, Obstacle::Broken),
            (ErrorKind::OutOfMemory, Obstacle::Unreachable),
        ] {
            assert_eq!(Obstacle::of_file(&Err(kind.into())), Some(obstacle));
            assert_eq!(Obstacle::of_error(&io::Error::from(kind)), Some(obstacle));
        }
        assert_eq!(Obstacle::of_error(&std::fmt::Error), None);
    }

    /// Who stands in front of SPIRE and does not reach it is another matter than a wrong path.
    #[test]
    fn who_answers_in_spires_place_is_told_from_who_is_not_spire() {
        for status in [502, 503, 504] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Obstacle::of_http(status), Obstacle::Unreached);
        }
        for status in [404, 403, 500] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Obstacle::of_http(status), Obstacle::NoWorkloadApi);
        }
        for obstacle in [Obstacle::Unreached, Obstacle::NoWorkloadApi] {
            let remedy = obstacle.remedy();
            assert!(
                remedy.contains("--spire-socket") && remedy.contains("if"),
                "{remedy}"
            );
        }
    }

    /// An update over the limit is none that cannot be read.
    #[test]
    fn an_update_that_is_discarded_is_named_for_what_it_is() {
        let cases = [
            (UpdateError::Empty, "no bundle", "bundle show"),
            (
                UpdateError::TooManyDomains(20_001),
                "20001 trust domains; at most",
                "-federatesWith",
            ),
        ];
        for (error, what, remedy) in cases {
            let end = crate::bundles::loss::End::discarded(&error);
            assert!(end.words().contains(what), "{}", end.words());
            assert!(
                end.obstacle.remedy().contains(remedy),
                "{}",
                end.obstacle.remedy()
            );
        }
    }
}
