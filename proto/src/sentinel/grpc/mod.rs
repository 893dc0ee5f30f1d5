//! The same messages over gRPC (agent protocol, sections 8 and 9).
//!
//! [`v2`] has the messages and Sentinel's service, [`zentinel`] the same service under Zentinel's
//! name, [`v1`] version 1. The functions here turn messages into the values that the sockets yield,
//! and answers into messages, so that every door asks and answers alike.

mod answer;
mod ask;

pub use answer::{accept, health, metrics, pong, refuse, response, response_v1};
pub use ask::{
    configuration, handshake, other_event, other_event_v1, request_headers, request_headers_v1,
};

/// Version 2: messages, and `sentinel.agent.v2.AgentServiceV2`.
pub mod v2 {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    include!(concat!(env!("OUT_DIR"), "/sentinel.agent.v2.rs"));
}

/// Version 2 for Zentinel: `zentinel.agent.v2.AgentServiceV2`, with the messages of [`v2`].
pub mod zentinel {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    include!(concat!(env!("OUT_DIR"), "/zentinel.agent.v2.rs"));
}

/// Version 1: `sentinel.agent.v1.AgentProcessor`.
pub mod v1 {
    #![allow(
        missing_docs,
        clippy::all,
        clippy::pedantic,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    include!(concat!(env!("OUT_DIR"), "/sentinel.agent.v1.rs"));
}
