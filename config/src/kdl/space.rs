//! What stands between names and values: white space, line ends, comments.

use super::{Read, Reader, Syntax};

impl Reader<'_> {
    /// White space, block comments and continued lines. Says whether there was any.
    pub(super) fn skip_space(&mut self) -> Read<bool> {
        let start = self.at;
        loop {
            match self.peek() {
                Some(c) if is_space(c) => self.bump(),
                Some('\\') => self.continuation()?,
                _ if self.skip_block_comment()? => {}
                _ => return Ok(self.at > start),
            }
        }
    }

    /// `\` at the end of a line.
    pub(super) fn continuation(&mut self) -> Read<()> {
        let start = self.at;
        self.bump();
        while self.peek().is_some_and(is_space) || self.skip_block_comment()? {
            if self.peek().is_some_and(is_space) {
                self.bump();
            }
        }
        match self.peek() {
            None => Ok(()),
            Some(c) if is_newline(c) => {
                self.newline();
                Ok(())
            }
            Some(_) if self.skip_line_comment() => Ok(()),
            Some(_) => Err(Syntax::BadContinuation.at(start, start + 1)),
        }
    }

    pub(super) fn skip_lines(&mut self) -> Read<()> {
        loop {
            match self.peek() {
                Some(c) if c == ';' || is_newline(c) => self.bump(),
                _ if self.skip_space()? => {}
                _ if self.skip_line_comment() => {}
                _ => return Ok(()),
            }
        }
    }

    pub(super) fn skip_list_space(&mut self) -> Read<()> {
        loop {
            match self.peek() {
                Some(c) if c == ',' || is_newline(c) => self.bump(),
                _ if self.skip_space()? => {}
                _ if self.skip_line_comment() => {}
                _ => return Ok(()),
            }
        }
    }

    /// `// …` with its line end.
    pub(super) fn skip_line_comment(&mut self) -> bool {
        if !self.rest().starts_with("//") {
            return false;
        }
        let rest = self.rest();
        self.at += rest.find(is_newline).unwrap_or(rest.len());
        if self.peek().is_some() {
            self.newline();
        }
        true
    }

    /// `/* … */`, which nest; counted, so that their depth costs no stack.
    pub(super) fn skip_block_comment(&mut self) -> Read<bool> {
        if !self.rest().starts_with("/*") {
            return Ok(false);
        }
        let start = self.at;
        let mut open = 0usize;
        loop {
            let rest = self.rest();
            if rest.starts_with("/*") {
                open += 1;
                self.at += 2;
            } else if rest.starts_with("*/") {
                open -= 1;
                self.at += 2;
                if open == 0 {
                    return Ok(true);
                }
            } else if rest.is_empty() {
                return Err(Syntax::UnclosedComment.at(start, start + 2));
            } else {
                self.bump();
            }
        }
    }

    /// A line end, CR LF being one.
    pub(super) fn newline(&mut self) {
        self.at += if self.rest().starts_with("\r\n") {
            2
        } else {
            self.peek().map_or(0, char::len_utf8)
        };
    }
}

/// KDL 2, 3.18.
pub(super) const fn is_newline(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{85}' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}'
    )
}

/// KDL 2, 3.17.
pub(super) const fn is_space(c: char) -> bool {
    matches!(
        c,
        '\t' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}
