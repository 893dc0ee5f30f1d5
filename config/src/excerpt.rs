//! The lines of a file around a problem, as a person can read them: of a line that is long, the part that
//! matters; of characters that nobody sees, a mark for each byte.

use std::sync::Arc;

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use verdict::unseen::is_unseen;

/// Longest line that is shown whole, bytes. A generated list may be one line of a mebibyte.
const LINE_MAX: usize = 240;
/// Shown before what a problem points at, in a line that is longer, bytes.
const LEAD: usize = 60;
/// Longest label in such a line, bytes.
const LABEL_MAX: usize = 120;
/// In place of each byte of what would not be seen, or would change what is.
const UNSEEN: &str = "?";

/// A file that excerpts are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    name: Arc<str>,
    /// Byte for byte as long as the file.
    text: Arc<str>,
}

impl Excerpt {
    pub(crate) fn of(name: &str, text: &Arc<str>) -> Self {
        Self {
            name: name.into(),
            text: seen(text),
        }
    }

    /// What to point at: all of it, unless its line is too long to be shown.
    pub(crate) fn label(&self, start: usize, len: usize) -> LabeledSpan {
        let lines = self.lines_of(start, start.saturating_add(len));
        let shown = match is_long(lines) {
            true => len.min(LABEL_MAX).min(self.rest_of_line(start)),
            false => len,
        };
        LabeledSpan::new(Some("here".to_owned()), start, shown)
    }

    /// Whole lines from one byte to another.
    fn lines_of(&self, start: usize, end: usize) -> &str {
        let to = end + self.rest_of_line(end);
        let lines = self.text.get(self.line_start(start)..to);
        lines.unwrap_or_default()
    }

    fn line_start(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        before.rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn rest_of_line(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.find('\n').unwrap_or(rest.len())
    }

    /// From a little before the span to a little behind it, within its lines.
    fn around(&self, span: &SourceSpan, with_lead: bool) -> (usize, usize) {
        let (start, end) = (span.offset(), span.offset() + span.len());
        let mut from = match with_lead {
            true => self.line_start(start).max(start.saturating_sub(LEAD)),
            false => start,
        };
        let mut to = (end + self.rest_of_line(end)).min(end + LINE_MAX);
        while !self.text.is_char_boundary(from) {
            from -= 1;
        }
        while !self.text.is_char_boundary(to) {
            to -= 1;
        }
        (from, to)
    }

    fn part<'a>(
        &'a self,
        whole: &dyn SpanContents<'a>,
        from: usize,
        to: usize,
    ) -> MietteSpanContents<'a> {
        let begun = whole.span().offset();
        let skipped = self.text.get(begun..from).unwrap_or_default();
        let data = self.text.get(from..to).unwrap_or_default();
        MietteSpanContents::new_named(
            self.name.to_string(),
            data.as_bytes(),
            (from, to - from).into(),
            whole.line() + skipped.matches('\n').count(),
            if from == begun { whole.column() } else { 0 },
            data.lines().count(),
        )
    }
}

fn is_long(lines: &str) -> bool {
    lines.lines().any(|line| line.len() > LINE_MAX)
}

/// The same, byte for byte in length; itself, if all of it is seen.
fn seen(text: &Arc<str>) -> Arc<str> {
    let is_marked = |c: char| is_unseen(c) && !matches!(c, '\n' | '\t');
    if !text.contains(is_marked) {
        return Arc::clone(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_marked(c) {
            true => shown.push_str(&UNSEEN.repeat(c.len_utf8())),
            false => shown.push(c),
        }
    }
    shown.into()
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let whole = self.text.read_span(span, before, after)?;
        let end = whole.span().offset() + whole.span().len();
        let shown = self.text.get(whole.span().offset()..end);
        let (from, to) = match is_long(shown.unwrap_or_default()) {
            true => self.around(span, before > 0),
            false => (whole.span().offset(), end),
        };
        Ok(Box::new(self.part(&*whole, from, to)))
    }
}
