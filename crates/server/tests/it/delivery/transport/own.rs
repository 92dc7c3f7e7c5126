//! Our own host's policy (MTA-STS), as another installation finds and keeps it.

use super::super::standing_clock;
use super::{Identity, authority, identity, mail_host};
use crate::edge::answer;
use crate::harness::{DNS_A, DNS_MX, DNS_TXT};
use crate::harness::{Engine, House, NameServer, Said, Setup, on_both_engines};
use sealwright::app;
use sealwright::platform::dev::sink::SinkScript;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use tokio::io::AsyncWriteExt as _;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const DOMAIN: &str = "return.house.example";
const MX: &str = "mx.house.example";

/// A house with a policy for its host of return paths.
async fn promising(engine: Engine, mode: &str, exchangers: &str, shown: &Identity, folder: &Path) -> House {
    let files = shown.files(folder);
    Setup::new(engine)
        .set("returns.host", DOMAIN)
        .set("returns.mta_sts", mode)
        .set("returns.exchangers", exchangers)
        .set("server.tls_cert", files.cert.display().to_string())
        .set("server.tls_key", files.key.display().to_string())
        .set("net.extra_ca", files.ca_cert.display().to_string())
        .start()
        .await
}

on_both_engines! {
    async fn who_sends_to_our_host_enforces_what_we_publish(engine: Engine) {
        let issuer = authority();
        let web = identity(&issuer, &["mta-sts.return.house.example"], false);
        let exchanger = identity(&issuer, &[MX], false);
        let folder = tempfile::tempdir().unwrap();
        let ca_cert = web.files(folder.path()).ca_cert.display().to_string();
        for (mode, exchangers, status, told) in [
            ("enforce", "mx2.house.example,mx.house.example", "delivered", "pkix"),
            ("enforce", "", "deferred", "4.7.5 the domain's policy (MTA-STS) does not name"),
            ("testing", "", "delivered", "opportunistic"),
            ("none", "", "delivered", "opportunistic"),
        ] {
            let ours = promising(engine, mode, exchangers, &web, folder.path()).await;
            let policy = app::sts_policy(&ours.config).unwrap().unwrap();
            let names = NameServer::start(move |name, kind| match (name, kind) {
                (DOMAIN, DNS_MX) => Said::Hosts(vec![(10, MX.to_owned())]),
                (MX, DNS_A) => Said::Addresses(vec![HERE]),
                (name, DNS_A) if name == policy.served_at() => Said::Addresses(vec![HERE]),
                (name, DNS_TXT) if name == policy.record_name() => Said::Text(policy.record()),
                _ => Said::Nothing,
            });
            let names = names.await;
            let sink = mail_host(SocketAddr::from((HERE, 0)), Some(&exchanger), SinkScript::default());
            let theirs = Setup::new(engine)
                .unrouted()
                .clock(&standing_clock())
                .set("delivery.port", sink.addr().port().to_string())
                .set("net.name_servers", names.address.to_string())
                .set("net.mta_sts_port", ours.address().port().to_string())
                .set("net.extra_ca", ca_cert.clone())
                .start()
                .await;
            let id = theirs.accepted(&theirs.email(&format!("ada@{DOMAIN}"))).await;
            theirs.reaches(&id, status).await;
            let fetched = theirs.platform.metrics.render();
            assert!(fetched.contains("sealwright_sts_policies_total{kind=\"fetched\"} 1"), "{mode} {exchangers}");
            if status == "delivered" {
                assert_eq!(theirs.guaranteed(&id).await, told, "{mode} {exchangers}");
            } else {
                let reason = theirs.waits_because(&id).await;
                assert!(reason.starts_with(told), "{mode} {exchangers}: {reason}");
            }
        }
    }

    async fn a_policy_is_served_under_its_own_name_only(engine: Engine) {
        let with = Setup::new(engine).set("returns.host", DOMAIN).set("returns.mta_sts", "enforce").start().await;
        let without = Setup::new(engine).set("returns.host", DOMAIN).start().await;
        for (house, host, status) in [
            (&with, "mta-sts.return.house.example", "200"),
            (&with, "MTA-STS.Return.House.example:443", "200"),
            (&with, "return.house.example", "404"),
            (&with, "localhost", "404"),
            (&without, "mta-sts.return.house.example", "404"),
        ] {
            let mut stream = house.client.connect("http/1.1").await;
            let request = format!("GET /.well-known/mta-sts.txt HTTP/1.1\r\nhost: {host}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let told = answer(&mut stream).await.unwrap();
            assert_eq!(told.status(), status, "{host}");
        }
    }
}

#[test]
fn a_policy_that_names_no_host_or_no_mode_is_refused_at_start() {
    let with = |pairs: &[(&str, &str)]| {
        let settings = sealwright::config::Settings::default();
        let settings = pairs.iter().fold(settings, |settings, (key, value)| {
            settings.with(key, (*value).to_owned()).unwrap()
        });
        let found = app::sts_policy(&settings.config().unwrap());
        found
            .map(|policy| policy.is_some())
            .map_err(|error| error.to_string())
    };
    let host = ("returns.host", DOMAIN);
    let name = ("delivery.ehlo_name", "out.house.example");
    assert_eq!(with(&[host, name]), Ok(false));
    assert_eq!(with(&[host, name, ("returns.mta_sts", "none")]), Ok(true));
    for (pairs, told) in [
        (&[name, ("returns.mta_sts", "enforce")][..], "set returns.host"),
        (
            &[host, name, ("returns.mta_sts", "strict")][..],
            "returns.mta_sts: expected enforce",
        ),
        (
            &[
                host,
                ("returns.mta_sts", "enforce"),
                ("returns.exchangers", "not a name"),
            ][..],
            "returns.exchangers: ",
        ),
    ] {
        let refused = with(pairs).unwrap_err();
        assert!(refused.contains(told), "{refused}");
    }
}
