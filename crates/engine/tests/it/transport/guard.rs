//! The rules alone: every way to write a forbidden target, and what the operator's allowances open.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use engine::transport::{EgressRules, Refusal};
use ipnet::Ipv4Net;
use url::Url;

/// Written out by hand from the registries, not taken from the code.
const BLOCKED_V4: &str = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 \
    192.0.2.0/24 192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 \
    255.255.255.255/32 169.254.169.254/32 169.254.170.2/32 100.100.100.200/32";

/// First and last addresses of the listed networks, and the metadata services.
const BLOCKED_V6: &str = ":: ::1 ::7f00:1 ::8.8.8.8 64:ff9b:1:: 64:ff9b:1:7f00:0:100:: 64:ff9b:1::127.0.0.1 \
    64:ff9b:1:ffff:ffff:ffff:ffff:ffff 2001:: 2001:0:ffff:ffff:ffff:ffff:ffff:ffff 2001:db8:: 2001:db8:ffff::1 3fff:: \
    3fff:fff:ffff::1 100:: 100::ffff:ffff:ffff:ffff 5f00:: 5f00:ffff::1 fc00:: fdff:ffff::1 fe80:: fe80::1 febf:ffff::1 \
    fec0:: feff:ffff::1 ff00:: ff02::1 ffff::1 fd00:ec2::254 fd20:ce::254 ::ffff:0:127.0.0.1 4000::1 64:ff9c::1";

const PUBLIC: &str = "1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 \
    169.253.255.255 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 198.17.255.255 198.20.0.0 223.255.255.255 \
    2000::1 2001:1::1 2001:db7::1 2001:4860:4860::8888 2606:4700::1111 3ffe::1 64:ff9b::8.8.8.8 ::ffff:8.8.8.8 2002:808:808::1";

fn check(rules: &EgressRules, url: &str) -> Result<(), Refusal> {
    rules.check_url(&Url::parse(url).unwrap())
}

fn refusal(url: &str) -> String {
    check(&EgressRules::default(), url).expect_err(url).to_string()
}

/// First, last and one in the middle.
fn samples(network: Ipv4Net) -> [Ipv4Addr; 3] {
    let (first, last) = (u32::from(network.network()), u32::from(network.broadcast()));
    [first, first + (last - first) / 2, last].map(Ipv4Addr::from)
}

/// Every IPv6 address that leads to `v4`.
fn carriers(v4: Ipv4Addr) -> [Ipv6Addr; 4] {
    let bits = u128::from(u32::from(v4));
    [
        v4.to_ipv6_mapped(),
        Ipv6Addr::from_bits(bits),
        Ipv6Addr::from_bits(0x64_ff9b << 96 | bits),
        Ipv6Addr::from_bits(0x2002 << 112 | bits << 80 | 1),
    ]
}

#[test]
fn every_blocked_ipv4_network_is_refused_in_every_form() {
    let rules = EgressRules::default();
    for network in BLOCKED_V4.split_whitespace() {
        for address in samples(network.parse().unwrap()) {
            assert!(rules.check_address(SocketAddr::new(address.into(), 443)).is_err(), "{address}");
            // The decimal, hex and octal of the whole address are all the same to the URL parser.
            let whole = u32::from(address);
            for url in [format!("http://{address}/"), format!("http://{whole}/"), format!("http://{whole:#x}/")] {
                check(&rules, &url).expect_err(&url);
            }
            check(&rules, &format!("http://0{whole:o}/")).expect_err("octal");
            for carrier in carriers(address) {
                assert!(rules.check_address(SocketAddr::new(carrier.into(), 443)).is_err(), "{carrier}");
                check(&rules, &format!("https://[{carrier}]/")).expect_err("as a literal");
            }
        }
    }
}

#[test]
fn every_blocked_ipv6_address_is_refused() {
    for address in BLOCKED_V6.split_whitespace() {
        refusal(&format!("https://[{address}]/"));
    }
}

#[test]
fn public_addresses_pass_up_to_the_edges_of_the_networks() {
    for address in PUBLIC.split_whitespace() {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(EgressRules::default().check_address(SocketAddr::new(address, 443)), Ok(()), "{address}");
    }
}

