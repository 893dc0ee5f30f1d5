//! How the agent is and what it counted, as every dialect of the protocol reports it.

use std::sync::atomic::Ordering::Relaxed;

use proto::sentinel::control::{Counter, HealthState, MetricsReport};
use verdict::reason::Reason;

use super::{AGENT_ID, Doors};
use crate::health::Health;

/// Between two metrics reports, milliseconds.
pub(super) const REPORT_INTERVAL_MS: u64 = 10_000;

/// Health in the protocol's words.
pub(super) const fn state(health: Health) -> HealthState {
    match health {
        Health::Healthy => HealthState::Healthy,
        Health::Degraded => HealthState::Degraded,
        Health::Draining => HealthState::Draining,
        Health::Unhealthy => HealthState::Unhealthy,
    }
}

/// Makes the metrics report, and has it written.
pub(super) fn metrics(doors: &Doors, write: impl FnOnce(&MetricsReport<'_>)) {
    let of = |name, help, labels, value| Counter {
        name,
        help,
        labels,
        value,
    };
    let metrics = &doors.metrics;
    let by_reason = Reason::ALL.map(|reason| [("reason", reason.as_str())]);
    let mut counters = vec![
        of(
            "spiffe_agent_authentications_succeeded_total",
            "Requests allowed as a verified identity.",
            &[],
            metrics.verified.load(Relaxed),
        ),
        of(
            "spiffe_agent_authentications_failed_total",
            "Requests denied.",
            &[],
            metrics.denied_total(),
        ),
    ];
    for (reason, labels) in Reason::ALL.into_iter().zip(&by_reason) {
        counters.push(of(
            "spiffe_agent_denials_total",
            "Requests denied, by reason.",
            labels,
            metrics.denied_for(reason),
        ));
    }
    write(&MetricsReport {
        agent_id: AGENT_ID,
        timestamp_ms: doors.clock.now().wall_ms.unsigned_abs(),
        interval_ms: REPORT_INTERVAL_MS,
        counters: &counters,
        gauges: &[],
        histograms: &[],
    });
}
