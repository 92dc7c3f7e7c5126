//! Properties of the SMTP machines that hold for any input, cut anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use sealwright_mail::smtp::content::{Stuffer, Unstuffer, check};
use sealwright_mail::smtp::limits::{REPLY_LINES_MAX, REPLY_OCTETS_MAX};
use sealwright_mail::smtp::reply::{ReplyError, ReplyParser};
use sealwright_mail::smtp::{
    Client, Envelope, Event, Offer, Outcome, Reply, Server, ServerOptions, TlsMode, Turn,
};

/// `octets` cut at the given places, each relative to what is left.
fn cut<'a>(mut octets: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for place in places {
        let (piece, rest) = octets.split_at(place % (octets.len() + 1));
        pieces.push(piece);
        octets = rest;
    }
    pieces.push(octets);
    pieces
}

fn replies(pieces: &[&[u8]]) -> Result<Vec<Reply>, ReplyError> {
    let mut parser = ReplyParser::new();
    let mut replies = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let (taken, reply) = parser.push(rest)?;
            assert!(taken > 0, "no progress");
            rest = &rest[taken..];
            replies.extend(reply);
        }
    }
    Ok(replies)
}

/// Octets that look enough like SMTP to reach the deeper states.
fn smtp_like() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just(b"250 ok\r\n".to_vec()),
        Just(b"250-a\r\n".to_vec()),
        Just(b"354 go\r\n".to_vec()),
        Just(b"421 bye\r\n".to_vec()),
        Just(b"550 5.1.1 no\r\n".to_vec()),
        Just(b"EHLO a\r\n".to_vec()),
        Just(b"HELO a\r\n".to_vec()),
        Just(b"MAIL FROM:<a@b>\r\n".to_vec()),
        Just(b"RCPT TO:<c@d>\r\n".to_vec()),
        Just(b"DATA\r\n".to_vec()),
        Just(b"text\r\n".to_vec()),
        Just(b"\r\n.\r\n".to_vec()),
        Just(b"\n.\n".to_vec()),
        Just(b"STARTTLS\r\n".to_vec()),
        Just(b"RSET\r\n".to_vec()),
        Just(b"QUIT\r\n".to_vec()),
        vec(any::<u8>(), 0..40),
        vec(Just(b'x'), 900..1200),
    ];
    vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

fn reply_strategy() -> impl Strategy<Value = Reply> {
    let line = "[ -~é]{0,60}";
    (200u16..600, vec(line, 1..6usize))
        .prop_map(|(code, lines)| Reply::of_lines(code, lines.iter().map(String::as_str)))
}

/// Content of lines that abound in dots, with CRLF everywhere but perhaps at the end.
fn content_strategy() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof!["[.]{0,3}", "[.a]{0,4}", "[ -~]{0,90}", "[a-zA-Z0-9+/]{76}"];
    (vec(line, 0..40), any::<bool>()).prop_map(|(lines, ended)| {
        let mut content = lines.join("\r\n").into_bytes();
        if ended && !content.is_empty() {
            content.extend_from_slice(b"\r\n");
        }
        content
    })
}

fn stuffed(parts: &[&[u8]]) -> Vec<u8> {
    let mut stuffer = Stuffer::new(parts).unwrap();
    let mut wire = Vec::new();
    while stuffer.next_block(&mut wire) {}
    wire
}

