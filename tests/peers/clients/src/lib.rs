//! What the test beside this asks a running agent, and what must come back.

use std::collections::HashMap;

use serde::Deserialize;

/// A world that `suite.py` started: an agent with a file, one that takes pushes, and callers.
#[derive(Debug, Deserialize)]
pub struct World {
    /// Unix socket of the agent with the policy in its file.
    pub socket: String,
    /// gRPC endpoint of the same agent, `http://127.0.0.1:PORT`.
    pub grpc: String,
    /// Unix socket of an agent without a file, which takes pushed configuration.
    pub push_socket: String,
    /// Who calls, and what each is answered.
    pub callers: Vec<Caller>,
}

/// One caller: its header, and the answer it must get.
#[derive(Clone, Debug, Deserialize)]
pub struct Caller {
    /// For messages.
    pub name: String,
    /// Value of `x-forwarded-client-cert`; none, if it shows no certificate.
    pub xfcc: Option<String>,
    /// 200 for allow.
    pub status: u16,
    /// The SPIFFE ID that must reach the upstream, where allowed.
    pub spiffe_id: Option<String>,
}

impl World {
    /// Read from the file that `PEERS_WORLD` names.
    ///
    /// # Panics
    /// Where there is none: run `suite.py`.
    #[must_use]
    pub fn of_environment() -> Self {
        let path =
            std::env::var("PEERS_WORLD").expect("PEERS_WORLD: run tests/peers/clients/suite.py");
        let text = std::fs::read_to_string(path).expect("PEERS_WORLD is readable");
        serde_json::from_str(&text).expect("PEERS_WORLD is a world")
    }
}

impl Caller {
    /// The request's headers; each spoofs an identity header, which never may survive.
    #[must_use]
    pub fn headers(&self) -> HashMap<String, Vec<String>> {
        let mut headers = HashMap::from([
            ("host".to_owned(), vec!["shop.example".to_owned()]),
            (
                "x-spiffe-id".to_owned(),
                vec!["spiffe://example.org/spoofed".to_owned()],
            ),
        ]);
        if let Some(xfcc) = &self.xfcc {
            headers.insert("x-forwarded-client-cert".to_owned(), vec![xfcc.clone()]);
        }
        headers
    }

    /// Compares an answer with what must come back.
    ///
    /// # Panics
    /// Where it differs.
    pub fn check(&self, status: u16, spiffe_ids: &[String]) {
        assert_eq!(status, self.status, "{}", self.name);
        if self.status == 200 {
            let wanted: Vec<String> = self.spiffe_id.iter().cloned().collect();
            assert_eq!(
                spiffe_ids, wanted,
                "{}: x-spiffe-id at the upstream",
                self.name
            );
        }
    }
}

/// The configuration pushed by a proxy: JSON of the documented block.
#[must_use]
pub fn pushed_policy() -> serde_json::Value {
    serde_json::json!({
        "allowlist": { "exact": "spiffe://example.org/frontend" },
        "failure": { "spire-unavailable": "fail_closed" },
    })
}

/// One that must be refused: no such block.
#[must_use]
pub fn wrong_policy() -> serde_json::Value {
    serde_json::json!({ "allow-list": { "exact": ["spiffe://example.org/frontend"] } })
}
