//! Every setting as it is in force, with who said so: for people who ask why.

use std::fmt;

use verdict::headers::Slot;
use verdict::lists::ListSpec;
use verdict::policy::PolicySpec;

use crate::blocks::SCHEMAS;
use crate::bounds::Bound;
use crate::overrides::{Source, Sourced};
use crate::problem::line_column;
use crate::settings::{Agent, Settings};
use crate::spire::{NamedTimings, Timing};
use crate::tree::Place;
use crate::values::{FileSink, Fsync, Rotation, Sink};

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// Block and key: `failure.cache-ttl`.
    pub key: String,
    /// What it is.
    pub value: Value,
    /// Who said so.
    pub source: Source,
    /// Line and column in the file, if the file said it.
    pub at: Option<(usize, usize)>,
}

/// A setting's value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Nothing is set, and nothing is the default.
    Unset,
    /// True or false.
    Switch(bool),
    /// A whole number.
    Number(u64),
    /// A text.
    Text(String),
    /// Several.
    List(Vec<String>),
}

impl fmt::Display for Value {
    /// As it would be written in a file, but for what cannot be: `-` is nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("-"),
            Self::List(list) if list.is_empty() => f.write_str("-"),
            Self::Switch(switch) => write!(f, "#{switch}"),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(list) => {
                let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
                f.write_str(&quoted.join(" "))
            }
        }
    }
}

impl Settings {
    /// Every setting, in the order of the documentation. Without a policy its blocks are left out:
    /// nothing of them is in force.
    #[must_use]
    pub fn effective(&self) -> Vec<Effective> {
        let mut all = Vec::new();
        for schema in SCHEMAS {
            for key in schema.keys {
                match (schema.name, *key) {
                    ("agent", "limits") => all.extend(Bound::ALL.map(|bound| self.bound(bound))),
                    (block, key) => all.extend(self.setting(block, key)),
                }
            }
        }
        all
    }

    /// The file's name, as it was given.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.file.as_ref().map(|file| file.name.as_str())
    }

    fn setting(&self, block: &str, key: &str) -> Option<Effective> {
        let path = format!("{block}.{key}");
        let (value, source) = match block {
            "spire" => self.of_spire(key)?,
            "agent" => self.of_agent(key, &path)?,
            "audit" if key == "sink" => (sinks(self.agent()), self.said(&path)),
            "audit" if key == "on-full" => {
                let on_full = self.agent().on_full.as_str().to_owned();
                (Value::Text(on_full), self.said(&path))
            }
            _ => (of_policy(self.policy()?, block, key)?, self.said(&path)),
        };
        Some(self.effective_at(path.clone(), value, source, &path))
    }

    fn bound(&self, bound: Bound) -> Effective {
        let key = bound.limit().key;
        let value = Value::Number(self.agent().bounds.value(bound));
        let written = format!("limits.{key}");
        let source = self.said(&written);
        self.effective_at(format!("agent.limits.{key}"), value, source, &written)
    }

    fn effective_at(&self, key: String, value: Value, source: Source, path: &str) -> Effective {
        let text = self.file.as_ref().map(|file| &file.text);
        let at = match (source, self.place(path), text) {
            (Source::File, Place::Span { start, .. }, Some(text)) => Some(line_column(text, start)),
            _ => None,
        };
        Effective {
            key,
            value,
            source,
            at,
        }
    }

    /// Who said what only a file can say.
    fn said(&self, path: &str) -> Source {
        match self.place(path) {
            Place::Whole => Source::Default,
            _ => Source::File,
        }
    }

    fn of_spire(&self, key: &str) -> Option<(Value, Source)> {
        if key == "socket" {
            return Some(text(self.spire_socket()));
        }
        let timing = Timing::ALL.into_iter().find(|timing| timing.key() == key)?;
        let none = NamedTimings::default();
        let value = self.timings(&none).value(timing);
        Some((Value::Number(value), self.timing_source(timing, &none)))
    }

    fn of_agent(&self, key: &str, path: &str) -> Option<(Value, Source)> {
        let agent = self.agent();
        let unset = (Value::Unset, Source::Default);
        Some(match key {
            "socket" => text(&agent.socket),
            "socket-mode" => (Value::Text(agent.socket_mode.to_string()), self.said(path)),
            "socket-group" => agent.socket_group.as_ref().map_or(unset, text),
            "grpc-address" => agent
                .grpc
                .as_ref()
                .map_or(unset, |door| text(&door.address)),
            "trusted-proxies" => agent.trusted_proxies.as_ref().map_or(unset, |proxies| {
                let list = proxies.value.iter().map(ToString::to_string).collect();
                (Value::List(list), proxies.source)
            }),
            "admin-address" => text(&agent.admin),
            "degraded-is-unready" => (Value::Switch(agent.degraded_is_unready), self.said(path)),
            "insecure-plaintext" => switch(agent.insecure_plaintext),
            "accept-pushed-config" => switch(agent.accept_pushed_config),
            "state-dir" => agent.state_dir.as_ref().map_or(unset, |dir| {
                (Value::Text(dir.value.display().to_string()), dir.source)
            }),
            _ => return None,
        })
    }
}

fn text<T: ToString>(sourced: &Sourced<T>) -> (Value, Source) {
    (Value::Text(sourced.value.to_string()), sourced.source)
}

const fn switch(sourced: Sourced<bool>) -> (Value, Source) {
    (Value::Switch(sourced.value), sourced.source)
}

/// Each as it would be written in a file, behind `sink`.
fn sinks(agent: &Agent) -> Value {
    let written = |sink: &Sink| match sink {
        Sink::Stdout => "\"stdout\"".to_owned(),
        Sink::Stderr => "\"stderr\"".to_owned(),
        Sink::Otlp => "\"otlp\"".to_owned(),
        Sink::File(file) => file_sink(file),
    };
    Value::List(agent.sinks.iter().map(written).collect())
}

