//! The network: the port, names, certificates, and where deliveries may go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use engine::transport::{EgressRules, GuardedHttp, Resolve as _, SystemResolver, TlsRoots};

use super::Finding;
use super::database::Lock;
use crate::cli::client::is_ready;
use crate::config::Config;

pub(super) async fn checks(config: &Config, lock: &Lock, name: &str) -> Vec<Finding> {
    vec![port(config, lock).await, names(name).await, certificates(), egress(config)]
}

async fn port(config: &Config, lock: &Lock) -> Finding {
    const CHECK: &str = "port";
    let listen = config.listen;
    if listen.port() == 0 {
        return Finding::ok(CHECK, format!("{listen}: the system chooses one at each start"));
    }
    let is_taken = match TcpListener::bind(listen) {
        Ok(_) => false,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => true,
        Err(error) => {
            let advice = "set POSTRIDER_LISTEN to an address of this machine and a port that this user may use";
            return Finding::fail(CHECK, format!("{listen}: {error}"), advice);
        }
    };
    let is_running = matches!(lock, Lock::Held(_));
    match (is_taken, is_running) {
        (false, false) => Finding::ok(CHECK, format!("{listen} is free")),
        (false, true) => Finding::warn(
            CHECK,
            format!("the server that runs does not listen on {listen}"),
            "this command has other settings than the server (POSTRIDER_LISTEN), or the server is starting",
        ),
        (true, false) => Finding::fail(
            CHECK,
            format!("{listen} is taken by another program"),
            "stop that program, or set POSTRIDER_LISTEN to a free port",
        ),
        // Its certificate is for a name that others use.
        (true, true) if config.tls.is_some() => Finding::ok(CHECK, format!("the server listens on {listen} with TLS")),
        (true, true) => match is_ready(&format!("http://{}", reachable(listen))).await {
            Ok(()) => Finding::ok(CHECK, format!("the server on {listen} is ready")),
            Err(why) => Finding::fail(CHECK, format!("{listen}: {why}"), "see the server's log"),
        },
    }
}

/// Where something that listens everywhere can be reached from here.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let here: IpAddr = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(here, listen.port())
}

async fn names(name: &str) -> Finding {
    const CHECK: &str = "names (DNS)";
    match SystemResolver.resolve(name, 443).await {
        Ok(addresses) if !addresses.is_empty() => Finding::ok(
            CHECK,
            format!("{name} is {}", addresses.first().map_or(String::new(), |it| it.ip().to_string())),
        ),
        Ok(_) => Finding::warn(CHECK, format!("{name} has no address"), "try another name with --resolve"),
        Err(error) => Finding::warn(
            CHECK,
            format!("{name} cannot be looked up: {error}"),
            "mend the name servers of this machine, or try a name with --resolve that it should know",
        ),
    }
}

fn certificates() -> Finding {
    const CHECK: &str = "certificates (TLS)";
    match GuardedHttp::new(EgressRules::default(), TlsRoots::system()) {
        Ok(_) => Finding::ok(CHECK, "the system's root certificates can be read"),
        Err(error) => Finding::fail(CHECK, error.to_string(), "no https receiver can be reached before that"),
    }
}

fn egress(config: &Config) -> Finding {
    const CHECK: &str = "egress";
    if config.egress_allow.is_empty() {
        return Finding::ok(CHECK, "deliveries may go to the public internet only");
    }
    let networks: Vec<String> = config.egress_allow.iter().map(ToString::to_string).collect();
    let detail = format!("deliveries may go to the public internet and to {}", networks.join(", "));
    if config.egress_allow.iter().any(|network| network.prefix_len() == 0) {
        let advice =
            "POSTRIDER_EGRESS__ALLOW lets tenants reach everything inside: name the networks of your receivers";
        return Finding::warn(CHECK, detail, advice);
    }
    Finding::ok(CHECK, detail)
}
