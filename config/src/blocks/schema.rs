//! Which keys stand in which block (decisions, "Configuration").

use crate::decode::Schema;

pub(crate) const SPIRE: Schema = Schema {
    name: "spire",
    keys: &[
        "socket",
        "bundle-refresh-interval",
        "api-timeout-ms",
        "unavailable-after-ms",
        "withdrawal-grace-ms",
    ],
    repeatable: &[],
};
pub(crate) const TLS: Schema = Schema {
    name: "tls",
    keys: &[
        "require-mtls",
        "client-cert-header",
        "client-cert-format",
        "xfcc-element",
    ],
    repeatable: &[],
};
pub(crate) const LIST_KEYS: &[&str] = &["exact", "prefix", "trust-domains", "patterns", "any"];
pub(crate) const ALLOWLIST: Schema = Schema {
    name: "allowlist",
    keys: LIST_KEYS,
    repeatable: &[],
};
pub(crate) const DENYLIST: Schema = Schema {
    name: "denylist",
    keys: LIST_KEYS,
    repeatable: &[],
};
pub(crate) const FAILURE: Schema = Schema {
    name: "failure",
    keys: &[
        "spire-unavailable",
        "validation-failure",
        "cache-ttl",
        "unavailable-status",
        "reveal-reason",
        "enforce",
    ],
    repeatable: &[],
};
pub(crate) const HEADERS: Schema = Schema {
    name: "headers",
    keys: &[
        "spiffe-id",
        "trust-domain",
        "workload-id",
        "auth-method",
        "auth-timestamp",
        "trust-basis",
    ],
    repeatable: &[],
};
pub(crate) const AUDIT: Schema = Schema {
    name: "audit",
    keys: &[
        "log-success",
        "log-failure",
        "include-cert-info",
        "on-full",
        "sink",
    ],
    repeatable: &["sink"],
};

/// Every block, for finding the home of a key that stands in the wrong one.
pub(crate) static SCHEMAS: [&Schema; 8] = [
    &SPIRE,
    &TLS,
    &ALLOWLIST,
    &DENYLIST,
    &FAILURE,
    &HEADERS,
    &AUDIT,
    &crate::agent::AGENT,
];
