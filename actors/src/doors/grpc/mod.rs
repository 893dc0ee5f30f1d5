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
//! | `dialect` | how questions read and replies are written here |
//! | [`tls`] | who may connect |
//! | [`identity`] | our own certificate, from SPIRE |

mod connection;
mod dialect;
mod health;
pub mod identity;
mod meter;
mod service;
mod stream;
pub mod tls;

use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use self::tls::TrustedProxies;
use super::Doors;
use super::actor::ClosedBecause;
use super::entrance::Guest;

/// Largest message taken, bytes: what gRPC libraries take unless told otherwise, so no proxy sends
/// more (agent protocol, section 8).
pub const MESSAGE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// One connection in so many may be a stranger that has not yet shown its certificate: whoever can
/// reach the port cannot take the places of trusted proxies.
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
    strangers: Arc<Semaphore>,
}

impl GrpcEntrance {
    /// A door on this socket, with room for `connections` in all.
    #[must_use]
    pub fn new(listener: TcpListener, security: Security, connections: usize) -> Self {
        let strangers = (connections / STRANGERS_SHARE).max(1);
        Self {
            listener,
            security,
            strangers: Arc::new(Semaphore::new(strangers)),
        }
    }

    pub(super) async fn accept(self: &Arc<Self>, doors: &Arc<Doors>) -> io::Result<Guest> {
        // The semaphore is never closed; were it, strangers would not be counted, and no more.
        let stranger = Arc::clone(&self.strangers).acquire_owned().await.ok();
        let (stream, address) = self.listener.accept().await?;
        let entrance = Arc::clone(self);
        let doors = Arc::clone(doors);
        let served = async move {
            let served = connection::serve(stream, address, &entrance.security, doors, stranger);
            served.await.map_err(ClosedBecause::from)
        };
        Ok(Guest {
            peer: address.to_string(),
            served: Box::pin(served),
        })
    }
}