fn file_sink(file: &FileSink) -> String {
    let mut text = format!("\"file\" path={:?}", file.path.display().to_string());
    if let Some(Rotation { at_bytes, keep }) = file.rotation {
        text.push_str(&format!(" rotate-bytes={at_bytes} keep={keep}"));
    }
    match file.fsync {
        Fsync::Never => {}
        Fsync::Interval { ms } => {
            text.push_str(&format!(" fsync=\"interval\" interval-ms={ms}"));
        }
        Fsync::Always => text.push_str(" fsync=\"always\""),
    }
    text
}

fn of_policy(policy: &PolicySpec, block: &str, key: &str) -> Option<Value> {
    match block {
        "tls" => of_tls(policy, key),
        "allowlist" => of_list(policy.allowlist.spec(), key),
        "denylist" => of_list(policy.denylist.spec(), key),
        "failure" => of_failure(policy, key),
        "headers" => {
            let slot = Slot::ALL.into_iter().find(|slot| slot.as_str() == key)?;
            let name = policy.headers.name(slot);
            Some(name.map_or(Value::Unset, |name| Value::Text(name.as_str().to_owned())))
        }
        "audit" => match key {
            "log-success" => Some(Value::Switch(policy.audit.log_success)),
            "log-failure" => Some(Value::Switch(policy.audit.log_failure)),
            "include-cert-info" => Some(Value::Switch(policy.audit.include_cert_info)),
            _ => None,
        },
        _ => None,
    }
}

fn of_tls(policy: &PolicySpec, key: &str) -> Option<Value> {
    let tls = &policy.tls;
    Some(match key {
        "require-mtls" => Value::Switch(tls.require_mtls),
        "client-cert-header" => Value::Text(tls.client_cert_header.as_str().to_owned()),
        "client-cert-format" => Value::Text(tls.client_cert_format.as_str().to_owned()),
        "xfcc-element" => Value::Text(tls.xfcc_element.as_str().to_owned()),
        _ => return None,
    })
}

fn of_list(list: &ListSpec, key: &str) -> Option<Value> {
    Some(match key {
        "exact" => Value::List(list.exact.clone()),
        "prefix" => Value::List(list.prefix.clone()),
        "trust-domains" => Value::List(list.trust_domains.clone()),
        "patterns" => Value::List(list.patterns.clone()),
        "any" => Value::Switch(list.any),
        _ => return None,
    })
}

fn of_failure(policy: &PolicySpec, key: &str) -> Option<Value> {
    let failure = &policy.failure;
    Some(match key {
        "spire-unavailable" => Value::Text(failure.spire_unavailable.as_str().to_owned()),
        "validation-failure" => Value::Text(failure.validation_failure.as_str().to_owned()),
        "cache-ttl" => Value::Number(failure.cache_ttl_s),
        "unavailable-status" => Value::Number(failure.unavailable_status.get().into()),
        "reveal-reason" => Value::Switch(failure.reveal_reason),
        "enforce" => Value::Switch(failure.enforce),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use std::collections::BTreeSet;

    use super::*;
    use crate::{FileConfig, Override, Overrides};

    fn settings(text: &str, overrides: &Overrides) -> Settings {
        let file = FileConfig::parse("c.kdl", text).unwrap();
        Settings::resolve(Some(file), overrides).unwrap()
    }

    /// A key that a schema has and this module does not know would be silently missing.
    #[test]
    fn every_key_is_there() {
        let settings = settings(
            include_str!("../examples/production.kdl"),
            &Overrides::default(),
        );
        let shown: BTreeSet<String> = settings.effective().into_iter().map(|e| e.key).collect();
        let mut keys: BTreeSet<String> = Bound::ALL
            .map(|bound| format!("agent.limits.{}", bound.limit().key))
            .into();
        for schema in SCHEMAS {
            let in_block = schema
                .keys
                .iter()
                .map(|key| format!("{}.{key}", schema.name));
            keys.extend(in_block.filter(|key| key != "agent.limits"));
        }
        assert_eq!(shown, keys);
        for setting in settings.effective() {
            assert!(setting.at.is_some(), "{} is in the example", setting.key);
        }
    }

    #[test]
    fn each_value_has_its_source() {
        let overrides = Overrides::default()
            .with_flag(Override::Socket, "/run/a.sock")
            .with_flag(Override::TrustedProxies, "uid:1,spiffe://example.org/p");
        let text = "allowlist {\n  exact \"spiffe://example.org/a\"\n}\nagent {\n  limits { connections 7 }\n}\n";
        let all = settings(text, &overrides).effective();
        let of = |key: &str| all.iter().find(|setting| setting.key == key).unwrap();
        let socket = of("agent.socket");
        assert_eq!(socket.source, Source::Flag("--socket"));
        assert_eq!(socket.value.to_string(), "\"/run/a.sock\"");
        let exact = of("allowlist.exact");
        assert_eq!((exact.source, exact.at), (Source::File, Some((2, 3))));
        assert_eq!(of("agent.limits.connections").at, Some((5, 12)));
        assert_eq!(of("agent.limits.policies").source, Source::Default);
        assert_eq!(of("headers.trust-basis").value, Value::Unset);
        let proxies = of("agent.trusted-proxies");
        assert_eq!(
            proxies.value.to_string(),
            "\"uid:1\" \"spiffe://example.org/p\""
        );
        let bare = Settings::resolve(None, &Overrides::default()).unwrap();
        assert!(bare.effective().iter().all(|s| !s.key.starts_with("tls.")));
    }
}
