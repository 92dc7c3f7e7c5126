//! What `sealwright doctor` says of this host's names, ports and reputation, asked of a name server of another make.

use crate::harness::{Knot, Pairs, base_settings, eventually, run};
use sealwright::clock::Clock;
use sealwright::entry::edge::Authority;
use sealwright::features::returns::{StsMode, StsPolicy};
use sealwright::platform::dev::sink::{Sink, SinkOptions};
use sealwright_mail::address::Domain;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use tempfile::TempDir;

/// The operator's zone: `mail` is as it should be, the others are not.
const OPERATOR: &str = r#"
mail    60 IN A 192.0.2.10
mail    60 IN AAAA 2001:db8::10
noptr   60 IN A 192.0.2.11
stray   60 IN A 192.0.2.12
alias   60 IN A 192.0.2.13
real    60 IN A 192.0.2.13
listed  60 IN A 192.0.2.20
returns 60 IN TXT "v=spf1 a:mail.operator.example -all"
returns 60 IN MX 10 here.operator.example.
here    60 IN A 127.0.0.1
spf.zone    60 IN TXT "v=spf1 include:parts.operator.example -all"
parts       60 IN TXT "v=spf1 ip4:192.0.2.0/28 redirect=more.operator.example"
more        60 IN TXT "v=spf1 ip6:2001:db8::/32 ~all"
bounce.zone 60 IN TXT "v=spf1 mx:returns.operator.example/8 -all"
two     60 IN TXT "v=spf1 -all"
two     60 IN TXT "v=spf1 +all"
two     60 IN MX 10 shut.operator.example.
loop    60 IN TXT "v=spf1 include:loop.operator.example -all"
loop    60 IN MX 10 nowhere.operator.example.
shut    60 IN A 127.0.9.9
"#;

/// One that answers as it should, one that refuses us, one that holds everything.
const LISTS: &str = r#"
2.0.0.127.good 60 IN A 127.0.0.2
20.2.0.192.good 60 IN A 127.0.0.4
20.2.0.192.good 60 IN TXT "spam was seen"
2.0.0.127.refusing 60 IN A 127.255.255.254
*.everything 60 IN A 127.0.0.2
"#;

/// The record of the policy (MTA-STS) that `returns` serves; `two` has it, and another one.
fn announcement() -> String {
    let domain = |name| Domain::parse(name).unwrap();
    let host = domain("returns.operator.example");
    let policy = StsPolicy::new(host, StsMode::Enforce, &[domain("mail.operator.example")]);
    let record = policy.record();
    format!(
        "_mta-sts.returns 60 IN TXT \"{record}\"\n_mta-sts.two 60 IN TXT \"{record}\"\n_mta-sts.two 60 IN TXT \"v=STSv1; id=1;\"\n\
         _smtp._tls.returns 60 IN TXT \"v=TLSRPTv1; rua=mailto:tls-reports@returns.operator.example\"\n\
         _smtp._tls.two 60 IN TXT \"v=TLSRPTv1; rua=mailto:reports@elsewhere.example\"\n"
    )
}

struct Host {
    settings: Pairs,
    sink: Sink,
    _knot: Knot,
    _folder: TempDir,
}

impl Host {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::in_folder(folder.path(), Clock::System.now()).unwrap();
        let sink = Sink::start(SocketAddr::from(([127, 0, 0, 1], 0)), SinkOptions::default()).unwrap();
        let nibbles = "0.".repeat(22);
        let knot = Knot::serve([
            ("", String::new()),
            ("operator.example", format!("{OPERATOR}{}", announcement())),
            ("lists.example", LISTS.to_owned()),
            (
                "2.0.192.in-addr.arpa",
                "10 60 IN PTR mail.operator.example.\n12 60 IN PTR mail.operator.example.\n13 60 IN PTR real.operator.example.\n\
                 20 60 IN PTR listed.operator.example.\n"
                    .to_owned(),
            ),
            (
                "8.b.d.0.1.0.0.2.ip6.arpa",
                format!("0.1.{nibbles} 60 IN PTR mail.operator.example.\n").replace(". 60", " 60"),
            ),
        ]);
        let mut settings = base_settings(folder.path(), &authority, None, None);
        let port = sink.addr().port().to_string();
        for (key, value) in [
            ("net.name_servers", knot.address.to_string()),
            ("delivery.port", port),
            ("delivery.ehlo_name", "mail.operator.example".to_owned()),
        ] {
            set(&mut settings, key, &value);
        }
        let host = Self {
            settings,
            sink,
            _knot: knot,
            _folder: folder,
        };
        eventually("knot answers", async || {
            host.says(&[])
                .contains("ok   the name servers answer")
                .then_some(())
        })
        .await;
        host
    }

    /// What the doctor says with these settings changed.
    fn says(&self, changed: &[(&str, &str)]) -> String {
        let mut settings = self.settings.clone();
        changed
            .iter()
            .for_each(|(key, value)| set(&mut settings, key, value));
        let output = run(&settings, &["doctor"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.success(), !text.contains("BAD "), "{text}");
        text
    }
}

