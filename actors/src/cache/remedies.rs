//! What to do where bundles cannot be kept.

use std::io;

use super::error::{DirectoryError, WriteError};

impl WriteError {
    /// What to do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Directory(DirectoryError::Writable { .. }) => "",
            Self::Directory(DirectoryError::System { .. }) => {
                "make the directory with mode 0700, owned by the agent's user, or name another --state-dir"
            }
            Self::Directory(DirectoryError::Foreign { .. }) => {
                "chown it to the agent's user, or name another --state-dir"
            }
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
            Self::System { error, .. } => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free space and inodes on its file system (df, df -i); it is tried again by itself"
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "name a --state-dir that mounts and the unit let be written (StateDirectory=)"
                }
                _ => "let the agent's user write there, or name another --state-dir",
            },
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
        assert!(
            WriteError::Busy
                .remedy()
                .contains("a --state-dir of its own")
        );
    }
}
