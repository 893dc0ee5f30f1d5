//! The gRPC door (agent protocol, sections 8 and 9): both packages of version 2, and version 1, on
//! one TCP address.
//!
//! | file | what it does |
//! |---|---|
//! | `connection` | TLS and HTTP/2 of one connection, to its end |
//! | `service` | the calls |
//! | `health` | whether traffic may come, asked once or watched |
//! | `stream` | `ProcessStream`: one proxy's conversation |
//! | `meter` | memory for large messages |
//! | `progress` | whether a peer takes its answers |
//! | `dialect` | how questions read and replies are written here |
//! | `strangers` | who is not known yet |
//! | [`tls`] | who may connect |
//! | [`identity`] | our own certificate, from SPIRE |

mod connection;
mod dialect;
mod health;
pub mod identity;
mod meter;
mod progress;
mod service;
mod strangers;
mod stream;
pub mod tls;

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use self::connection::{Arrival, GrpcError};
use self::strangers::Strangers;
use self::tls::TrustedProxies;
use super::actor::ClosedBecause;
use super::entrance::Guest;
use super::{Doors, Places};

/// Largest message taken, bytes: what gRPC libraries take unless told otherwise, so no proxy sends
/// more (agent protocol, section 8).
pub const MESSAGE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// As many strangers at once as one in so many of the places: with mutual TLS beside them, so that
/// whoever can reach the port takes none from trusted proxies; in plaintext among them.
const STRANGERS_SHARE: usize = 4;

/// How the door knows its callers.
pub enum Security {
    /// Mutual TLS.
    MutualTls {
        /// Shakes hands.
        acceptor: TlsAcceptor,
        /// Who may ask; judged in the handshake and from then on.
        proxies: Arc<TrustedProxies>,
    },
    /// Not at all; it takes no pushes.
    Plaintext,
}

/// The door's socket and what guards it; owned above its actor.
pub struct GrpcEntrance {
    listener: TcpListener,
    security: Security,
    strangers: Arc<Strangers>,
}

impl GrpcEntrance {
    /// A door on this socket, with room for so many `connections` of proxies.
    #[must_use]
    pub fn new(listener: TcpListener, security: Security, connections: usize) -> Self {
        let strangers = (connections / STRANGERS_SHARE).max(1);
        Self {
            listener,
            security,
            strangers: Arc::new(Strangers::new(strangers)),
        }
    }

    pub(super) async fn accept(
        self: &Arc<Self>,
        doors: &Arc<Doors>,
        places: &Arc<Places>,
    ) -> io::Result<Guest> {
        let place = match self.security {
            // It takes its place when it has shown who it is.
            Security::MutualTls { .. } => None,
            Security::Plaintext => places.take().await,
        };
        let (stream, address) = self.listener.accept().await?;
        let arrival = Arrival {
            stream,
            address,
            stranger: self.strangers.enter().await,
            places: Arc::clone(places),
        };
        let entrance = Arc::clone(self);
        let doors = Arc::clone(doors);
        let served = async move {
            let _place = place;
            match connection::serve(arrival, &entrance.security, doors).await {
                // Told of once for all of them: they come as fast as a stranger likes.
                Err(GrpcError::CrowdedOut) => Ok(()),
                served => served.map_err(ClosedBecause::from),
            }
        };
        Ok(Guest {
            peer: address.to_string(),
            served: Box::pin(served),
        })
    }
}
