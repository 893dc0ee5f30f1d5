//! A policy's fingerprint: which policy a record was decided under, told from the record alone.
//!
//! Every setting goes in with its name and length, so no two policies read alike. It is the same in
//! every process of one version; a version that adds a setting gives every policy another.

use std::fmt::Write as _;

use aws_lc_rs::digest::{Context, SHA256};
use verdict::headers::{IdentityHeaders, Slot};
use verdict::lists::ListSpec;
use verdict::policy::{Audit, Failure, PolicySpec, Tls};

/// Bytes of the digest that are shown: enough that nobody meets two alike.
const SHOWN_BYTES: usize = 16;

/// The fingerprint in hexadecimal digits.
pub(crate) fn fingerprint(spec: &PolicySpec) -> String {
    let PolicySpec {
        tls: of_tls,
        allowlist,
        denylist,
        failure: of_failure,
        headers: of_headers,
        audit: of_audit,
    } = spec;
    let mut print = Print(Context::new(&SHA256));
    tls(&mut print, of_tls);
    list(&mut print, "allowlist", allowlist.spec());
    list(&mut print, "denylist", denylist.spec());
    failure(&mut print, of_failure);
    headers(&mut print, of_headers);
    audit(&mut print, of_audit);
    print.finish()
}

struct Print(Context);

impl Print {
    fn text(&mut self, text: &str) {
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.0.update(&length.to_be_bytes());
        self.0.update(text.as_bytes());
    }

    fn setting(&mut self, name: &str, value: &str) {
        self.text(name);
        self.text(value);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.setting(name, &value.to_string());
    }

    fn switch(&mut self, name: &str, value: bool) {
        self.number(name, u64::from(value));
    }

    fn finish(self) -> String {
        let digest = self.0.finish();
        let shown = digest.as_ref().iter().take(SHOWN_BYTES);
        shown.fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

fn tls(print: &mut Print, tls: &Tls) {
    let Tls {
        require_mtls,
        client_cert_header,
        client_cert_format,
        xfcc_element,
    } = tls;
    print.switch("require-mtls", *require_mtls);
    print.setting("client-cert-header", client_cert_header.as_str());
    print.setting("client-cert-format", client_cert_format.as_str());
    print.setting("xfcc-element", xfcc_element.as_str());
}

fn list(print: &mut Print, name: &str, list: &ListSpec) {
    let ListSpec {
        exact,
        prefix,
        trust_domains,
        patterns,
        any,
    } = list;
    print.switch(name, *any);
    let kinds = [
        ("exact", exact),
        ("prefix", prefix),
        ("trust-domains", trust_domains),
        ("patterns", patterns),
    ];
    for (kind, entries) in kinds {
        print.number(kind, u64::try_from(entries.len()).unwrap_or(u64::MAX));
        for entry in entries {
            print.text(entry);
        }
    }
}

fn failure(print: &mut Print, failure: &Failure) {
    let Failure {
        spire_unavailable,
        validation_failure,
        cache_ttl_s,
        unavailable_status,
        reveal_reason,
        enforce,
    } = failure;
    print.setting("spire-unavailable", spire_unavailable.as_str());
    print.setting("validation-failure", validation_failure.as_str());
    print.number("cache-ttl", *cache_ttl_s);
    print.number("unavailable-status", u64::from(unavailable_status.get()));
    print.switch("reveal-reason", *reveal_reason);
    print.switch("enforce", *enforce);
}

fn headers(print: &mut Print, headers: &IdentityHeaders) {
    for slot in Slot::ALL {
        let mut names = headers.iter();
        let name = names.find(|(named, _)| *named == slot);
        print.setting(slot.as_str(), name.map_or("", |(_, name)| name.as_str()));
    }
}

fn audit(print: &mut Print, audit: &Audit) {
    let Audit {
        log_success,
        log_failure,
        include_cert_info,
    } = audit;
    print.switch("log-success", *log_success);
    print.switch("log-failure", *log_failure);
    print.switch("include-cert-info", *include_cert_info);
}