fn set(settings: &mut Pairs, key: &str, value: &str) {
    settings.retain(|(known, _)| known != key);
    settings.push((key.to_owned(), value.to_owned()));
}

#[track_caller]
fn all_in(text: &str, findings: &[&str]) {
    for finding in findings {
        assert!(text.contains(finding), "{finding} is missing in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_lead_there_and_back_are_found_good() {
    let host = Host::start().await;
    let text = host.says(&[
        ("returns.host", "returns.operator.example"),
        ("domains.zone", "zone.operator.example"),
        ("doctor.probe_domain", "returns.operator.example"),
        ("doctor.blocklists", "good.lists.example"),
    ]);
    let port = host.sink.addr().port();
    all_in(
        &text,
        &[
            "ok   delivery.ehlo_name mail.operator.example leads to 192.0.2.10, 2001:db8::10",
            "ok   192.0.2.10 leads to mail.operator.example and back",
            "ok   2001:db8::10 leads to mail.operator.example and back",
            "ok   SPF of returns.operator.example lets 192.0.2.10 send",
            "ok   SPF of returns.operator.example lets 2001:db8::10 send",
            "ok   SPF of spf.zone.operator.example lets 192.0.2.10 send",
            "ok   SPF of spf.zone.operator.example lets 2001:db8::10 send",
            // The MX's own network is another one.
            "BAD  SPF of bounce.zone.operator.example does not let 192.0.2.10 send; add the address",
            &format!("ok   the mail host of returns.operator.example answers on port {port}, without TLS"),
            "ok   bounces to returns.operator.example reach here.operator.example, without TLS",
            "ok   192.0.2.10 is not on good.lists.example",
        ],
    );
    let silent = host.says(&[]);
    all_in(&silent, &["was not tried; set doctor.probe_domain"]);
    assert!(
        !silent.contains("block list") && !silent.contains("SPF of"),
        "{silent}"
    );
    assert_eq!(host.sink.received_count(), 0, "nothing is sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_do_not_are_found_bad_with_what_to_do() {
    let host = Host::start().await;
    for (name, finding) in [
        (
            "none",
            "BAD  delivery.ehlo_name none.operator.example has no address: the name does not exist; publish an A",
        ),
        (
            "noptr",
            "BAD  192.0.2.11 has no PTR record, and many hosts refuse its mail; whoever gave you the address can set it to noptr",
        ),
        (
            "stray",
            "BAD  192.0.2.12 leads to mail.operator.example, which does not lead back to it",
        ),
        (
            "alias",
            "BAD  192.0.2.13 leads to real.operator.example and back, but this host calls itself alias.operator.example",
        ),
    ] {
        let ehlo = format!("{name}.operator.example");
        all_in(&host.says(&[("delivery.ehlo_name", &ehlo)]), &[finding]);
    }
    let elsewhere = host.says(&[
        ("delivery.source_address", "192.0.2.99"),
        ("returns.host", "returns.operator.example"),
    ]);
    all_in(
        &elsewhere,
        &[
            "BAD  delivery.ehlo_name mail.operator.example does not lead to delivery.source_address 192.0.2.99; add the address",
            "BAD  192.0.2.99 has no PTR record",
            "BAD  SPF of returns.operator.example does not let 192.0.2.99 send",
        ],
    );
    for (returns, findings) in [
        (
            "two.operator.example",
            [
                "has more than one record; make one of them",
                "which does not answer",
            ],
        ),
        (
            "loop.operator.example",
            [
                "asks for more than 10 look-ups",
                "find no host: nowhere.operator.example",
            ],
        ),
        (
            "mail.operator.example",
            [
                "BAD  mail.operator.example has no SPF record; publish TXT \"v=spf1 a:mail",
                "BAD  bounces to",
            ],
        ),
    ] {
        let source = [
            ("returns.host", returns),
            ("delivery.source_address", "127.0.0.1"),
        ];
        all_in(&host.says(&source), &findings);
    }
    let text = host.says(&[("doctor.probe_domain", "two.operator.example")]);
    all_in(
        &text,
        &[
            "BAD  the mail host of two.operator.example does not answer on port",
            "set delivery.static_route",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_of_our_own_is_announced_as_it_is_served() {
    let host = Host::start().await;
    for (returns, mode, finding) in [
        (
            "returns",
            "enforce",
            "ok   _mta-sts.returns.operator.example announces the policy that is served",
        ),
        (
            "returns",
            "enforce",
            "ok   _smtp._tls.returns.operator.example asks for TLS reports, which are counted here",
        ),
        (
            "two",
            "testing",
            "BAD  _smtp._tls.two.operator.example asks for TLS reports elsewhere; publish TXT \"v=TLSRPTv1; rua=mailto:tls-reports@two",
        ),
        (
            "mail",
            "none",
            "BAD  _smtp._tls.mail.operator.example asks for no TLS reports; publish TXT \"v=TLSRPTv1; rua=mailto:tls-reports@mail",
        ),
        (
            "returns",
            "testing",
            "BAD  _mta-sts.returns.operator.example announces another policy than is served; publish TXT \"v=STSv1; id=",
        ),
        (
            "two",
            "enforce",
            "BAD  _mta-sts.two.operator.example has more than one policy",
        ),
        (
            "mail",
            "enforce",
            "BAD  _mta-sts.mail.operator.example announces no policy; publish TXT \"v=STSv1; id=",
        ),
        ("returns", "strict", "BAD  setting returns.mta_sts: expected"),
    ] {
        let returns = format!("{returns}.operator.example");
        all_in(
            &host.says(&[("returns.host", &returns), ("returns.mta_sts", mode)]),
            &[finding],
        );
    }
    let without = host.says(&[("returns.host", "returns.operator.example")]);
    assert!(
        !without.contains("_mta-sts") && !without.contains("_smtp._tls"),
        "{without}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn block_lists_are_asked_only_where_their_answers_mean_something() {
    let host = Host::start().await;
    let lists = "good.lists.example,refusing.lists.example,everything.lists.example,gone.lists.example";
    let text = host.says(&[
        ("doctor.blocklists", lists),
        ("delivery.ehlo_name", "listed.operator.example"),
    ]);
    all_in(
        &text,
        &[
            "BAD  192.0.2.20 is on the block list good.lists.example (spam was seen); find out what it sent",
            "BAD  the block list refusing.lists.example can't be asked from here: it does not hold its test entry",
            "BAD  the block list everything.lists.example can't be asked from here: it holds everything",
            "BAD  the block list gone.lists.example can't be asked from here: it does not hold its test entry",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_listener_answers_is_free_or_is_taken() {
    let host = Host::start().await;
    let answers = host.sink.addr().to_string();
    all_in(
        &host.says(&[("smtp.listen", &answers)]),
        &[&format!("ok   smtp.listen answers on {answers}")],
    );
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let finding = format!("ok   nobody serves on smtp.listen {address} yet, and it is free");
    all_in(&host.says(&[("smtp.listen", &address)]), &[&finding]);
    let web = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = web.local_addr().unwrap().to_string();
    // It goes on listening after its one answer, until the thread is joined.
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = web.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        web
    });
    let text = host.says(&[("smtp.listen", &address)]);
    let finding = format!("BAD  smtp.listen {address} is taken by something that is no mail server");
    all_in(&text, &[&finding]);
    drop(answering.join().unwrap());
    let route = [("delivery.static_route", answers.as_str())];
    all_in(
        &host.says(&route),
        &[
            "ok   delivery.static_route answers on port",
            "not this host's to show",
        ],
    );
}
