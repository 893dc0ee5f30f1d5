//! Keys of a terminal, as they are pressed; its modes are put back however that ends.

use std::io::{IsTerminal as _, Read as _, stdin};
use std::sync::Arc;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use rustix::termios::{tcgetattr, tcsetattr};
use tokio::sync::Notify;

/// Who presses keys.
pub(super) enum Keys {
    /// Whoever sits at the terminal: each key comes at once and is not shown.
    Terminal {
        quit: Arc<Notify>,
        before: Box<Termios>,
    },
    /// Nobody.
    Nobody,
}

impl Keys {
    /// Of standard input, where that is a terminal.
    pub(super) fn listen() -> Self {
        // A terminal that cannot be set has no keys for us; ctrl-c ends us there too.
        let Ok(before) = tcgetattr(stdin()) else {
            return Self::Nobody;
        };
        if !stdin().is_terminal() {
            return Self::Nobody;
        }
        let quit = Arc::new(Notify::new());
        let keys = Self::Terminal {
            quit: Arc::clone(&quit),
            before: Box::new(before.clone()),
        };
        set(&unbuffered(before));
        // It waits in a read that nothing ends but a key, and ends with the process.
        std::thread::spawn(move || {
            let mut pressed = stdin().lock().bytes().map_while(Result::ok);
            // The end of the terminal counts too: nobody watches any more.
            pressed.find(|key| matches!(key, b'q' | b'Q'));
            quit.notify_one();
        });
        keys
    }

    /// Waits for `q`, or for the end of the terminal.
    pub(super) async fn quit(&self) {
        match self {
            Self::Terminal { quit, .. } => quit.notified().await,
            Self::Nobody => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Self::Terminal { before, .. } = self {
            set(before);
        }
    }
}

fn set(modes: &Termios) {
    // Where they cannot be set there is nothing to put back either.
    let _ = tcsetattr(stdin(), OptionalActions::Now, modes);
}

/// Each key at once, none shown; ctrl-c stays a signal.
fn unbuffered(mut modes: Termios) -> Termios {
    modes
        .local_modes
        .remove(LocalModes::ICANON | LocalModes::ECHO);
    modes.special_codes[SpecialCodeIndex::VMIN] = 1;
    modes.special_codes[SpecialCodeIndex::VTIME] = 0;
    modes
}
