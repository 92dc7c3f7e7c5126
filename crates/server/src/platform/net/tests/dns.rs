//! What the resolver makes of a name server's answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::dns::{MxAnswer, MxHost};
use super::dns_server::{A, AAAA, DnsServer, MX, Record, Reply};

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

#[tokio::test]
async fn addresses_come_with_ipv4_first() {
    let server = DnsServer::start(|_, kind, _| match kind {
        A => Reply::Records(vec![Record::A(V4)]),
        AAAA => Reply::Records(vec![Record::Aaaa(V6)]),
        _ => Reply::NoData,
    })
    .await;
    let answer = server.resolver().lookup_ip("host.test").await;
    assert_eq!(answer, Ok(vec![IpAddr::V4(V4), IpAddr::V6(V6)]));
}

#[tokio::test]
async fn one_family_is_enough_even_if_the_other_fails() {
    let server = DnsServer::start(|_, kind, _| match kind {
        AAAA => Reply::Records(vec![Record::Aaaa(V6)]),
        _ => Reply::Failure,
    })
    .await;
    let answer = server.resolver().lookup_ip("host.test").await;
    assert_eq!(answer, Ok(vec![IpAddr::V6(V6)]));
}

#[tokio::test]
async fn no_such_name_and_no_address_are_certain() {
    let server = DnsServer::start(|name, _, _| match name {
        "absent.test" => Reply::NoName,
        _ => Reply::NoData,
    })
    .await;
    let dns = server.resolver();
    for name in ["absent.test", "empty.test", "not..a..name", "10.0.0.1."] {
        let error = dns.lookup_ip(name).await.unwrap_err();
        assert!(!error.temporary, "{name}: {error}");
    }
}

#[tokio::test]
async fn server_failure_is_temporary_for_every_kind_of_question() {
    let server = DnsServer::start(|_, _, _| Reply::Failure).await;
    let dns = server.resolver();
    assert!(dns.lookup_ip("host.test").await.unwrap_err().temporary);
    assert!(dns.lookup_mx("host.test", 0).await.unwrap_err().temporary);
    assert!(dns.lookup_txt("host.test").await.unwrap_err().temporary);
}

#[tokio::test]
async fn a_missing_mx_with_a_failing_address_lookup_is_temporary() {
    let server = DnsServer::start(|_, kind, _| match kind {
        MX => Reply::NoData,
        _ => Reply::Failure,
    })
    .await;
    let error = server.resolver().lookup_mx("host.test", 0).await;
    assert!(error.unwrap_err().temporary);
}

#[tokio::test]
async fn silent_name_servers_are_temporary() {
    let server = DnsServer::start(|_, _, _| Reply::Silence).await;
    let dns = server.resolver();
    assert!(dns.lookup_txt("host.test").await.unwrap_err().temporary);
}

#[tokio::test]
async fn mx_hosts_come_by_preference_and_are_shuffled_by_the_seed_inside_one() {
    let server = DnsServer::start(|_, _, _| {
        Reply::Records(vec![
            Record::Mx(20, "Backup.Test."),
            Record::Mx(10, "a.test."),
            Record::Mx(10, "b.test."),
            Record::Mx(10, "c.test."),
            Record::Mx(5, "first.test."),
        ])
    })
    .await;
    let dns = server.resolver();
    let mut middles = Vec::new();
    for seed in 0..40 {
        let hosts = hosts(dns.lookup_mx("many.test", seed).await.unwrap());
        let repeated = dns.lookup_mx("many.test", seed).await.unwrap();
        assert_eq!(repeated, MxAnswer::Hosts(hosts.clone()), "seed {seed}");
        let preferences: Vec<u16> = hosts.iter().map(|host| host.preference).collect();
        assert_eq!(preferences, [5, 10, 10, 10, 20]);
        assert_eq!(hosts[0].name, "first.test");
        assert_eq!(hosts[4].name, "backup.test");
        middles.push(hosts[1].name.clone());
    }
    for name in ["a.test", "b.test", "c.test"] {
        let share = middles.iter().filter(|first| *first == name).count();
        assert!(share >= 5, "{name} came first {share} times of 40");
    }
}

#[tokio::test]
async fn a_null_mx_means_no_mail_but_not_beside_real_hosts() {
    let server = DnsServer::start(|name, _, _| match name {
        "none.test" => Reply::Records(vec![Record::Mx(0, ".")]),
        _ => Reply::Records(vec![Record::Mx(0, "."), Record::Mx(10, "mx.test.")]),
    })
    .await;
    let dns = server.resolver();
    assert_eq!(dns.lookup_mx("none.test", 1).await, Ok(MxAnswer::NullMx));
    let mixed = hosts(dns.lookup_mx("mixed.test", 1).await.unwrap());
    assert_eq!(mixed.len(), 1);
    assert_eq!(mixed[0].name, "mx.test");
}

#[tokio::test]
async fn a_domain_without_mx_stands_for_itself_if_it_has_an_address() {
    let server = DnsServer::start(|name, kind, _| match (name, kind) {
        ("v4.test", A) => Reply::Records(vec![Record::A(V4)]),
        ("v6.test", AAAA) => Reply::Records(vec![Record::Aaaa(V6)]),
        ("absent.test", _) => Reply::NoName,
        _ => Reply::NoData,
    })
    .await;
    let dns = server.resolver();
    let implicit = Ok(MxAnswer::ImplicitAddress);
    assert_eq!(dns.lookup_mx("v4.test", 0).await, implicit);
    assert_eq!(dns.lookup_mx("v6.test", 0).await, implicit);
    let nothing = Ok(MxAnswer::NoSuchDomain);
    assert_eq!(dns.lookup_mx("bare.test", 0).await, nothing);
    assert_eq!(dns.lookup_mx("absent.test", 0).await, nothing);
    assert_eq!(server.asked("absent.test", A), 0);
}

#[tokio::test]
async fn text_records_are_joined_and_their_absence_is_no_error() {
    let server = DnsServer::start(|name, _, _| match name {
        "spf.test" => Reply::Records(vec![Record::Txt(&["v=spf1 ", "-all"]), Record::Txt(&["other"])]),
        "empty.test" => Reply::NoData,
        _ => Reply::NoName,
    })
    .await;
    let dns = server.resolver();
    let mut texts = dns.lookup_txt("spf.test").await.unwrap();
    texts.sort();
    assert_eq!(texts, ["other", "v=spf1 -all"]);
    assert_eq!(dns.lookup_txt("empty.test").await, Ok(vec![]));
    assert_eq!(dns.lookup_txt("absent.test").await, Ok(vec![]));
}

#[tokio::test]
async fn a_name_with_more_addresses_than_can_be_checked_is_refused() {
    let server = DnsServer::start(|_, kind, _| match kind {
        A => Reply::Records((1..=65).map(|n| Record::A(Ipv4Addr::new(192, 0, 2, n))).collect()),
        _ => Reply::NoData,
    })
    .await;
    let error = server.resolver().lookup_ip("many.test").await.unwrap_err();
    assert!(!error.temporary);
}

fn hosts(answer: MxAnswer) -> Vec<MxHost> {
    match answer {
        MxAnswer::Hosts(hosts) => hosts,
        other => unreachable!("expected hosts, got {other:?}"),
    }
}
