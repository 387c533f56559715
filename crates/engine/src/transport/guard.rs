//! The egress rules, pure: which hosts and addresses a tenant may make this server talk to.
//!
//! The lists are those of the IANA special-purpose registries. IPv6
//! addresses that carry an IPv4 address are judged by what they carry. Nothing is resolved here, and ports are not
//! restricted. What the operator allows is let through as it is written: a network with every port, a socket alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// What the operator lets through, beside the public internet which is always open.
#[derive(Clone, Debug, Default)]
pub struct EgressRules {
    allow_networks: Vec<IpNet>,
    allow_sockets: Vec<SocketAddr>,
}

/// Why a target is refused, in words for the person on call. Never holds the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{address} is {what}; allow it with POSTRIDER_EGRESS__ALLOW")]
    Address { address: IpAddr, what: &'static str },
    #[error("{address} leads to {carried}, which is {what}; allow it with POSTRIDER_EGRESS__ALLOW")]
    Carried { address: IpAddr, carried: Ipv4Addr, what: &'static str },
    #[error("names under {zone} are local; allow all the name's addresses with POSTRIDER_EGRESS__ALLOW")]
    LocalName { zone: &'static str },
    #[error("the URL is neither http nor https; change its scheme")]
    Scheme,
    #[error("the URL holds a user name or password; move them to the channel's own fields")]
    UserInfo,
}

impl EgressRules {
    /// `allow_networks` with all their ports; `allow_sockets` one port each, for what this process itself listens on.
    pub fn new(allow_networks: Vec<IpNet>, allow_sockets: Vec<SocketAddr>) -> Self {
        Self { allow_networks, allow_sockets: allow_sockets.into_iter().map(canonical).collect() }
    }

    /// No rules at all: for a target that the operator has named.
    pub(super) fn everything() -> Self {
        let all = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        Self { allow_networks: all.to_vec(), allow_sockets: Vec::new() }
    }

    /// The first wall: all that can be said of a URL before its name is resolved.
    pub fn check_url(&self, url: &Url) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        // Both are present in every http URL that parses.
        let (host, port) = url.host().zip(url.port_or_known_default()).ok_or(Refusal::Scheme)?;
        self.check_host(&host, port)
    }

    /// Judges a literal address for good. A name passes unless it is local and no allowance could save it; the addresses
    /// that it resolves to are for [`check_resolved`](Self::check_resolved).
    pub fn check_host(&self, host: &Host<&str>, port: u16) -> Result<(), Refusal> {
        match *host {
            Host::Ipv4(address) => self.check_address(SocketAddr::new(address.into(), port)),
            Host::Ipv6(address) => self.check_address(SocketAddr::new(address.into(), port)),
            Host::Domain(name) => match local_zone(name) {
                Some(zone) if self.allows_nothing() => Err(Refusal::LocalName { zone }),
                _ => Ok(()),
            },
        }
    }

    /// The second wall: every address that `name` resolved to, on every attempt. One bad address refuses the name. A local
    /// name passes only when the operator allowed all its addresses, even where these are public.
    pub fn check_resolved(&self, name: &str, addresses: &[SocketAddr]) -> Result<(), Refusal> {
        if let Some(zone) = local_zone(name)
            && !addresses.iter().all(|address| self.allows(*address))
        {
            return Err(Refusal::LocalName { zone });
        }
        addresses.iter().try_for_each(|address| self.check_address(*address))
    }

    /// Judges one address, by what it carries if it carries another.
    pub fn check_address(&self, target: SocketAddr) -> Result<(), Refusal> {
        if self.allows(target) {
            return Ok(());
        }
        let address = target.ip();
        let what = match address {
            IpAddr::V4(bare) => blocked_v4(bare),
            IpAddr::V6(outer) => match carried_v4(outer) {
                Some(carried) => return self.check_carried(address, carried),
                None => blocked_v6(outer),
            },
        };
        what.map_or(Ok(()), |what| Err(Refusal::Address { address, what }))
    }

    fn check_carried(&self, address: IpAddr, carried: Ipv4Addr) -> Result<(), Refusal> {
        // A gateway's port is not the allowed socket of this machine, so only networks count here.
        if self.allows_network(carried.into()) {
            return Ok(());
        }
        blocked_v4(carried).map_or(Ok(()), |what| Err(Refusal::Carried { address, carried, what }))
    }

    /// Whether the operator named this target.
    fn allows(&self, target: SocketAddr) -> bool {
        let canonical = canonical(target);
        self.allows_network(target.ip())
            || self.allows_network(canonical.ip())
            || self.allow_sockets.contains(&canonical)
    }

    fn allows_network(&self, address: IpAddr) -> bool {
        self.allow_networks.iter().any(|network| network.contains(&address))
    }

    fn allows_nothing(&self) -> bool {
        self.allow_networks.is_empty() && self.allow_sockets.is_empty()
    }
}

/// Zones whose names are for the inside, themselves included. `metadata.google.internal` is in the last.
const LOCAL_ZONES: [&str; 3] = ["localhost", "local", "internal"];

/// In order: the first that contains an address names it.
const BLOCKED_V4: [(Ipv4Net, &str); 16] = [
    (v4([0, 0, 0, 0], 8), "this host (0.0.0.0/8)"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([100, 64, 0, 0], 10), "shared by a carrier (100.64.0.0/10)"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 0, 0, 0], 24), "reserved for protocols (192.0.0.0/24)"),
    (v4([192, 0, 2, 0], 24), "for documentation"),
    (v4([192, 88, 99, 0], 24), "a 6to4 relay"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([198, 18, 0, 0], 15), "for benchmarks (198.18.0.0/15)"),
    (v4([198, 51, 100, 0], 24), "for documentation"),
    (v4([203, 0, 113, 0], 24), "for documentation"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([255, 255, 255, 255], 32), "broadcast"),
    (v4([240, 0, 0, 0], 4), "reserved (240.0.0.0/4)"),
];

