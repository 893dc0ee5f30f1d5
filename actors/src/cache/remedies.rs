//! What to do where bundles cannot be kept.

use std::io;

use super::error::{DirectoryError, ReadError, WriteError};

/// For a directory where nothing can be kept.
#[must_use]
pub fn of_directory(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            "make the directory with mode 0700, owned by the agent's user, or name another --state-dir"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space and inodes on its file system (df, df -i); it is tried again by itself"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "name a --state-dir that mounts and the unit let be written (StateDirectory=)"
        }
        _ => "let the agent's user write there, or name another --state-dir",
    }
}

impl DirectoryError {
    /// What to do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            // Said of /tmp, the second half alone would break the machine.
            Self::Writable { .. } => {
                "name a directory that is yet to be made, or chmod 0700 this one if it is the agent's alone"
            }
            Self::System { error, .. } => of_directory(error),
            Self::Foreign { .. } => "chown it to the agent's user, or name another --state-dir",
        }
    }
}

impl ReadError {
    /// What to do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Missing => {
                "an agent writes them there once SPIRE has answered it: start one with this --state-dir, as this user, \
                 and look at its log"
            }
            Self::Directory(error) => error.remedy(),
            Self::System(_) => "look at the file and its disk: may this user read it? (dmesg)",
            Self::Unusable(_) => {
                "nothing is to be done where an agent runs: it sets the file aside, and writes a new one"
            }
            Self::OtherSocket(_) => {
                "name the agent's own --spire-socket; a file of another is replaced once SPIRE has answered on ours"
            }
        }
    }
}

impl WriteError {
    /// What to do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Directory(error) => error.remedy(),
            Self::Lock(_) => {
                "remove its x509-bundles.lock: only this user and root can have put it there"
            }
            Self::Mark(_) => {
                "remove its x509-bundles.withdrawn: only this user and root can have put it there"
            }
            Self::Slow => {
                "look at its disk: is it a mount whose server is gone, or out of order? (dmesg)"
            }
            Self::Busy => "give each agent a --state-dir of its own",
            Self::System { error, .. } => of_directory(error),
            Self::TooBig(_) => "federate with fewer domains, or do without --state-dir",
            Self::Panicked(_) => "report it, with the log",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_disk_has_its_remedy() {
        for (kind, says) in [
            (io::ErrorKind::StorageFull, "free space and inodes"),
            (io::ErrorKind::ReadOnlyFilesystem, "StateDirectory="),
            (
                io::ErrorKind::PermissionDenied,
                "let the agent's user write",
            ),
        ] {
            let step = "write";
            let error = kind.into();
            let said = WriteError::System { step, error }.remedy();
            assert!(said.contains(says), "{kind:?}: {said}");
        }
        // No remedy for a missing directory helps where nothing may be made.
        let (path, error) = (String::new(), io::ErrorKind::ReadOnlyFilesystem.into());
        let said = WriteError::Directory(DirectoryError::System { path, error }).remedy();
        assert!(said.contains("StateDirectory="), "{said}");
        let (path, mode) = (String::new(), 0o777);
        let said = WriteError::Directory(DirectoryError::Writable { path, mode }).remedy();
        assert!(said.contains("chmod 0700"), "{said}");
        assert!(
            WriteError::Busy
                .remedy()
                .contains("a --state-dir of its own")
        );
    }
}
