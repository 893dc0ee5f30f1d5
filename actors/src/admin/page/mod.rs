//! `/`: the status for people. One document, nothing from elsewhere; a script fills it from
//! `/events`. Without scripts it shows what the server wrote into it, and is loaded anew.
//!
//! Whatever a peer sent is inserted as text, there by the script, here by [`escaped`].

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Subject;
use super::status::{ProxyView, Status, TrustView};

const HTML: &str = include_str!("index.html");
const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");

/// Where the server's own rendering goes.
const SNAPSHOT: &str = "<!--snapshot-->";

/// The document without the server's rendering.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let styled = HTML.replacen("<!--css-->", &format!("<style>{CSS}</style>"), 1);
    styled.replacen("<!--js-->", &format!("<script>{JS}</script>"), 1)
});

static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(CSS),
        hash(JS)
    )
});

/// What the page may load: its own style and script, known by their hashes, and our events.
pub(super) fn content_security_policy() -> &'static str {
    &POLICY
}

/// The page as it is now.
pub(super) fn render(subject: &Subject) -> String {
    DOCUMENT.replacen(SNAPSHOT, &snapshot(subject), 1)
}

/// For who has no scripts: the essential, as text.
fn snapshot(subject: &Subject) -> String {
    let status = Status::of(subject);
    let tree = subject
        .tree
        .get()
        .map(|tree| tree.render())
        .unwrap_or_default();
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{}  {}, {}; SPIRE {}, {} trust domains\n\n{tree}",
        status.time,
        status.health.state,
        status.health.readiness,
        status.trust.state,
        status.trust.domains_total
    );
    for said in troubles(&status) {
        let _ = writeln!(text, "{said}");
    }
    for proxy in &status.proxies {
        let ProxyView { name, version, .. } = proxy;
        let (open, all) = (proxy.open, proxy.connections);
        let _ = writeln!(
            text,
            "proxy {name}, version {version}: {open} open, {all} in all"
        );
    }
    for denial in &status.denials {
        let id = denial.spiffe_id.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "{}  {}  {id}  {}",
            denial.time, denial.reason, denial.rule
        );
    }
    escaped(&text)
}

/// What is wrong, and what to do about it.
fn troubles(status: &Status) -> Vec<String> {
    let stuck = (!status.health.live).then(|| "stuck: no sign of life".to_owned());
    let lost = status.process.socket_lost.iter();
    let lost = lost.map(|lost| format!("the agent's socket is {}; {}", lost.error, lost.remedy));
    let full = status.full_doors.iter();
    let full = full.map(|full| format!("{}; {}", full.error, full.remedy));
    let audit = status.audit.as_ref().map(|audit| &audit.complaint);
    let disk = status.state_dir.as_ref().map(|dir| &dir.complaint);
    let kept = audit.into_iter().chain(disk).flatten().cloned();
    let said = stuck
        .into_iter()
        .chain(of_trust(&status.trust))
        .chain(lost)
        .chain(full);
    let said = said.chain(unusable(&status.trust)).chain(kept);
    let exports = status.telemetry.iter().chain(&status.undelivered);
    let pushes = status.policies.refused_push.iter().map(|push| {
        format!(
            "{} pushes refused, the last from {}: {}; correct the config block in the proxy's file, and reload the proxy",
            push.total, push.proxy, push.reason
        )
    });
    said.chain(exports.cloned()).chain(pushes).collect()
}

/// Why somebody cannot be verified, or nobody.
fn of_trust(trust: &TrustView) -> impl Iterator<Item = String> {
    let away = [&trust.error, &trust.remedy].into_iter().flatten().cloned();
    let refused = trust.refused.iter();
    let refused = refused.flat_map(|why| [why.error.clone(), why.remedy.clone()]);
    let missing = trust.missing.iter();
    let missing = missing.flat_map(|why| [why.error.clone(), why.remedy.clone()]);
    let barren = trust.barren.iter().map(|one| {
        let (domain, error, remedy) = (&one.trust_domain, &one.error, &one.remedy);
        format!("nobody of {domain} is verified: {error}; {remedy}")
    });
    let foreign = trust.foreign.iter();
    let foreign = foreign.flat_map(|why| [why.error.clone(), why.remedy.clone()]);
    let others = beyond(trust.barren_total, trust.barren.len());
    let others = others.map(|count| format!("nobody of {count} more is verified"));
    let said = away.chain(refused).chain(barren).chain(others);
    said.chain(foreign).chain(missing)
}

/// What of SPIRE's updates cannot be used.
fn unusable(trust: &TrustView) -> impl Iterator<Item = String> {
    let discarded = trust.discarded.iter();
    let discarded = discarded.map(|fault| format!("updates are discarded: {}", fault.error));
    let unreadable = trust.unreadable.iter().map(|one| {
        let (key, error) = (&one.key, &one.fault.error);
        format!("bundle of {key} cannot be read: {error}")
    });
    let others = beyond(trust.unreadable_total, trust.unreadable.len());
    let others = others.map(|count| format!("bundles of {count} more cannot be read"));
    discarded.chain(unreadable).chain(others)
}

/// How many there are beyond those listed, if any.
fn beyond(total: usize, listed: usize) -> Option<usize> {
    Some(total.saturating_sub(listed)).filter(|count| *count > 0)
}

/// As text of an HTML document.
fn escaped(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut html, c| {
            match c {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '"' => html.push_str("&quot;"),
                '\'' => html.push_str("&#39;"),
                c => html.push(c),
            }
            html
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_loads_nothing_from_elsewhere() {
        let document = &*DOCUMENT;
        assert!(document.contains(CSS) && document.contains(JS));
        assert!(document.contains(SNAPSHOT) && !document.contains("<!--css-->"));
        assert!(!document.contains("<!--js-->"));
        for elsewhere in ["http:", "https:", "src=\"", "@import", "url("] {
            let svg = document.replace("http://www.w3.org/2000/svg", "");
            assert!(!svg.contains(elsewhere), "{elsewhere}");
        }
        // What would make markup of a peer's text.
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!JS.contains(word), "{word}");
        }
        for attribute in [" style=", " onclick=", " onload="] {
            assert!(!HTML.contains(attribute), "{attribute}");
        }
    }

    #[test]
    fn a_hostile_text_stays_text() {
        let html = escaped("<img src=x onerror=alert('1')>&\"");
        assert_eq!(
            html,
            "&lt;img src=x onerror=alert(&#39;1&#39;)&gt;&amp;&quot;"
        );
    }
}
