//! The proxies that a running agent has seen: versions with known faults, and versions never tried.

use actors::admin::status::{ProxyView, Status};

use super::finding::Examination;

/// A proxy by the name in its handshake, and what is known of it.
struct Known {
    name: &'static str,
    /// The oldest version whose own client code the tests have driven (tests/peers/clients).
    tested_from: Version,
    /// The newest version that is known to push no `config` block, though its log says so.
    pushes_nothing_until: Option<Version>,
}

/// Major, minor, patch.
type Version = (u32, u32, u32);

const KNOWN: [Known; 2] = [
    Known {
        name: "zentinel-proxy",
        tested_from: (0, 6, 45),
        pushes_nothing_until: Some((0, 6, 45)),
    },
    Known {
        name: "sentinel-proxy",
        tested_from: (0, 4, 14),
        // No version does.
        pushes_nothing_until: Some((u32::MAX, u32::MAX, u32::MAX)),
    },
];

pub(super) fn look(status: &Status, examination: &mut Examination) {
    if let Some(push) = &status.policies.refused_push {
        examination.problem(
            "push-refused",
            "a proxy pushes a configuration that is refused: its connections keep what they had before, if anything",
            &format!("{} refused, the last from {}: {}", push.total, push.proxy, push.reason),
            "correct the config block in the proxy's file, and reload the proxy",
        );
    }
    let open = status.proxies.iter().filter(|proxy| proxy.open > 0);
    for proxy in open {
        one(proxy, status.policies.total > 0, examination);
    }
}

fn one(proxy: &ProxyView, has_policy: bool, examination: &mut Examination) {
    let (name, said) = (proxy.name.as_str(), proxy.version.as_str());
    let known = KNOWN.iter().find(|known| known.name == name);
    let (Some(known), Some(version)) = (known, version(said)) else {
        return;
    };
    let evidence = format!("{name} {said} has {} connections open", proxy.open);
    if !has_policy
        && known
            .pushes_nothing_until
            .is_some_and(|until| version <= until)
    {
        examination.problem(
            "proxy-brings-no-policy",
            "the proxy delivers no config block in this version, and the agent has no policy",
            &evidence,
            "give the agent --config, with the block as it is; or a Zentinel of 0.6.54 or newer",
        );
    }
    if version < known.tested_from {
        let (major, minor, patch) = known.tested_from;
        examination.warn(
            "proxy-version-untested",
            "the proxy is older than any that this agent was tested with",
            &evidence,
            &format!(
                "bring it to {major}.{minor}.{patch} or newer, or try it before you rely on it"
            ),
        );
    }
}

/// `0.6.45`, and whatever stands behind the third number.
fn version(text: &str) -> Option<Version> {
    let mut parts = text.trim_start_matches('v').splitn(3, '.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    let patch = parts.next()?;
    let end = patch.find(|c: char| !c.is_ascii_digit());
    let patch = patch.get(..end.unwrap_or(patch.len()))?.parse().ok()?;
    Some((major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_read_as_numbers() {
        assert_eq!(version("0.6.45"), Some((0, 6, 45)));
        assert_eq!(version("v0.10.2-rc.1"), Some((0, 10, 2)));
        for none in ["", "0.6", "unsaid", "a.b.c", "0.6.", "9999999999.0.0"] {
            assert_eq!(version(none), None, "{none}");
        }
        assert!(version("0.6.9") < version("0.6.45"));
    }
}
