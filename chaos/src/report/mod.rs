//! A page about one run: self-contained, without scripts, readable on a phone, in light and dark.

mod answers;
mod chart;
mod lanes;
mod latency;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::run::Run;
use crate::run::judge::{Finding, Verdict};
use crate::scenario::Scenario;

const STYLE: &str = include_str!("style.css");

/// What came of a run as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Everything that was judged was kept, or of a twin exactly one promise broke.
    AsPromised,
    /// It was not.
    Broken,
    /// Nothing was broken, and nothing that was done was a fault to the agent.
    NothingShown,
    /// It was not run.
    Skipped,
    /// It did not come to its end.
    Error,
}

/// How a run is headed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The run's name.
    pub title: String,
    /// The promise that had to break, for a twin.
    pub breaks: Option<String>,
    /// What came of it.
    pub mark: Mark,
    /// When it was run, as text.
    pub at: String,
    /// On which agent and which SPIRE, as text.
    pub on: String,
}

/// One row of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The page's file name, if there is a page.
    pub page: Option<String>,
    /// The run's heading.
    pub heading: Heading,
    /// What it shows, or why it was skipped or came to no end.
    pub says: String,
}

/// The page.
#[must_use]
pub fn page(heading: &Heading, scenario: &Scenario, run: &Run) -> String {
    let recording = &run.recording;
    let body = [
        head(heading, scenario, run.unshown.as_deref()),
        promises(&run.verdicts),
        section(
            "What was done, and what became of it",
            match is_seen_from_outside(run) {
                false => {
                    "Steps are numbered. SPIRE as they leave it; the agent’s state as it logged it; its process."
                }
                true => {
                    "Steps are numbered. SPIRE as they leave it; the agent’s state as its status page tells it."
                }
            },
            &lanes::draw(recording),
        ),
        lanes::legend(recording),
        section(
            "Answers",
            "How requests were answered, by when they were asked.",
            &answers::draw(recording),
        ),
        section(
            "Latency",
            "From asking to the answer, seen by the client. Indications: the load, SPIRE and other \
             scenarios shared the machine.",
            &latency::draw(recording),
        ),
        restarts(run),
    ]
    .concat();
    document(&heading.title, &body)
}

/// The list of these runs, and of pages that earlier ones left.
#[must_use]
pub fn index(at: &str, rows: &[Row], earlier: &[String]) -> String {
    let mut body = format!(
        "<header><h1>Scenarios</h1><p class=\"when\">{}</p></header>",
        escape(at)
    );
    body += "<table><thead><tr><th>Run<th>Result<th>Shows</tr></thead><tbody>";
    for row in rows {
        let title = escape(&row.heading.title);
        let title = match &row.page {
            Some(page) => format!("<a href=\"{}\">{title}</a>", escape(page)),
            None => title,
        };
        let badge = badge(row.heading.mark);
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "<tr><td>{title}<td>{badge}<td>{}</tr>",
            escape(&row.says)
        );
    }
    body += "</tbody></table>";
    if !earlier.is_empty() {
        body += "<section><h2>Pages of earlier runs</h2><p>";
        for page in earlier {
            let page = escape(page);
            let _ = write!(body, "<a href=\"{page}\">{page}</a> ");
        }
        body += "</p></section>";
    }
    document("Scenarios", &body)
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>\
         <style>{STYLE}</style></head><body><main>{body}</main></body></html>\n",
        escape(title)
    )
}

fn head(heading: &Heading, scenario: &Scenario, unshown: Option<&str>) -> String {
    let mut text = format!(
        "<header><h1>{} {}</h1><p class=\"shows\">{}.</p><p class=\"when\">{}; {}</p>",
        escape(&heading.title),
        badge(heading.mark),
        escape(&scenario.shows),
        escape(&heading.at),
        escape(&heading.on)
    );
    if let Some(breaks) = &heading.breaks {
        let _ = write!(
            text,
            "<p class=\"note\">A twin: altered so that the promise “{}” must break, and no other.</p>",
            escape(breaks)
        );
    }
    if let Some(why) = unshown {
        let _ = write!(
            text,
            "<p class=\"note\">Nothing was shown: {}.</p>",
            escape(why)
        );
    }
    text + "</header>"
}

fn badge(mark: Mark) -> String {
    let (class, word) = match mark {
        Mark::AsPromised => ("kept", "as promised"),
        Mark::Broken => ("broken", "broken"),
        Mark::NothingShown => ("skipped", "nothing shown"),
        Mark::Skipped => ("skipped", "skipped"),
        Mark::Error => ("broken", "error"),
    };
    format!("<b class=\"badge {class}\">{word}</b>")
}

fn promises(verdicts: &[Verdict]) -> String {
    let mut text = "<section><h2>Promises</h2><table><tbody>".to_owned();
    for verdict in verdicts {
        let (class, word) = match verdict.finding {
            Finding::Kept(_) => ("kept", "kept"),
            Finding::Broken(_) => ("broken", "broken"),
            Finding::NotJudged(_) => ("skipped", "not judged"),
        };
        let _ = write!(
            text,
            "<tr><td><b class=\"badge {class}\">{word}</b><td>{}<td class=\"found\">{}</tr>",
            escape(&verdict.promise),
            escape(verdict.finding.words())
        );
    }
    text + "</tbody></table></section>"
}

fn section(title: &str, says: &str, drawing: &str) -> String {
    format!(
        "<section><h2>{}</h2><p class=\"note\">{}</p><div class=\"wide\">{drawing}</div></section>",
        escape(title),
        escape(says)
    )
}

/// A deployment’s: no process of it was ours to see.
fn is_seen_from_outside(run: &Run) -> bool {
    run.recording.lives.is_empty()
}

fn restarts(run: &Run) -> String {
    let mut text = "<section><h2>Restarts</h2>".to_owned();
    let lives = run.recording.lives.len();
    if is_seen_from_outside(run) {
        return text + "<p>Not seen: the agent’s process and log are its owner’s.</p></section>";
    }
    let _ = write!(
        text,
        "<p>{lives} process{} of the agent.</p>",
        if lives == 1 { "" } else { "es" }
    );
    if run.recording.restarts.is_empty() {
        return text + "<p>Its supervisor started no part again.</p></section>";
    }
    text += "<table><thead><tr><th>At<th>Part that was started again</tr></thead><tbody>";
    for (at_ms, path) in &run.recording.restarts {
        let _ = write!(
            text,
            "<tr><td>{at_ms} ms<td><code>{}</code></tr>",
            escape(path)
        );
    }
    text + "</tbody></table></section>"
}

/// Text as HTML text or as a quoted attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
