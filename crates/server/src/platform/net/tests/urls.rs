//! Which URLs are taken, and in which one notation they come out.

use super::super::url::{HttpsUrl, URL_BYTES_MAX, UrlRefused, UrlRules};

/// What comes in and why it stays out.
const REFUSED: &[(&str, UrlRefused)] = &[
    ("", UrlRefused::Scheme),
    ("hooks.example", UrlRefused::Scheme),
    ("//hooks.example/", UrlRefused::Scheme),
    ("https:/hooks.example/", UrlRefused::Scheme),
    ("https:hooks.example", UrlRefused::Scheme),
    ("http://hooks.example/", UrlRefused::Scheme),
    ("http://localhost/", UrlRefused::Scheme),
    ("ftp://hooks.example/", UrlRefused::Scheme),
    ("file:///etc/passwd", UrlRefused::Scheme),
    ("gopher://hooks.example/_x", UrlRefused::Scheme),
    ("javascript://hooks.example/", UrlRefused::Scheme),
    ("httpss://hooks.example/", UrlRefused::Scheme),
    ("https://", UrlRefused::NoHost),
    ("https:///path", UrlRefused::NoHost),
    ("https://:443/", UrlRefused::NoHost),
    ("https://?q", UrlRefused::NoHost),
    ("https://user@hooks.example/", UrlRefused::UserInfo),
    ("https://user:secret@hooks.example/", UrlRefused::UserInfo),
    ("https://hooks.example@10.0.0.1/", UrlRefused::UserInfo),
    ("https://@hooks.example/", UrlRefused::UserInfo),
    ("https://a@b@hooks.example/", UrlRefused::UserInfo),
    ("https://hooks.example:secret@evil.example/", UrlRefused::UserInfo),
    // addresses in notations that only some parsers read
    ("https://127.1/", UrlRefused::IpNotation),
    ("https://127.0.1/", UrlRefused::IpNotation),
    ("https://2130706433/", UrlRefused::IpNotation),
    ("https://0x7f000001/", UrlRefused::IpNotation),
    ("https://0x7f.1/", UrlRefused::IpNotation),
    ("https://0X7F.0X1/", UrlRefused::IpNotation),
    ("https://0x7f.0x0.0x0.0x1/", UrlRefused::IpNotation),
    ("https://017700000001/", UrlRefused::IpNotation),
    ("https://0177.0.0.1/", UrlRefused::IpNotation),
    ("https://127.0.0.01/", UrlRefused::IpNotation),
    ("https://127.0.0.1./", UrlRefused::IpNotation),
    ("https://127.0.0.256/", UrlRefused::IpNotation),
    ("https://1.2.3.4.5/", UrlRefused::IpNotation),
    ("https://0/", UrlRefused::IpNotation),
    ("https://0x/", UrlRefused::IpNotation),
    ("https://hooks.example.0x7f/", UrlRefused::IpNotation),
    ("https://[::1/", UrlRefused::IpNotation),
    ("https://[0:0:0:0:0:0:0:1]/", UrlRefused::IpNotation),
    ("https://[::0001]/", UrlRefused::IpNotation),
    ("https://[::ffff:7f00:1]/", UrlRefused::IpNotation),
    ("https://[fe80::1%25eth0]/", UrlRefused::IpNotation),
    ("https://[v1.x]/", UrlRefused::IpNotation),
    ("https://[127.0.0.1]/", UrlRefused::IpNotation),
    ("https://[]/", UrlRefused::IpNotation),
    ("https://[::1]x/", UrlRefused::IpNotation),
    ("https://[::1]x:443/", UrlRefused::IpNotation),
    ("https://[[::1]]/", UrlRefused::IpNotation),
    // names
    ("https://hooks.example./", UrlRefused::HostName),
    ("https://hooks..example/", UrlRefused::HostName),
    ("https://.hooks.example/", UrlRefused::HostName),
    ("https://-hooks.example/", UrlRefused::HostName),
    ("https://hooks-.example/", UrlRefused::HostName),
    ("https://hooks%2eexample/", UrlRefused::HostName),
    ("https://%31%32%37.0.0.%31.example/", UrlRefused::HostName),
    ("https://hooks.example%00.evil.example/", UrlRefused::HostName),
    ("https://hooks;evil.example/", UrlRefused::HostName),
    ("https://a,b.example/", UrlRefused::HostName),
    ("https://*.example/", UrlRefused::HostName),
    ("https://::1/", UrlRefused::NoHost),
    ("https://h::1/", UrlRefused::Port),
    // bytes
    ("https://１２７.0.0.1/", UrlRefused::Character),
    ("https://ｈooks.example/", UrlRefused::Character),
    ("https://127。0。0。1/", UrlRefused::Character),
    ("https://bücher.example/", UrlRefused::Character),
    ("https://hooks.example\\@evil.example/", UrlRefused::Character),
    ("https:\\\\hooks.example/", UrlRefused::Character),
    ("https://hooks.example/a b", UrlRefused::Character),
    (" https://hooks.example/", UrlRefused::Character),
    (
        "https://hooks.example/\r\nHost: evil.example",
        UrlRefused::Character,
    ),
    ("https://hooks.example/\t", UrlRefused::Character),
    ("https://hooks.example/\0", UrlRefused::Character),
    ("https://hooks.example/\u{7f}", UrlRefused::Character),
    ("https://hooks.example/é", UrlRefused::Character),
    ("https://hooks.example/<script>", UrlRefused::Character),
    ("https://hooks.example/\"", UrlRefused::Character),
    ("https://hooks.example/{id}", UrlRefused::Character),
    ("https://hooks.example/#\n", UrlRefused::Character),
    ("https://hooks.example/%", UrlRefused::PercentEncoding),
    ("https://hooks.example/%1", UrlRefused::PercentEncoding),
    ("https://hooks.example/%zz", UrlRefused::PercentEncoding),
    ("https://hooks.example/?%%20", UrlRefused::PercentEncoding),
    // ports
    ("https://hooks.example:/", UrlRefused::Port),
    ("https://hooks.example:0/", UrlRefused::Port),
    ("https://hooks.example:22/", UrlRefused::Port),
    ("https://hooks.example:25/", UrlRefused::Port),
    ("https://hooks.example:80/", UrlRefused::Port),
    ("https://hooks.example:1023/", UrlRefused::Port),
    ("https://hooks.example:65536/", UrlRefused::Port),
    ("https://hooks.example:99999999999/", UrlRefused::Port),
    ("https://hooks.example:0443/", UrlRefused::Port),
    ("https://hooks.example:+443/", UrlRefused::Port),
    ("https://hooks.example:-1/", UrlRefused::Port),
    ("https://hooks.example:443:443/", UrlRefused::Port),
    ("https://hooks.example:443evil/", UrlRefused::Port),
    ("https://localhost:22/", UrlRefused::Port),
];

