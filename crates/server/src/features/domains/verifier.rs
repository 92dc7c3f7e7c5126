//! DKIM verification by an implementation that is not the one that signs, with given records as the whole DNS.

use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::Signature;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Verifies signatures; costs something to make, and little to use.
pub struct Verifier(MessageAuthenticator);

/// The records that exist; nothing else is ever asked for, and nothing is added.
struct Records(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

impl Records {
    fn of(published: &[(String, String)]) -> Self {
        let key = |(host, text): &(String, String)| {
            let key = DomainKey::parse(text.as_bytes()).ok()?;
            let host = format!("{host}.").into_boxed_str();
            Some((host, Txt::DomainKey(Arc::new(key))))
        };
        Self(published.iter().filter_map(key).collect())
    }
}

impl Verifier {
    /// A verifier without name servers: a record that is not given is not looked for.
    ///
    /// # Errors
    /// When the library behind it can't be set up; in words.
    pub fn new() -> Result<Self, String> {
        MessageAuthenticator::new(ResolverConfig::default(), ResolverOpts::default())
            .map(Self)
            .map_err(|error| format!("no DKIM verifier: {error}"))
    }

    /// The domains (`d=`) whose signatures hold, of a message from elsewhere. `published` are names of hosts and the texts of their
    /// records, as for [`verify`](Self::verify); signatures with other keys are passed over, and so are those that have expired.
    pub fn signers(&self, message: &[u8], published: &[(String, String)]) -> Vec<String> {
        let message = without_blank_tail(message);
        let Some(mut parsed) = AuthenticatedMessage::parse_with_opts(message, None, true) else {
            return Vec::new();
        };
        let records = Records::of(published);
        let is_known = |signature: &Signature| records.0.contains_key(record_name(signature).as_str());
        parsed.dkim_headers.retain(|field| is_known(&field.header));
        for field in &mut parsed.dkim_headers {
            // They ask for more records.
            field.header.r = false;
            field.header.atps = None;
        }
        let verified = self
            .0
            .verify_dkim(Parameters::new(&parsed).with_txt_cache(&records));
        let Poll::Ready(outputs) = pin!(verified).poll(&mut Context::from_waker(Waker::noop())) else {
            return Vec::new();
        };
        let passed = outputs
            .iter()
            .filter(|output| *output.result() == DkimResult::Pass);
        let signatures = passed.filter_map(|output| output.signature());
        signatures
            .map(|signature| signature.d.to_ascii_lowercase())
            .collect()
    }

    /// The domains (`d=`) whose signatures hold, in the order of their fields. `fields` stand before the message, as signatures do that
    /// were just made; they may be empty. `published` are names of hosts (`selector._domainkey.domain`) and the texts of their records.
    ///
    /// Whether a signature has expired is not looked at: that depends on when it is read.
    ///
    /// # Errors
    /// The first signature that does not hold, in words; they name no address and no content.
    pub fn verify(
        &self,
        fields: &[u8],
        message: &[u8],
        published: &[(String, String)],
    ) -> Result<Vec<String>, String> {
        let message = without_blank_tail(message);
        let Some(mut parsed) = AuthenticatedMessage::parse_with_opts(message, Some(fields), true) else {
            return Err("the message can't be parsed".to_owned());
        };
        for field in &mut parsed.dkim_headers {
            field.header.x = 0;
        }
        let records = Records::of(published);
        let verified = self
            .0
            .verify_dkim(Parameters::new(&parsed).with_txt_cache(&records));
        // Nothing is waited for when every record is at hand.
        let Poll::Ready(outputs) = pin!(verified).poll(&mut Context::from_waker(Waker::noop())) else {
            return Err("a signature names a key that is not published".to_owned());
        };
        let domain = |output: &mail_auth::DkimOutput<'_>| match (output.result(), output.signature()) {
            (DkimResult::Pass, Some(signature)) => Ok(signature.d.clone()),
            (failed, _) => Err(format!("fail: {failed:?}")),
        };
        outputs.iter().map(domain).collect()
    }
}

/// The signatures of a message: the domain of each, and the host whose record holds its key.
pub fn key_hosts(message: &[u8]) -> Vec<(String, String)> {
    let Some(parsed) = AuthenticatedMessage::parse(message) else {
        return Vec::new();
    };
    let fields = parsed.dkim_headers.iter();
    let both = fields.map(|field| {
        let host = record_name(&field.header);
        let domain = field.header.d.to_ascii_lowercase();
        (domain, host.trim_end_matches('.').to_owned())
    });
    both.collect()
}

/// The name of the record that holds a signature's key, as the library looks for it.
fn record_name(signature: &Signature) -> String {
    format!("{}._domainkey.{}.", signature.s, signature.d)
}

/// Where the body begins: after the first empty line.
fn body_start(message: &[u8]) -> Option<usize> {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n");
    end.map(|at| at + 4)
}

/// The message without blank lines at its end. They count for nothing under relaxed canonicalization (RFC 6376 §3.4.4), but this
/// verifier counts those that hold white space.
fn without_blank_tail(message: &[u8]) -> &[u8] {
    let start = body_start(message).unwrap_or(message.len());
    let (header, mut body) = message.split_at(start);
    while let Some(line) = body.strip_suffix(b"\r\n") {
        let is_blank = |octet: &u8| matches!(octet, b' ' | b'\t');
        let text = line
            .iter()
            .rposition(|octet| !is_blank(octet))
            .map_or(0, |at| at + 1);
        match line.get(..text) {
            Some(before) if before.is_empty() || before.ends_with(b"\r\n") => body = before,
            _ => break,
        }
    }
    message.get(..header.len() + body.len()).unwrap_or(message)
}

/// `pass`, or why not, of a whole message.
pub fn verdict(message: &[u8], published: &[(String, String)]) -> String {
    match Verifier::new().and_then(|verifier| verifier.verify(&[], message, published)) {
        Ok(domains) if domains.is_empty() => "not signed".to_owned(),
        Ok(_) => "pass".to_owned(),
        Err(failed) => failed,
    }
}
