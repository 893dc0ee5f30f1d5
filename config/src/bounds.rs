//! Every bound that can be set, in one table: `agent { limits { … } }`.

/// One bound of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// Time from the complete frame to the reply.
    DecisionDeadlineMs,
    /// Connections at once, on each door.
    Connections,
    /// Requests at once on one connection.
    InFlightPerConnection,
    /// Memory for frames being read, over all connections.
    FrameMemoryBytes,
    /// A credential header.
    HeaderBytes,
    /// Certificates in one credential.
    Certificates,
    /// Memory of verified identities.
    RememberedIdentitiesBytes,
    /// Failures remembered.
    RememberedFailures,
    /// How long a failure is remembered.
    RememberedFailureMs,
    /// Distinct policies at once.
    Policies,
    /// Decision records waiting to be written.
    AuditQueue,
    /// Wait for the first frame of a connection.
    HandshakeTimeoutMs,
    /// Time for requests in flight at shutdown.
    DrainTimeoutMs,
    /// Validation workers.
    ValidationWorkers,
}

/// What may be said about a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The configuration key.
    pub key: &'static str,
    /// Without the key.
    pub default: u64,
    /// Least.
    pub min: u64,
    /// Most.
    pub max: u64,
    /// Of what.
    pub unit: &'static str,
    /// Where the numbers come from.
    pub why: &'static str,
}

const fn limit(
    key: &'static str,
    (default, min, max): (u64, u64, u64),
    unit: &'static str,
    why: &'static str,
) -> Limit {
    Limit {
        key,
        default,
        min,
        max,
        unit,
        why,
    }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

impl Bound {
    /// Every bound, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::DecisionDeadlineMs,
        Self::Connections,
        Self::InFlightPerConnection,
        Self::FrameMemoryBytes,
        Self::HeaderBytes,
        Self::Certificates,
        Self::RememberedIdentitiesBytes,
        Self::RememberedFailures,
        Self::RememberedFailureMs,
        Self::Policies,
        Self::AuditQueue,
        Self::HandshakeTimeoutMs,
        Self::DrainTimeoutMs,
        Self::ValidationWorkers,
    ];

    /// Its row of the table.
    #[must_use]
    pub const fn limit(self) -> Limit {
        match self {
            Self::DecisionDeadlineMs => limit(
                "decision-deadline-ms",
                (80, 1, 60_000),
                "ms",
                "below the documented timeout-ms of 100: a late answer is worse than a refusal",
            ),
            Self::Connections => limit(
                "connections",
                (256, 1, 65_536),
                "connections",
                "a proxy opens four for each of its workers",
            ),
            Self::InFlightPerConnection => limit(
                "in-flight-per-connection",
                (128, 1, 65_536),
                "requests",
                "the proxies' clients send at most 100 at once",
            ),
            Self::FrameMemoryBytes => limit(
                "frame-memory-bytes",
                (64 * MIB, 17 * MIB, 64 * GIB),
                "bytes",
                "one frame of the protocol's 16 MiB must always fit",
            ),
            Self::HeaderBytes => limit(
                "header-bytes",
                (64 * KIB, KIB, MIB),
                "bytes",
                "sixteen certificates of the usual size; proxies forward less",
            ),
            Self::Certificates => limit(
                "certificates",
                (16, 1, 16),
                "certificates",
                "the limit of the reference clients; each costs up to one signature check",
            ),
            Self::RememberedIdentitiesBytes => limit(
                "remembered-identities-bytes",
                (8 * MIB, 64 * KIB, 64 * GIB),
                "bytes",
                "about four thousand callers of 2 KiB each",
            ),
            Self::RememberedFailures => limit(
                "remembered-failures",
                (1024, 0, 1_048_576),
                "failures",
                "spares the signatures of one caller's retries, not of an attacker's variety",
            ),
            Self::RememberedFailureMs => limit(
                "remembered-failure-ms",
                (1000, 1, 60_000),
                "ms",
                "long enough for a burst of retries, short enough not to outlive a repair",
            ),
            Self::Policies => limit(
                "policies",
                (64, 1, 4096),
                "policies",
                "one for each proxy and version of its configuration; equal ones are shared",
            ),
            Self::AuditQueue => limit(
                "audit-queue",
                (8192, 1, 1_048_576),
                "records",
                "tens of milliseconds of full load while a sink stalls",
            ),
            Self::HandshakeTimeoutMs => limit(
                "handshake-timeout-ms",
                (10_000, 100, 600_000),
                "ms",
                "twice the proxies' own bound of 5 s",
            ),
            Self::DrainTimeoutMs => limit(
                "drain-timeout-ms",
                (30_000, 0, 30_000),
                "ms",
                "the proxies drain for 30 s, and service managers kill soon after",
            ),
            Self::ValidationWorkers => limit(
                "validation-workers",
                (0, 0, 1024),
                "workers",
                "0: one for each processor",
            ),
        }
    }

    /// The bound of a key.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bound| bound.limit().key == key)
    }
}

/// The bounds in force, each within its own limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds([u64; Bound::ALL.len()]);

impl Default for Bounds {
    fn default() -> Self {
        Self(Bound::ALL.map(|bound| bound.limit().default))
    }
}

impl Bounds {
    /// The value in force.
    #[must_use]
    pub fn value(&self, bound: Bound) -> u64 {
        // The discriminants number the table, so there is always an entry.
        self.0
            .get(bound as usize)
            .copied()
            .unwrap_or(bound.limit().default)
    }

    /// The value as a size of memory or a count.
    #[must_use]
    pub fn count(&self, bound: Bound) -> usize {
        usize::try_from(self.value(bound)).unwrap_or(usize::MAX)
    }

    /// Sets what has been checked against [`Bound::limit`].
    pub(crate) fn set(&mut self, bound: Bound, value: u64) {
        if let Some(place) = self.0.get_mut(bound as usize) {
            let limit = bound.limit();
            *place = value.clamp(limit.min, limit.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_each_default_within_its_limits() {
        for (at, bound) in Bound::ALL.into_iter().enumerate() {
            let limit = bound.limit();
            assert_eq!(bound as usize, at, "{}", limit.key);
            assert_eq!(Bound::of_key(limit.key), Some(bound), "{}", limit.key);
            assert_eq!(Bounds::default().value(bound), limit.default);
            assert!(limit.min <= limit.default && limit.default <= limit.max);
            assert!(!limit.why.is_empty() && !limit.unit.is_empty());
        }
    }
}
