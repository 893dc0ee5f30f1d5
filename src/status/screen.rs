//! A terminal that is drawn on again and again, and put back however that ends.

use std::io::{self, IsTerminal as _, Write as _};

use crate::output::try_say_styled;

/// The other screen, no cursor (xterm control sequences, 1049 and 25).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// From the top left, over what was there.
const HOME: &str = "\x1b[H";
/// Colours as they were.
const RESET: &str = "\x1b[0m";
/// The rest of a line, and of the screen.
const CLEAR_LINE: &str = "\x1b[K\n";
const CLEAR_REST: &str = "\x1b[J";

/// A terminal that does not say how large it is: the smallest in use.
const UNKNOWN: Size = Size {
    rows: 24,
    columns: 80,
};

/// Of a terminal.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    columns: usize,
}

/// Where pages are drawn.
pub(super) enum Screen {
    /// A terminal: each page over the one before.
    Terminal,
    /// Anything else: one after the other.
    Pages,
}

impl Screen {
    pub(super) fn enter(once: bool) -> Self {
        if once || !std::io::stdout().is_terminal() {
            return Self::Pages;
        }
        write(ENTER);
        Self::Terminal
    }

    /// # Errors
    /// Nobody reads any more.
    pub(super) fn draw(&mut self, page: &str) -> io::Result<()> {
        if matches!(self, Self::Pages) {
            return try_say_styled(page);
        }
        let lines = fit(page, Size::of_terminal());
        try_write(HOME)?;
        for (at, line) in lines.iter().enumerate() {
            try_say_styled(line)?;
            // A line end on the last row would scroll the first one away.
            try_write(if at + 1 < lines.len() {
                CLEAR_LINE
            } else {
                CLEAR_REST
            })?;
        }
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if matches!(self, Self::Terminal) {
            write(LEAVE);
        }
    }
}

impl Size {
    fn of_terminal() -> Self {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
        let size = size.filter(|size| size.ws_row > 0 && size.ws_col > 0);
        size.map_or(UNKNOWN, |size| Self {
            rows: size.ws_row.into(),
            columns: size.ws_col.into(),
        })
    }
}

/// What of a page a terminal can show: its beginning, where the most important stands, line by line.
fn fit(page: &str, size: Size) -> Vec<String> {
    let mut lines: Vec<_> = page.lines().map(|line| cut(line, size.columns)).collect();
    if lines.len() > size.rows {
        let shown = size.rows.saturating_sub(1);
        let left = lines.len() - shown;
        lines.truncate(shown);
        lines.push(cut(
            &format!("… {left} more lines: `status` shows all"),
            size.columns,
        ));
    }
    lines
}

/// At most so many characters; what sets colours takes no room, and is ended where a line is.
fn cut(line: &str, columns: usize) -> String {
    let (mut room, mut in_style, mut shown) = (columns, false, String::new());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        let is_style = in_style || c == '\u{1b}';
        in_style = is_style && !c.is_ascii_alphabetic();
        if !is_style && room == 1 && visible(rest.as_str()) > 0 {
            return format!("{shown}…{RESET}");
        }
        room -= usize::from(!is_style);
        shown.push(c);
    }
    shown
}

/// Characters that take room.
fn visible(text: &str) -> usize {
    anstream::adapter::strip_str(text)
        .map(|part| part.chars().count())
        .sum()
}

/// A terminal's own commands are no colours: `NO_COLOR` must not take them away.
fn write(text: &str) {
    // Whoever watched is gone.
    let _ = try_write(text);
}

fn try_write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_page_is_what_a_small_terminal_shows() {
        let page = "health ok\nSPIRE Live\nthree\nfour\nfive\n";
        let size = |rows, columns| Size { rows, columns };
        assert_eq!(fit(page, size(5, 80)).len(), 5);
        let small = fit(page, size(3, 12));
        assert_eq!(small[..2], ["health ok", "SPIRE Live"]);
        assert!(small[2].starts_with("… 3 more li…"), "{small:?}");
        for rows in 1..7 {
            assert!(fit(page, size(rows, 3)).len() <= rows);
        }
    }

    #[test]
    fn colours_take_no_room_and_end_with_their_line() {
        let line = "\u{1b}[1mhealth\u{1b}[0m ok";
        assert_eq!(cut(line, 9), line);
        assert_eq!(cut(line, 8), format!("\u{1b}[1mhealth\u{1b}[0m …{RESET}"));
        assert_eq!(cut(line, 3), format!("\u{1b}[1mhe…{RESET}"));
        assert_eq!(cut("äöü", 2), format!("ä…{RESET}"));
        assert_eq!(cut("", 2), "");
    }
}
