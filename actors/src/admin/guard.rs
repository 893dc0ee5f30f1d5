//! Who may read what: a pure rule over the peer's address, the method, the path and `Host`.
//!
//! A browser on this machine must not read for a stranger's page: a name that the stranger makes
//! resolve to 127.0.0.1 (DNS rebinding) arrives in `Host`, and is refused.

use std::net::IpAddr;

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/`.
    Page,
    /// `/status`.
    Status,
    /// `/events`.
    Events,
    /// `/livez`.
    Live,
    /// `/readyz`.
    Ready,
    /// `/healthz`.
    Health,
    /// `/metrics`.
    Metrics,
}

impl Resource {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Page,
        Self::Status,
        Self::Events,
        Self::Live,
        Self::Ready,
        Self::Health,
        Self::Metrics,
    ];

    /// Its path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Page => "/",
            Self::Status => "/status",
            Self::Events => "/events",
            Self::Live => "/livez",
            Self::Ready => "/readyz",
            Self::Health => "/healthz",
            Self::Metrics => "/metrics",
        }
    }

    fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.path() == path)
    }

    /// Whether it tells who called, or what is configured.
    const fn names_somebody(self) -> bool {
        match self {
            Self::Page | Self::Status | Self::Events => true,
            Self::Live | Self::Ready | Self::Health | Self::Metrics => false,
        }
    }
}

/// A request, as far as the rule asks.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whence.
    pub peer: IpAddr,
    /// `GET`.
    pub method: &'a str,
    /// Without the query.
    pub path: &'a str,
    /// The `Host` header, if there is exactly one and it is text.
    pub host: Option<&'a str>,
}

/// Why it is not answered. The text is for whoever reads it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such page.
    #[error("there is /, /status, /events, /livez, /readyz, /healthz, /metrics")]
    NotFound,
    /// Not `GET`, not `HEAD`.
    #[error("this listener is read-only: GET or HEAD")]
    Method,
    /// From another machine.
    #[error(
        "this names callers, and is for this machine alone: ssh -L, or kubectl port-forward; /livez, /readyz, /healthz and /metrics are answered"
    )]
    Beyond,
    /// A name that is not `localhost`.
    #[error("Host is neither an IP address nor localhost: a page elsewhere may have sent you")]
    Host,
}

impl Refusal {
    /// Its HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Method => 405,
            Self::Beyond => 403,
            Self::Host => 421,
        }
    }
}

/// What is answered, or why nothing is.
///
/// # Errors
/// The first rule that is broken.
pub fn admit(asked: Asked<'_>) -> Result<Resource, Refusal> {
    let resource = Resource::of(asked.path).ok_or(Refusal::NotFound)?;
    if !matches!(asked.method, "GET" | "HEAD") {
        return Err(Refusal::Method);
    }
    if resource.names_somebody() {
        if !asked.peer.to_canonical().is_loopback() {
            return Err(Refusal::Beyond);
        }
        if !asked.host.is_some_and(is_here) {
            return Err(Refusal::Host);
        }
    }
    Ok(resource)
}

/// Whether a `Host` cannot have come by a stranger's name: an IP address, or `localhost`.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if is_port(port) => name,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':');
    text.is_empty() || digits.is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    const fn asked(path: &str) -> Asked<'_> {
        Asked {
            peer: HERE,
            method: "GET",
            path,
            host: Some("127.0.0.1:9902"),
        }
    }

    #[test]
    fn every_resource_is_read_here_and_nothing_else_is() {
        for resource in Resource::ALL {
            assert_eq!(admit(asked(resource.path())), Ok(resource));
            for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
                let request = Asked {
                    method,
                    ..asked(resource.path())
                };
                assert_eq!(admit(request), Err(Refusal::Method), "{method}");
            }
        }
        for path in ["", "//", "/Status", "/status/", "/../status", "/metrics2"] {
            assert_eq!(admit(asked(path)), Err(Refusal::NotFound), "{path}");
        }
    }

    #[test]
    fn from_beyond_only_what_names_nobody() {
        for peer in ["10.1.2.3", "::ffff:10.1.2.3", "fe80::1", "0.0.0.0", "::"] {
            let peer: IpAddr = peer.parse().unwrap();
            for resource in Resource::ALL {
                let request = Asked {
                    peer,
                    ..asked(resource.path())
                };
                let expected = match resource.names_somebody() {
                    true => Err(Refusal::Beyond),
                    false => Ok(resource),
                };
                assert_eq!(admit(request), expected, "{peer}");
            }
        }
        for peer in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            let request = Asked {
                peer: peer.parse().unwrap(),
                ..asked("/status")
            };
            assert_eq!(admit(request), Ok(Resource::Status), "{peer}");
        }
    }

    #[test]
    fn a_name_that_is_not_ours_reads_nothing() {
        let status = |host| {
            admit(Asked {
                host,
                ..asked("/status")
            })
        };
        for host in [
            "127.0.0.1",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:9902",
            "localhost",
            "LocalHost:80",
            "10.0.0.1",
        ] {
            assert_eq!(status(Some(host)), Ok(Resource::Status), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9902",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "localhost:80:80",
            "[::1",
            "[::1]x",
            "::1",
            "127.0.0.1:9902@evil.example",
            "localhost, evil",
        ] {
            assert_eq!(status(Some(host)), Err(Refusal::Host), "{host}");
        }
        assert_eq!(status(None), Err(Refusal::Host));
        // Probes come by whatever name the prober knows.
        let probe = Asked {
            host: Some("agent.svc"),
            ..asked("/readyz")
        };
        assert_eq!(admit(probe), Ok(Resource::Ready));
    }
}
