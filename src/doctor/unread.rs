//! A status that could not be read: what it would have told is then not known, and no good news.

use std::net::SocketAddr;

use actors::admin::status::Status;

use super::finding::{Examination, Severity};
use crate::status::ask::{self, Health};

/// Why there is none.
pub(super) struct Unread {
    seen: String,
    fix: &'static str,
}

/// The status, as it was answered.
pub(super) fn read(answer: anyhow::Result<(u16, Vec<u8>)>) -> Result<Status, Unread> {
    match answer {
        Ok((200, json)) => serde_json::from_slice(&json).map_err(|error| Unread {
            seen: format!("200, and not as this version writes it: {error}"),
            fix: "it is an agent of another version: ask with the program that it runs",
        }),
        Ok((status, body)) => Err(Unread {
            seen: format!("{status}: {}", ask::one_line(&body)),
            fix: "if it is busy: stop whoever asks for /status all the time (`ss -tnp` names him), and ask again; \
                  /healthz?verbose is answered at once, whoever else asks",
        }),
        Err(error) => Err(Unread {
            seen: format!("{error:#}"),
            fix: "ask again; its log says whether its admin listener is in trouble",
        }),
    }
}

/// Of one that answers otherwise.
pub(super) async fn tell(unread: &Unread, address: SocketAddr, examination: &mut Examination) {
    let mut seen = format!("http://{address}/status: {}", unread.seen);
    let severity = match ask::health(address).await {
        Some(Health::Failing(failing)) => {
            seen.push_str(&format!("; its /healthz says: {failing}"));
            Severity::Problem
        }
        Some(Health::Well) | None => Severity::Warning,
    };
    examination.add(
        severity,
        "status-unread",
        "the agent's status could not be read: what requests meet, and whether they are recorded, was not looked at",
        &seen,
        unread.fix,
    );
}
