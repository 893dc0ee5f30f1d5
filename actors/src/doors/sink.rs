//! Picks out of a request's headers what a decision needs.

use std::borrow::Cow;

use proto::cert_header::{CertHeaderError, Collector, Raw};
use proto::sentinel::event::HeaderSink;
use verdict::headers::IdentityHeaders;

use crate::policies::InForce;

/// Request headers that could pass for one of ours, at most; more is no request but an attack, and
/// each costs a removal in the reply.
pub(super) const SPOOFED_MAX: usize = 256;

/// Picks the credential and the names that could pass for ours out of a request's headers.
pub(super) struct Sink<'p, 'a> {
    collector: Option<Collector<'p, 'a>>,
    names: Option<&'p IdentityHeaders>,
    wanted: Wanted,
    spoofed: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Yes,
    No,
}

impl<'p, 'a> Sink<'p, 'a> {
    pub(super) fn new(policy: Option<&'p InForce>) -> Self {
        Self {
            collector: policy.map(|policy| Collector::new(&policy.header)),
            names: policy.map(|policy| &policy.policy.spec().headers),
            wanted: Wanted::No,
            spoofed: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> (Result<Option<Raw<'a>>, CertHeaderError>, Vec<String>) {
        let credential = self.collector.map_or(Ok(None), Collector::finish);
        (credential, self.spoofed)
    }

    fn take(&mut self, value: Cow<'a, str>) {
        if let (Wanted::Yes, Some(collector)) = (self.wanted, &mut self.collector) {
            collector.value(value);
        }
    }
}

impl<'a> HeaderSink<'a> for Sink<'_, 'a> {
    fn begin(&mut self, name: &str) {
        if self.names.is_some_and(|names| names.claims(name)) && self.spoofed.len() <= SPOOFED_MAX {
            self.spoofed.push(name.to_owned());
        }
        let wanted = self
            .collector
            .as_mut()
            .is_some_and(|collector| collector.begin(name));
        self.wanted = if wanted { Wanted::Yes } else { Wanted::No };
    }

    fn value(&mut self, value: &str) {
        if self.wanted == Wanted::Yes {
            self.take(Cow::Owned(value.to_owned()));
        }
    }

    fn value_in_place(&mut self, value: &'a str) {
        self.take(Cow::Borrowed(value));
    }
}
