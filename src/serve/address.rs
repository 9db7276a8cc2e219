//! The address of the server, as it is typed, and the listener at it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;

use super::error::ServeError;

/// Where the server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(SocketAddr);

impl Default for Address {
    /// This machine only, at the port that TensorBoard has too, which is not a coincidence: it is the one that people
    /// forward through SSH already.
    fn default() -> Self {
        Self(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 6006))
    }
}

impl Address {
    /// Whether only programs on this machine reach it.
    pub fn is_loopback(self) -> bool {
        self.0.ip().is_loopback()
    }

    /// Opens it.
    pub(super) fn listen(self) -> Result<TcpListener, ServeError> {
        let listener = TcpListener::bind(self.0).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse { address: self, next: self.next() },
            _ => ServeError::NotOpened { address: self, source },
        })?;
        let prepared = listener.set_nonblocking(true).map(|()| listener);
        prepared.map_err(|source| ServeError::NotOpened { address: self, source })
    }

    /// The address with the next port.
    fn next(self) -> Self {
        Self(SocketAddr::new(self.0.ip(), self.0.port().checked_add(1).unwrap_or(0)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = String;

    /// Reads `IP:PORT`, `localhost:PORT`, or one of the two parts.
    fn from_str(text: &str) -> Result<Self, String> {
        let default = Self::default().0;
        let text = text.trim();
        let named = text.replacen("localhost", "127.0.0.1", usize::from(text.starts_with("localhost")));
        let whole = || named.parse::<SocketAddr>().ok();
        let port = || named.strip_prefix(':').unwrap_or(&named).parse().ok();
        let ip = || named.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let found = whole()
            .or_else(|| Some(SocketAddr::new(default.ip(), port()?)))
            .or_else(|| Some(SocketAddr::new(ip()?, default.port())));
        found.map(Self).ok_or_else(|| {
            "give an IP address of this machine and a port, as 127.0.0.1:6006, or 0.0.0.0:6006 for all of its addresses"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_either_part_of_it() {
        let read = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        for (typed, meant) in [
            ("127.0.0.1:6006", "127.0.0.1:6006"),
            ("localhost:80", "127.0.0.1:80"),
            ("localhost", "127.0.0.1:6006"),
            ("0", "127.0.0.1:0"),
            (":7000", "127.0.0.1:7000"),
            ("0.0.0.0", "0.0.0.0:6006"),
            ("::1", "[::1]:6006"),
            ("[::1]:70", "[::1]:70"),
        ] {
            assert_eq!(read(typed).unwrap(), meant, "{typed}");
        }
        for typed in ["", "example.org:80", "127.0.0.1:99999", "localhost.evil:1", "1.2.3", "http://127.0.0.1:1"] {
            assert!(read(typed).unwrap_err().contains("127.0.0.1:6006"), "{typed}");
        }
    }

    #[test]
    fn a_taken_port_is_said_with_another() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = Address(taken.local_addr().unwrap()).listen().unwrap_err().to_string();
        assert!(error.contains("is in use") && error.contains("--address 127.0.0.1:"), "{error}");
    }
}
