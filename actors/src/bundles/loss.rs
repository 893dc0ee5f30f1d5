//! Which loss an error is.

use std::error::Error;

use tonic::{Code, Status};
use verdict::availability::Loss;
use verdict::trust::UpdateError;
use verdict::unseen::is_unseen;

use super::obstacle::Obstacle;

/// Longest text of an error that is kept for the log, characters: a line, not a dump.
const TEXT_MAX_CHARS: usize = 300;

/// The end of an attempt or a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// What it counts as.
    pub loss: Loss,
    /// What is in the way, for people.
    pub obstacle: Obstacle,
    /// What was said, for the log; short, and without control characters.
    pub detail: String,
}

impl End {
    /// SPIRE closed the stream in good order.
    #[must_use]
    pub fn in_order() -> Self {
        Self {
            loss: Loss::Ended,
            obstacle: Obstacle::Ended,
            detail: String::new(),
        }
    }

    /// No answer came in time; `detail` says in which.
    #[must_use]
    pub fn silent(detail: impl Into<String>) -> Self {
        Self {
            loss: Loss::TimedOut,
            obstacle: Obstacle::Silent,
            detail: detail.into(),
        }
    }

    /// A message came, and was discarded whole.
    #[must_use]
    pub fn discarded(error: &UpdateError) -> Self {
        Self {
            loss: Loss::Unreadable,
            obstacle: Obstacle::of_update(error),
            detail: shown(&error.to_string()),
        }
    }

    /// Reading a message panicked.
    pub(super) fn panicked() -> Self {
        Self {
            loss: Loss::Unreadable,
            obstacle: Obstacle::Ours,
            detail: "reading an update panicked".to_owned(),
        }
    }

    /// The asking itself failed.
    pub(super) fn ours(error: &(dyn Error + 'static)) -> Self {
        Self {
            obstacle: Obstacle::Ours,
            ..Self::transport(error)
        }
    }

    /// What the plan reports, with what is known of it.
    pub(super) fn reported(loss: Loss, ended: Option<&Self>) -> Self {
        match (loss, ended) {
            (Loss::TimedOut, _) => {
                Self::silent("no answer within api-timeout-ms, the attempt stays open")
            }
            (_, Some(end)) => end.clone(),
            (_, None) => Self {
                loss,
                obstacle: Obstacle::Unreadable,
                detail: String::new(),
            },
        }
    }

    /// In words, with what was said.
    #[must_use]
    pub fn words(&self) -> String {
        match self.detail.as_str() {
            "" => self.obstacle.what().to_owned(),
            detail => format!("{} ({detail})", self.obstacle.what()),
        }
    }

    /// An error before there was a call.
    #[must_use]
    pub fn transport(error: &(dyn Error + 'static)) -> Self {
        Self {
            loss: Loss::Transport,
            obstacle: Obstacle::of_error(error).unwrap_or(Obstacle::Broken),
            detail: text_of(error),
        }
    }

    /// The status of a call; `received` is the code that came over the wire, if one did.
    #[must_use]
    pub fn status(status: &Status, received: Option<Code>) -> Self {
        let said = format!("{:?}: {}", status.code(), status.message());
        let detail = match status.source() {
            Some(source) => format!("{said}: {}", text_of(source)),
            None => said,
        };
        Self {
            loss: loss_of(status, received),
            obstacle: obstacle_of(status, received),
            detail: shown(&detail),
        }
    }
}

/// What a status counts as. Only a code that the peer sent is the peer's word: a library makes
/// `PermissionDenied` of a `chmod` and of HTTP 403, and `Unimplemented` of HTTP 404.
#[must_use]
pub fn loss_of(status: &Status, received: Option<Code>) -> Loss {
    match received {
        Some(code) if code == status.code() => match code {
            Code::PermissionDenied => Loss::Refused,
            Code::InvalidArgument | Code::Unimplemented => Loss::OurFault,
            _ => Loss::Transport,
        },
        Some(_) | None => Loss::Transport,
    }
}

/// What a status means: the peer's word if it is one, else what the library saw.
fn obstacle_of(status: &Status, received: Option<Code>) -> Obstacle {
    match (received, status.source()) {
        (Some(code), _) if code == status.code() => Obstacle::of_code(code),
        (_, Some(source)) => Obstacle::of_error(source).unwrap_or(Obstacle::Broken),
        // Of its own making: too long a message, no status, a compression that nobody agreed on.
        (_, None) => Obstacle::Unreadable,
    }
}

/// The error with everything behind it.
fn text_of(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        // A chain is as long as its maker likes.
        source = error.source().filter(|_| text.len() < TEXT_MAX_CHARS);
    }
    shown(&text)
}

fn shown(text: &str) -> String {
    let printable = text.chars().filter(|c| !is_unseen(*c));
    printable.take(TEXT_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_the_peers_own_word_withdraws_or_marks_a_fault() {
        let cases = [
            (Code::PermissionDenied, Loss::Refused),
            (Code::InvalidArgument, Loss::OurFault),
            (Code::Unimplemented, Loss::OurFault),
        ];
        for (code, loss) in cases {
            let status = Status::new(code, "text");
            assert_eq!(loss_of(&status, Some(code)), loss);
            assert_eq!(loss_of(&status, None), Loss::Transport);
            // The library speaks of another failure than the peer did.
            assert_eq!(loss_of(&status, Some(Code::Internal)), Loss::Transport);
            assert_eq!(loss_of(&status, Some(Code::Ok)), Loss::Transport);
        }
    }

    #[test]
    fn every_other_code_is_a_transport_error() {
        for number in 0..=16 {
            let code = Code::from_i32(number);
            let special = [
                Code::PermissionDenied,
                Code::InvalidArgument,
                Code::Unimplemented,
            ];
            if !special.contains(&code) {
                let status = Status::new(code, "text");
                assert_eq!(loss_of(&status, Some(code)), Loss::Transport, "{code:?}");
            }
        }
    }

    /// Running as root defeats a chmod, so the error that it causes is made by hand.
    #[test]
    fn a_chmod_is_a_transport_error() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let dressed = Status::from(denied());
        assert_eq!(dressed.code(), Code::PermissionDenied);
        assert_eq!(End::status(&dressed, None).loss, Loss::Transport);
        let wrapped = Status::from_error(Box::new(denied()));
        assert_eq!(End::status(&wrapped, None).loss, Loss::Transport);
        assert_eq!(End::transport(&denied()).loss, Loss::Transport);
    }

    #[test]
    fn a_peers_text_is_short_and_harmless_in_the_log() {
        let status = Status::internal(format!("a\nb\u{1b}[31m{}", "x".repeat(10_000)));
        let end = End::status(&status, Some(Code::Internal));
        assert!(
            end.detail.starts_with("Internal: ab[31mxxx"),
            "{}",
            end.detail
        );
        assert_eq!(end.detail.chars().count(), TEXT_MAX_CHARS);
    }
}
