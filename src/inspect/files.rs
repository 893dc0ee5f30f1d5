//! What was received, as files: the names that `spire-agent api fetch x509 -write` gives them.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use proto::workload::X509svid;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, renameat, statat, unlinkat};

use super::Received;
use crate::material::split_der;

/// Nobody else reads a key.
const PRIVATE: u32 = 0o600;
/// Certificates are public.
const PUBLIC: u32 = 0o644;

/// Writes SVIDs, keys and bundles; each file is replaced whole, and no link is followed.
pub(super) fn write(dir: &Path, received: &Received) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let opened = rustix::fs::open(dir, flags, Mode::empty());
    let opened = opened.with_context(|| format!("open {}", dir.display()))?;
    match (&received.svids, &received.bundles) {
        (Ok(svids), _) => {
            for (number, svid) in svids.svids.iter().enumerate() {
                write_svid(&opened, number, svid)?;
                let mut federated: Vec<_> = svids.federated_bundles.iter().collect();
                federated.sort();
                for (other, (_, der)) in federated.into_iter().enumerate() {
                    let name = format!("federated_bundle.{number}.{other}.pem");
                    put(&opened, &name, &certificates(der)?, PUBLIC)?;
                }
            }
        }
        (Err(_), Ok(bundles)) => {
            let mut bundles: Vec<_> = bundles.bundles.iter().collect();
            bundles.sort();
            for (number, (_, der)) in bundles.into_iter().enumerate() {
                put(
                    &opened,
                    &format!("bundle.{number}.pem"),
                    &certificates(der)?,
                    PUBLIC,
                )?;
            }
        }
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

fn write_svid(dir: &OwnedFd, number: usize, svid: &X509svid) -> anyhow::Result<()> {
    let chain = certificates(&svid.x509_svid)?;
    put(dir, &format!("svid.{number}.pem"), &chain, PUBLIC)?;
    let key = pem("PRIVATE KEY", &svid.x509_svid_key);
    put(dir, &format!("svid.{number}.key"), &key, PRIVATE)?;
    let bundle = certificates(&svid.bundle)?;
    put(dir, &format!("bundle.{number}.pem"), &bundle, PUBLIC)
}

/// Makes a file under another name, and puts it in place. What is there must be a file.
fn put(dir: &OwnedFd, name: &str, text: &str, mode: u32) -> anyhow::Result<()> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile => {
            bail!("{name} is no regular file, or a link to one; links are not followed");
        }
        Ok(_) | Err(_) => {}
    }
    let next = format!(".{name}.next");
    // What an earlier run left behind; a link is removed, not what it points to.
    let _ = unlinkat(dir, &next, AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(dir, &next, flags, Mode::from_raw_mode(mode));
    let mut file = File::from(made.with_context(|| format!("make {name}"))?);
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.with_context(|| format!("write {name}"))?;
    renameat(dir, &next, dir, name).with_context(|| format!("put {name} in place"))
}

fn certificates(der: &[u8]) -> anyhow::Result<String> {
    let each = split_der(der)?;
    Ok(each.iter().map(|der| pem("CERTIFICATE", der)).collect())
}

/// RFC 7468, in lines of 64.
fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64);
    let lines: Vec<_> = lines.map(String::from_utf8_lossy).collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
