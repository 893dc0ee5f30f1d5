//! The gRPC door, put together.

use std::net::SocketAddr;
use std::sync::Arc;

use config::{DoorSecurity, GrpcDoor};
use tokio::net::TcpListener;

use super::AgentError;
use crate::doors::Doors;
use crate::doors::grpc::identity::OwnIdentity;
use crate::doors::grpc::tls::{self, TrustedProxies};
use crate::doors::grpc::{GrpcEntrance, Security};

/// The gRPC door, and our identity if it needs one.
pub(super) struct Grpc {
    pub(super) entrance: Arc<GrpcEntrance>,
    pub(super) identity: Option<Arc<OwnIdentity>>,
}

/// Listens on the door's address.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, AgentError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| AgentError::GrpcAddress { address, error })
}

impl Grpc {
    pub(super) fn new(
        door: GrpcDoor,
        listener: TcpListener,
        doors: &Doors,
    ) -> Result<Self, AgentError> {
        let address = door.address.value;
        let (security, identity) = match door.security {
            DoorSecurity::MutualTls(ids) => {
                let identity = Arc::new(OwnIdentity::default());
                let initial = doors.configured.initial();
                let failure =
                    initial.map_or_else(Default::default, |policy| *policy.policy.failure());
                let proxies = Arc::new(TrustedProxies {
                    ids,
                    trust: Arc::clone(&doors.judge.trust),
                    cache_ttl_ms: failure.cache_ttl_ms(),
                    clock: doors.clock.clone(),
                });
                let acceptor = tls::acceptor(Arc::clone(&identity), Arc::clone(&proxies))?;
                (Security::MutualTls { acceptor, proxies }, Some(identity))
            }
            DoorSecurity::PlaintextLoopback => {
                tracing::warn!(
                    %address,
                    "the gRPC door is plaintext: every process of this machine can ask, and pushes are not taken; name the proxy's SPIFFE ID in trusted-proxies"
                );
                (Security::Plaintext, None)
            }
            DoorSecurity::PlaintextInsecure => {
                tracing::error!(
                    %address,
                    "INSECURE: the gRPC door is plaintext on the network, because insecure-plaintext insists: whoever reaches it can ask, answers can be forged on the way, and pushes are not taken"
                );
                (Security::Plaintext, None)
            }
        };
        let connections = doors.bounds.connections;
        Ok(Self {
            entrance: Arc::new(GrpcEntrance::new(listener, security, connections)),
            identity,
        })
    }
}