#[test]
fn the_refusal_names_the_rule() {
    let checks = [
        (
            "http://169.254.169.254/latest/meta-data",
            "169.254.169.254 is link-local; allow it with POSTRIDER_EGRESS__ALLOW",
        ),
        ("http://2130706433/", "127.0.0.1 is loopback; allow it"),
        ("http://0x7f.1/", "127.0.0.1 is loopback; allow it"),
        ("http://0177.0.0.1/", "127.0.0.1 is loopback; allow it"),
        ("http://127.1/", "127.0.0.1 is loopback; allow it"),
        ("http://127.0.0.1./", "127.0.0.1 is loopback; allow it"),
        ("http://%31%32%37.0.0.1/", "127.0.0.1 is loopback; allow it"),
        ("http://１２７.0.0.1/", "127.0.0.1 is loopback; allow it"),
        ("http://0/", "0.0.0.0 is this host (0.0.0.0/8); allow it"),
        ("http://[::1]/", "::1 is loopback; allow it"),
        ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1 leads to 127.0.0.1, which is loopback; allow it"),
        ("http://[64:ff9b::a00:1]/", "64:ff9b::a00:1 leads to 10.0.0.1, which is private; allow it"),
        ("http://[2002:c0a8:101::]/", "2002:c0a8:101:: leads to 192.168.1.1, which is private; allow it"),
        (
            "http://[2001:0:53aa:64c:0:7bfe:f5ff:fffe]/",
            "2001:0:53aa:64c:0:7bfe:f5ff:fffe is a Teredo address; allow it",
        ),
        ("http://LOCALHOST/", "names under localhost are local; allow all the name's addresses"),
        ("http://api.localhost./", "names under localhost are local"),
        ("http://printer.local/", "names under local are local"),
        ("http://metadata.google.internal/", "names under internal are local"),
        ("http://metadata.google.internal./", "names under internal are local"),
        ("http://Vault.Corp.INTERNAL:8200/", "names under internal are local"),
        ("ftp://example.com/", "the URL is neither http nor https"),
        ("file:///etc/passwd", "the URL is neither http nor https"),
        ("https://user:word@example.com/", "the URL holds a user name or password"),
        ("https://user@example.com/", "the URL holds a user name or password"),
    ];
    for (url, expect) in checks {
        let text = refusal(url);
        assert!(text.starts_with(expect), "{url}: {text}");
    }
}

#[test]
fn names_that_only_look_local_pass() {
    for name in ["example.com", "localhost.example.com", "notlocalhost", "mylocal", "internal.example", "local.com"] {
        assert_eq!(check(&EgressRules::default(), &format!("https://{name}/")), Ok(()), "{name}");
    }
}

#[test]
fn an_allowed_network_opens_itself_in_every_form_and_nothing_else() {
    let rules = EgressRules::new(vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()], vec![]);
    for open in ["10.1.2.3", "[::ffff:10.1.2.3]", "[64:ff9b::10.1.2.3]", "[fd00:1::5]", "8.8.8.8"] {
        assert_eq!(check(&rules, &format!("http://{open}:9000/")), Ok(()), "{open}");
    }
    for shut in ["10.2.0.1", "127.0.0.1", "[::10.1.2.3]", "[64:ff9b::10.2.0.1]", "[fd00:2::5]", "169.254.169.254"] {
        check(&rules, &format!("http://{shut}:9000/")).expect_err(shut);
    }
}

#[test]
fn an_allowed_socket_opens_one_port() {
    for socket in ["127.0.0.1:9000", "[::ffff:127.0.0.1]:9000"] {
        let rules = EgressRules::new(vec![], vec![socket.parse().unwrap()]);
        for open in ["127.0.0.1:9000", "[::ffff:127.0.0.1]:9000", "2130706433:9000"] {
            assert_eq!(check(&rules, &format!("http://{open}/")), Ok(()), "{open}");
        }
        for shut in ["127.0.0.1:9001", "127.0.0.1", "127.0.0.2:9000", "[::1]:9000", "[64:ff9b::127.0.0.1]:9000"] {
            check(&rules, &format!("http://{shut}/")).expect_err(shut);
        }
    }
}

#[test]
fn a_local_name_passes_only_when_all_its_addresses_are_allowed() {
    let rules = EgressRules::new(vec!["10.1.0.0/16".parse().unwrap()], vec!["127.0.0.1:9000".parse().unwrap()]);
    let judge = |name: &str, addresses: &[&str]| {
        let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        rules.check_resolved(name, &addresses)
    };
    assert_eq!(check(&rules, "http://vault.internal/"), Ok(()), "left to its addresses");
    for name in ["vault.internal", "Vault.Internal.", "localhost", "nas.local"] {
        assert_eq!(judge(name, &["10.1.0.1:9000"]), Ok(()), "{name}");
        assert_eq!(judge(name, &["10.1.0.1:9000", "127.0.0.1:9000"]), Ok(()), "{name}");
        judge(name, &["10.1.0.1:9000", "10.2.0.1:9000"]).expect_err("one is not allowed");
        judge(name, &["10.1.0.1:9000", "8.8.8.8:9000"]).expect_err("public is not explicitly allowed");
        judge(name, &["127.0.0.1:9001"]).expect_err("another port");
    }
}
