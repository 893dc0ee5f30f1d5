//! What the standard `OTEL_*` variables ask for (OpenTelemetry specification, "Environment variable
//! specification" and "OTLP exporter configuration").
//!
//! Nothing set: nothing is exported. Unlike what the specification says of SDKs, an exporter needs an
//! endpoint or to be asked for by name: an agent that is told nothing calls nobody. Headers are read by
//! the exporter itself, so that tokens in them pass through no code of ours.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::sampling::Sampler;

/// Largest queue or batch that can be asked for: some hundred megabytes of spans.
const COUNT_MAX: usize = 131_072;

/// Of a value that is quoted.
const SHOWN_CHARS: usize = 100;

/// Where the variables' values come from.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is exported.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    /// Spans, and which.
    pub(super) traces: Option<(Target, Sampler, Batch)>,
    /// Metrics, and how often.
    pub(super) metrics: Option<(Target, Period)>,
    /// Log records.
    pub(super) logs: Option<(Target, Batch)>,
    /// What was set and cannot be followed, for the log; the defaults stand in.
    pub(super) ignored: Vec<String>,
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) protocol: Protocol,
    /// Where to; for HTTP the whole URL.
    pub(super) endpoint: String,
    /// Authorities that its certificate may come from, instead of the system's.
    pub(super) certificate: Option<PathBuf>,
    /// For one attempt.
    pub(super) timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    /// As `OTEL_EXPORTER_OTLP_PROTOCOL` has it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// How spans or log records are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Waiting at most; what finds no room is counted as lost.
    pub(super) queue: NonZeroUsize,
    /// In one message at most.
    pub(super) size: NonZeroUsize,
    /// The longest wait of the first.
    pub(super) delay: Duration,
    /// For one message, its attempts together.
    pub(super) timeout: Duration,
}

/// How often metrics are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) interval: Duration,
    /// For one message, its attempts together.
    pub(super) timeout: Duration,
}

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    /// As variables have it.
    const fn variable(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }

    /// As URLs, labels and messages have it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

impl Plan {
    /// Reads the variables of this process.
    pub(crate) fn from_environment() -> Self {
        Self::read(&|name| std::env::var(name).ok())
    }

    pub(super) fn read(lookup: Lookup<'_>) -> Self {
        let mut reader = Reader {
            lookup,
            ignored: Vec::new(),
        };
        if reader.flag("OTEL_SDK_DISABLED") {
            return Self::nothing(reader.ignored);
        }
        let traces = reader.target(Signal::Traces);
        let traces = traces.map(|target| (target, reader.sampler(), reader.batch("BSP", 5_000)));
        let metrics = reader.target(Signal::Metrics);
        let metrics = metrics.map(|target| (target, reader.period()));
        let logs = reader.target(Signal::Logs);
        let logs = logs.map(|target| (target, reader.batch("BLRP", 1_000)));
        if traces.is_some() || metrics.is_some() || logs.is_some() {
            reader.headers();
        }
        Self {
            traces,
            metrics,
            logs,
            ignored: reader.ignored,
        }
    }

    /// Nothing is exported, whatever the variables say.
    #[cfg(feature = "demo")]
    pub(crate) fn none() -> Self {
        Self::nothing(Vec::new())
    }

    fn nothing(ignored: Vec<String>) -> Self {
        Self {
            traces: None,
            metrics: None,
            logs: None,
            ignored,
        }
    }

    /// Whether log records are exported: only then have audit records a way to a collector.
    pub(crate) const fn exports_logs(&self) -> bool {
        self.logs.is_some()
    }

    /// Whether anything is exported.
    pub(super) const fn exports(&self) -> bool {
        self.traces.is_some() || self.metrics.is_some() || self.logs.is_some()
    }
}

/// A name as HTTP has it (RFC 9110, 5.6.2), `=`, and a value.
fn is_header(pair: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = pair.split_once('=').map(|(name, _)| name.trim());
    name.is_some_and(|name| !name.is_empty() && name.bytes().all(is_token))
}

struct Reader<'a> {
    lookup: Lookup<'a>,
    ignored: Vec<String>,
}