/// What comes in and how it comes out.
const TAKEN: &[(&str, &str)] = &[
    ("https://hooks.example", "https://hooks.example/"),
    ("https://hooks.example/", "https://hooks.example/"),
    ("HTTPS://Hooks.EXAMPLE/Path", "https://hooks.example/Path"),
    ("https://hooks.example:443/a", "https://hooks.example/a"),
    ("https://hooks.example:8443/a", "https://hooks.example:8443/a"),
    ("https://hooks.example:1024/", "https://hooks.example:1024/"),
    ("https://hooks.example:65535/", "https://hooks.example:65535/"),
    ("https://hooks.example?a=b", "https://hooks.example/?a=b"),
    (
        "https://hooks.example/a?b=c&d=%20#top",
        "https://hooks.example/a?b=c&d=%20",
    ),
    (
        "https://hooks.example#https://evil.example",
        "https://hooks.example/",
    ),
    ("https://hooks.example/@x:y", "https://hooks.example/@x:y"),
    (
        "https://hooks.example/?u=https://user@x/",
        "https://hooks.example/?u=https://user@x/",
    ),
    ("https://hooks.example//..//a", "https://hooks.example//..//a"),
    ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
    ("https://a_b.example/", "https://a_b.example/"),
    ("https://1.example/", "https://1.example/"),
    ("https://0x7f.example/", "https://0x7f.example/"),
    ("https://1.1.1.1/", "https://1.1.1.1/"),
    ("https://10.0.0.1:8443/", "https://10.0.0.1:8443/"),
    (
        "https://[2606:4700:4700::1111]/",
        "https://[2606:4700:4700::1111]/",
    ),
    (
        "https://[2606:4700::AbCd]:8443/x",
        "https://[2606:4700::abcd]:8443/x",
    ),
];

