//! Every metric, its meaning, and where it is read.
//!
//! In `/metrics` a dot is an underscore, a counter ends in `_total`, seconds in `_seconds`. Series are
//! bounded: by closed lists, by the tree, and for trust domains by [`DOMAINS_MAX`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actors::doors::Doors;
use actors::health::Health;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use verdict::availability::Phase;
use verdict::decide::Unverified;
use verdict::policy::Failure;
use verdict::reason::Reason;
use verdict::time::{Age, Now};
use verdict::trust::Bundle;

use super::super::losses::Loss;
use super::sources::Sources;

/// Trust domains with series of their own: far more than anybody federates with. SPIRE decides how
/// many there are; `spiffe_agent_trust_domains` counts them all.
const DOMAINS_MAX: usize = 128;

/// Takes a value and its labels.
type Take<'a, T> = &'a mut dyn FnMut(T, &[KeyValue]);

/// Registers everything that is read when somebody looks.
pub(super) fn register(meter: &Meter, sources: &Arc<Sources>) {
    let of = Register { meter, sources };
    requests(of);
    connections(of);
    trust(of);
    bundles(of);
    inside(of);
}

#[derive(Clone, Copy)]
struct Register<'a> {
    meter: &'a Meter,
    sources: &'a Arc<Sources>,
}

