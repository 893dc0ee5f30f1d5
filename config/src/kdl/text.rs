//! Strings: plain, raw, and over several lines.

use super::space::{is_newline, is_space};
use super::{Read, Reader, Syntax};

impl Reader<'_> {
    /// A string if one begins here.
    pub(super) fn quoted(&mut self) -> Read<Option<String>> {
        let rest = self.rest();
        if rest.starts_with("\"\"\"") {
            return self.multiline("\"\"\"", "\"\"\"", true).map(Some);
        }
        if rest.starts_with('"') {
            return self.plain().map(Some);
        }
        let marks = rest.strip_prefix('r').unwrap_or(rest);
        let hashes = marks.len() - marks.trim_start_matches('#').len();
        let is_raw = marks.get(hashes..).is_some_and(|m| m.starts_with('"'));
        if !is_raw || (hashes == 0 && marks.len() == rest.len()) {
            return Ok(None);
        }
        self.raw(rest.len() - marks.len() + hashes, hashes)
            .map(Some)
    }

    /// `"…"`, which KDL 1 lets run over lines.
    fn plain(&mut self) -> Read<String> {
        let start = self.at;
        self.bump();
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(Syntax::UnclosedString.at(start, start + 1)),
                Some('"') => {
                    self.bump();
                    return Ok(text);
                }
                Some('\\') => {
                    let escape = self.at;
                    // The backslash and what follows it, if anything does.
                    let shown = self
                        .rest()
                        .chars()
                        .take(2)
                        .map(char::len_utf8)
                        .sum::<usize>();
                    let used = unescape(self.rest(), &mut text)
                        .ok_or_else(|| Syntax::BadEscape.at(escape, escape + shown))?;
                    self.at += used;
                }
                Some(c) => {
                    if is_newline(c) {
                        self.multiline_from.get_or_insert(start);
                    }
                    text.push(c);
                    self.bump();
                }
            }
        }
    }

    /// `r#"…"#` (KDL 1) and `#"…"#` (KDL 2).
    fn raw(&mut self, prefix: usize, hashes: usize) -> Read<String> {
        let start = self.at;
        let fence = "#".repeat(hashes);
        let body = self.rest().get(prefix..).unwrap_or_default();
        if hashes > 0 && body.starts_with("\"\"\"") && body.get(3..).is_some_and(starts_line) {
            self.at += prefix;
            let close = format!("\"\"\"{fence}");
            return self.multiline("\"\"\"", &close, false);
        }
        let body = body.get(1..).unwrap_or_default();
        let close = format!("\"{fence}");
        let Some(len) = body.find(&close) else {
            return Err(Syntax::UnclosedString.at(start, start + 1));
        };
        let text = body.get(..len).unwrap_or_default();
        if text.contains(is_newline) {
            self.multiline_from.get_or_insert(start);
        }
        self.at += prefix + 1 + len + close.len();
        Ok(text.to_owned())
    }

    /// KDL 2, 3.12: the closing line's indentation is taken from every line.
    fn multiline(&mut self, open: &str, close: &str, escapes: bool) -> Read<String> {
        let start = self.at;
        let rest = self.rest();
        let body = rest.get(open.len()..).unwrap_or_default();
        let wrong = Syntax::BadMultiline.at(start, start + open.len());
        if !starts_line(body) {
            return Err(wrong);
        }
        let end = if escapes {
            find_unescaped(body, close)
        } else {
            body.find(close)
        };
        let Some(end) = end else {
            return Err(Syntax::UnclosedString.at(start, start + open.len()));
        };
        self.at += open.len() + end + close.len();
        let inner = body.get(..end).unwrap_or_default().replace("\r\n", "\n");
        let dedented = dedent(&inner).ok_or_else(|| wrong.clone())?;
        if !escapes {
            return Ok(dedented);
        }
        unescape_all(&dedented).ok_or_else(|| Syntax::BadEscape.at(start, start + open.len()))
    }
}

fn starts_line(text: &str) -> bool {
    text.starts_with(is_newline)
}

/// Where `close` stands, an escaped character not counting.
fn find_unescaped(text: &str, close: &str) -> Option<usize> {
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if text.get(at..).is_some_and(|rest| rest.starts_with(close)) {
            return Some(at);
        }
    }
    None
}

/// The lines between the first and the last, without the last one's blanks.
fn dedent(inner: &str) -> Option<String> {
    let mut lines: Vec<&str> = inner.split(is_newline).skip(1).collect();
    let indent = lines.pop()?;
    if !indent.chars().all(is_space) {
        return None;
    }
    let stripped: Option<Vec<&str>> = lines
        .into_iter()
        .map(|line| {
            if line.chars().all(is_space) {
                Some("")
            } else {
                line.strip_prefix(indent)
            }
        })
        .collect();
    stripped.map(|lines| lines.join("\n"))
}

fn unescape_all(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let c = rest.chars().next()?;
        if c == '\\' {
            at += unescape(rest, &mut out)?;
        } else {
            out.push(c);
            at += c.len_utf8();
        }
    }
    Some(out)
}

/// One escape at the front of `rest`; the bytes it took.
fn unescape(rest: &str, out: &mut String) -> Option<usize> {
    let c = rest.chars().nth(1)?;
    let plain = match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        's' => ' ',
        '\\' | '"' | '/' => c,
        'u' => return unicode(rest, out),
        _ if is_space(c) || is_newline(c) => {
            let blanks = rest.get(1..)?;
            let ink = blanks.trim_start_matches(|c| is_space(c) || is_newline(c));
            return Some(1 + blanks.len() - ink.len());
        }
        _ => return None,
    };
    out.push(plain);
    Some(2)
}

/// `\u{…}` with one to six hexadecimal digits.
fn unicode(rest: &str, out: &mut String) -> Option<usize> {
    let (digits, _) = rest.strip_prefix("\\u{")?.split_once('}')?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits.is_empty() || digits.len() > 6 || !is_hex {
        return None;
    }
    let code = u32::from_str_radix(digits, 16).ok()?;
    out.push(char::from_u32(code)?);
    Some(4 + digits.len())
}
