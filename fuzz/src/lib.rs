//! What must hold for any bytes a peer writes: one module per target, each with a `check` that
//! panics when it does not. Not crashing is the least of it; the claims stand in each module.

pub mod anchors;
pub mod bundle;
pub mod cert_header;
pub mod config_file;
pub mod der;
pub mod grpc;
pub mod known;
pub mod push;
pub mod session;
pub mod spiffe_id;
pub mod svid;

/// The longest text of an error: it goes to a log line, whatever the peer wrote.
pub const MAX_ERROR_BYTES: usize = 1024;

/// An error's text is one line, bounded, and not empty.
pub fn check_error(error: &dyn std::fmt::Display) {
    let text = error.to_string();
    assert!(!text.is_empty(), "an error without a text");
    assert!(
        text.len() <= MAX_ERROR_BYTES,
        "an error of {} bytes: {text}",
        text.len()
    );
    assert!(
        !text.contains(['\n', '\r', '\0', '\u{1b}']),
        "an error that breaks its line: {text:?}"
    );
}
