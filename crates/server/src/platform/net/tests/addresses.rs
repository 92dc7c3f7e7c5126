//! Which addresses may be connected to.

use std::net::IpAddr;

use super::super::guard::Guard;

/// Refused by everyone, whatever the way they are written in DNS records.
const HOSTILE: &[&str] = &[
    // IPv4, the special-purpose registry and its edges
    "0.0.0.0",
    "0.1.2.3",
    "0.255.255.255",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.17.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.254",
    "255.255.255.255",
    // IPv6 that means this machine or this network
    "::",
    "::1",
    "::2",
    "100::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff02::1",
    "ff0e::1",
    // IPv4 inside IPv6: compatible, mapped, translated, NAT64, 6to4, Teredo, ISATAP
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:ffff:ffff:ffff:7f00:1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2001::1",
    "2001:0:53aa:64c::80ff:fffe",
    "2606:4700::5efe:127.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "fe80::5efe:192.168.0.1",
    // other special IPv6
    "64:ff9b:2::1",
    "2001:1::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2620:4f:8000::1",
    "3ffe::1",
    "3fff::1",
    "3fff:fff:ffff::1",
    "4000::1",
    "5f00::1",
    "8000::1",
    "e000::1",
];

/// Just outside the ranges above, and some well-known public servers.
const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700:4700::1111",
    "2620:4f:8001::1",
    "2a00:1450:4001:800::2003",
    "3ffd:ffff::1",
];

#[test]
fn every_special_purpose_address_is_refused() {
    let guard = Guard::public_only();
    for text in HOSTILE {
        assert!(guard.check(ip(text)).is_err(), "{text} must be refused");
    }
    assert!(HOSTILE.len() >= 80);
}

#[test]
fn public_addresses_are_allowed_up_to_the_edges() {
    let guard = Guard::public_only();
    for text in PUBLIC {
        assert_eq!(guard.check(ip(text)), Ok(()), "{text} must be allowed");
    }
}

#[test]
fn one_bad_address_refuses_the_whole_answer() {
    let guard = Guard::public_only();
    let answer = [ip("1.1.1.1"), ip("10.0.0.1"), ip("8.8.8.8")];
    assert!(guard.check_all(&answer).is_err());
    assert!(guard.check_all(&answer[..1]).is_ok());
    assert!(guard.check_all(&[]).is_ok());
}

#[test]
fn allowed_networks_open_what_they_name_and_nothing_beside() {
    let guard = Guard::with_allowed(vec!["10.1.0.0/16".parse().unwrap()]);
    assert!(guard.check(ip("10.1.2.3")).is_ok());
    assert!(guard.check(ip("10.2.0.1")).is_err());
    assert!(guard.check(ip("127.0.0.1")).is_err());
    assert!(guard.check(ip("1.1.1.1")).is_ok());
}

#[test]
fn embedded_ipv4_stays_refused_even_when_everything_is_allowed() {
    let everything = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let guard = Guard::with_allowed(everything);
    assert!(guard.check(ip("::1")).is_ok());
    for text in [
        "::ffff:10.0.0.1",
        "64:ff9b::1.1.1.1",
        "2002:a00:1::",
        "2606::5efe:1.1.1.1",
    ] {
        assert!(guard.check(ip(text)).is_err(), "{text} must be refused");
    }
}

#[test]
fn our_own_public_addresses_are_refused_unless_allowed_by_name() {
    let own = vec![ip("1.1.1.1")];
    let guard = Guard::public_only().with_own_addresses(own.clone());
    assert!(guard.check(ip("1.1.1.1")).is_err());
    assert!(guard.check(ip("1.1.1.2")).is_ok());
    let guard = Guard::with_allowed(vec!["1.1.1.1/32".parse().unwrap()]).with_own_addresses(own);
    assert!(guard.check(ip("1.1.1.1")).is_ok());
}

#[test]
fn a_refusal_tells_the_operator_the_range_and_the_customer_nothing() {
    let refused = Guard::public_only().check(ip("169.254.169.254")).unwrap_err();
    assert_eq!(refused.range(), "link-local and instance metadata");
    assert!(!refused.to_string().contains("link-local"));
    assert!(!refused.to_string().contains("169"));
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}
