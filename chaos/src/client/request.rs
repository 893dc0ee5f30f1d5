//! What a proxy says.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::frame::{Frame, kind};

/// Header name (lower case) to its values, one per line.
pub type Headers = BTreeMap<String, Vec<String>>;

/// The handshake.
#[derive(Debug, Clone, PartialEq)]
pub struct Hello {
    /// `zentinel-proxy` or `sentinel-proxy` for the real ones.
    pub proxy_id: String,
    /// The proxy's version.
    pub proxy_version: String,
    /// The agent's configuration block; none is `null`.
    pub config: Option<Value>,
    /// Protocol versions; the real ones say `[2]`.
    pub supported_versions: Vec<u32>,
    /// `json`, `msgpack`; this client itself speaks JSON only.
    pub supported_encodings: Vec<String>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            proxy_id: "zentinel-proxy".to_owned(),
            proxy_version: "0.6.54".to_owned(),
            config: None,
            supported_versions: vec![2],
            supported_encodings: vec!["json".to_owned()],
        }
    }
}

impl Hello {
    /// A handshake that carries a configuration.
    #[must_use]
    pub fn with_config(config: Value) -> Self {
        Self {
            config: Some(config),
            ..Self::default()
        }
    }

    /// The frame that carries it.
    #[must_use]
    pub fn frame(&self) -> Frame {
        Frame {
            kind: kind::HANDSHAKE_REQUEST,
            payload: self.to_json().to_string().into_bytes(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "supported_versions": self.supported_versions,
            "proxy_id": self.proxy_id,
            "proxy_version": self.proxy_version,
            "config": self.config,
            "supported_encodings": self.supported_encodings,
        })
    }
}

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its correlation id; without one the client chooses.
    pub id: Option<String>,
    /// `GET`…
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// Its headers.
    pub headers: Headers,
}

impl Request {
    /// `GET` of a path, for one host.
    #[must_use]
    pub fn get(uri: &str) -> Self {
        let request = Self {
            id: None,
            method: "GET".to_owned(),
            uri: uri.to_owned(),
            headers: Headers::new(),
        };
        request.header("host", "shop.example")
    }

    /// One more header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers
            .entry(name.to_ascii_lowercase())
            .or_default()
            .push(value.into());
        self
    }

    /// A correlation id of one's own.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The frame that carries it under this id.
    #[must_use]
    pub fn frame(&self, id: &str) -> Frame {
        Frame {
            kind: kind::REQUEST_HEADERS,
            payload: self.to_json(id).to_string().into_bytes(),
        }
    }

    /// As the real proxies fill it: much is always null.
    pub(super) fn to_json(&self, id: &str) -> Value {
        json!({
            "metadata": {
                "correlation_id": id,
                "request_id": format!("request-{id}"),
                "client_ip": "10.0.0.7",
                "client_port": 51_034,
                "server_name": null,
                "protocol": "HTTP/1.1",
                "tls_version": null,
                "tls_cipher": null,
                "route_id": "api",
                "upstream_id": null,
                "timestamp": "2026-01-02T03:04:05Z",
            },
            "method": self.method,
            "uri": self.uri,
            "headers": self.headers,
            "correlation_id": id,
        })
    }
}