/// What DATA must produce, written the slow and obvious way.
fn stuffed_slowly(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for line in content.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !content.is_empty() && !content.ends_with(b"\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

/// Plays input against a server that accepts everything; returns its words and its messages.
fn serve(offer: Offer, pieces: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut options = ServerOptions::new("mx.example");
    options.offer = offer;
    options.message_octets_max = 3000;
    let mut server = Server::new(options);
    let mut said = server.take_output();
    let mut messages = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let received = server.receive(rest);
            rest = &rest[received.taken..];
            match received.event {
                Some(event) => {
                    if let Event::Message(content) = event {
                        messages.push(content);
                    }
                    server.accept();
                    if server.is_upgrading() {
                        server.tls_started();
                    }
                }
                None => assert!(received.taken > 0, "no progress"),
            }
        }
        said.extend(server.take_output());
    }
    (said, messages)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn replies_do_not_depend_on_how_they_are_cut(input in smtp_like(), places in vec(any::<usize>(), 0..20)) {
        prop_assert_eq!(replies(&[&input]).is_ok(), replies(&cut(&input, &places)).is_ok());
        if let Ok(whole) = replies(&[&input]) {
            prop_assert_eq!(whole, replies(&cut(&input, &places)).unwrap());
        }
    }

    #[test]
    fn written_reply_reads_back_the_same(sent in vec(reply_strategy(), 1..5), places in vec(any::<usize>(), 0..9)) {
        let mut wire = Vec::new();
        for reply in &sent {
            reply.write_to(&mut wire);
        }
        let read = replies(&cut(&wire, &places)).unwrap();
        prop_assert_eq!(read.len(), sent.len());
        for (read, sent) in read.iter().zip(&sent) {
            prop_assert_eq!(read.code(), sent.code());
            prop_assert_eq!(read.lines(), sent.lines());
        }
    }

    #[test]
    fn parser_never_holds_more_than_its_limits(input in vec(any::<u8>(), 0..5000)) {
        if let Ok(replies) = replies(&[&input]) {
            for reply in replies {
                prop_assert!(reply.lines().len() <= REPLY_LINES_MAX);
                prop_assert!(reply.lines().iter().map(String::len).sum::<usize>() <= 3 * REPLY_OCTETS_MAX);
            }
        }
    }

    #[test]
    fn stuffing_is_what_the_slow_way_gives(content in content_strategy(), places in vec(any::<usize>(), 0..6)) {
        prop_assert_eq!(stuffed(&cut(&content, &places)), stuffed_slowly(&content));
    }

    #[test]
    fn content_survives_the_wire(
        content in content_strategy(),
        parts in vec(any::<usize>(), 0..4),
        places in vec(any::<usize>(), 0..20),
    ) {
        let mut wire = stuffed(&cut(&content, &parts));
        prop_assert!(!wire.windows(5).any(|five| five == b"\r\n.\r\n"), "the content ends itself");
        prop_assert!(!wire.starts_with(b".\r\n"), "the content ends itself");
        wire.extend_from_slice(b".\r\nQUIT");
        let mut unstuffer = Unstuffer::new(1 << 20, 1000, 0);
        let mut taken = 0;
        for piece in cut(&wire, &places) {
            let (used, ended) = unstuffer.push(piece);
            taken += used;
            if ended {
                break;
            }
            prop_assert_eq!(used, piece.len());
        }
        prop_assert_eq!(taken, wire.len() - 4);
        let mut expected = content.clone();
        if !expected.is_empty() && !expected.ends_with(b"\r\n") {
            expected.extend_from_slice(b"\r\n");
        }
        prop_assert_eq!(unstuffer.finish().unwrap(), expected);
    }

    #[test]
    fn check_refuses_exactly_bare_line_bytes_and_nul(
        octets in vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), Just(0u8)], 0..12),
        pairs in vec(Just(*b"x\r\n"), 0..20),
        places in vec(any::<usize>(), 0..4),
    ) {
        let content = [pairs.concat(), octets].concat();
        let text = String::from_utf8(content.clone()).unwrap().replace("\r\n", "");
        let is_clean = !text.contains(['\r', '\n', '\0']);
        prop_assert_eq!(check(&cut(&content, &places)).is_ok(), is_clean);
    }

    #[test]
    fn server_answers_any_input_with_replies_only(input in smtp_like(), places in vec(any::<usize>(), 0..20)) {
        let offer = Offer { starttls: true, ..Offer::default() };
        let (said, messages) = serve(offer, &cut(&input, &places));
        prop_assert!(replies(&[&said]).is_ok());
        for message in messages {
            prop_assert!(check(&[&message]).is_ok() && message.len() <= 3000);
        }
    }

    #[test]
    fn server_hands_over_what_the_client_sent(
        contents in vec(content_strategy(), 1..4),
        pipelining in any::<bool>(),
        places in vec(any::<usize>(), 1..9),
    ) {
        let offer = Offer { pipelining, ..Offer::default() };
        let mut options = ServerOptions::new("mx.example");
        options.offer = offer;
        let mut server = Server::new(options);
        let mut client = Client::new("client.example", TlsMode::Off);
        for content in contents {
            let message = exchange(&mut client, &mut server, &content, &places);
            let mut expected = content.clone();
            if !expected.is_empty() && !expected.ends_with(b"\r\n") {
                expected.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(message, Some(expected));
            let finished = client.take_finished().unwrap();
            prop_assert!(finished.recipients.iter().all(|outcome| matches!(outcome, Outcome::Delivered(_))));
            prop_assert_eq!(client.turn(), Turn::Ready);
        }
    }

    #[test]
    fn client_survives_any_server(
        input in smtp_like(),
        places in vec(any::<usize>(), 0..20),
        recipients in 1usize..4,
    ) {
        let mut client = Client::new("client.example", TlsMode::Opportunistic);
        let envelope = Envelope {
            from: "a@b".to_owned(),
            to: vec!["c@d".to_owned(); recipients],
            size: 10,
            smtputf8: false,
            eight_bit: false,
            wants_reports: false,
            require_tls: false,
        };
        let mut began = false;
        for piece in cut(&input, &places) {
            client.take_output();
            client.receive(piece);
            match client.turn() {
                Turn::Ready if !began => {
                    client.begin(&envelope);
                    began = true;
                }
                Turn::Content => client.finish(),
                Turn::Upgrade => client.tls_started(),
                Turn::Ready | Turn::Read(_) | Turn::Closed => {}
            }
        }
        client.lost();
        if began {
            let finished = client.take_finished().unwrap();
            prop_assert_eq!(finished.recipients.len(), recipients);
            let delivered = finished.recipients.iter().any(|outcome| matches!(outcome, Outcome::Delivered(_)));
            prop_assert!(!delivered || finished.reached_dot, "delivered without the dot");
            prop_assert!(!finished.in_doubt || (finished.reached_dot && !delivered));
        }
    }
}

