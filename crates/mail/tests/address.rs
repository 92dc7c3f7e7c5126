//! Addresses, domains and mailboxes as callers meet them.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use proptest::prelude::*;
use sealwright_mail::address::{Address, AddressError, DisplayName, Domain, Mailbox};

fn domain(input: &str) -> Result<String, AddressError> {
    Domain::parse(input).map(|domain| domain.as_str().to_owned())
}

fn address(input: &str) -> Result<String, AddressError> {
    Address::parse(input).map(|address| address.as_str().to_owned())
}

#[test]
fn domains_become_lower_case_a_labels() {
    for (input, expected) in [
        ("Example.COM", "example.com"),
        ("mail-1.a.example", "mail-1.a.example"),
        ("B\u{fc}cher.example", "xn--bcher-kva.example"),
        ("bu\u{308}cher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        // Non-transitional: the sharp s stays itself.
        ("stra\u{df}e.example", "xn--strae-oqa.example"),
        (
            "\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}",
            "xn--r8jz45g.xn--zckzah",
        ),
        ("example\u{3002}com", "example.com"),
        ("r3---sn-a5m7.example", "r3---sn-a5m7.example"),
        ("3com.example", "3com.example"),
    ] {
        assert_eq!(domain(input).as_deref(), Ok(expected), "{input}");
    }
}

#[test]
fn what_is_no_host_name_is_refused() {
    use AddressError as E;
    let label_64 = format!("{}.example", "a".repeat(64));
    let name_254 = format!("{}abcdefgh.example", "a1.".repeat(80)).replacen("a1", "a", 2);
    assert_eq!(name_254.len(), 254);
    for (input, expected) in [
        ("", E::DomainSyntax),
        (".", E::DomainSyntax),
        ("example.com.", E::DomainSyntax),
        (".example.com", E::DomainSyntax),
        ("a..example", E::DomainSyntax),
        ("-a.example", E::DomainSyntax),
        ("a-.example", E::DomainSyntax),
        ("a_b.example", E::DomainSyntax),
        ("a b.example", E::DomainSyntax),
        ("a\r\n.example", E::DomainSyntax),
        ("a\0.example", E::DomainSyntax),
        ("a@b.example", E::DomainSyntax),
        ("localhost", E::DomainSingleLabel),
        (label_64.as_str(), E::DomainTooLong),
        (name_254.as_str(), E::DomainTooLong),
        ("192.0.2.1", E::IpLiteral),
        ("\u{ff11}92.0.2.1", E::IpLiteral),
        ("a.0x7f", E::IpLiteral),
        ("[192.0.2.1]", E::IpLiteral),
        ("[IPv6:2001:db8::1]", E::IpLiteral),
        ("2001:db8::1", E::IpLiteral),
        // Punycode of plain ASCII, of nothing, of what mapping would change, and no punycode at all.
        ("xn--0049.example", E::Idna),
        ("xn--.example", E::Idna),
        ("xn--a-.example", E::Idna),
        ("xn--example-.com", E::Idna),
        ("xn--bcher-Kva9999999.example", E::Idna),
        ("xn--53h.xn--ls8h=.example", E::Idna),
        ("a\u{2100}b.example", E::Idna),
        ("a\u{ff20}b.example", E::Idna),
        ("\u{202e}a.example", E::Idna),
        ("\u{fffd}.example", E::Idna),
    ] {
        assert_eq!(domain(input), Err(expected), "{input:?}");
    }
}

#[test]
fn addresses_are_kept_in_their_simplest_wire_form() {
    for (input, expected) in [
        ("jane@example.com", "jane@example.com"),
        ("Jane.Doe+tag@Example.COM", "Jane.Doe+tag@example.com"),
        ("\"jane\"@example.com", "jane@example.com"),
        ("\"ja\\ne\"@example.com", "jane@example.com"),
        ("\"jane doe\"@example.com", "\"jane doe\"@example.com"),
        ("\"a@b\"@example.com", "\"a@b\"@example.com"),
        ("\"a\\\"b\\\\\"@example.com", "\"a\\\"b\\\\\"@example.com"),
        (
            "!#$%&'*+-/=?^_`{|}~@example.com",
            "!#$%&'*+-/=?^_`{|}~@example.com",
        ),
        ("a@b\u{fc}cher.example", "a@xn--bcher-kva.example"),
        ("\u{7528}\u{6237}@example.com", "\u{7528}\u{6237}@example.com"),
    ] {
        assert_eq!(address(input).as_deref(), Ok(expected), "{input}");
    }
    assert!(Address::parse("a@b\u{fc}cher.example").unwrap().is_ascii());
    assert!(!Address::parse("\u{fc}@example.com").unwrap().is_ascii());
    assert_eq!(Address::parse("\"a@b\"@example.com").unwrap().local(), "\"a@b\"");
}

#[test]
fn what_is_no_address_is_refused() {
    use AddressError as E;
    let local_65 = format!("{}@example.com", "a".repeat(65));
    let long_domain = format!("{}.example", vec!["a".repeat(60); 4].join("."));
    let too_long = format!("{}@{long_domain}", "a".repeat(10));
    let enormous = format!("{}@example.com", "a".repeat(1 << 20));
    for (input, expected) in [
        ("", E::Empty),
        ("jane", E::Incomplete),
        ("@example.com", E::Incomplete),
        ("jane@", E::Incomplete),
        ("\"\"@example.com", E::Incomplete),
        ("\"jane\"example.com", E::Incomplete),
        ("\"jane@example.com", E::LocalSyntax),
        ("a b@example.com", E::LocalSyntax),
        (".a@example.com", E::LocalSyntax),
        ("a.@example.com", E::LocalSyntax),
        ("a..b@example.com", E::LocalSyntax),
        ("a@b@example.com", E::LocalSyntax),
        ("a(comment)@example.com", E::LocalSyntax),
        ("<a@example.com>", E::LocalSyntax),
        ("@relay.example:a@example.com", E::LocalSyntax),
        ("a,b@example.com", E::LocalSyntax),
        ("a\r\nBcc: v@example.net@example.com", E::LocalSyntax),
        ("\"a\r\nRCPT TO:<v@x.example>\"@example.com", E::LocalSyntax),
        ("\"a\0\"@example.com", E::LocalSyntax),
        ("\"a\tb\"@example.com", E::LocalSyntax),
        ("a\u{85}@example.com", E::LocalSyntax),
        ("a\u{2028}@example.com", E::LocalSyntax),
        ("a\u{200b}@example.com", E::LocalSyntax),
        ("a\u{202e}@example.com", E::LocalSyntax),
        ("a\u{a0}b@example.com", E::LocalSyntax),
        ("a@example.com\r\n", E::DomainSyntax),
        ("a@example.com ", E::DomainSyntax),
        ("a@example.com>\r\nRCPT TO:<v@x.example", E::LocalSyntax),
        ("a@[192.0.2.1]", E::IpLiteral),
        ("a@192.0.2.1", E::IpLiteral),
        ("a@localhost", E::DomainSingleLabel),
        ("=?utf-8?q?victim=40example.net=3e?=@example.com", E::EncodedWord),
        ("\"=?utf-8?q?a=40b?=\"@example.com", E::EncodedWord),
        ("x=?utf-8?b?QQ?=y@example.com", E::EncodedWord),
        (local_65.as_str(), E::LocalTooLong),
        (too_long.as_str(), E::TooLong),
        (enormous.as_str(), E::TooLong),
    ] {
        assert_eq!(
            address(input),
            Err(expected),
            "{:?}",
            input.get(..60).unwrap_or(input)
        );
    }
}

#[test]
fn canonical_form_ignores_case_and_needless_quotes() {
    let canonical = |input: &str| Address::parse(input).unwrap().canonical();
    assert_eq!(canonical("Jane@Example.com"), canonical("\"jAnE\"@EXAMPLE.COM"));
    assert_eq!(canonical("\u{c4}@example.com"), canonical("\u{e4}@example.com"));
    // All three sigmas are one letter.
    assert_eq!(
        canonical("\u{39f}\u{3a3}@example.com"),
        canonical("\u{3bf}\u{3c2}@example.com")
    );
    assert_ne!(canonical("\"a b\"@example.com"), canonical("ab@example.com"));
}

#[test]
fn mailboxes_are_read_in_the_forms_people_write() {
    for (input, name, address) in [
        ("a@b.example", None, "a@b.example"),
        (" <a@b.example> ", None, "a@b.example"),
        ("\"\" <a@b.example>", None, "a@b.example"),
        ("Jane Doe <a@b.example>", Some("Jane Doe"), "a@b.example"),
        ("Jane Doe<a@b.example>", Some("Jane Doe"), "a@b.example"),
        ("\"Doe, J\" <a@b.example>", Some("Doe, J"), "a@b.example"),
        (
            "\"Doe \\\"J\\\" \\\\\"\t<a@b.example>",
            Some("Doe \"J\" \\"),
            "a@b.example",
        ),
        (
            "\"a <x@y.example>\" <a@b.example>",
            Some("a <x@y.example>"),
            "a@b.example",
        ),
        (
            "J. O'Doe (Sales) <a@b.example>",
            Some("J. O'Doe (Sales)"),
            "a@b.example",
        ),
        ("J\u{fc}rgen <a@b.example>", Some("J\u{fc}rgen"), "a@b.example"),
        ("\"a b\"@c.example", None, "\"a b\"@c.example"),
        ("N <\"a>b\"@c.example>", Some("N"), "\"a>b\"@c.example"),
    ] {
        let mailbox = Mailbox::parse(input).unwrap();
        assert_eq!(mailbox.name.as_ref().map(DisplayName::as_str), name, "{input}");
        assert_eq!(mailbox.address.as_str(), address, "{input}");
        assert!(
            Mailbox::parse(&mailbox.to_display_string()).unwrap() == mailbox,
            "{input}"
        );
    }
}

#[test]
fn lists_and_injections_are_no_mailbox() {
    use AddressError as E;
    for (input, expected) in [
        ("", E::Empty),
        ("Jane <>", E::Empty),
        ("Jane a@b.example>", E::MailboxSyntax),
        ("\"Jane <a@b.example>", E::MailboxSyntax),
        ("\"Jane\" Doe <a@b.example>", E::MailboxSyntax),
        ("a@b.example, Bob <c@d.example>", E::MailboxSyntax),
        ("a@b.example <c@d.example>", E::MailboxSyntax),
        ("Jane <a@b.example> <c@d.example>", E::LocalSyntax),
        ("Jane <a@b.example", E::LocalSyntax),
        ("Jane\r\nBcc: v@x.example <a@b.example>", E::MailboxSyntax),
        ("Jane\r\nX: y <a@b.example>", E::NameCharacter),
        ("\"Jane\r\nBcc: v@x.example\" <a@b.example>", E::NameCharacter),
        ("Jane\u{85}<a@b.example>", E::NameCharacter),
        ("Jane\u{2029}<a@b.example>", E::NameCharacter),
        ("Jane\0<a@b.example>", E::NameCharacter),
        ("Jane <a@b.example\r\n>", E::DomainSyntax),
    ] {
        assert_eq!(Mailbox::parse(input).err(), Some(expected), "{input:?}");
    }
    assert_eq!(
        DisplayName::parse(&"\u{e4}".repeat(257)).err(),
        Some(E::NameTooLong)
    );
    assert!(DisplayName::parse(&"\u{e4}".repeat(256)).is_ok());
    assert_eq!(
        Mailbox::from_parts("a@b.example", Some("x\n")).err(),
        Some(E::NameCharacter)
    );
    assert!(
        Mailbox::from_parts("a@b.example", Some("  "))
            .unwrap()
            .name
            .is_none()
    );
}

#[test]
fn debug_shows_no_personal_data() {
    let mailbox = Mailbox::parse("Jane <jane@example.com>").unwrap();
    let shown = format!("{mailbox:?} {:?} {:?}", mailbox.address, mailbox.address.domain());
    assert_eq!(shown, "Mailbox Address Domain");
    assert_eq!(format!("{:?}", mailbox.name), "Some(DisplayName)");
}

#[test]
fn messages_to_people_are_lower_case_without_full_stop() {
    use AddressError as E;
    for error in [
        E::Empty,
        E::TooLong,
        E::Incomplete,
        E::LocalTooLong,
        E::LocalSyntax,
        E::EncodedWord,
        E::DomainSyntax,
        E::DomainSingleLabel,
        E::DomainTooLong,
        E::IpLiteral,
        E::Idna,
        E::NameTooLong,
        E::NameCharacter,
        E::MailboxSyntax,
    ] {
        let text = error.to_string();
        assert!(
            text.starts_with("the ") && !text.ends_with('.') && text.contains(": "),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn whatever_parses_as_an_address_parses_again_to_itself(input in "\\PC{0,20}@\\PC{0,12}\\.example") {
        if let Ok(address) = Address::parse(&input) {
            prop_assert!(Address::parse(address.as_str()).as_ref() == Ok(&address));
            prop_assert!(address.as_str().chars().all(|c| !c.is_control()));
            prop_assert!(address.domain().as_str().is_ascii());
        }
    }

    #[test]
    fn quoted_local_parts_round_trip(content in "[ -~]{1,20}") {
        let escaped = content.replace('\\', "\\\\").replace('"', "\\\"");
        match Address::parse(&format!("\"{escaped}\"@example.com")) {
            Ok(address) => prop_assert!(Address::parse(address.as_str()).as_ref() == Ok(&address)),
            Err(error) => prop_assert_eq!(error, AddressError::EncodedWord),
        }
    }

    #[test]
    fn display_strings_parse_to_the_same_mailbox(name in "\\PC{0,40}", local in "[a-z\u{e4}. \"@]{1,8}") {
        let quoted = format!("\"{}\"@example.com", local.replace('"', "\\\""));
        if let Ok(mailbox) = Mailbox::from_parts(&quoted, Some(&name)) {
            let shown = mailbox.to_display_string();
            prop_assert!(Mailbox::parse(&shown).as_ref() == Ok(&mailbox), "{}", shown);
        }
    }

    #[test]
    fn no_input_makes_a_parser_panic(input in any::<String>()) {
        let _ = Address::parse(&input);
        let _ = Mailbox::parse(&input);
        let _ = Domain::parse(&input);
    }
}
