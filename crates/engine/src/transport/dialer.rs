//! From a host to an open TCP connection, past the second wall: resolve, check every address, connect to a checked one.
//!
//! The connection goes to the very address that was checked, never to the name again, so an answer that changes between
//! the check and the connection (DNS rebinding) changes nothing. No TLS here, and no HTTP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use providers::step::{Failure, FailureKind};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::failed;
use super::guard::EgressRules;
use super::resolve::Resolve;

/// Opens connections within the rules.
#[derive(Clone)]
pub(super) struct Dialer<R> {
    pub(super) rules: EgressRules,
    pub(super) resolver: R,
}

/// For one address. A host that is up answers within a round trip or two; 5 s also covers two lost SYNs.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bounds how long a connection attempt goes on when the step that wanted it was served by another connection.
const ADDRESSES_TRIED_MAX: usize = 8;

impl<R: Resolve> Dialer<R> {
    /// Connects to `host`, a name or a literal address without brackets. Fails as `Forbidden`, `Dns` or `Connect`.
    pub(super) async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let addresses = self.addresses(host, port).await?;
        self.connect_any(&addresses).await.map(|(_, stream)| stream)
    }

    /// Connects to the first of these checked addresses that answers. Fails as `Dns` or `Connect`.
    pub(super) async fn connect_any(&self, checked: &[SocketAddr]) -> Result<(SocketAddr, TcpStream), Failure> {
        let mut last = failed(FailureKind::Dns, "the name has no address");
        for address in checked.iter().take(ADDRESSES_TRIED_MAX) {
            match connect(*address).await {
                Ok(stream) => return Ok((*address, stream)),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// All addresses of a host, each of them checked. Fails as `Forbidden` or `Dns`.
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(literal) => vec![SocketAddr::new(literal, port)],
            Err(_) => {
                self.resolver.resolve(host, port).await.map_err(|error| failed(FailureKind::Dns, error.to_string()))?
            }
        };
        self.rules
            .check_resolved(host, &addresses)
            .map_err(|refusal| failed(FailureKind::Forbidden, refusal.to_string()))?;
        Ok(addresses)
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    #[expect(clippy::disallowed_methods, reason = "this is the guarded transport, and the address is checked")]
    let connecting = TcpStream::connect(address);
    let stream = match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failed(FailureKind::Connect, error.to_string())),
        Err(_) => return Err(failed(FailureKind::Connect, format!("none within {CONNECT_TIMEOUT:?}"))),
    };
    // Requests are single writes; without this the kernel may hold the last segment back for an acknowledgement.
    stream.set_nodelay(true).map_err(|error| failed(FailureKind::Connect, error.to_string()))?;
    Ok(stream)
}