/// One message from our client to our server, octets cut at `places`. Returns what arrived.
fn exchange(client: &mut Client, server: &mut Server, content: &[u8], places: &[usize]) -> Option<Vec<u8>> {
    let envelope = Envelope {
        from: "a@example.com".to_owned(),
        to: vec!["b@example.net".to_owned(), "c@example.net".to_owned()],
        size: content.len(),
        smtputf8: false,
        eight_bit: false,
        wants_reports: false,
        require_tls: false,
    };
    let mut message = None;
    let mut began = false;
    loop {
        for piece in cut(&server.take_output(), places) {
            client.receive(piece);
        }
        let mut wire = client.take_output();
        match client.turn() {
            Turn::Ready if began => return message,
            Turn::Ready => {
                client.begin(&envelope);
                began = true;
                wire = client.take_output();
            }
            Turn::Content => {
                wire = stuffed(&[content]);
                client.finish();
                wire.extend(client.take_output());
            }
            Turn::Read(_) => {}
            other => panic!("the client stopped at {other:?}"),
        }
        for piece in cut(&wire, places) {
            let mut rest = piece;
            while !rest.is_empty() {
                let received = server.receive(rest);
                rest = &rest[received.taken..];
                if let Some(event) = received.event {
                    if let Event::Message(content) = event {
                        message = Some(content);
                    }
                    server.accept();
                }
            }
        }
    }
}
