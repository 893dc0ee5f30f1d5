//! Who may read what: a pure rule over the peer's address, the method, the path, `Host`, and what a browser
//! says of who sent it.
//!
//! A browser on this machine must not read for a stranger's page: a name that the stranger makes
//! resolve to 127.0.0.1 (DNS rebinding) arrives in `Host`, and is refused. Nor may that page make it ask
//! for what it cannot read: that would take turns and streams. Of this only bare probes are free, which
//! tell one word: whoever probes knows us by a name of his own, and must not get the agent killed.

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

    /// Whether one word is told, and cheaply.
    const fn is_probe(self) -> bool {
        match self {
            Self::Live | Self::Ready | Self::Health => true,
            Self::Page | Self::Status | Self::Events | Self::Metrics => false,
        }
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
    /// Where we listen.
    pub listener: IpAddr,
    /// `GET`.
    pub method: &'a str,
    /// Without the query.
    pub path: &'a str,
    /// Whether a probe is to tell each check.
    pub verbose: bool,
    /// The `Host` header, if there is any: empty, which is no name, if there are several or it is no text.
    pub host: Option<&'a str>,
    /// `Origin`: a browser sends it where a page asks for another server's.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`: how that page stands to us.
    pub site: Option<&'a str>,
    /// `Sec-Fetch-Dest`: whether it is a person who follows a link.
    pub dest: Option<&'a str>,
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
    /// A page of another server.
    #[error("a page elsewhere has sent your browser: open this one itself")]
    Elsewhere,
}

impl Refusal {
    /// Its HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Method => 405,
            Self::Beyond | Self::Elsewhere => 403,
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
    if resource.names_somebody() && !asked.peer.to_canonical().is_loopback() {
        return Err(Refusal::Beyond);
    }
    if resource.is_probe() && !asked.verbose {
        return Ok(resource);
    }
    // What anybody on the network may read has many names there: a service's, a pod's.
    let is_of_here = resource.names_somebody() || asked.listener.to_canonical().is_loopback();
    // Every browser says a name; a checker of HTTP/1.0 says none.
    let is_unnamed = asked.host.is_none() && !resource.names_somebody();
    if is_of_here && !is_unnamed && !asked.host.is_some_and(is_here) {
        return Err(Refusal::Host);
    }
    match asked.is_from_elsewhere(resource) {
        true => Err(Refusal::Elsewhere),
        false => Ok(resource),
    }
}

impl Asked<'_> {
    /// Whether a page of another server has the browser ask. To follow a link from there is a person's own
    /// doing, and that page reads nothing by it; a stream is nothing to open by a link.
    fn is_from_elsewhere(&self, resource: Resource) -> bool {
        let is_link = self.dest == Some("document") && resource != Resource::Events;
        let is_other_site = match self.site {
            None | Some("same-origin" | "none") => false,
            Some(_) => !is_link,
        };
        let is_other_origin = self.origin.is_some_and(|origin| {
            let from = origin.split_once("://").map(|(_, host)| host);
            from.is_none() || from != self.host
        });
        is_other_site || is_other_origin
    }
}

/// Who reads what a probe says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Somebody on this machine, whom no stranger's name has led here.
    Here,
    /// Anybody on the network.
    Network,
}

impl Reader {
    pub(super) fn of(peer: IpAddr, host: Option<&str>) -> Self {
        match peer.to_canonical().is_loopback() && host.is_some_and(is_here) {
            true => Self::Here,
            false => Self::Network,
        }
    }
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
    // By 0.0.0.0, which leads here, too, a browser says nothing of who sent it.
    let address = name.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|one| !one.is_unspecified())
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
            listener: HERE,
            method: "GET",
            path,
            verbose: false,
            host: Some("127.0.0.1:9902"),
            origin: None,
            site: None,
            dest: None,
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
            "0.0.0.0:9902",
            "[::]:9902",
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
        let at_length = Asked {
            verbose: true,
            ..probe
        };
        assert_eq!(admit(at_length), Err(Refusal::Host));
    }

    /// Prometheus knows us by a service's name, or a pod's address; a browser by what a stranger made of it.
    #[test]
    fn metrics_have_any_name_where_the_network_reads_them() {
        for (listener, host, expected) in [
            ("0.0.0.0", "agent.svc:9902", Ok(Resource::Metrics)),
            ("::", "agent.svc:9902", Ok(Resource::Metrics)),
            ("10.0.0.7", "10.0.0.7:9902", Ok(Resource::Metrics)),
            ("127.0.0.1", "localhost:9902", Ok(Resource::Metrics)),
            ("127.0.0.1", "127.0.0.1:9902", Ok(Resource::Metrics)),
            ("127.0.0.1", "evil.example:9902", Err(Refusal::Host)),
            ("::1", "evil.example:9902", Err(Refusal::Host)),
        ] {
            // A mesh's sidecar hands on from an address of this machine.
            for peer in ["127.0.0.6", "10.1.2.3"] {
                let request = Asked {
                    peer: peer.parse().unwrap(),
                    listener: listener.parse().unwrap(),
                    host: Some(host),
                    ..asked("/metrics")
                };
                assert_eq!(admit(request), expected, "{listener} {host}");
            }
        }
    }

    #[test]
    fn a_page_elsewhere_makes_a_browser_ask_for_nothing() {
        let by = |path, site, dest| Asked {
            site,
            dest,
            ..asked(path)
        };
        for path in ["/", "/status", "/events", "/metrics"] {
            for site in ["cross-site", "same-site", "", "something new"] {
                let request = by(path, Some(site), Some("iframe"));
                assert_eq!(admit(request), Err(Refusal::Elsewhere), "{path} {site}");
            }
            for site in [None, Some("same-origin"), Some("none")] {
                assert!(admit(by(path, site, Some("empty"))).is_ok(), "{path}");
            }
            // A link in a run-book.
            let link = admit(by(path, Some("cross-site"), Some("document")));
            assert_eq!(link.is_ok(), path != "/events", "{path}");
            for (origin, is_ours) in [
                ("http://127.0.0.1:9902", true),
                ("http://localhost:9902", false),
                ("http://127.0.0.1:3000", false),
                ("https://evil.example", false),
                ("null", false),
                ("", false),
            ] {
                let request = Asked {
                    origin: Some(origin),
                    ..asked(path)
                };
                assert_eq!(admit(request).is_ok(), is_ours, "{path} {origin}");
            }
        }
        assert_eq!(
            admit(by("/livez", Some("cross-site"), None)),
            Ok(Resource::Live)
        );
    }
}
