//! Where connections come in: a socket, and who is let through.

use std::io;
use std::sync::Arc;

use tokio::net::UnixListener;

use super::actor::{ClosedBecause, Served};
use super::grpc::GrpcEntrance;
use super::peer::{TrustedPeer, UntrustedProxy, admit};
use super::{Doors, Places, connection};

/// A listening socket, owned above its actor.
#[derive(Clone)]
pub enum Entrance {
    /// The agent's Unix socket.
    Unix {
        /// The socket.
        listener: Arc<UnixListener>,
        /// Who may ask; empty: whoever the socket's mode admits.
        trusted: Arc<[TrustedPeer]>,
    },
    /// gRPC over TCP.
    Grpc(Arc<GrpcEntrance>),
}

/// A connection that came in.
pub(super) struct Guest {
    pub(super) peer: String,
    pub(super) served: Served,
}

impl Entrance {
    /// The next connection, or why it is none. A place first: who finds none free waits in the
    /// socket's own queue.
    pub(super) async fn accept(
        &self,
        doors: &Arc<Doors>,
        places: &Arc<Places>,
    ) -> io::Result<Result<Guest, UntrustedProxy>> {
        match self {
            Self::Unix { listener, trusted } => {
                let place = places.take().await;
                let (stream, _) = listener.accept().await?;
                let doors = Arc::clone(doors);
                Ok(admit(&stream, trusted).map(|peer| {
                    let name = peer.to_string();
                    let served = async move {
                        let _place = place;
                        let served = connection::serve(stream, doors, peer).await;
                        served.map_err(ClosedBecause::from)
                    };
                    Guest {
                        peer: name,
                        served: Box::pin(served),
                    }
                }))
            }
            Self::Grpc(entrance) => entrance.accept(doors, places).await.map(Ok),
        }
    }
}