#[test]
fn every_ambiguous_or_foreign_url_is_refused_for_its_reason() {
    for (text, reason) in REFUSED {
        let refused = HttpsUrl::parse(text).map(|url| url.as_str().to_owned());
        assert_eq!(refused, Err(*reason), "{text:?}");
    }
    assert!(REFUSED.len() >= 80);
}

#[test]
fn plain_urls_are_taken_in_one_notation() {
    for (text, expected) in TAKEN {
        let url = HttpsUrl::parse(text).expect(text);
        assert_eq!(url.as_str(), *expected);
        let again = HttpsUrl::parse(url.as_str()).unwrap();
        assert_eq!(again, url, "{text:?} is not stable");
    }
}

#[test]
fn plain_http_is_for_loopback_in_development_only() {
    let rules = UrlRules {
        allow_plain_loopback: true,
    };
    for text in [
        "http://localhost:3000/hook",
        "http://app.localhost/",
        "http://127.0.0.1/",
        "http://127.9.9.9:80/",
        "http://[::1]:81/",
        "https://localhost:444/",
    ] {
        assert!(HttpsUrl::parse_with(text, rules).is_ok(), "{text}");
    }
    for (text, reason) in [
        ("http://hooks.example/", UrlRefused::Scheme),
        ("http://10.0.0.1/", UrlRefused::Scheme),
        ("http://localhost.example/", UrlRefused::Scheme),
        ("http://notlocalhost/", UrlRefused::Scheme),
        ("http://127.0.0.1.example/", UrlRefused::Scheme),
        ("https://hooks.example:22/", UrlRefused::Port),
    ] {
        let refused = HttpsUrl::parse_with(text, rules).map(|_| ());
        assert_eq!(refused, Err(reason), "{text}");
    }
}

#[test]
fn lengths_are_limited_to_the_byte() {
    let url = |path: usize| format!("https://a.example/{}", "x".repeat(path));
    let fits = URL_BYTES_MAX - url(0).len();
    assert!(HttpsUrl::parse(&url(fits)).is_ok());
    assert_eq!(
        HttpsUrl::parse(&url(fits + 1)).map(|_| ()),
        Err(UrlRefused::TooLong)
    );
    let label = |bytes: usize| format!("https://{}.example/", "a".repeat(bytes));
    assert!(HttpsUrl::parse(&label(63)).is_ok());
    assert!(HttpsUrl::parse(&label(64)).is_err());
    let long_name = format!("https://{}example/", "a.".repeat(124));
    assert!(HttpsUrl::parse(&long_name).is_err());
}

#[test]
fn neither_refusals_nor_debug_repeat_what_may_be_secret() {
    let refused = HttpsUrl::parse("https://user:hunter2@hooks.example/").unwrap_err();
    assert!(!refused.to_string().contains("hunter2"));
    let url = HttpsUrl::parse("https://hooks.example/services/T0KEN?k=s3cret").unwrap();
    let debug = format!("{url:?}");
    assert!(debug.contains("hooks.example"));
    assert!(!debug.contains("T0KEN") && !debug.contains("s3cret"));
    assert_eq!(url.origin(), "https://hooks.example");
}
