//! What breaks it: everything the agent is tried against.
//!
//! | module | what it is |
//! |---|---|
//! | [`ca`] | a certificate authority per trust domain that issues X.509-SVIDs as SPIRE does, or wrong on purpose |
//! | [`spire`] | a simulated SPIRE agent: the Workload API on a Unix socket, with every fault it can show a client |
//! | [`real`] | a real SPIRE server and agent on loopback, to stop, kill, start and rotate |
//! | [`world`] | the world of the demo: `example.org`, the federated `partner.test`, and a SPIRE publishing both |
//! | [`client`] | the proxy's side of the agent protocol, written from its description alone |
//! | [`scenario`] | scenarios as files: faults on a timeline, a load, promises |
//! | [`run`] | a scenario played on the built agent, and its promises judged |
//! | [`report`] | a page about a run |
//! | [`simulate`] | the agent's rules under a virtual clock and seeded faults |
//!
//! Nothing here is for production: the keys live in memory and the authorities sign whatever they
//! are asked to.

pub mod ca;
pub mod client;
pub mod real;
pub mod report;
pub mod run;
pub mod scenario;
pub mod simulate;
pub mod spire;
pub mod world;
