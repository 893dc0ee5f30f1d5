//! A terminal that is drawn on again and again, and put back however that ends.

use std::io::{IsTerminal as _, Write as _};

use crate::output::say_styled;

/// The other screen, no cursor (xterm control sequences, 1049 and 25).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// From the top left, over what was there.
const HOME: &str = "\x1b[H";
/// The rest of a line, and of the screen.
const CLEAR_LINE: &str = "\x1b[K\n";
const CLEAR_REST: &str = "\x1b[J";

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

    pub(super) fn draw(&mut self, page: &str) {
        match self {
            Self::Pages => say_styled(page),
            Self::Terminal => {
                write(HOME);
                for line in page.lines() {
                    say_styled(line);
                    write(CLEAR_LINE);
                }
                write(CLEAR_REST);
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if matches!(self, Self::Terminal) {
            write(LEAVE);
        }
    }
}

/// A terminal's own commands are no colours: `NO_COLOR` must not take them away.
fn write(text: &str) {
    let mut stdout = std::io::stdout();
    // Whoever watched is gone.
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
