//! Which traces are recorded: decided before anything is built, as most are not.

use opentelemetry::trace::{SpanId, SpanKind, TraceId};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler as Root, SamplingDecision, ShouldSample as _,
};
use proto::trace_context::TraceParent;

/// Which traces are recorded (`OTEL_TRACES_SAMPLER`).
#[derive(Clone, Debug)]
pub(super) enum Sampler {
    /// A request's trace is recorded where its caller records it; one that begins here, as the root
    /// says.
    ParentBased(Root),
    /// The root says, whatever the caller does.
    Always(Root),
}

/// A span's place in a trace that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) trace: TraceId,
    /// The caller's span; `None`: the trace begins here.
    pub(super) parent: Option<SpanId>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self::ParentBased(Root::AlwaysOn)
    }
}

/// For tests: the library's sampler does not compare.
impl PartialEq for Sampler {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

impl Sampler {
    /// By the names of the specification.
    pub(super) fn from_name(name: &str, ratio: f64) -> Option<Self> {
        let (root, parent_based) = match name.strip_prefix("parentbased_") {
            Some(root) => (root, true),
            None => (name, false),
        };
        let root = match root {
            "always_on" => Root::AlwaysOn,
            "always_off" => Root::AlwaysOff,
            "traceidratio" => Root::TraceIdRatioBased(ratio),
            _ => return None,
        };
        Some(if parent_based {
            Self::ParentBased(root)
        } else {
            Self::Always(root)
        })
    }

    /// Where a request's span belongs, or `None` if its trace is not recorded.
    pub(super) fn place(&self, traceparent: Option<&str>) -> Option<Place> {
        let parent = traceparent.and_then(TraceParent::parse);
        let trace = match parent {
            Some(parent) => TraceId::from(parent.trace_id()),
            None => RandomIdGenerator::default().new_trace_id(),
        };
        let recorded = match (self, parent) {
            (Self::ParentBased(_), Some(parent)) => parent.is_sampled(),
            (Self::ParentBased(root) | Self::Always(root), _) => recorded(root, trace),
        };
        recorded.then(|| Place {
            trace,
            parent: parent.map(|parent| SpanId::from(parent.parent_id())),
        })
    }
}

fn recorded(root: &Root, trace: TraceId) -> bool {
    let result = root.should_sample(None, trace, "", &SpanKind::Server, &[], &[]);
    result.decision == SamplingDecision::RecordAndSample
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    /// (sampled parent, unsampled parent, no parent)
    fn decisions(name: &str, ratio: f64) -> (bool, bool, bool) {
        let sampler = Sampler::from_name(name, ratio).unwrap();
        let is = |traceparent| sampler.place(traceparent).is_some();
        (is(Some(SAMPLED)), is(Some(UNSAMPLED)), is(None))
    }

    #[test]
    fn samplers_are_those_of_the_specification() {
        assert_eq!(decisions("always_on", 1.0), (true, true, true));
        assert_eq!(decisions("always_off", 1.0), (false, false, false));
        assert_eq!(decisions("traceidratio", 0.0), (false, false, false));
        assert_eq!(decisions("traceidratio", 1.0), (true, true, true));
        assert_eq!(decisions("parentbased_always_on", 1.0), (true, false, true));
        assert_eq!(
            decisions("parentbased_always_off", 1.0),
            (true, false, false)
        );
        assert_eq!(
            decisions("parentbased_traceidratio", 0.0),
            (true, false, false)
        );
        for unknown in ["", "jaeger_remote", "parentbased_", "ALWAYS_ON"] {
            assert_eq!(Sampler::from_name(unknown, 1.0), None, "{unknown}");
        }
    }

    #[test]
    fn a_trace_is_continued_or_begun() {
        let sampler = Sampler::default();
        let place = sampler.place(Some(SAMPLED)).unwrap();
        assert_eq!(place.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(place.parent.unwrap().to_string(), "00f067aa0ba902b7");
        // What is no traceparent is none.
        for nothing in [None, Some("00-0-0-01")] {
            let begun = sampler.place(nothing).unwrap();
            assert_eq!(begun.parent, None);
            assert_ne!(begun.trace, TraceId::INVALID);
        }
    }

    /// 200,000 of mean 2,000 and deviation 45: eight deviations.
    #[test]
    fn a_ratio_is_about_that_ratio() {
        let sampler = Sampler::from_name("traceidratio", 0.01).unwrap();
        let count = (0..200_000).filter(|_| sampler.place(None).is_some());
        let count = count.count();
        assert!((1_640..2_360).contains(&count), "{count}");
    }
}