impl Reader<'_> {
    /// An empty variable is one that is not set.
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.trim().is_empty())
    }

    /// The variable of the signal, else the one for all.
    fn of(&self, signal: Signal, what: &str) -> Option<String> {
        let signal = signal.variable();
        self.text(&format!("OTEL_EXPORTER_OTLP_{signal}_{what}"))
            .or_else(|| self.text(&format!("OTEL_EXPORTER_OTLP_{what}")))
    }

    /// Only `true` is true.
    fn flag(&mut self, name: &str) -> bool {
        let value = self.text(name).unwrap_or_else(|| "false".to_owned());
        let is = |word| value.trim().eq_ignore_ascii_case(word);
        if !is("true") && !is("false") {
            self.ignore(name, &value, "true or false");
        }
        is("true")
    }

    /// The library leaves out what is no header, and says nothing. Values are secrets: none is shown.
    fn headers(&mut self) {
        for signal in ["", "TRACES_", "METRICS_", "LOGS_"] {
            let name = format!("OTEL_EXPORTER_OTLP_{signal}HEADERS");
            let text = self.text(&name).unwrap_or_default();
            let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
            if !pairs.clone().all(is_header) {
                self.ignored.push(format!(
                    "{name} is a list with something else in it, not name=value,name=value alone: what is none is not sent"
                ));
            }
        }
    }

    fn target(&mut self, signal: Signal) -> Option<Target> {
        let variable = format!("OTEL_{}_EXPORTER", signal.variable());
        let asked = match self.text(&variable).as_deref() {
            Some("none") => return None,
            Some("otlp") => true,
            Some(other) => {
                self.ignore(&variable, other, "otlp or none");
                false
            }
            None => false,
        };
        let protocol = self.protocol(signal);
        let endpoint = self.endpoint(signal, protocol, asked)?;
        Some(Target {
            protocol,
            endpoint,
            certificate: self.of(signal, "CERTIFICATE").map(PathBuf::from),
            timeout: self.timeout(signal),
        })
    }

    fn protocol(&mut self, signal: Signal) -> Protocol {
        match self.of(signal, "PROTOCOL").as_deref() {
            Some("grpc") => Protocol::Grpc,
            Some("http/protobuf") | None => Protocol::Http,
            Some(other) => {
                self.ignore(
                    "OTEL_EXPORTER_OTLP_PROTOCOL",
                    other,
                    "grpc or http/protobuf",
                );
                Protocol::Http
            }
        }
    }

    /// A signal's own endpoint is used as it is, the one for all has the signal's path appended.
    fn endpoint(&self, signal: Signal, protocol: Protocol, asked: bool) -> Option<String> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.variable());
        if let Some(own) = self.text(&own) {
            return Some(own);
        }
        let base = self.text("OTEL_EXPORTER_OTLP_ENDPOINT");
        match protocol {
            Protocol::Grpc => base.or_else(|| asked.then(|| "http://localhost:4317".to_owned())),
            Protocol::Http => {
                let base = base.or_else(|| asked.then(|| "http://localhost:4318".to_owned()))?;
                let base = base.trim_end_matches('/');
                Some(format!("{base}/v1/{}", signal.as_str()))
            }
        }
    }

    fn timeout(&mut self, signal: Signal) -> Duration {
        let own = format!("OTEL_EXPORTER_OTLP_{}_TIMEOUT", signal.variable());
        match self.text(&own) {
            Some(_) => self.millis(&own, 10_000),
            None => self.millis("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000),
        }
    }

    fn batch(&mut self, prefix: &str, delay_ms: u64) -> Batch {
        let queue = self.count(&format!("OTEL_{prefix}_MAX_QUEUE_SIZE"), 2_048);
        let size = self.count(&format!("OTEL_{prefix}_MAX_EXPORT_BATCH_SIZE"), 512);
        Batch {
            queue,
            size: size.min(queue),
            delay: self.millis(&format!("OTEL_{prefix}_SCHEDULE_DELAY"), delay_ms),
            timeout: self.millis(&format!("OTEL_{prefix}_EXPORT_TIMEOUT"), 30_000),
        }
    }

    fn period(&mut self) -> Period {
        Period {
            interval: self.millis("OTEL_METRIC_EXPORT_INTERVAL", 60_000),
            timeout: self.millis("OTEL_METRIC_EXPORT_TIMEOUT", 30_000),
        }
    }

    fn sampler(&mut self) -> Sampler {
        let name = self.text("OTEL_TRACES_SAMPLER");
        let ratio = self.ratio();
        let name = name.as_deref().unwrap_or("parentbased_always_on");
        Sampler::from_name(name, ratio).unwrap_or_else(|| {
            let samplers = "always_on, always_off, traceidratio, or one of them after parentbased_";
            self.ignore("OTEL_TRACES_SAMPLER", name, samplers);
            Sampler::default()
        })
    }

    fn ratio(&mut self) -> f64 {
        let Some(text) = self.text("OTEL_TRACES_SAMPLER_ARG") else {
            return 1.0;
        };
        match text.trim().parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
            _ => {
                self.ignore("OTEL_TRACES_SAMPLER_ARG", &text, "a number from 0 to 1");
                1.0
            }
        }
    }

    /// A time of zero would be a loop that never rests, or an attempt that never succeeds.
    fn millis(&mut self, name: &str, default_ms: u64) -> Duration {
        let value = self.positive(name, u64::MAX);
        Duration::from_millis(value.unwrap_or(default_ms))
    }

    fn count(&mut self, name: &str, default: usize) -> NonZeroUsize {
        let value = self.positive(name, COUNT_MAX as u64);
        let value = value.and_then(|value| usize::try_from(value).ok());
        NonZeroUsize::new(value.unwrap_or(default)).unwrap_or(NonZeroUsize::MIN)
    }

    fn positive(&mut self, name: &str, max: u64) -> Option<u64> {
        let text = self.text(name)?;
        match text.trim().parse::<u64>() {
            Ok(value) if (1..=max).contains(&value) => Some(value),
            _ => {
                self.ignore(name, &text, "a whole number above zero");
                None
            }
        }
    }

    fn ignore(&mut self, name: &str, value: &str, wanted: &str) {
        let shown: String = value.chars().take(SHOWN_CHARS).collect();
        let value = shown.escape_debug();
        let said = format!("{name} is {value}, not {wanted}");
        // A variable for all signals is read for each of them.
        if !self.ignored.contains(&said) {
            self.ignored.push(said);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Plan {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        Plan::read(&|name| variables.get(name).map(ToString::to_string))
    }

    fn endpoints(variables: &[(&str, &str)]) -> [Option<(Protocol, String)>; 3] {
        let plan = read(variables);
        assert_eq!(plan.ignored, [""; 0]);
        let of = |target: &Target| (target.protocol, target.endpoint.clone());
        [
            plan.traces.map(|(target, ..)| of(&target)),
            plan.metrics.map(|(target, _)| of(&target)),
            plan.logs.map(|(target, _)| of(&target)),
        ]
    }

    /// The table of the README has what is read, here or in the libraries, and nothing else.
    #[test]
    fn the_readme_lists_what_is_read() {
        let asked = std::cell::RefCell::new(BTreeSet::new());
        Plan::read(&|name| {
            asked.borrow_mut().insert(name.to_owned());
            let on = name == "OTEL_EXPORTER_OTLP_ENDPOINT";
            on.then(|| "http://c".to_owned())
        });
        // For one signal, or for log records instead of spans.
        let general = |name: &String| {
            let name = name.replace("_BLRP_", "_BSP_");
            ["TRACES_", "METRICS_", "LOGS_"]
                .iter()
                .fold(name, |name, signal| {
                    name.replace(&format!("_OTLP_{signal}"), "_OTLP_")
                })
        };
        let mut read: BTreeSet<String> = asked.borrow().iter().map(general).collect();
        let libraries = [
            "OTEL_EXPORTER_OTLP_HEADERS",
            "OTEL_RESOURCE_ATTRIBUTES",
            "OTEL_SERVICE_NAME",
        ];
        read.extend(libraries.map(str::to_owned));
        let readme = include_str!("../../README.md");
        let rows = readme.lines().filter(|line| line.starts_with("| `OTEL_"));
        let names = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`'));
        let listed = names.filter(|name| name.starts_with("OTEL_"));
        assert_eq!(read, listed.map(str::to_owned).collect());
    }

    #[test]
    fn nothing_set_nothing_exported() {
        assert!(!read(&[]).exports());
        let named = ("OTEL_SERVICE_NAME", "agent");
        assert!(!read(&[named, ("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).exports());
    }

    #[test]
    fn one_endpoint_is_for_every_signal() {
        let http = |path: &str| Some((Protocol::Http, format!("http://c:4318{path}")));
        for slash in ["http://c:4318", "http://c:4318/"] {
            assert_eq!(
                endpoints(&[("OTEL_EXPORTER_OTLP_ENDPOINT", slash)]),
                [http("/v1/traces"), http("/v1/metrics"), http("/v1/logs")]
            );
        }
        let grpc = Some((Protocol::Grpc, "http://c:4317".to_owned()));
        assert_eq!(
            endpoints(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ]),
            [grpc.clone(), grpc.clone(), grpc]
        );
    }

    #[test]
    fn a_signal_has_its_own_endpoint_protocol_and_exporter() {
        let [traces, metrics, logs] = endpoints(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:1/own"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ("OTEL_LOGS_EXPORTER", "none"),
        ]);
        assert_eq!(traces, Some((Protocol::Grpc, "http://t:1/own".to_owned())));
        assert_eq!(
            metrics,
            Some((Protocol::Http, "http://c/v1/metrics".to_owned()))
        );
        assert_eq!(logs, None);
    }

    #[test]
    fn an_exporter_asked_for_by_name_has_the_default_endpoint() {
        let [traces, metrics, logs] = endpoints(&[("OTEL_TRACES_EXPORTER", "otlp")]);
        let default = "http://localhost:4318/v1/traces".to_owned();
        assert_eq!(traces, Some((Protocol::Http, default)));
        assert_eq!((metrics, logs), (None, None));
    }

    #[test]
    fn disabled_is_disabled() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        assert!(!read(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).exports());
        let unclear = read(&[endpoint, ("OTEL_SDK_DISABLED", "yes")]);
        assert!(unclear.exports());
        assert_eq!(
            unclear.ignored,
            ["OTEL_SDK_DISABLED is yes, not true or false"]
        );
        assert_eq!(
            read(&[endpoint, ("OTEL_SDK_DISABLED", "False")]).ignored,
            [""; 0]
        );
    }

    #[test]
    fn what_is_no_header_is_said_and_no_secret_with_it() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        for (value, count) in [
            ("Authorization=Bearer secret, x-team = a,", 0),
            ("Authorization Bearer secret", 1),
            ("a=b,Authorization: Bearer secret==", 1),
            ("=secret", 1),
        ] {
            let ignored = read(&[endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", value)]).ignored;
            assert_eq!(ignored.len(), count, "{value}: {ignored:?}");
            assert!(!ignored.concat().contains("secret"), "{ignored:?}");
        }
        let own = read(&[endpoint, ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x")]).ignored;
        assert!(own[0].starts_with("OTEL_EXPORTER_OTLP_LOGS_HEADERS is "));
    }

    #[test]
    fn times_and_sizes_are_followed_and_a_batch_fits_its_queue() {
        let plan = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "700"),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "800"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_BLRP_EXPORT_TIMEOUT", "60"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "9000"),
        ]);
        let (traces, _, spans) = plan.traces.unwrap_or_else(|| unreachable!());
        let (logs, records) = plan.logs.unwrap_or_else(|| unreachable!());
        let (_, period) = plan.metrics.unwrap_or_else(|| unreachable!());
        assert_eq!(traces.timeout, Duration::from_millis(700));
        assert_eq!(logs.timeout, Duration::from_millis(800));
        assert_eq!((spans.queue.get(), spans.size.get()), (100, 100));
        assert_eq!(spans.delay, Duration::from_millis(50));
        assert_eq!(records.delay, Duration::from_secs(1));
        assert_eq!(records.timeout, Duration::from_millis(60));
        assert_eq!(period.interval, Duration::from_secs(9));
    }

    #[test]
    fn what_cannot_be_followed_is_said_and_the_default_stands_in() {
        let mut plan = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "-1"),
        ]);
        let ignored = std::mem::take(&mut plan.ignored);
        for name in [
            "OTLP_PROTOCOL is http/json, not grpc or http/protobuf",
            "OTEL_TRACES_EXPORTER is zipkin",
            "OTEL_TRACES_SAMPLER is sometimes",
            "OTEL_TRACES_SAMPLER_ARG is 1.5",
            "OTEL_BSP_SCHEDULE_DELAY is 0",
            "OTEL_BSP_MAX_QUEUE_SIZE is many",
            "OTEL_METRIC_EXPORT_INTERVAL is -1",
        ] {
            let said = ignored.iter().filter(|line| line.contains(name));
            assert_eq!(said.count(), 1, "{name}: {ignored:?}");
        }
        assert_eq!(plan, read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")]));
    }
}
