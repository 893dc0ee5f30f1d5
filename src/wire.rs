//! Connections to whoever a URL names: TCP, and TLS by the one provider that is in this process.

use std::fmt;
use std::io;
use std::sync::Arc;

use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection, whatever it is made of.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Why a URL names nobody to connect to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("only http:// and https:// are spoken")]
    Scheme,
    #[error("it names no host")]
    Host,
}

/// Whom a URL names.
#[derive(Clone)]
pub(crate) struct Address {
    host: String,
    port: u16,
    /// What its certificate is for, where TLS is spoken.
    name: Option<ServerName<'static>>,
}

impl Address {
    pub(crate) fn of(uri: &Uri) -> Result<Self, AddressError> {
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(AddressError::Scheme),
        };
        let host = uri.host().ok_or(AddressError::Host)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = is_tls.then(|| ServerName::try_from(host.to_owned()));
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            name: name.transpose().map_err(|_| AddressError::Host)?,
        })
    }

    pub(crate) const fn is_tls(&self) -> bool {
        self.name.is_some()
    }
}

/// How to reach it.
#[derive(Clone)]
pub(crate) struct Dial {
    address: Address,
    tls: Option<TlsConnector>,
}

impl Dial {
    /// `tls` is how TLS is spoken, to an address where it is.
    pub(crate) fn new(address: Address, tls: Option<ClientConfig>) -> Self {
        let tls = tls.map(|tls| TlsConnector::from(Arc::new(tls)));
        Self { address, tls }
    }

    /// A small message is sent at once.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Wire>> {
        let Address { host, port, name } = &self.address;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        tcp.set_nodelay(true)?;
        Ok(match (name, &self.tls) {
            (Some(name), Some(tls)) => Box::new(tls.connect(name.clone(), tcp).await?),
            (Some(_), None) => return Err(io::Error::other("nothing says how TLS is spoken")),
            (None, _) => Box::new(tcp),
        })
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address.host, self.address.port)
    }
}