impl Register<'_> {
    fn counter(self, name: &'static str, help: &'static str, read: fn(&Sources, Take<'_, u64>)) {
        let sources = Arc::clone(self.sources);
        self.meter
            .u64_observable_counter(name)
            .with_description(help)
            .with_callback(move |observer| {
                read(&sources, &mut |value, labels| {
                    observer.observe(value, labels)
                });
            })
            .build();
    }

    fn gauge(self, name: &'static str, help: &'static str, read: fn(&Sources, Take<'_, f64>)) {
        self.measure(name, help, "", read);
    }

    fn seconds(self, name: &'static str, help: &'static str, read: fn(&Sources, Take<'_, f64>)) {
        self.measure(name, help, "s", read);
    }

    fn measure(
        self,
        name: &'static str,
        help: &'static str,
        unit: &'static str,
        read: fn(&Sources, Take<'_, f64>),
    ) {
        let sources = Arc::clone(self.sources);
        self.meter
            .f64_observable_gauge(name)
            .with_description(help)
            .with_unit(unit)
            .with_callback(move |observer| {
                read(&sources, &mut |value, labels| {
                    observer.observe(value, labels)
                });
            })
            .build();
    }
}

fn requests(of: Register<'_>) {
    of.counter(
        "spiffe_agent.decisions",
        "Requests answered, by verdict, what the identity is worth, and reason of a denial",
        |sources, take| with_doors(sources, |doors| decisions(doors, take)),
    );
    of.counter(
        "spiffe_agent.memory.lookups",
        "Credentials looked up in the memory of those already judged",
        |sources, take| {
            with_doors(sources, |doors| {
                take(now(&doors.metrics.memory_hits), &[label("result", "hit")]);
                take(
                    now(&doors.metrics.memory_misses),
                    &[label("result", "miss")],
                );
            });
        },
    );
    of.gauge(
        "spiffe_agent.memory.identities",
        "Verified identities remembered",
        |sources, take| {
            with_doors(sources, |doors| {
                take(float(doors.judge.memory.identities()), &[])
            })
        },
    );
    of.counter(
        "spiffe_agent.panics.contained",
        "Panics contained to the request that caused them: faults of ours",
        |sources, take| {
            with_doors(sources, |doors| {
                take(now(&doors.metrics.panics_contained), &[])
            })
        },
    );
    of.counter(
        "spiffe_agent.audit.records.dropped",
        "Audit records lost: the queue was full or a sink failed",
        |sources, take| {
            with_doors(sources, |doors| {
                take(now(&doors.metrics.audit_dropped), &[])
            })
        },
    );
}

fn connections(of: Register<'_>) {
    of.gauge(
        "spiffe_agent.connections.open",
        "Connections of proxies now",
        |sources, take| with_doors(sources, |doors| take(float(doors.open.len()), &[])),
    );
    of.counter(
        "spiffe_agent.connections.accepted",
        "Connections accepted",
        |sources, take| with_doors(sources, |doors| take(now(&doors.metrics.connections), &[])),
    );
    of.counter(
        "spiffe_agent.connections.untrusted",
        "Connections closed unheard: the peer is not in trusted-proxies",
        |sources, take| {
            with_doors(sources, |doors| {
                take(now(&doors.metrics.untrusted_proxy), &[])
            })
        },
    );
    of.counter(
        "spiffe_agent.doors.full",
        "Times that a door had no place left: whoever connects next waits unheard",
        |sources, take| with_doors(sources, |doors| take(now(&doors.metrics.doors_full), &[])),
    );
    of.counter(
        "spiffe_agent.messages.malformed",
        "Frames, handshakes and events that could not be read",
        |sources, take| {
            with_doors(sources, |doors| {
                take(now(&doors.metrics.malformed_messages), &[])
            })
        },
    );
    of.counter(
        "spiffe_agent.pushes",
        "Configurations pushed by proxies",
        |sources, take| {
            with_doors(sources, |doors| {
                take(
                    now(&doors.metrics.pushes_applied),
                    &[label("result", "applied")],
                );
                take(
                    now(&doors.metrics.pushes_refused),
                    &[label("result", "refused")],
                );
            });
        },
    );
    of.gauge(
        "spiffe_agent.policies",
        "Distinct policies in force, the file's included",
        |sources, take| {
            with_doors(sources, |doors| {
                take(float(doors.configured.policies().len()), &[])
            })
        },
    );
}

fn trust(of: Register<'_>) {
    of.gauge(
        "spiffe_agent.availability",
        "State of the trust source: 1 for the one it is in",
        |sources, take| {
            let Some(trust) = sources.trust() else { return };
            let phase = trust.phase();
            for state in PHASES {
                take(one_if(state == phase), &[label("state", state.as_str())]);
            }
        },
    );
    of.counter(
        "spiffe_agent.availability.transitions",
        "Changes of the trust source's state",
        |sources, take| with_doors(sources, |doors| take(now(&doors.metrics.transitions), &[])),
    );
    of.counter(
        "spiffe_agent.bundle.updates",
        "Messages of the Workload API: taken, or discarded whole",
        |sources, take| {
            with_doors(sources, |doors| {
                take(now(&doors.metrics.updates), &[label("result", "taken")]);
                take(
                    now(&doors.metrics.updates_discarded),
                    &[label("result", "discarded")],
                );
            });
        },
    );
    of.counter(
        "spiffe_agent.bundles.unreadable",
        "Bundles in updates that could not be read",
        |sources, take| {
            with_doors(sources, |doors| {
                take(now(&doors.metrics.bundles_unreadable), &[])
            })
        },
    );
}

fn bundles(of: Register<'_>) {
    of.gauge(
        "spiffe_agent.trust_domains",
        "Trust domains with a bundle",
        |sources, take| {
            let Some(trust) = sources.trust() else { return };
            take(float(trust.load().snapshot().len()), &[]);
        },
    );
    of.seconds(
        "spiffe_agent.bundle.age",
        "Since SPIRE confirmed the trust domain's bundle",
        |sources, take| {
            each_bundle(sources, |bundle, labels, now| {
                if let Age::Ms(age_ms) = bundle.contact().age(now) {
                    take(
                        std::time::Duration::from_millis(age_ms).as_secs_f64(),
                        labels,
                    );
                }
            });
        },
    );
    of.gauge(
        "spiffe_agent.bundle.authorities",
        "Authorities of the trust domain that SVIDs can be verified with now",
        |sources, take| {
            each_bundle(sources, |bundle, labels, now| {
                let usable = bundle.anchors().iter();
                let usable = usable.filter(|anchor| anchor.usable_at(now.unix_seconds()).is_ok());
                take(float(usable.count()), labels);
            });
        },
    );
    of.seconds(
        "spiffe_agent.authority.expiry.timestamp",
        "When the last authority of the trust domain expires, in Unix time",
        |sources, take| {
            each_bundle(sources, |bundle, labels, _| {
                let last = bundle
                    .anchors()
                    .iter()
                    .map(|anchor| anchor.not_after().0)
                    .max();
                last.into_iter().for_each(|last| take(last as f64, labels));
            });
        },
    );
}

fn inside(of: Register<'_>) {
    of.gauge(
        "spiffe_agent.health",
        "How the agent is under the file's policy: 1 for the state that holds",
        |sources, take| {
            with_doors(sources, |doors| {
                let policy = doors.configured.initial();
                let failure =
                    policy.map_or_else(Failure::default, |policy| *policy.policy.failure());
                let health = *doors.health.follow(&failure).borrow();
                for (word, is) in HEALTH {
                    take(one_if(is == health), &[label("state", word)]);
                }
            });
        },
    );
    of.gauge(
        "spiffe_agent.socket.gone",
        "1 while the agent's socket is not at its path: gone, or another process listens there",
        |sources, take| {
            with_doors(sources, |doors| {
                take(one_if(doors.health.socket_lost().is_some()), &[])
            })
        },
    );
    of.gauge(
        "spiffe_agent.state.write.failures",
        "Failed writes in a row to the state directory: 0 while it holds what it should",
        |sources, take| {
            with_doors(sources, |doors| {
                let trouble = doors.health.keeping().trouble();
                take(trouble.map_or(0.0, |one| f64::from(one.failures)), &[]);
            })
        },
    );
    of.counter(
        "spiffe_agent.actor.restarts",
        "Restarts of the actor at this place of the supervision tree",
        |sources, take| {
            let Some(tree) = sources.tree() else { return };
            for place in tree.snapshot() {
                take(
                    place.restarts,
                    &[KeyValue::new("actor", place.path.to_string())],
                );
            }
        },
    );
    of.counter(
        "spiffe_agent.telemetry.lost",
        "Spans, log records and rounds of metrics that were to be exported and were not",
        |sources, take| {
            for losses in &sources.losses {
                for loss in Loss::ALL {
                    let signal = label("signal", losses.signal().as_str());
                    take(losses.total(loss), &[signal, label("cause", loss.as_str())]);
                }
            }
        },
    );
    of.gauge(
        "spiffe_agent.build.info",
        "Always 1; the version is a label",
        |_, take| {
            take(1.0, &[label("version", env!("CARGO_PKG_VERSION"))]);
        },
    );
}

const PHASES: [Phase; 5] = [
    Phase::Starting,
    Phase::Live,
    Phase::Interrupted,
    Phase::Outage,
    Phase::Withdrawn,
];

const HEALTH: [(&str, Health); 4] = [
    ("healthy", Health::Healthy),
    ("degraded", Health::Degraded),
    ("unhealthy", Health::Unhealthy),
    ("draining", Health::Draining),
];

const UNVERIFIED: [Unverified; 3] = [
    Unverified::FailOpen,
    Unverified::LogAndAllow,
    Unverified::NotEnforced,
];

fn decisions(doors: &Doors, take: Take<'_, u64>) {
    let metrics = &doors.metrics;
    let labels = |verdict, identity, reason| {
        [
            label("verdict", verdict),
            label("identity", identity),
            label("reason", reason),
        ]
    };
    take(now(&metrics.verified), &labels("allow", "verified", ""));
    take(now(&metrics.anonymous), &labels("allow", "anonymous", ""));
    for (why, counter) in UNVERIFIED.into_iter().zip(&metrics.unverified) {
        take(now(counter), &labels("allow", why.auth_method(), ""));
    }
    for reason in Reason::ALL {
        let count = metrics.denied_for(reason);
        take(count, &labels("deny", "none", reason.as_str()));
    }
}

fn each_bundle(sources: &Sources, mut each: impl FnMut(&Bundle, &[KeyValue], Now)) {
    let (Some(trust), Some(doors)) = (sources.trust(), sources.doors()) else {
        return;
    };
    let now = doors.clock.now();
    for (domain, bundle) in trust.load().snapshot().iter().take(DOMAINS_MAX) {
        each(
            bundle,
            &[KeyValue::new("trust_domain", domain.to_string())],
            now,
        );
    }
}

fn with_doors(sources: &Sources, read: impl FnOnce(&Doors)) {
    if let Some(doors) = sources.doors() {
        read(&doors);
    }
}

fn label(key: &'static str, value: &'static str) -> KeyValue {
    KeyValue::new(key, value)
}

fn now(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn one_if(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// What is counted here is far below 2^52.
fn float(count: usize) -> f64 {
    count as f64
}
