//! What happened, a line each: the same for the same seed, byte for byte.

/// A log that is kept, or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Log {
    /// Nobody will read it.
    #[default]
    Off,
    /// Its lines.
    On(Vec<String>),
}

impl Log {
    /// A line, made only if it is kept.
    pub fn line(&mut self, at_ms: u64, text: impl FnOnce() -> String) {
        if let Self::On(lines) = self {
            lines.push(format!(
                "{:>5}.{:03} {}",
                at_ms / 1_000,
                at_ms % 1_000,
                text()
            ));
        }
    }

    /// The lines kept.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        match self {
            Self::Off => &[],
            Self::On(lines) => lines,
        }
    }
}