const BLOCKED_V6: [(Ipv6Net, &str); 13] = [
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "IPv4-compatible (::/96)"),
    // A local prefix may hold the IPv4 address at any of five places (RFC 6052), so it is refused whole.
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "a local NAT64 address (64:ff9b:1::/48)"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discarded (100::/64)"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "a Teredo address"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "for documentation"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "for documentation"),
    (v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16), "for segment routing (5f00::/16)"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "private (fc00::/7)"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
];

/// Nothing outside it is given out as global unicast, so the rest is refused even where no list names it.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);

/// A v4-mapped address is the same socket as its IPv4 address; flow and scope do not matter here.
fn canonical(socket: SocketAddr) -> SocketAddr {
    SocketAddr::new(socket.ip().to_canonical(), socket.port())
}

fn blocked_v4(address: Ipv4Addr) -> Option<&'static str> {
    BLOCKED_V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, what)| *what)
}

fn blocked_v6(address: Ipv6Addr) -> Option<&'static str> {
    let listed = BLOCKED_V6.iter().find(|(network, _)| network.contains(&address)).map(|(_, what)| *what);
    listed.or_else(|| (!GLOBAL_UNICAST.contains(&address)).then_some("not global unicast"))
}

/// What a v4-mapped or translated address leads to.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    if NAT64.contains(&address) {
        Some(Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]))
    } else if SIX_TO_FOUR.contains(&address) {
        Some(Ipv4Addr::new(octets[2], octets[3], octets[4], octets[5]))
    } else {
        address.to_ipv4_mapped()
    }
}

fn local_zone(name: &str) -> Option<&'static str> {
    let name = name.trim_end_matches('.').as_bytes();
    LOCAL_ZONES.into_iter().find(|zone| {
        let Some(start) = name.len().checked_sub(zone.len()) else { return false };
        name[start..].eq_ignore_ascii_case(zone.as_bytes()) && (start == 0 || name[start - 1] == b'.')
    })
}

const fn v4(o: [u8; 4], prefix_len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(o[0], o[1], o[2], o[3]), prefix_len)
}

const fn v6(s: [u16; 8], prefix_len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix_len)
}
